"""How a run folder comes into being: made ready beside its place, moved in whole, or nothing is left behind."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from automl.errors import AutoMLError, DiskFull, RunFolderError, is_full_disk
from automl.leaderboard.store import RunFolder, write_atomically
from automl.provenance import environment


def refuse_taken(folder: RunFolder) -> None:
    """Raises RunFolderError for a folder that holds a run, or other things."""
    if folder.path.exists():
        if not folder.path.is_dir():
            raise RunFolderError(f"{folder.path} is a file", "a new or empty folder", "Choose another with --out")
        folder.refuse_other_run()


@contextmanager
def scratch_beside(out: Path) -> Iterator[Path]:
    """A folder beside the run folder for what is not yet known to be good."""
    made = not out.parent.exists()
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
            yield Path(scratch)
    finally:
        if made and not any(out.parent.iterdir()):  # a refused request leaves nothing behind
            out.parent.rmdir()


@contextmanager
def room_to_begin(place: Path) -> Iterator[None]:
    """Raises DiskFull.at_the_start for whatever finds no room inside."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, DiskFull) and (isinstance(error, AutoMLError) or not is_full_disk(error)):
            raise
        raise DiskFull.at_the_start(place) from error


@contextmanager
def nothing_left_of_a_full_disk(folder: RunFolder) -> Iterator[None]:
    """Remove the run folder that is being made inside where the disk has no room for it."""
    try:
        yield
    except Exception as error:
        if is_full_disk(error) or isinstance(error, DiskFull):
            shutil.rmtree(folder.path, ignore_errors=True)
        raise


def adopt(scratch: Path, folder: RunFolder) -> None:
    """Move prepared data into the run folder and note the environment."""
    shutil.rmtree(folder.data, ignore_errors=True)
    shutil.copytree(scratch, folder.data)
    write_atomically(folder.environment_file, json.dumps(environment(), indent=1, ensure_ascii=False))


@contextmanager
def timed(folder: RunFolder, phase: str, late: bool = False) -> Iterator[Any]:
    """Note the wall seconds of a phase; `late`: when the yielded function is called with the folder."""
    started = time.monotonic()

    def note(target: RunFolder) -> None:
        target.append_timing(phase, time.monotonic() - started)

    yield note
    if not late:
        note(folder)
