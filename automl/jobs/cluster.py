"""A Ray cluster as its head's Jobs API shows it: the one file that talks to it.

Every failure is a ClusterError in three parts. Nothing of this machine's environment is sent but Ray's own token,
and that in a header.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from automl.errors import ClusterError, MissingExtra

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
STOP_SECONDS = 120
"""How long a job that is told to stop may take to wind up; Ray itself grants 3 s, and kills it then."""
_CONNECT_SECONDS = 5.0
_READ_SECONDS = 60.0
_STREAM_SECONDS = 6 * 3600
"""After so long the head ends a download, however it goes."""
_LOST_CONNECTIONS = 5
"""So many in a row, and following gives up; the job itself does not notice."""
_OVERRIDES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_TALKATIVE = ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk", "ray._private.runtime_env")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job, as its head tells of it. status: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""

    id: str
    status: str
    message: str
    metadata: Mapping[str, str]
    started_at: str | None
    ended_at: str | None
    exit_code: int | None
    node_id: str | None

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def to_json(self) -> dict[str, Any]:
        """{"job", "status", "run", "started_at", "ended_at", "exit_code"}."""
        return {
            "job": self.id,
            "status": self.status,
            "run": self.metadata.get("run"),
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "exit_code": self.exit_code,
        }


def find_address(given: str | None) -> str:
    """The address that a user means: the option, RAY_API_SERVER_ADDRESS, RAY_ADDRESS, or a tunnel's end here.

    RAY_ADDRESS counts where it names a dashboard; it may name a cluster's head as well, which `automl run` wants.
    Raises ClusterError unless it is an address of a dashboard.
    """
    address = (given or _from_environment() or DEFAULT_ADDRESS).rstrip("/")
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or "@" in parts.netloc or parts.query:
        raise ClusterError(
            f"--address is {address.rpartition('@')[2]!r}",
            f"the dashboard of a Ray head, such as {DEFAULT_ADDRESS}",
            "Correct it; `automl run --address` is the one that takes HOST:6379",
        )
    return address


def _from_environment() -> str | None:
    if address := os.environ.get("RAY_API_SERVER_ADDRESS"):
        return address
    address = os.environ.get("RAY_ADDRESS", "")
    return address if address.startswith(("http://", "https://")) else None


def find_token() -> str | None:
    """Ray's token where this machine has one, found as Ray finds it; None where token authentication is off.

    Raises ClusterError where one is demanded and there is none.
    """
    mode = os.environ.get("RAY_AUTH_MODE", "").lower()
    if mode == "disabled":
        return None
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return token
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    file = Path(named or "~/.ray/auth_token").expanduser()
    with suppress(OSError):
        if token := file.read_text(encoding="utf-8").strip():
            return token
    if mode == "token" or named:
        raise ClusterError(
            f"token authentication is on, and {file} holds no token",
            "the token that the head was started with",
            "Put it there, or name another file with RAY_AUTH_TOKEN_PATH",
        )
    return None


class Cluster:
    """The head at an address. Raises ClusterError where none answers, or it refuses."""

    def __init__(self, address: str, token: str | None) -> None:
        if find_spec("ray") is None or find_spec("aiohttp") is None:
            raise MissingExtra.of("ray[default]", "cluster", "work with a cluster")
        self.address = address
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        with self._telling():
            self._knock()
            self._client = self._connect()

    def _knock(self) -> None:
        """Raises OSError where nobody listens; Ray's client would wait for minutes."""
        parts = urlsplit(self.address)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname, port), timeout=_CONNECT_SECONDS).close()

    def _connect(self) -> Any:
        from ray.job_submission import JobSubmissionClient

        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        # Ray would prefer these to the address that it is given.
        kept = {name: os.environ.pop(name) for name in _OVERRIDES if name in os.environ}
        try:
            return JobSubmissionClient(self.address, headers=dict(self._headers))
        finally:
            os.environ.update(kept)

    # -- jobs ---------------------------------------------------------------------------------------------

    def submit(self, job: str, entrypoint: str, package: Path, metadata: Mapping[str, str]) -> None:
        """Upload a folder, and start a command in a copy of it on the head."""
        environment = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}
        with self._telling(job):
            self._client.submit_job(
                submission_id=job,
                entrypoint=entrypoint,
                runtime_env={"working_dir": str(package), "env_vars": environment},
                metadata=dict(metadata),
            )

    def job(self, job: str) -> Job:
        with self._telling(job):
            told = self._client.get_job_info(job)
        return Job(
            id=job,
            status=str(getattr(told.status, "value", told.status)),
            message=told.message or "",
            metadata=told.metadata or {},
            started_at=_at(told.start_time),
            ended_at=_at(told.end_time),
            exit_code=told.driver_exit_code,
            node_id=told.driver_node_id,
        )

    def logs(self, job: str) -> str:
        """All that the job has printed."""
        with self._telling(job):
            return str(self._client.get_job_logs(job))

    def follow(self, job: str, write: Callable[[str], object]) -> Job:
        """Write what the job prints, from its first line on, until it has ended; lost connections are made anew."""
        written = told = failures = 0

        async def tail() -> None:
            nonlocal written, told, failures
            told = 0  # a stream begins at the first line
            async for text in self._client.tail_job_logs(job):
                fresh = text[max(0, written - told) :]
                told, failures = told + len(text), 0
                written = max(written, told)
                if fresh:
                    write(fresh)

        while True:
            try:
                with self._telling(job):
                    asyncio.run(tail())
                if (found := self.job(job)).ended:
                    return found
            except ClusterError:
                failures += 1
                if failures > _LOST_CONNECTIONS:
                    raise
            time.sleep(1.0)

    def stop(self, job: str) -> bool:
        """Tell a job to wind up; False where it had ended."""
        with self._telling(job):
            return bool(self._client.stop_job(job))

    def forget(self, job: str) -> None:
        """Remove an ended job from the head's list."""
        with self._telling(job):
            self._client.delete_job(job)

    # -- files --------------------------------------------------------------------------------------------

    def read(self, node_id: str, name: str) -> Iterator[bytes]:
        """The bytes of a file below the log folder of a node's session, links followed, in blocks.

        The Jobs API itself hands out no files; this is the address that serves logs to the dashboard.
        """
        import requests

        query: dict[str, str | int] = {"node_id": node_id, "filename": name, "lines": -1, "timeout": _STREAM_SECONDS}
        query |= {"filter_ansi_code": "false"}
        with (
            self._telling(),
            requests.get(
                f"{self.address}/api/v0/logs/file",
                params=query,
                headers=self._headers,
                stream=True,
                timeout=(_CONNECT_SECONDS, _READ_SECONDS),
            ) as answer,
        ):
            answer.raise_for_status()
            yield from answer.iter_content(1 << 20)

    @contextmanager
    def _telling(self, job: str | None = None) -> Iterator[None]:
        """Raises ClusterError for whatever the head, the network or Ray's client raises inside."""
        try:
            yield
        except (ClusterError, MissingExtra, BrokenPipeError):  # the last is of whoever read our output
            raise
        except (OSError, RuntimeError, ValueError) as error:
            raise self._told(error, job) from error
        except Exception as error:  # Ray's and aiohttp's errors share no other parent
            if type(error).__module__.split(".")[0] not in ("ray", "aiohttp"):
                raise
            raise self._told(error, job) from error

    def _told(self, error: Exception, job: str | None) -> ClusterError:
        text, code = " ".join(str(error).split()), _http_code(error)
        if type(error).__name__ == "AuthenticationError" or code in (401, 403):
            held = "this machine's token is another one" if self._headers else "this machine has none"
            return ClusterError(
                f"{self.address} wants a token, and {held}",
                "the token that its head was started with",
                "Name its file with RAY_AUTH_TOKEN_PATH, or put it into ~/.ray/auth_token",
            )
        if job is not None and (code == 404 or f"{job} does not exist" in text):
            return ClusterError(
                f"{self.address} knows no job {job!r}",
                "a job of this head; it forgets them when it ends",
                "Check the name, and --address",
            )
        if isinstance(error, OSError) and code is None:  # requests' errors are OSErrors too
            return ClusterError(
                f"no Ray head answers at {self.address}{_source_of(self.address)}",
                "the dashboard of a running head",
                "Start it or its tunnel (ssh -L 8265:127.0.0.1:8265 HEAD), or name another with --address",
            )
        return ClusterError(
            f"{self.address} answered: {text[:300] or type(error).__name__}",
            "the answer of a Ray head of version 2.50 or newer, with ray[default]",
            "Check --address, and the head's log",
        )


def _source_of(address: str) -> str:
    """The variable that names an address, in brackets; nothing where none does."""
    named = (name for name in _OVERRIDES if os.environ.get(name, "").rstrip("/") == address)
    return next((f" ({name})" for name in named), "")


def _http_code(error: BaseException) -> int | None:
    """The code of an answer that an error is about."""
    code = getattr(getattr(error, "response", None), "status_code", None) or getattr(error, "status", None)
    if isinstance(code, int):
        return code
    head, _, rest = str(error).partition("status code ")
    return int(rest[:3]) if head and rest[:3].isdecimal() else None


def _at(milliseconds: int | None) -> str | None:
    if not milliseconds:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
