"""The connection to Ray: a local one of the run's own, or a running cluster."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import ray

from automl.errors import RequestError
from automl.quiet import VARIABLES
from automl.scratch import folder_of_ray, other_folder, why_unusable
from automl.search.cluster import JOB
from automl.search.joining import named_cluster, reach_cluster, telling_no_cluster

_TOKEN = "RAY_AUTH_TOKEN"


@contextmanager
def ray_session(address: str | None, note: Callable[[str], None] = lambda line: None) -> Iterator[None]:
    """A connection to Ray: a local one of its own, or a running cluster; shut down at the end.

    Without an address RAY_ADDRESS counts. A cluster that somebody else started on this machine does not: left to
    itself Ray would join it, or wait for it where it is gone.

    note: gets a line where the local one lives elsewhere than the user's environment says.

    Within it SIGTERM does what Ctrl-C does.

    A connection that the caller's program has already made is used, and left open.
    """
    if ray.is_initialized():
        yield
        return
    package_root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(p for p in (package_root, os.environ.get("PYTHONPATH", "")) if p)
    variables = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    options: dict[str, Any] = {"runtime_env": {"env_vars": {**variables, "PYTHONPATH": paths}}}
    named = named_cluster(address)
    with ExitStack() as local:
        if named is None:
            options |= {"address": "local", "include_dashboard": False, "num_gpus": None}
            if (folder := local.enter_context(_own_folder(note))) is not None:
                options["_temp_dir"] = str(folder)
            local.enter_context(_own_token())
        else:
            reach_cluster(address)
            options |= {"address": named.address}
            if JOB not in os.environ:  # a job has brought the code already, and Ray takes it from one of both alone
                options["runtime_env"]["py_modules"] = [str(Path(__file__).resolve().parents[1])]
        before = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL
        with telling_no_cluster(named):
            ray.init(log_to_driver=False, logging_level=logging.ERROR, configure_logging=True, **options)
        in_charge = threading.current_thread() is threading.main_thread()  # only there may handlers be set
        if in_charge:
            # Ray exits on SIGTERM wherever it stands; Tune winds up on SIGINT alone.
            signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
        # else Ray prints what befalls its nodes among what was asked for, whatever log_to_driver says
        ray._private.worker._worker_logs_enabled = False
        try:
            yield
        finally:
            if in_charge:
                signal.signal(signal.SIGTERM, before)
            ray.shutdown()
            ray._private.worker._worker_logs_enabled = True


@contextmanager
def _own_folder(note: Callable[[str], None]) -> Iterator[Path | None]:
    """A short folder for Ray's files where the one for temporary files is too long, full or cannot be written.

    None where that one will do. Raises RequestError where this machine has no such folder.
    """
    taken, name = folder_of_ray()
    problem = why_unusable(taken)
    if problem is None:
        yield None
        return
    place = other_folder()
    if place is None:
        raise RequestError(
            f"{name} ({taken}) {problem}, and no other folder will do",
            "a folder with a short name that Ray can write its sockets and logs into",
            "Set RAY_TMPDIR to one",
        )
    folder = Path(tempfile.mkdtemp(prefix="automl-ray-", dir=place))
    note(f"Ray's files are in {folder} meanwhile: {name} ({taken}) {problem}")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _own_token() -> Iterator[None]:
    """Let a Ray that is started have a token of its own; else it writes one into the home folder, for good."""
    file = Path(os.environ.get("HOME") or "/") / ".ray" / "auth_token"
    before = {name: os.environ.get(name) for name in (_TOKEN, "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE")}
    if not any(before.values()) and not file.is_file():
        os.environ[_TOKEN] = secrets.token_hex(32)
        _forget_token()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)  # the mode too: Ray has set it
        _forget_token()


def _forget_token() -> None:
    """Have Ray look anew for its token, and whether it needs one: it keeps both in mind."""
    with suppress(ImportError, AttributeError):  # a Ray that knows no tokens
        from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

        AuthenticationTokenLoader.instance().reset_cache()
        Config.initialize("")
