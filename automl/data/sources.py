"""Where a source really lies: what is far away is fetched, what is packed is unpacked, with bounded trust in both."""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from automl.data.archives import is_packed, unpack
from automl.data.formats.base import read_file
from automl.data.rows import ReadOptions, Rows
from automl.errors import DataError, MissingExtra

_URL = re.compile(r"[a-z][a-z0-9+.-]+(://|::)", re.IGNORECASE)
_DEEPEST = 3
_FREE_SHARE = 0.5


class Place:
    """A folder of our own for what was fetched or unpacked; one that nobody named goes with its last holder."""

    def __init__(self, folder: Path | None) -> None:
        if folder is None:
            self.path = Path(tempfile.mkdtemp(prefix="automl-data-"))
            weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
        else:
            self.path = folder
            folder.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True)
class Local:
    """A file or folder of this machine. names: what the user knows a path of ours by, the longest path first."""

    path: Path
    place: Place | None = None
    names: tuple[tuple[str, str], ...] = field(default=())

    def shown(self, text: str) -> str:
        for ours, theirs in self.names:
            text = text.replace(ours, theirs)
        return text

    def told(self, error: DataError) -> DataError:
        """The error with the user's names."""
        return DataError(self.shown(error.found), self.shown(error.expected), self.shown(error.todo))

    def named(self, rows: Rows) -> Rows:
        """The rows under the names that the user knows; what was unpacked for them lives with them."""
        if self.place is None:
            return rows
        read_as = replace(rows.read_as, source=self.shown(rows.read_as.source))
        return replace(rows, read_as=read_as, place=self.place)


def read_any(file: Path, options: ReadOptions) -> Rows:
    """The rows of one file, compressed or not."""
    local = bring(str(file))
    try:
        return local.named(read_file(local.path, options))
    except DataError as error:
        raise local.told(error) from None


def bring(source: str, unpack_in: Path | None = None) -> Local:
    """The source as a file or folder that is not packed; unchanged where it is one already, or is no path at all.

    unpack_in: where to put what is fetched and unpacked. Raises DataError where that fails or is not safe.
    """
    local = Local(Path(source).expanduser())
    if source.startswith("file://"):
        local = Local(Path(source.removeprefix("file://")))
    elif _URL.match(source):
        local = _fetch(source, unpack_in)
    for depth in range(_DEEPEST):
        if not local.path.is_file() or not is_packed(local.path):
            return local
        place = local.place or Place(unpack_in)
        target = place.path / f"unpacked-{depth}"
        shutil.rmtree(target, ignore_errors=True)
        known = local.shown(str(local.path))
        names = ((str(target), known), *local.names)
        try:
            unpacked = unpack(local.path, target)
            if unpacked.is_file():
                names = ((str(unpacked), known), *names)
            local = Local(_only_file(unpacked), place, names)
        except DataError as error:
            shutil.rmtree(target, ignore_errors=True)
            raise Local(target, place, names).told(error) from None
    raise DataError(
        f"{source} is packed {_DEEPEST} times over", "an archive of files, packed once or twice", "Unpack it first"
    )


def _only_file(path: Path) -> Path:
    """The only file of a folder where that is packed itself; else the path."""
    inside = list(path.iterdir()) if path.is_dir() else []
    return inside[0] if len(inside) == 1 and inside[0].is_file() and is_packed(inside[0]) else path


def without_secrets(url: str) -> str:
    """A URL without what must not be shown: a user and password before the host, a query that may be a signature."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _hushed(text: str, url: str) -> str:
    """The text without the URL's secrets."""
    parts = urlsplit(url)
    for secret in (parts.netloc.rpartition("@")[0], parts.query, parts.fragment):
        text = text.replace(secret, "...") if secret else text
    return text


def _fetch(source: str, unpack_in: Path | None) -> Local:
    import fsspec

    shown = without_secrets(source)
    try:
        system, path = fsspec.core.url_to_fs(source)
    except ImportError as error:
        package = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
        scheme = source.partition(":")[0].lower()
        needed = package.get(scheme, "aiohttp" if scheme.startswith("http") else "")
        raise MissingExtra(
            f"{shown} cannot be read: {' '.join(str(error).split())}",
            f"a package that brings {scheme}:// to fsspec",
            f"Install it with: pip install {needed}" if needed else "Install that package",
        ) from None
    except ValueError as error:
        raise DataError(
            f"{shown} has an unknown scheme ({' '.join(str(error).split())[:120]})",
            "a file, or a URL such as s3://, gs://, https:// or hf://",
            "Check the address",
        ) from None
    place = Place(unpack_in)
    target = place.path / "fetched" / (Path(urlsplit(shown).path).name or "data")
    shutil.rmtree(target.parent, ignore_errors=True)
    target.parent.mkdir(parents=True)
    try:
        _get(system, path, target, shown)
    except DataError:
        raise
    except Exception as error:  # every file system raises kinds of its own
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DataError(
            f"{shown} could not be fetched ({_hushed(reason, source)})",
            "an address that can be read from this machine",
            "Check the address, the network and the rights",
        ) from None
    return Local(target, place, ((str(target), shown),))


def _get(system: object, path: str, target: Path, shown: str) -> None:
    """Copy a file, or a folder with all that lies below it, where the disk has room for it."""
    folder = not str(getattr(system, "protocol", "")).count("http") and system.isdir(path)  # type: ignore[attr-defined]
    size = (system.du(path) if folder else system.size(path)) or 0  # type: ignore[attr-defined]
    room = int(shutil.disk_usage(target.parent).free * _FREE_SHARE)
    if size > room:
        raise DataError(
            f"{shown} has {size:,} bytes, and {target.parent.parent} has room for {room:,}",
            "data that fits into half of the free disk",
            "Free some space, or set TMPDIR to a larger disk",
        )
    if folder:
        system.get(path.rstrip("/") + "/", str(target) + "/", recursive=True)  # type: ignore[attr-defined]
    else:
        system.get_file(path, str(target))  # type: ignore[attr-defined]
