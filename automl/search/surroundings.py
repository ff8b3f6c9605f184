"""What a run needs around it, looked at before anything is spent: folders, room, memory, its services."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from automl.addresses import wrong_addresses
from automl.config import RunRequest
from automl.errors import RequestError
from automl.provenance import memory_bytes
from automl.scratch import folder_of_ray, other_folder, why_unusable
from automl.search.joining import named_cluster
from automl.storage.place import Storage
from automl.tracking.notify import NOTIFY_VARIABLE
from automl.types import Finding, Severity

LEAST_FREE_DISK = 200 << 20
"""Below this much room in the run folder's place a run hardly comes to its end: a small model alone takes 100 MiB."""
LEAST_MEMORY = 2 << 30
ANSWER_SECONDS = 3.0


def look_at_surroundings(request: RunRequest) -> list[Finding]:
    """Findings that warn or refuse; nothing is left behind."""
    return [
        *(
            _finding("refuse", problem, "Correct it")
            for problem in wrong_addresses(lambda name: getattr(request, name))
        ),
        *_out(Path(request.out or "runs")),
        *_ray_folder(request),
        *_memory(request),
        *_storage(request),
        *_services(request),
    ]


def _finding(severity: Severity, what: str, suggestion: str) -> Finding:
    return Finding(kind="surroundings", severity=severity, count=1, what=what, suggestion=suggestion)


def _out(out: Path) -> Iterator[Finding]:
    """Whether the run folder, or the nearest folder above it that there is, can be written and has room."""
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    if not place.is_dir():
        yield _finding(
            "refuse", f"{place} is a file, and the run folder {out} would lie below it", "Choose another --out"
        )
        return
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
        free = shutil.disk_usage(place).free
    except OSError as problem:
        yield _finding("refuse", f"{place} cannot be written: {_reason(problem)}", "choose another place with --out")
        return
    if free < LEAST_FREE_DISK:
        yield _finding(
            "warn", f"{place} has {free >> 20} MiB free", "make room: records, checkpoints and models are kept there"
        )


def _ray_folder(request: RunRequest) -> Iterator[Finding]:
    if named_cluster(request.address) is not None:
        return
    folder, name = folder_of_ray()
    if (problem := why_unusable(folder)) is not None and other_folder() is None:
        yield _finding(
            "refuse", f"{name} ({folder}) {problem}, and no other folder will do", "set RAY_TMPDIR to a short one"
        )


def _memory(request: RunRequest) -> Iterator[Finding]:
    total = memory_bytes()
    if total is not None and total < LEAST_MEMORY and named_cluster(request.address) is None:
        yield _finding(
            "warn", f"this machine has {total / 2**30:.1f} GiB of memory", "take --slots 1 and small models"
        )


def _storage(request: RunRequest) -> Iterator[Finding]:
    if request.storage is None:
        return
    try:
        Storage(request.storage).check()
    except RequestError as refused:
        yield _finding("refuse", "; ".join(filter(None, (refused.found, refused.expected))), refused.todo)


def _services(request: RunRequest) -> Iterator[Finding]:
    """Whether the servers of what follows the run are there. The run itself can do without them."""
    if request.mlflow is not None and (problem := _silence(request.mlflow)) is not None:
        yield _finding(
            "refuse",
            f"no server answers at --mlflow {request.mlflow}: {problem}",
            "start it, correct the address, or leave --mlflow out",
        )
    webhook = request.notify or os.environ.get(NOTIFY_VARIABLE)
    if webhook is not None and (problem := _silence(webhook)) is not None:
        named = "--notify" if request.notify else NOTIFY_VARIABLE
        yield _finding(
            "warn", f"the webhook of {named} does not answer: {problem}", "no message will be sent otherwise"
        )


def _silence(address: str) -> str | None:
    """Why nobody listens at a web address; None where somebody does, or only a proxy knows."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    if parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(parts.hostname):
        return None
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname, port), timeout=ANSWER_SECONDS).close()
    except socket.gaierror:
        return f"no machine is called {parts.hostname}"
    except TimeoutError:
        return f"no answer within {ANSWER_SECONDS:.0f} s"
    except (OSError, ValueError) as problem:
        return _reason(problem)
    return None


def _reason(problem: Exception) -> str:
    return str(getattr(problem, "strerror", None) or problem).lower()
