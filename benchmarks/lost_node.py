"""Does a run survive the loss of its machines? Three nodes that share no files, and one after the other is lost.

    python benchmarks/lost_node.py                   # all-MiniLM-L6-v2 on the shipped example, some ten minutes

Every node is a `ray start` with its own process tree and cache, which does not see the driver's run folder: an empty
file system lies over it. What nodes have in common is the network and the storage (--storage), here a folder. Needs
Linux and the right to unshare.

1. A head that trains nothing, and two workers with one CPU each: two trainings run at a time.
2. kill -9 of every process of one worker at once, in the middle of a training that has a checkpoint: it goes on on
   another node, from there, and what was lost is charged.
3. A new worker joins: it is used.
4. kill -9 of the driver and of all nodes, and the run folder is removed: on a new head, in another folder,
   `automl resume STORAGE/NAME` finds everything.

Then the same run is done on this machine alone, undisturbed: every training ends with the same validation score, and
the board has the same rows. Exit code 0: all holds.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from survival import MODEL, Driver, Log

from automl.leaderboard.store import RunFolder
from automl.search.space import shipped_directory
from automl.storage.mirror import PAUSE_SECONDS
from automl.types import TrialResult

APART = 1e-4
"""Scores of a training that went on from a checkpoint may differ so much: other hardware, other sums."""
LEARNING_RATES = (2e-5, 5e-5, 1e-4, 2e-4)
NAME = "run"
START_SECONDS = 180.0


class Node:
    """One `ray start`, alone in its process tree, blind for the run folder."""

    def __init__(self, name: str, cpus: int, port: int, directory: Path, hidden: Path, head: str | None) -> None:
        self.name, self.cache = name, directory / f"cache-{name}"
        self.cache.mkdir()
        place = ["--head", f"--port={port}", "--include-dashboard=false"] if head is None else [f"--address={head}"]
        start = [str(Path(sys.executable).with_name("ray")), "start", *place, f"--num-cpus={cpus}", "--num-gpus=0"]
        start += (
            ["--block", "--disable-usage-stats", f"--temp-dir={directory / 'ray'}"] if head is None else ["--block"]
        )
        shell = f"mount -t tmpfs none {hidden} && exec {' '.join(start)}"
        own = ["unshare", "--pid", "--fork", "--mount-proc", "--mount", "--kill-child", "sh", "-c", shell]
        environment = {**os.environ, "AUTOML_NODE_CACHE": str(self.cache), "RAY_memory_monitor_refresh_ms": "0"}
        self._output = open(directory / f"{name}.log", "w", encoding="utf-8")  # noqa: SIM115
        self.process = subprocess.Popen(
            own, stdout=self._output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )

    def lose(self) -> None:
        """All its processes at once: with the first process of its tree the kernel kills all others."""
        self.process.kill()
        self.process.wait()
        self._output.close()


class Cluster:
    def __init__(self, directory: Path, hidden: Path, log: Log) -> None:
        self._directory, self._hidden, self._log = directory, hidden, log
        directory.mkdir()
        self.nodes: dict[str, Node] = {}
        with socket.socket() as probe:
            probe.bind(("", 0))
            self._port = probe.getsockname()[1]
        self.address = f"{_own_address()}:{self._port}"

    def add(self, name: str, cpus: int) -> Node:
        head = self.address if self.nodes else None
        node = Node(name, cpus, self._port, self._directory, self._hidden, head)
        self._log("us", f"node {name} starts with {cpus} CPUs")
        self.nodes[name] = node
        output = self._directory / f"{name}.log"
        _wait(f"node {name} has started", lambda: "Ray runtime started" in output.read_text(encoding="utf-8"))
        return node

    def lose(self, name: str) -> None:
        self.nodes.pop(name).lose()

    def end(self) -> None:
        for name in list(self.nodes):
            self.lose(name)


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 1))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _wait(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"waiting until {what}: {START_SECONDS:.0f} s are over")
        time.sleep(0.1)


def write_space(directory: Path) -> None:
    """The shipped space with other first trials, as many as are tried: none is ever stopped, whatever comes first."""
    file = shipped_directory() / "text_encoder_small.yaml"
    space = yaml.safe_load(file.read_text(encoding="utf-8"))["full"]
    space["first_trials"] = [space["first_trials"][0] | {"learning_rate": LEARNING_RATES[0]}]
    space["first_trials"] += [{"learning_rate": rate} for rate in LEARNING_RATES[1:]]
    directory.mkdir()
    (directory / file.name).write_text(yaml.safe_dump({"full": space}, sort_keys=False), encoding="utf-8")


def running(storage: Path, folder: RunFolder, cache: Path) -> list[str]:
    """Trainings that run on a node now and have a checkpoint in the storage."""
    ended = {trial.id for trial in folder.trials()}
    here = {file.stem for file in cache.glob("runs/*/logs/heartbeats/*.json")}
    kept = {file.name.partition(".")[0] for file in storage.glob("checkpoints/*.resume.pt")}
    return sorted((here & kept) - ended)


def trained_on(cache: Path, folder: RunFolder) -> list[str]:
    """Trainings that began on a node, whether or not they have ended."""
    return sorted({file.stem for file in cache.glob("runs/*/logs/heartbeats/*.json")})


def told(folder: RunFolder, training: str) -> str:
    (trial,) = (trial for trial in folder.trials() if trial.id == training)
    seconds = ", ".join(f"{kind} {seconds:.1f} s" for kind, seconds in trial.spent.items())
    node = str(trial.environment.get("node_id"))[:6]
    return f"{training} {trial.status} on node {node} (charged: {seconds})"


def disturb(cluster: Cluster, driver: Driver, storage: Path, folder: RunFolder, log: Log, limit: float) -> str:
    """Lose a worker, add one, then lose everything; the name of the training that lost its node."""
    first = cluster.nodes["a"]
    driver.wait("a training on node a has a checkpoint", lambda: bool(running(storage, folder, first.cache)), limit)
    (victim, *_) = running(storage, folder, first.cache)
    kept = (storage / "checkpoints" / f"{victim}.resume.pt").stat().st_size
    cluster.lose("a")
    log("us", f"kill -9 of node a in the middle of {victim}, whose checkpoint of {kept / 2**20:.0f} MiB is kept")
    joined = cluster.add("c", 1)
    driver.wait("a training runs on node c", lambda: bool(trained_on(joined.cache, folder)), limit)
    log("run", f"node c trains {trained_on(joined.cache, folder)[0]}")
    driver.wait("the training that lost its node has ended", lambda: _ended(folder, victim), limit)
    log("run", told(folder, victim))
    driver.wait("another training is under way", lambda: bool(_begun(folder)), limit)
    time.sleep(2 * PAUSE_SECONDS)
    driver.process.kill()
    driver.process.wait()
    cluster.end()
    shutil.rmtree(folder.path)
    log("us", "kill -9 of the driver and of all nodes; the run folder is removed")
    return victim


def _ended(folder: RunFolder, training: str) -> bool:
    return any(trial.id == training for trial in folder.trials())


def _begun(folder: RunFolder) -> set[str]:
    return {spec.id for spec in folder.started()} - {trial.id for trial in folder.trials()}


def checked(folder: RunFolder, victim: str, alone: RunFolder) -> dict[str, bool]:
    """Whether the records agree with one another and with those of the undisturbed run, by what was asked."""
    trials = {trial.id: trial for trial in folder.trials()}
    lines = [json.loads(line) for line in folder.trials_file.read_text(encoding="utf-8").splitlines()]
    board, other = (json.loads(one.leaderboard_json.read_text(encoding="utf-8")) for one in (folder, alone))
    sums = Counter[str]()
    for spend in folder.ledger():
        sums[spend.contender] += spend.device_seconds
    apart = [_apart(one, trials[one.id]) for one in alone.trials()]
    return {
        "what the lost node had spent since its checkpoint is charged": trials[victim].spent.get("retry", 0.0) > 0,
        "every training ended exactly once": set(Counter(line["id"] for line in lines).values()) == {1},
        "trainings ran on three nodes at least": len({one.environment["node_id"] for one in trials.values()}) >= 3,
        "every training completed": all(one.status == "completed" for one in trials.values()),
        "the ledger's sums are the seconds of the rows": all(
            abs(row["device_seconds"] - sums[row["contender"]]) < 1e-6 for row in board["rows"]
        ),
        f"every training scores as in the undisturbed run (at most {max(apart):.1e} apart)": max(apart) < APART,
        "the board is the undisturbed one": _standing(board) == _standing(other),
    }


def _apart(one: TrialResult, other: TrialResult) -> float:
    assert one.validation is not None
    return abs(one.validation - other.validation) if other.validation is not None else 1.0


def _standing(board: dict[str, Any]) -> list[Any]:
    return [(row["rank"], row["contender"], row["status"], row["recipe"], row["trials"]) for row in board["rows"]]


def show_ledger(folder: RunFolder) -> None:
    print(f"\n{'training':<34} {'kind':<9} device-seconds")
    for spend in folder.ledger():
        print(f"{spend.trial:<34} {spend.kind:<9} {spend.device_seconds:8.1f}")


def survive(directory: Path, rows: int, epochs: int, limit: float) -> bool:
    log, home, elsewhere = Log(), directory / "laptop", directory / "other"
    home.mkdir()
    elsewhere.mkdir()
    storage = directory / "storage" / NAME
    write_space(directory / "spaces")
    lines = (files("automl") / "example" / "messages.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    source = directory / "messages.csv"
    source.write_text("".join(lines[: 1 + rows]), encoding="utf-8")
    base = ["run", str(source), "--target", "intent", "--text", "message", "--models", MODEL, "--seeds", "1"]
    base += ["--trials", str(len(LEARNING_RATES)), "--max-epochs", str(epochs), "--checkpoint-every", "3s"]
    base += ["--search-spaces", str(directory / "spaces")]
    folder = RunFolder(home / NAME)
    clusters, drivers = [Cluster(directory / "first", home, log)], list[Driver]()
    try:
        for name, cpus in (("head", 0), ("a", 1), ("b", 1)):
            clusters[0].add(name, cpus)
        asked = [*base, "--address", clusters[0].address, "--storage", str(storage.parent), "--out", str(folder.path)]
        log("us", f"automl {' '.join(asked)}")
        drivers.append(Driver(asked, directory / "run.log"))
        victim = disturb(clusters[0], drivers[0], storage, folder, log, limit)
        clusters.append(Cluster(directory / "second", elsewhere, log))
        for name, cpus in (("new-head", 0), ("d", 1), ("e", 1)):
            clusters[1].add(name, cpus)
        os.environ["RAY_ADDRESS"] = clusters[1].address
        os.chdir(elsewhere)
        log("us", f"automl resume {storage} --address {clusters[1].address}")
        second = Driver(["resume", str(storage), "--address", clusters[1].address], directory / "resume.log")
        drivers.append(second)
        while second.process.poll() is None:
            second.look()
            time.sleep(0.2)
    finally:
        for driver in drivers:
            driver.process.kill()
        for cluster in clusters:
            cluster.end()
        os.environ.pop("RAY_ADDRESS", None)
    log("run", f"automl resume ended with {second.process.returncode}")
    print((directory / "run.log").read_text(encoding="utf-8"))
    print((directory / "resume.log").read_text(encoding="utf-8"))
    found = RunFolder(elsewhere / "runs" / NAME)
    show_ledger(found)
    verified = subprocess.run(
        [sys.executable, "-m", "automl", "verify", str(found.path)], capture_output=True, text=True
    )
    log("run", f"automl verify ended with {verified.returncode}: {verified.stdout.strip().splitlines()[-1]}")
    alone = RunFolder(directory / "alone")
    subprocess.run([sys.executable, "-m", "automl", *base, "--out", str(alone.path)], check=True, capture_output=True)
    log("run", "the same run, undisturbed, on this machine alone")
    checks = checked(found, victim, alone) | {"automl verify says yes": verified.returncode == 0}
    for what, holds in checks.items():
        log("checked", f"{'ok' if holds else 'WRONG'}: {what}")
    return all(checks.values()) and second.process.returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500, help="of the example; a training takes seconds at least")
    parser.add_argument("--max-epochs", type=int, default=10)
    parser.add_argument("--limit", type=float, default=600.0, help="seconds that each step may take")
    parser.add_argument("--out", type=Path, help="keep everything here (a new folder)")
    arguments = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # all ports are open to all
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the nodes are ended too
    print(f"load before: {os.getloadavg()}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        directory = (arguments.out or Path(scratch)).resolve()
        directory.mkdir(parents=True, exist_ok=True)
        survived = survive(directory, arguments.rows, arguments.max_epochs, arguments.limit)
    print(f"load after: {os.getloadavg()}\n{'survived' if survived else 'NOT survived'}")
    sys.exit(0 if survived else 1)


if __name__ == "__main__":
    main()
