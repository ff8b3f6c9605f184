"""Which Ray cluster a user means, and whether one answers there: asked for seconds, before anything is prepared."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import NoReturn
from urllib.parse import urlsplit

from automl.errors import ClusterError, RequestError

KNOCK_SECONDS = 6.0
"""How long a machine may take to say that a Ray listens there; Ray itself would try for many minutes."""
_LINE_SECONDS = 3.0
VARIABLE = "RAY_ADDRESS"
LOCAL = "local"
"""The address of a Ray that the run starts itself, on this machine."""
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # with empty settings
_SETTINGS = 4
_DASHBOARDS = ("http", "https")
_TOO_LATE = ("timed out during startup", "Timed out waiting for file")
_EXPECTED = "the address of a running cluster, asked from one of its machines, with its version of Ray and its token"


@dataclass(frozen=True, kw_only=True)
class Named:
    """The cluster that a user means. by: what names it, the option or the variable."""

    address: str
    by: str

    def __str__(self) -> str:
        return f"{self.by} {self.address}"


def named_cluster(address: str | None) -> Named | None:
    """The cluster that an option, or else RAY_ADDRESS, names; None for a Ray of the run's own."""
    variable = os.environ.get(VARIABLE, "").strip()
    if address in (None, "", "auto") and variable not in ("", "auto"):
        address, by = variable, VARIABLE
    else:
        address, by = (address, "--address") if address else (variable, VARIABLE)
    return None if address in ("", LOCAL) else Named(address=address, by=by)


def reach_cluster(address: str | None) -> Named | None:
    """The cluster that is meant, once something answers there as Ray does; None for a Ray of the run's own.

    A connection that the caller's program has made already is taken as it is. Raises RequestError.
    """
    named = named_cluster(address)
    if named is None or _is_connected():
        return None
    refuse_others(named)
    try:
        host, port = _found_here(named) if named.address == "auto" else _host_and_port(named)
        problem = why_no_ray(host, port)
        if problem is None:
            from ray._private.services import resolve_ip_for_localhost

            own = resolve_ip_for_localhost(host)  # Ray takes the node's own address in place of the loopback's
            problem = (why_no_ray(own, port) if own != host else None) or _why_no_head(own, port)
    except (ConnectionError, ValueError) as error:
        problem = " ".join(str(error).split())[:300]
    if problem is not None:
        refuse(named, problem)
    return named


def refuse(named: Named, problem: str) -> NoReturn:
    """Raises the RequestError of a cluster that cannot be joined."""
    if named.by == VARIABLE:
        todo = f"Unset {VARIABLE}, or give --address {LOCAL}, for a Ray on this machine alone"
    else:
        todo = f"Start one with: ray start --head; or give --address {LOCAL} for a Ray on this machine alone"
    raise RequestError(f"no Ray cluster can be joined at {named}: {problem}", _EXPECTED, todo)


def refuse_others(named: Named) -> None:
    """Raises RequestError for addresses that lead to a cluster in other ways than its driver needs."""
    if named.address.startswith("ray://"):
        raise RequestError(
            f"{named} is an address of Ray Client",
            "auto or HOST:6379, on a machine of the cluster: the search runs in this process, beside its records",
            "From outside: automl submit ... --address http://HOST:8265",
        )
    if urlsplit(named.address).scheme in _DASHBOARDS:
        raise RequestError(
            f"{named} is an address of a dashboard",
            "auto or HOST:6379, on a machine of the cluster: the search runs in this process, beside its records",
            f"From outside: automl submit ... --address {named.address}",
        )


@contextmanager
def telling_no_cluster(named: Named | None) -> Iterator[None]:
    """Raises RequestError where no cluster answers at the address, ClusterError where none starts on this machine."""
    try:
        yield
    except Exception as problem:
        told = " ".join(str(problem).split())[:300]
        if named is None and any(words in told for words in _TOO_LATE):  # Ray raises a bare Exception
            raise ClusterError(
                "Ray did not start on this machine within half a minute",
                "a machine with a core and some memory to spare",
                "Run again when less else runs on it; what was finished is kept",
            ) from problem
        if named is None or not isinstance(problem, ConnectionError | RuntimeError | ValueError):
            raise
        try:
            refuse(named, told)
        except RequestError as refusal:
            raise refusal from problem


def _is_connected() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _found_here(named: Named) -> tuple[str, int]:
    """Where the Ray of this machine listens, as Ray itself finds it. Raises ConnectionError where none is found."""
    from ray._private.services import get_ray_address_from_environment

    found = get_ray_address_from_environment("auto", None)
    return _host_and_port(Named(address=found, by=named.by))


def _host_and_port(named: Named) -> tuple[str, int]:
    """Raises RequestError unless the address is HOST:PORT; an IPv6 one may have brackets."""
    host, _, port = named.address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise RequestError(
            f"{named} is no address of a cluster", "auto, HOST:PORT such as 10.0.0.1:6379, or local", "Correct it"
        )
    return host, int(port)


def _why_no_head(host: str, port: int) -> str | None:
    """What keeps a process of Ray from being the cluster's head; Ray would ask it again and again."""
    from ray._raylet import InnerGcsClient  # type: ignore[attr-defined]

    try:
        InnerGcsClient.standalone(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", None, 3_000)
    except Exception as error:  # whatever else there is, a token or a version, Ray says itself when it is joined
        if "Method not found" in str(error):
            return "what listens there is not the head's own port, which is 6379 unless it was started with another"
    return None


def why_no_ray(host: str, port: int) -> str | None:
    """What keeps a Ray from being heard at a port; None where something there speaks as Ray does."""
    answers: list[str | None] = []
    # A thread, for a name may take long to be looked up, and no call says how long at most.
    thread = Thread(target=lambda: answers.append(_knock(host, port)), daemon=True)
    thread.start()
    thread.join(KNOCK_SECONDS)
    return answers[0] if answers else f"no answer within {KNOCK_SECONDS:.0f} s"


def _knock(host: str, port: int) -> str | None:
    try:
        with socket.create_connection((host, port), timeout=_LINE_SECONDS) as line:
            if os.environ.get("RAY_USE_TLS", "0") == "1":
                return None
            line.sendall(_GREETING)
            heard = b""
            while len(heard) < 4 and (more := line.recv(64)):
                heard += more
    except socket.gaierror:
        return f"no machine is called {host}"
    except TimeoutError:
        return f"no answer within {_LINE_SECONDS:.0f} s"
    except (OSError, UnicodeError) as problem:
        return str(getattr(problem, "strerror", None) or problem).lower()
    # The first frame of a gRPC server is its settings: three bytes of length, then the kind.
    return None if heard[3:4] == bytes([_SETTINGS]) else "what listens there is no Ray"
