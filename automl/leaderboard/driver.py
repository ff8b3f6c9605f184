"""Who drives a run: one process at a time, kept by a lock that the system frees when its process dies."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from automl.errors import RunFolderError

LOCK = ".lock"
_SECONDS_FOR_A_LOOK = 0.5
"""Who only looks whether a run is driven has its lock for a moment; a driver waits so long for it."""


@contextmanager
def driving(run: Path) -> Iterator[None]:
    """Hold the run's folder alone. Raises RunFolderError when another driver has it."""
    run.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(run / LOCK)
    try:
        lock.acquire(timeout=_SECONDS_FOR_A_LOOK)
    except filelock.Timeout:
        who = f" ({told})" if (told := last_driver(run)) else ""
        raise RunFolderError(
            f"{run} is in use by another automl process{who}", "one driver at a time", "Wait for it, or stop it"
        ) from None
    try:
        if not _is_soft(lock):
            with suppress(OSError):  # a full disk
                (run / LOCK).write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        lock.release()


def _is_soft(lock: filelock.BaseFileLock) -> bool:
    """Whether the disk knows no locks, so that the file itself, in words of its own, says who has it."""
    return isinstance(lock, filelock.SoftFileLock)


def last_driver(run: Path) -> str:
    """Who drives the run, or did so last: 'process 123 on HOST'; '' where that is not known."""
    try:
        return " ".join((run / LOCK).read_text(encoding="utf-8").split())
    except OSError:
        return ""


def is_driven(run: Path) -> bool | None:
    """Whether a driver has the run now; None where this machine cannot tell. Nothing is written to find out."""
    try:
        import fcntl

        with open(run / LOCK, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        return None
    return False
