"""A run folder brought here from a cluster: file by file, each checked by its hash, each kept once it is whole.

The head is not trusted with paths: nothing is written outside the folder, and nothing through a link.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from automl.errors import ClusterError, RunFolderError
from automl.leaderboard.chain import ENDS
from automl.leaderboard.store import RunFolder

PARTS = ".fetching"
Reader = Callable[[str], Iterator[bytes]]
"""The bytes of a file of the offer, by its path."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What one call has brought. present: files that were here already; bytes: of the others."""

    files: int
    present: int
    bytes: int


def fetch(manifest: bytes, read: Reader, out: Path) -> Fetched:
    """Bring every file of a manifest into a run folder; go on with one that an earlier call began.

    Raises ClusterError where the offer cannot be trusted or changes, RunFolderError where `out` is another run's.
    """
    offered = _parse(manifest)
    folder = RunFolder(out)
    if out.exists() and not out.is_dir():
        raise RunFolderError(f"{out} is a file", "a new folder, or one of an earlier fetch", "Choose another: --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    with folder.lock():
        _refuse_other(folder, offered)
        own = _own(folder, offered)
        parts = out / PARTS
        parts.mkdir(exist_ok=True)
        done = present = size = 0
        for name, (length, sha256) in offered.items():
            target = safe_target(out, name)
            if name in own or _is_here(target, length, sha256):
                present += 1
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            part = parts / sha256
            _bring(read(name) if length else iter(()), part, name, length, sha256)
            os.replace(part, target)
            done, size = done + 1, size + length
        shutil.rmtree(parts)
    return Fetched(files=done, present=present, bytes=size)


def safe_target(root: Path, name: str) -> Path:
    """Where a file of that name goes. Raises ClusterError unless that is inside of `root`, without passing a link."""
    path = PurePosixPath(name)
    wrong = path.is_absolute() or not path.parts or any(part in ("..", ".") for part in name.split("/"))
    if wrong or any(mark in name for mark in "\\:\0") or path.as_posix() != name:
        raise _distrusted(name)
    target = root.joinpath(*path.parts)
    place = root
    for part in path.parts:
        place = place / part
        if place.is_symlink():
            raise _distrusted(name)
    return target


def _distrusted(name: str) -> ClusterError:
    return ClusterError(
        f"the cluster offers a file {name!r}",
        "files inside of the run folder alone",
        "Do not trust this head; nothing was written there",
    )


def _parse(manifest: bytes) -> dict[str, tuple[int, str]]:
    """By path: bytes and hash, in the order of the manifest. Raises ClusterError for anything else."""
    try:
        files = json.loads(manifest)["files"]
        found = {str(one["path"]): (int(one["bytes"]), str(one["sha256"])) for one in files}
    except (ValueError, KeyError, TypeError):
        raise _garbled() from None
    hashes = (sha256 for _, sha256 in found.values())
    if "request.yaml" not in found or not all(len(one) == 64 and one.isalnum() for one in hashes):
        raise _garbled()
    return found


def _garbled() -> ClusterError:
    return ClusterError("the list of the run's files is garbled", "JSON that names them", "Fetch again")


def _refuse_other(folder: RunFolder, offered: Mapping[str, tuple[int, str]]) -> None:
    """Raises RunFolderError unless the folder is empty, or holds this run and has not gone on by itself."""
    if not folder.request_file.exists():
        present = [one.name for one in folder.path.iterdir() if one.name not in (".lock", PARTS)]
        if present:
            raise RunFolderError(f"{folder.path} is not empty", "a new or empty folder", "Choose another with --out")
        return
    if not _is_here(folder.request_file, *offered["request.yaml"]):
        raise RunFolderError(f"{folder.path} holds another run", "a new or empty folder", "Choose another with --out")


def _own(folder: RunFolder, offered: Mapping[str, tuple[int, str]]) -> set[str]:
    """What stays as it is here: the log of openings where this machine has added to it, as `automl verify` does.

    Raises RunFolderError where other records have gone on here: they would be lost.
    """
    kept = set()
    for file in folder.record_files:
        length, sha256 = offered.get(file.name, (0, ""))
        if file.exists() and file.stat().st_size > length:
            if file != folder.access_file or (sha256 and _hash(file, length) != sha256):
                raise RunFolderError(
                    f"{file} has lines that the cluster's run has not",
                    "a run that has not gone on here",
                    "Choose another folder with --out",
                )
            kept |= {file.name, f"{ENDS}/{file.name}"}
    return kept


def _is_here(path: Path, length: int, sha256: str) -> bool:
    return path.is_file() and path.stat().st_size == length and _hash(path, length) == sha256


def _hash(path: Path, length: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while length and (block := file.read(min(length, 1 << 20))):
            digest.update(block)
            length -= len(block)
    return digest.hexdigest()


def _bring(blocks: Iterable[bytes], part: Path, name: str, length: int, sha256: str) -> None:
    """Write the first `length` bytes durably: records of a run that goes on have grown since they were listed."""
    digest, left = hashlib.sha256(), length
    with open(part, "wb") as file:
        for block in blocks:
            block = block[:left]
            digest.update(block)
            file.write(block)
            left -= len(block)
            if not left:
                break
        file.flush()
        os.fsync(file.fileno())
    if left or digest.hexdigest() != sha256:
        part.unlink()
        raise ClusterError(
            f"{name} came otherwise than it was listed",
            f"{length:,} bytes with the hash that the head had told",
            "Fetch again: what has come stays; a run that goes on may have written it anew meanwhile",
        )


def read_manifest(blocks: Iterable[bytes], most_bytes: int = 64 << 20) -> bytes:
    """The bytes of a manifest. Raises ClusterError where they do not end."""
    found = bytearray()
    for block in blocks:
        found += block
        if len(found) > most_bytes:
            raise _garbled()
    return bytes(found)


def default_out(metadata: Mapping[str, Any], job: str) -> Path:
    """Where a run goes that was sent without --out elsewhere: where it would lie had it been run here."""
    run = PurePosixPath(str(metadata.get("run") or f"runs/{job}"))
    if run.is_absolute() or ".." in run.parts:
        return Path("runs") / (run.name if run.name not in ("", "..") else job)
    return Path(run)
