"""Where a local Ray puts its files and sockets, and what to take where the folder for temporary files is no place."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

LEAST_FREE_BYTES = 64 << 20
"""What the files of a Ray that is started take, with room for its logs."""
LONGEST_SOCKET = 107 if sys.platform.startswith("linux") else 103
"""Bytes of a path that the system takes for a socket."""
_SOCKET_OF_RAY = "/ray/session_2026-12-31_23-59-59_999999_4194304/sockets/plasma_store"
LONGEST_FOLDER = LONGEST_SOCKET - len(_SOCKET_OF_RAY)
_OTHERS = ("/tmp", "/var/tmp", "/dev/shm")


def folder_of_ray() -> tuple[Path, str]:
    """The folder for temporary files that Ray takes by itself, and what names it."""
    for name in ("RAY_TMPDIR", "TMPDIR"):
        if name in os.environ:
            return Path(os.environ[name]), name
    return Path("/tmp" if os.name == "posix" else tempfile.gettempdir()), "the folder for temporary files"


def why_unusable(folder: Path) -> str | None:
    """What keeps a Ray from living in a folder; None where nothing does. Nothing stays of the attempt."""
    length = len(os.fsencode(folder.absolute()))
    if length > LONGEST_FOLDER:
        return f"has {length} characters, and Ray's sockets leave {LONGEST_FOLDER}"
    if not folder.is_dir():
        return "is no folder" if folder.exists() else "does not exist"
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
        free = shutil.disk_usage(folder).free
    except OSError as problem:
        return f"cannot be written ({(problem.strerror or type(problem).__name__).lower()})"
    return f"has {free >> 20} MiB free" if free < LEAST_FREE_BYTES else None


def other_folder() -> Path | None:
    """A folder of this machine that Ray can live in; None where there is none."""
    return next((folder for folder in map(Path, _OTHERS) if why_unusable(folder) is None), None)
