"""What W&B, TensorBoard and MLflow cost a step, and whether it is under 2%.

Trackers run in the driver, on threads of their own and in W&B's service; a training waits for them only while the
driver hands its report on. So two things are measured, both without the noise of the trainings themselves: how long
the driver's thread stands in a tracker's call, and the CPU seconds of everything but the steps, threads and processes
alike. The second is what trainings lose where they keep every core busy, and a bound elsewhere.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import psutil
import scipy.stats
import torch

from automl.tracking.base import RunInfo, Tracker, Trackers
from automl.tracking.describe import STEP
from automl.types import Budget, Checkpoint, Contender, Cost, Schema, TrialResult, TrialSpec

CHECKPOINT = Checkpoint(
    name="toy", path="toy", revision="0", kind="folder", architecture="MLP", model_type="mlp", parameters=1
)  # fmt: skip
CONTENDER = Contender(name="toy/full", checkpoint=CHECKPOINT, family="text_encoder", adaptation="full")
BOUND = 0.02


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


def measure(name: str, options: argparse.Namespace, train: Callable[[], None]) -> Round:
    """One round: trainings that are told to a tracker, an evaluation every so many steps."""
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
            curve = []
            for report in range(1, options.reports + 1):
                began = time.thread_time()
                for _ in range(options.steps):
                    train()
                found.steps += time.thread_time() - began
                row = {STEP: report * options.steps * 32, "train_loss": 0.5, "accuracy": 0.5, "device_seconds": 1.0}
                curve.append(row)
                found.timed(tracker.trial_reported, spec, row)
            found.timed(tracker.trial_ended, spec, ended(spec, curve))
        tracker.close("done")  # waits for what is still to be written: that counts too
        found.rest = cpu_seconds() - before - found.steps
    return found


def ended(spec: TrialSpec, curve: list[dict[str, float]]) -> TrialResult:
    return TrialResult(
        id=spec.id, kind="trial", contender=CONTENDER.name, status="completed", recipe=spec.recipe, seed=0,
        horizon_samples=1, curve=tuple(curve), validation=0.5, cost=Cost(), error=None, predictions_file=None,
        split_fingerprint="f", environment={}, started_at="", ended_at="",
    )  # fmt: skip


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
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        options.store = str(Path(place) / "store.db")
        compare(options)


def compare(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    train = stepper(options.width)
    names = ["nothing", "wandb", "tensorboard", "mlflow"]
    for name in names:  # imports, migrations and a process's first steps happen once
        measure(name, argparse.Namespace(**{**vars(options), "trials": 1, "steps": 2}), train)
    found: dict[str, list[Round]] = {name: [] for name in names}
    for number in range(options.rounds):  # forwards and backwards in turn: the machine's load meets all alike
        for name in names if number % 2 == 0 else reversed(names):
            found[name].append(measure(name, options, train))
    step = statistics.median(one.steps for rounds in found.values() for one in rounds)
    step /= options.trials * options.reports * options.steps
    training = step * options.reports * options.steps
    print(f"a step {step * 1000:.2f} ms of CPU, {options.reports} evaluations a training of {training:.2f} s")
    for name in names[1:]:
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
