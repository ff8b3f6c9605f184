"""`automl submit`, `status`, `logs`, `stop` and `fetch`; each returns its exit code."""

from __future__ import annotations

import argparse
import json
import re
import secrets
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from automl.config import RunRequest, make_request
from automl.errors import ClusterError, RequestError
from automl.jobs import fetch as fetching
from automl.jobs import package
from automl.jobs.cluster import STOP_SECONDS, Cluster, Job, find_address, find_token
from automl.jobs.remote import MANIFEST, OFFERS, RUN
from automl.terminal import safe

_OFFER_SECONDS = 600.0
_EXIT = {"SUCCEEDED": 0, "STOPPED": 130}
_LAST_LINES = 12


def submit(arguments: argparse.Namespace) -> int:
    """Send a run to a cluster and show what it prints; Ctrl-C leaves it alone there."""
    address = find_address(arguments.address)
    given = {name: getattr(arguments, name, None) for name in RunRequest.model_fields} | {"address": None}
    if arguments.resume is not None:
        return _resume(arguments, address, [name for name, value in given.items() if value is not None])
    request = make_request(given, arguments.config)
    request = request.resolved(out=_run_folder(request), address="auto")
    with tempfile.TemporaryDirectory(prefix="automl-job-") as directory:
        folder = Path(directory)
        for line in package.pack(request, folder):
            print(f"note: {safe(line)}", file=sys.stderr)
        job = _new_id(Path(request.out or "run").name)
        cluster = _connect(address)
        cluster.submit(job, _entrypoint("run", job), folder, package.told(request))
    return _follow(cluster, job, arguments)


def _resume(arguments: argparse.Namespace, address: str, options: list[str]) -> int:
    if options or arguments.config:
        given = ["config"] if arguments.config else options
        named = ", ".join("DATA" if one == "source" else f"--{one.replace('_', '-')}" for one in given)
        raise RequestError(
            f"--resume goes with no other option of a run ({named})", "the run as it was", "Leave it out"
        )
    cluster = _connect(address)
    earlier = _run_job(cluster, arguments.resume)
    if not earlier.ended:
        raise ClusterError(
            f"{earlier.id} is {earlier.status.lower()}",
            "a job that has ended",
            f"Follow it: automl logs {earlier.id}",
        )
    first = earlier.metadata.get("home", earlier.id)
    job = _new_id(PurePosixPath(earlier.metadata.get("run", "run")).name)
    with tempfile.TemporaryDirectory(prefix="automl-job-") as directory:
        package.pack_code(Path(directory))
        metadata = {**earlier.metadata, "home": first}
        cluster.submit(job, _entrypoint("resume", first), Path(directory), metadata)
    return _follow(cluster, job, arguments)


def status(arguments: argparse.Namespace) -> int:
    cluster = _connect(find_address(arguments.address))
    job = _run_job(cluster, arguments.job)
    if arguments.json:
        print(json.dumps(job.to_json(), ensure_ascii=False))
        return 0
    print(f"{job.id}  {job.status.lower()}" + (f", exit code {job.exit_code}" if job.exit_code else ""))
    print("\n".join(f"{name:<9}{value}" for name, value in _facts(job)))
    lines = cluster.logs(job.id).splitlines()[-_LAST_LINES:]
    print("\n".join(["", *(_printable(line) for line in lines)]) if lines else "")
    return 0


def logs(arguments: argparse.Namespace) -> int:
    cluster = _connect(find_address(arguments.address))
    job = _run_job(cluster, arguments.job)
    if not arguments.follow:
        print(_printable(cluster.logs(job.id)), end="")
        return 0
    with _leaving_alone(job.id, arguments.address):
        cluster.follow(job.id, _write)
    return 0


def stop(arguments: argparse.Namespace) -> int:
    """Have a run wind up as with Ctrl-C; it can go on from there."""
    cluster = _connect(find_address(arguments.address))
    job = _run_job(cluster, arguments.job)
    if job.ended or not cluster.stop(job.id):
        print(f"{job.id} had {job.status.lower()} before")
        return 0
    job = _wait(cluster, job.id, STOP_SECONDS + 30)
    print(f"{job.id} {job.status.lower()}")
    there = _with_address(arguments.address)
    print(f"go on with   automl submit --resume {job.id}{there}")
    print(f"or bring it  automl fetch {job.id}{there}")
    return 0


def fetch(arguments: argparse.Namespace) -> int:
    """Bring a job's run folder here, and verify it where its run is done."""
    cluster = _connect(find_address(arguments.address))
    job = _run_job(cluster, arguments.job)
    out = Path(arguments.out) if arguments.out else fetching.default_out(job.metadata, job.id)
    with _offer(cluster, job, arguments.all) as (node_id, place):
        manifest = fetching.read_manifest(cluster.read(node_id, f"{place}/{MANIFEST}"))
        done = fetching.fetch(manifest, lambda name: cluster.read(node_id, f"{place}/{RUN}/{name}"), out)
    here = f", {done.present} were here already" if done.present else ""
    print(f"{done.files} files, {done.bytes / 2**20:.1f} MiB, into {out}{here}")
    from automl import api
    from automl.leaderboard.store import RunFolder

    if not RunFolder(out).leaderboard_json.exists():
        state = "has ended without a board" if job.ended else "goes on there"
        print(f"its run {state}; nothing to verify yet")
        return 0
    found = api.verify(out)
    lines = found.to_text().splitlines()
    print("\n".join(_printable(line) for line in (lines[-1:] if found.ok else lines)))
    print(f"board    automl board {out}")
    return 0 if found.ok else 1


# -- what they share --------------------------------------------------------------------------------------


def _connect(address: str) -> Cluster:
    token, parts = find_token(), urlsplit(address)
    if token and parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        host = parts.hostname
        print(
            f"note: the token travels to {host} unencrypted; a tunnel does not: ssh -L 8265:127.0.0.1:8265 {host}",
            file=sys.stderr,
        )
    return Cluster(address, token)


def _run_job(cluster: Cluster, name: str) -> Job:
    """A job that `automl submit` has sent. Raises ClusterError where the head knows none of that name."""
    job = cluster.job(name)
    if "run" not in job.metadata:
        raise ClusterError(f"{name} is no run of automl", "a job that `automl submit` has sent", "Check the name")
    return job


def _new_id(name: str) -> str:
    slug = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:40] or "run"
    return f"{slug}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def _entrypoint(verb: str, *words: str) -> str:
    return shlex.join(["exec", "python", "-m", "automl.jobs.remote", verb, *words])


def _run_folder(request: RunRequest) -> str:
    """Where the run folder lies: below the job's own folder on the head, or anywhere with a whole path."""
    out = PurePosixPath(request.out or f"runs/{request.run_name}")
    if ".." in out.parts or not out.name:
        raise RequestError(
            f"--out {out} leads out of the job's folder", "runs/NAME, or a whole path on the head", "Correct it"
        )
    return out.as_posix()


def _follow(cluster: Cluster, job: str, arguments: argparse.Namespace) -> int:
    """Tell the job's name at once; then, unless the user leaves it, show it to its end."""
    if arguments.json:
        print(json.dumps(cluster.job(job).to_json(), ensure_ascii=False))
    else:
        print(f"job      {job}", file=sys.stderr)
    if arguments.detach or arguments.json:
        return 0
    with _leaving_alone(job, arguments.address):
        found = cluster.follow(job, _write)
    there = _with_address(arguments.address)
    print(f"\n{job} {found.status.lower()}; bring it here: automl fetch {job}{there}", file=sys.stderr)
    if found.status == "FAILED":
        if found.exit_code in (126, 127):
            raise ClusterError(
                "the head has no command 'python'",
                "an environment with python and automl's packages on its PATH",
                "Start the head from within that environment",
            )
        return found.exit_code if found.exit_code in (1, 2) else 3
    return _EXIT[found.status]


@contextmanager
def _leaving_alone(job: str, address: str | None) -> Iterator[None]:
    """Say on Ctrl-C that only the watching ends."""
    try:
        yield
    except KeyboardInterrupt:
        there = _with_address(address)
        print(
            f"\nleft alone: {job} goes on there. Follow it: automl logs {job} --follow{there}; "
            f"end it: automl stop {job}{there}",
            file=sys.stderr,
        )
        raise SystemExit(130) from None


def _with_address(address: str | None) -> str:
    return f" --address {shlex.quote(address)}" if address else ""


def _wait(cluster: Cluster, job: str, seconds: float) -> Job:
    deadline = time.monotonic() + seconds
    while not (found := cluster.job(job)).ended:
        if time.monotonic() > deadline:
            raise ClusterError(
                f"{job} is {found.status.lower()} after {seconds:.0f} s", "its end", f"See: automl logs {job}"
            )
        time.sleep(0.3)
    return found


@contextmanager
def _offer(cluster: Cluster, job: Job, everything: bool) -> Iterator[tuple[str, str]]:
    """Have the head offer the run's files; the node that does, and where below its logs."""
    name = f"{job.id}-fetch-{secrets.token_hex(4)}"
    words = [job.metadata.get("home", job.id), name, *(["--all"] if everything else [])]
    with tempfile.TemporaryDirectory(prefix="automl-job-") as directory:
        package.pack_code(Path(directory))
        cluster.submit(name, _entrypoint("offer", *words), Path(directory), {"offers": job.id})
    offered = _wait(cluster, name, _OFFER_SECONDS)
    if offered.status != "SUCCEEDED" or offered.node_id is None:
        said = [line for line in cluster.logs(name).splitlines() if line.startswith("automl: ")]
        told = safe(said[-1].removeprefix("automl: ")) if said else safe(offered.message)[-300:]
        raise ClusterError(
            f"the head could not offer the run: {told}", "a run folder on the head", f"See: automl status {job.id}"
        )
    try:
        yield offered.node_id, f"{OFFERS}/{name}"
    finally:
        with suppress(ClusterError):  # what went wrong before is what the user should read
            cluster.forget(name)


def _facts(job: Job) -> list[tuple[str, str]]:
    facts = (("run", job.metadata.get("run")), ("started", job.started_at), ("ended", job.ended_at))
    return [(name, safe(value)) for name, value in facts if value]


def _printable(text: str) -> str:
    """Text of a cluster without control characters: no colour codes, no cursor moves."""
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")


def _write(text: str) -> None:
    print(_printable(text), end="", flush=True)


COMMANDS = (submit, status, logs, stop, fetch)
