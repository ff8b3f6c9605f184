"""Where a result came from: versions, git state, machine, content hashes. No torch is imported for it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

# The packages whose version can move a score; the rest of an environment cannot.
PACKAGES = (
    "numpy", "scipy", "pandas", "pyarrow", "scikit-learn", "statsmodels", "torch", "transformers",
    "tokenizers", "safetensors", "huggingface-hub", "datasets", "ray", "optuna", "wandb",
)  # fmt: skip
_BLOCK_BYTES = 1 << 20


def environment(directory: Path | None = None) -> dict[str, Any]:
    """The content of environment.json: what ran, on what, from which state of the user's work.

    directory: whose git state is told (default: the working directory). No environment variables, no
    user names, no paths.
    """
    versions = package_versions()
    return {
        "automl": _own_version(),
        "python": platform.python_version(),
        "versions": versions,
        "versions_sha": versions_sha(versions),
        "git": git_state(directory or Path.cwd()),
        "hostname": platform.node(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "memory_bytes": memory_bytes(),
        "gpus": gpus(),
    }


def package_versions(names: Iterable[str] = PACKAGES) -> dict[str, str | None]:
    """The installed version of each package, None where it is not installed; nothing is imported."""
    return {name: _version(name) for name in names}


def versions_sha(versions: Mapping[str, str | None] | None = None) -> str:
    """Twelve hex digits that change with Python, automl, or any version that can move a score."""
    told = dict(package_versions() if versions is None else versions)
    told |= {"python": platform.python_version(), "automl": _own_version()}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def git_state(directory: Path) -> dict[str, Any] | None:
    """{"commit", "dirty"} of the repository around a directory; None where there is none or no git."""
    commit = _answer("git", "-C", str(directory), "rev-parse", "HEAD")
    if not commit:
        return None
    changes = _answer("git", "-C", str(directory), "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def cpu_model() -> str:
    """The processor's name as people know it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """The cores this process may use: fewer than the machine has under taskset or a batch system."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int | None:
    """The memory this process may use: the machine's, or less in a container; None where unknown."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(limit).read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue  # no such file, or the word 'max'
    return total


def gpus() -> list[str]:
    """The names of the GPUs, from torch where it is loaded already, else from nvidia-smi."""
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "cuda"):
        return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    names = _answer("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") or ""
    return [name.strip() for name in names.splitlines() if name.strip()]


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def hash_folder(path: Path) -> str:
    """SHA-256 over the names and bytes of all files below, independent of where the folder lies.

    Hidden files do not count: tools leave their caches in them.
    """
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        name = file.relative_to(path)
        if not any(part.startswith(".") for part in name.parts):
            digest.update(f"{name.as_posix()}\0{hash_file(file)}\n".encode())
    return digest.hexdigest()


def _own_version() -> str:
    from automl import __version__

    return __version__


@cache
def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _answer(*command: str) -> str | None:
    """What a program printed; None where it is missing, fails, or takes over five seconds."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
