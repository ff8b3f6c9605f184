"""Runs on a cluster whose nodes share a folder and nothing else: three `ray start`s on this machine."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from automl.cli import main
from automl.leaderboard.store import RunFolder
from tests.toys import messages, tiny_bert, write_csv

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "cluster" / "local" / "nodes.sh"
LIMIT_SECONDS = 300.0
"""Of every wait: far more than any takes where the machine does nothing else."""


class Nodes:
    """A head that trains nothing and two workers of one CPU each, started by cluster/local/nodes.sh."""

    def __init__(self, directory: Path) -> None:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        places = {"AUTOML_LOCAL": str(directory / "nodes"), "AUTOML_LOCAL_PORT": str(free_ports(3))}
        # a lost node is given up after five times this: 15 s else
        self._environment = {**os.environ, **places, "RAY_health_check_period_ms": "600", "PATH": path}
        self._environment |= {"RAY_TMPDIR": str(directory), "PYTHONPATH": str(ROOT)}

    def do(self, *words: str, hiding: Path | None = None) -> str:
        """What nodes.sh says. hiding: a folder that what it starts does not see."""
        command = [str(SCRIPT), *words]
        if hiding is not None:
            shell = f"mount -t tmpfs none {shlex.quote(str(hiding))} && exec {shlex.join(command)}"
            command = ["unshare", "--mount", "sh", "-c", shell]
        with tempfile.TemporaryFile("w+") as output:  # a pipe would stay open as long as a node lives
            places = {"stdout": output, "stderr": output, "stdin": subprocess.DEVNULL, "env": self._environment}
            done = subprocess.run(command, **places, timeout=LIMIT_SECONDS)  # type: ignore[call-overload]
            output.seek(0)
            told = output.read()
        assert done.returncode == 0, told
        return str(told)

    def automl(self, *words: str, directory: Path) -> subprocess.Popen[bytes]:
        """The command, as a user of the cluster gives it; what it prints goes to files of the directory."""
        exports = [one.split("=", 1) for one in shlex.split(self.do("env")) if "=" in one]
        command = [sys.executable, "-m", "automl", *words, "--address", dict(exports)["RAY_ADDRESS"]]
        with (directory / "out.txt").open("wb") as out, (directory / "err.txt").open("wb") as err:
            return subprocess.Popen(
                command, stdout=out, stderr=err, cwd=directory, env=self._environment | dict(exports)
            )


def free_ports(count: int) -> int:
    """The first of so many neighbouring ports that nobody listens on."""
    while True:
        with ExitStack() as held:
            first = 0
            try:
                for place in range(count):
                    one = held.enter_context(socket.socket())
                    one.bind(("", first + place if place else 0))
                    first = first or one.getsockname()[1]
            except (OSError, OverflowError):
                continue
            return first


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with tempfile.TemporaryDirectory(prefix="nodes-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        found = Nodes(Path(directory))  # pytest's own folders are too deep for Ray's sockets
        try:
            found.do("start", "2", "1")
            yield found
        finally:
            found.do("stop")


@pytest.fixture
def asked(tmp_path: Path) -> list[str]:
    """A run of three trials, each of which trains for some seconds."""
    write_csv(tmp_path / "messages.csv", messages(400))
    tiny_bert(tmp_path / "bert")
    words = ["run", "messages.csv", "--target", "label", "--models", "bert", "--out", "run"]
    return [*words, "--trials", "3", "--max-epochs", "20", "--seeds", "1", "--json"]


@contextmanager
def ended_at_last(run: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        run.kill()
        run.wait()


def training(folder: RunFolder) -> set[str]:
    """Trainings that have been at it for a second, and have not ended."""
    begun = {file.stem for file in folder.heartbeats.glob("*.json")}
    return begun - {trial.id for trial in folder.trials()} if begun else set()


def wait_until(condition: Callable[[], bool], run: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert run.poll() is None, Path("err.txt").read_text()
        assert time.monotonic() < deadline, Path("err.txt").read_text()
        time.sleep(0.05)


def test_a_run_in_a_shared_folder_outlives_one_of_its_nodes(nodes: Nodes, asked: list[str], tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    run = nodes.automl(*asked, directory=tmp_path)
    with ended_at_last(run):
        # each worker has one CPU: of two that train at a time one is on either
        wait_until(lambda: len(training(folder)) == 2, run)
        nodes.do("lose")
        run.wait(LIMIT_SECONDS)
    told = Path("err.txt").read_text()
    assert run.returncode == 0, told
    assert "is gone or going: 1 trainings at a time instead of 2" in told
    trials = folder.trials()
    assert Counter(trial.id for trial in trials) == Counter({spec.id for spec in folder.started()})
    assert [trial.kind for trial in trials].count("trial") == 3
    assert {trial.status for trial in trials} <= {"completed", "stopped"}
    (lost,) = (trial for trial in trials if trial.spent.get("retry"))  # it goes on where another had trained
    assert lost.environment["node_id"] in {trial.environment["node_id"] for trial in trials if trial is not lost}
    assert folder.attempts()[lost.id] == 1  # the end of a node is no fault of its training
    board = json.loads(Path("out.txt").read_text())  # nothing else is there, whatever Ray has to say of its nodes
    assert board == json.loads(folder.leaderboard_json.read_text())
    assert main(["verify", str(folder.path)]) == 0


def test_a_node_that_does_not_see_the_run_folder_is_named_before_anything_is_spent(
    nodes: Nodes, asked: list[str], tmp_path: Path
) -> None:
    if subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode:
        pytest.skip("needs the right to unshare")
    nodes.do("add", "1", hiding=tmp_path)
    run = nodes.automl(*asked, directory=tmp_path)
    with ended_at_last(run):
        run.wait(LIMIT_SECONDS)
    nodes.do("lose")
    told = Path("err.txt").read_text()
    assert run.returncode == 2, told
    assert f"nodes do not see {tmp_path / 'run'}" in told
    assert "1 of " in told
    assert "--storage" in told
    assert not RunFolder(tmp_path / "run").started()
