"""Compressed files and archives, unpacked without trust: no path leads out, no link is made, no bomb goes off."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from automl.errors import DataError

BOMB_BYTES = 1 << 28
BOMB_RATIO = 200
MOST_FILES = 2_000_000
_PIECE = 1 << 20
_HEAD_BYTES = 512
_WORKBOOKS = (".xlsx", ".xlsm", ".xlsb", ".ods", ".xltx", ".xls")
_ASIDE = ("__MACOSX",)


_COMPRESSED: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x28\xb5\x2f\xfd": lambda path: pa.CompressedInputStream(pa.OSFile(str(path), "rb"), "zstd"),
}
ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".gzip")
"""Those of compressed single files."""
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, pa.ArrowException, OSError,
    NotImplementedError,
)  # fmt: skip


def is_packed(path: Path) -> bool:
    """Whether a file is compressed, a zip or a tar, by its first bytes. Workbooks are zip files too, and are not."""
    head = _head(path)
    return _is_zip(path, head) or _is_tar(head) or _codec(head) is not None


def plain_name(path: Path) -> Path:
    """The path without the ending of a compressed file: rows.csv of rows.csv.gz."""
    return path.with_suffix("") if path.suffix.lower() in ENDINGS else path


def refuse_swollen(path: Path) -> None:
    """Raises DataError where a workbook, which is a zip file, says that it holds far more than its size promises."""
    if not zipfile.is_zipfile(path):
        return
    with _told(path), zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
        _refuse_bomb(size, max(BOMB_BYTES, BOMB_RATIO * path.stat().st_size), path)


def unpack(path: Path, target: Path) -> Path:
    """What was packed: a file for a compressed one; for an archive `target`, or the only folder in it.

    Raises DataError for an archive that is damaged, locked, leads out of its folder, holds links or devices, or grows
    to more than 256 MiB and 200 times its size.
    """
    head = _head(path)
    room = min(max(BOMB_BYTES, BOMB_RATIO * path.stat().st_size), shutil.disk_usage(target.parent).free // 2)
    target.mkdir(parents=True)
    with _told(path):
        if _is_zip(path, head):
            _unpack_zip(path, target, room)
            return _top(target)
        if _is_tar(head):
            _unpack_tar(path, target, room)
            return _top(target)
        opened = _codec(head)
        assert opened is not None, "is_packed said so"
        name = path.name
        if path.suffix.lower() == ".tgz":
            name = path.stem + ".tar"
        elif path.suffix.lower() in ENDINGS:
            name = path.stem
        with opened(path) as packed:
            _copy(packed, target / name, room, path)
    return target / name


def _top(folder: Path) -> Path:
    """The folder, or the only one in it: archives are often made of a folder, not of what is in it."""
    inside = list(folder.iterdir())
    return _top(inside[0]) if len(inside) == 1 and inside[0].is_dir() else folder


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            f"{path} cannot be unpacked: {reason}",
            "a whole zip, tar, gzip, bzip2, xz or zstandard file",
            "It may be cut short: copy or download it again",
        ) from None


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError:
        return b""  # said when the file itself is read


def _codec(head: bytes) -> Callable[[Path], Any] | None:
    return next((codec for magic, codec in _COMPRESSED.items() if head.startswith(magic)), None)


def _is_zip(path: Path, head: bytes) -> bool:
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06")) and path.suffix.lower() not in _WORKBOOKS


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _unpack_zip(path: Path, target: Path, room: int) -> None:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        _refuse_many(len(members), path)
        _refuse_bomb(sum(member.file_size for member in members), room, path)
        for member in members:
            if stat.S_ISLNK(member.external_attr >> 16):
                raise _unsafe(path, member.filename, "is a link")
            if member.flag_bits & 1:
                raise DataError(
                    f"{member.filename} in {path} is encrypted", "an archive without a password", "Unpack it first"
                )
            if (place := _place(path, target, member.filename)) is not None:
                with archive.open(member) as packed:
                    # a header may lie about the size: what really comes out is counted again
                    room -= _copy(packed, place, room, path)


def _unpack_tar(path: Path, target: Path, room: int) -> None:
    with tarfile.open(path) as archive:
        for number, member in enumerate(archive):
            _refuse_many(number, path)
            if member.isdir():
                continue
            if not member.isreg():
                raise _unsafe(path, member.name, "is a link" if member.issym() or member.islnk() else "is a device")
            if (place := _place(path, target, member.name)) is not None:
                packed = archive.extractfile(member)
                assert packed is not None
                room -= _copy(packed, place, room, path)


def _place(archive: Path, target: Path, name: str) -> Path | None:
    """Where a member goes, inside the target; None for what systems leave behind."""
    inner = PurePosixPath(name.replace("\\", "/"))
    if inner.is_absolute() or ".." in inner.parts or ":" in inner.parts[0] or "\x00" in name:
        raise _unsafe(archive, name, "leads out of the archive's folder")
    if inner.parts[0] in _ASIDE or inner.name.startswith("."):
        return None
    place = target.joinpath(*inner.parts)
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _copy(packed: Any, place: Path, room: int, archive: Path) -> int:
    """Bytes written; never more than the room."""
    written = 0
    with place.open("wb") as file:
        while piece := packed.read(_PIECE):
            written += len(piece)
            _refuse_bomb(written, room, archive)
            file.write(piece)
    return written


def _refuse_bomb(size: int, room: int, path: Path) -> None:
    if size > room:
        packed = path.stat().st_size
        raise DataError(
            f"{path} has {packed:,} bytes and unpacks to more than {min(size, room):,}",
            f"an archive that grows to at most {BOMB_RATIO} times its size or {BOMB_BYTES >> 20} MiB, and to half of "
            "the free disk",
            "Unpack it yourself where you trust it, and name the folder",
        )


def _refuse_many(count: int, path: Path) -> None:
    if count > MOST_FILES:
        raise DataError(f"{path} holds more than {MOST_FILES:,} files", "fewer files", "Unpack it first")


def _unsafe(path: Path, name: str, why: str) -> DataError:
    return DataError(
        f"{name!r} in {path} {why}",
        "an archive of plain files below one folder",
        "Nothing was kept of it: pack it anew",
    )
