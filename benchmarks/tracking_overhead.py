"""What trackers cost a training step: W&B offline, TensorBoard, and none."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from automl.tracking.base import RunInfo, Tracker, Trackers
from automl.tracking.describe import STEP
from automl.types import Budget, Checkpoint, Contender, Cost, Schema, TrialResult, TrialSpec

CHECKPOINT = Checkpoint(
    name="toy", path="toy", revision="0", kind="folder", architecture="MLP", model_type="mlp", parameters=1
)  # fmt: skip
CONTENDER = Contender(name="toy/full", checkpoint=CHECKPOINT, family="text_encoder", adaptation="full")


def tracker_of(name: str) -> Tracker:
    if name == "wandb":
        from automl.tracking.wandb import WandbTracker

        return WandbTracker("overhead", "offline")
    if name == "tensorboard":
        from automl.tracking.tensorboard import TensorBoardTracker

        return TensorBoardTracker()
    return Tracker()


def spec_of(number: int, directory: Path) -> TrialSpec:
    schema = Schema(task="text-classification", inputs=("text",), target="label")
    return TrialSpec(
        id=f"toy-full-{number:03d}", kind="trial", contender=CONTENDER, recipe={"learning_rate": 1e-4}, seed=0,
        horizon_samples=1, rungs=(), split_fingerprint="f", data_directory="", run_directory=str(directory),
        task="text-classification", metric="accuracy", schema=schema, number=number,
    )  # fmt: skip


def seconds_a_step(name: str, trials: int, reports: int, steps: int, width: int) -> float:
    """Wall seconds a training step with a tracker that is told an evaluation every `steps` steps."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(*[torch.nn.Linear(width, width) for _ in range(4)])
    optimizer = torch.optim.AdamW(model.parameters())
    rows = torch.randn(32, width)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        directory = Path(place)
        tracker = Trackers(tracker_of(name))
        tracker.start(
            RunInfo(
                name="overhead", run_directory=directory, request={}, task="text-classification", metric="accuracy",
                higher_is_better=True, contenders=(CONTENDER,), budget=Budget(trials=trials), seeds=(1,), counts={},
                split_fingerprint="f",
            )
        )  # fmt: skip
        time.sleep(3)  # W&B's service starts once a run, beside the preparation of the data
        started = time.perf_counter()
        for number in range(trials):
            spec = spec_of(number, directory)
            tracker.trial_started(spec)
            curve = []
            for report in range(1, reports + 1):
                for _ in range(steps):
                    optimizer.zero_grad()
                    model(rows).square().mean().backward()
                    optimizer.step()
                row = {STEP: report * steps * 32, "train_loss": 0.5, "accuracy": 0.5, "device_seconds": 1.0}
                curve.append(row)
                tracker.trial_reported(spec, row)
            tracker.trial_ended(spec, ended(spec, curve))
        seconds = time.perf_counter() - started
        tracker.close("done")
    return seconds / (trials * reports * steps)


def ended(spec: TrialSpec, curve: list[dict[str, float]]) -> TrialResult:
    return TrialResult(
        id=spec.id, kind="trial", contender=CONTENDER.name, status="completed", recipe=spec.recipe, seed=0,
        horizon_samples=1, curve=tuple(curve), validation=0.5, cost=Cost(), error=None, predictions_file=None,
        split_fingerprint="f", environment={}, started_at="", ended_at="",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--reports", type=int, default=6, help="evaluations a trial")
    parser.add_argument("--steps", type=int, default=60, help="steps between two evaluations")
    parser.add_argument("--width", type=int, default=512, help="of the model; it sets how long a step takes")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = ("nothing", "wandb", "tensorboard")
    seconds_a_step("nothing", 1, options.reports, options.steps, options.width)  # a process's first steps are slow
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(options.rounds):  # in turn, so that the machine's load meets all alike
        for name in names:
            found[name].append(
                seconds_a_step(name, options.trials, options.reports, options.steps, options.width) * 1000
            )
    for name in names:
        values = found[name]
        ratios = [value / plain - 1 for value, plain in zip(values, found["nothing"], strict=True)]
        told = f"median {statistics.median(values):.2f} ms a step ({min(values):.2f} to {max(values):.2f})"
        print(f"{name:12} {told}, {statistics.median(ratios):+.1%} of a step")


if __name__ == "__main__":
    main()
