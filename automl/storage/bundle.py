"""Sets of files that never change, kept once in a storage and once on every node: prepared rows, weights."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import filelock

from automl.errors import RunFolderError
from automl.provenance import hash_file
from automl.storage.place import Storage

BUNDLES = "bundles"
NODE_CACHE = "AUTOML_NODE_CACHE"
"""The environment variable that names a node's folder for what it fetches."""
KEPT_SECONDS = 3 * 86_400.0
"""What no training of a node has used for so long is removed when the next run comes."""
_INDEX = "index.json"


def put_bundle(storage: Storage, files: Mapping[str, Path]) -> str:
    """The key of a set of files in the storage, by its content; what is there already is not copied again."""
    index = {name: hash_file(file) for name, file in sorted(files.items())}
    content = json.dumps(index, indent=1).encode()
    key = hashlib.sha256(content).hexdigest()[:32]
    if storage.read(f"{BUNDLES}/{key}/{_INDEX}") is None:
        for name, file in files.items():
            storage.put(file, f"{BUNDLES}/{key}/{name}")
        storage.put_bytes(content, f"{BUNDLES}/{key}/{_INDEX}")  # last: who sees it sees all
    return key


def bundle_here(storage: Storage, key: str) -> Path:
    """The folder of a bundle on this node, fetched by the first process that asks.

    Raises RunFolderError where the storage does not hold it as it was put there.
    """
    directory = node_cache() / BUNDLES / key
    build_once(directory, lambda target: _fetch(storage, key, target))
    mark_used(directory)
    return directory


def _fetch(storage: Storage, key: str, target: Path) -> None:
    content = storage.read(f"{BUNDLES}/{key}/{_INDEX}")
    index: dict[str, str] = json.loads(content) if content is not None else {}
    for name, sha256 in index.items():
        whole = storage.get(f"{BUNDLES}/{key}/{name}", target / name) and hash_file(target / name) == sha256
        if not whole:
            index = {}
            break
    if not index:
        raise RunFolderError(
            f"{storage.url}/{BUNDLES}/{key} is not whole",
            "the files that the run had put there",
            f"Remove that folder and start again with: automl resume {storage.url}",
        )


def node_cache() -> Path:
    """This node's folder for what it fetches and computes; on a disk of its own, since all trainings read it."""
    named = os.environ.get(NODE_CACHE)
    return Path(named) if named else Path(tempfile.gettempdir()) / f"automl-{os.getuid()}"


def mark_used(directory: Path) -> None:
    """Note that a folder of the node's cache is in use, and remove those that have not been for long."""
    os.utime(directory)
    for other in directory.parent.iterdir():
        with suppress(OSError):  # another process may be at it too
            if other != directory and other.is_dir() and time.time() - other.stat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(other, ignore_errors=True)


def build_once(directory: Path, build: Callable[[Path], None]) -> None:
    """Fill a cache directory unless it is there; whole or not at all, by one process at a time."""
    if directory.exists():
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{directory}.lock"):
        if directory.exists():
            return
        for left in directory.parent.glob(f".{directory.name}.*"):
            shutil.rmtree(left, ignore_errors=True)  # of a process that died: whoever builds this holds the lock
        unfinished = directory.with_name(f".{directory.name}.{os.getpid()}")
        unfinished.mkdir()
        try:
            build(unfinished)
            unfinished.rename(directory)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
