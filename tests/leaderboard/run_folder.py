"""Run folders for the tests of this room: real writers, real Arrow files, simulated predictions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from automl.config import RunRequest
from automl.data.split import rows_sha256
from automl.leaderboard.store import RunFolder, write_atomically
from automl.metrics import get_metric
from automl.types import Checkpoint, Contender, Cost, Spend, TrialResult, slug

EARLY, LATE = "2026-01-01T00:00:00.000+00:00", "2099-01-01T00:00:00.000+00:00"
COST = Cost(device_seconds=10.0, wall_seconds=11.0, samples_seen=900, peak_memory_bytes=3_000_000)
RECIPE = {"learning_rate": 1e-4, "batch_size": 16, "dropout": 0.1, "frozen_share": 0.0}


@dataclass(kw_only=True)
class Plan:
    """A contender as the simulation sees it: how often it is right, and how much seeds matter."""

    name: str
    accuracy: float
    default_accuracy: float | None = None
    seed_sd: float = 0.005
    finals: Sequence[int] | None = None
    failed: bool = False
    trials: int = 4


@dataclass(kw_only=True)
class Contest:
    """Builds one run folder. Every field has a sensible value, so a test states what it is about.

    texts: the test's inputs, again and again; without any, the run folder has no test inputs.
    """

    path: Path
    plans: Sequence[Plan]
    classes: Sequence[str] = ("no", "yes")
    rows: int = 600
    shares: Sequence[float] | None = None
    seeds: Sequence[int] = (1, 2, 3)
    metric: str = "accuracy"
    metrics: Sequence[str] = ("accuracy", "macro_f1", "log_loss")
    budget: dict[str, Any] = field(default_factory=lambda: {"trials": 4, "device_seconds": None})
    baselines: Sequence[tuple[str, float]] = (("constant", 0.0), ("tf-idf + logistic regression", 0.7))
    seed: int = 0
    margin: float = 0.5
    texts: Sequence[str] = ()
    environment: dict[str, Any] = field(
        default_factory=lambda: {"device": "cpu", "precision": "float32", "threads": 2, "versions_sha": "abc"}
    )

    def build(self) -> RunFolder:
        self._random = np.random.default_rng(self.seed)
        self._folder = RunFolder(self.path)
        request = RunRequest(source="reviews.csv", trials=self.budget.get("trials"), seeds=len(self.seeds))
        self._folder.create(request)
        self._write_data()
        self._write_contest()
        winners = {plan.name: self._contender(plan) for plan in self.plans}
        for name, accuracy in self.baselines:
            self._baseline(name, accuracy)
        self._folder.write_winners(winners)
        for phase, seconds in (("prepare", 1.5), ("search", 80.0), ("finals", 40.0), ("report", 2.5)):
            self._folder.append_timing(phase, seconds)
        environment = {"automl": "0.1.0", "python": "3.11", "cpu": "a processor", "versions": {"numpy": "2"}}
        write_atomically(self._folder.environment_file, json.dumps(environment))
        return self._folder

    # -- data ------------------------------------------------------------------------------------------------

    def _write_data(self) -> None:
        self._labels = self._draw_labels(self.rows)
        self._validation = self._draw_labels(self.rows // 2)
        words = pa.array([self.classes[k] for k in self._labels])
        table = pa.table({"row": pa.array(np.arange(self.rows)), "label": words})
        if self.texts:
            texts = [f"{self.texts[row % len(self.texts)]} ({row})" for row in range(self.rows)]
            self._write_arrow("test", pa.table({"row": table["row"], "text": texts}))
        self._write_arrow("test_labels", table)
        sha = rows_sha256(np.arange(self.rows), table["label"])
        split = {"strategy": "stratified", "seed": 0, "fingerprint": "f" * 64, "test_labels_sha256": sha}
        (self._folder.data / "split.json").write_text(json.dumps(split))
        finding = {"kind": "exact_duplicates", "severity": "repair", "count": 3, "rows": [1, 2, 3]}
        finding |= {"what": "3 rows stand twice", "suggestion": "the first of each is kept"}
        profile = {"rows": self.rows * 3, "columns": [], "findings": [finding]}
        (self._folder.data / "profile.json").write_text(json.dumps(profile))
        repair = {"kind": "exact_duplicates", "what": "duplicates removed", "count": 3, "rows": [1, 2, 3]}
        (self._folder.data / "cleaning.json").write_text(json.dumps({"repairs": [{**repair, "part": "train"}]}))

    def _write_arrow(self, part: str, table: pa.Table) -> None:
        path = self._folder.data / f"{part}.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)

    def _draw_labels(self, rows: int) -> NDArray[np.int64]:
        labels: NDArray[np.int64] = self._random.choice(len(self.classes), rows, p=self.shares)
        return labels

    def _write_contest(self) -> None:
        metric = get_metric(self.metric)
        counts = {"train": self.rows, "validation": self.rows // 2, "test": self.rows}
        space = {"learning_rate": {"name": "learning_rate", "low": 1e-5, "high": 1e-3, "log": True}}
        self._folder.write_contest(
            {
                "name": "reviews", "task": "text-classification", "metric": self.metric,
                "metrics": list(self.metrics), "higher_is_better": metric.higher_is_better,
                "schema": {"task": "text-classification", "inputs": ["text"], "target": "label",
                           "classes": list(self.classes)},
                "contenders": [_contender(plan.name).to_json() for plan in self.plans],
                "spaces": {plan.name: {"name": "text_encoder_small", "adaptation": "full",
                                       "parameters": list(space.values()), "fixed": {"warmup_share": 0.1},
                                       "first_trials": [RECIPE]} for plan in self.plans},
                "budget": self.budget, "seeds": list(self.seeds), "trial_seed": 1000,
                "horizon_samples": 900, "max_epochs": 3, "rungs": [300, 900],
                "reasons": {"task": "few distinct labels", "metric": "the classes are balanced"},
                "counts": counts, "class_counts": dict.fromkeys(self.classes, 10),
                "split_fingerprint": "f" * 64, "margin": self.margin,
                "baselines": [name for name, _ in self.baselines], "time_limit_seconds": None,
                "deviations": [],
            }
        )  # fmt: skip

    # -- trainings ---------------------------------------------------------------------------------------------

    def _contender(self, plan: Plan) -> dict[str, Any]:
        for number in range(plan.trials):
            self._trial(plan, number)
        if plan.failed:
            return {"trial": None, "recipe": None, "search_validation": None, "reason": "every trial failed"}
        tuned = RECIPE if plan.default_accuracy is None else RECIPE | {"learning_rate": 2e-4}
        for seed in self.seeds if plan.finals is None else plan.finals:
            self._final(plan, "final", seed, tuned, plan.accuracy)
            if plan.default_accuracy is not None:
                self._final(plan, "default", seed, RECIPE, plan.default_accuracy)
        return {
            "trial": f"{slug(plan.name)}-000", "recipe": tuned, "search_validation": plan.accuracy,
            "default_recipe": RECIPE, "reason": "best of the trials that reached the full horizon",
        }  # fmt: skip

    def _trial(self, plan: Plan, number: int) -> None:
        status = "failed" if plan.failed else ("completed", "pruned")[number % 2]
        rungs = (300, 900) if status == "completed" else (300,) if status == "pruned" else ()
        values = [plan.accuracy - 0.2 + 0.2 * rung / 900 - 0.01 * number for rung in rungs]
        curve = [
            {"samples_seen": rung, "train_loss": 1.0 - rung / 2000, self.metric: value}
            for rung, value in zip(rungs, values, strict=True)
        ]
        result = replace(
            self.result(f"{slug(plan.name)}-{number:03d}", "trial", plan.name),
            status=status,
            curve=tuple(curve),
            validation=values[-1] if values else None,
            error="RuntimeError: the loss is not a number" if plan.failed else None,
            number=number,
            seed=1000,
        )
        self._record(result)

    def _final(self, plan: Plan, kind: str, seed: int, recipe: dict[str, Any], accuracy: float) -> None:
        share = float(np.clip(accuracy + self._random.normal() * plan.seed_sd, 0, 1))
        result = self.result(f"{slug(plan.name)}-{kind}-{seed}", kind, plan.name)
        result = replace(
            result, seed=seed, recipe=recipe, validation=share, latency_ms_p50=4.5, parameters=22_000_000
        )
        self._save(result, share)
        self._record(result)

    def _baseline(self, name: str, accuracy: float) -> None:
        result = replace(self.result(f"baseline-{slug(name)}", "baseline", name), seed=0, validation=accuracy)
        self._save(result, accuracy, constant=name == "constant")
        self._record(result)

    def result(self, id: str, kind: str, contender: str) -> TrialResult:
        return TrialResult(
            id=id, kind=kind, contender=contender, status="completed", recipe=RECIPE, seed=0, horizon_samples=900,
            curve=(), validation=None, cost=COST,
            error=None, predictions_file=f"predictions/{id}.npz" if kind != "trial" else None,
            split_fingerprint="f" * 64, environment=dict(self.environment), started_at=EARLY, ended_at=EARLY,
        )  # fmt: skip

    def _record(self, result: TrialResult) -> None:
        self._folder.append_trial(result)
        spent = {"contender": result.contender, "trial": result.id, "kind": "train", "at": EARLY}
        self._folder.append_spend(Spend(**spent, device_seconds=result.cost.device_seconds))

    def _save(self, result: TrialResult, share: float, constant: bool = False) -> None:
        arrays = {
            part: self._probabilities(labels, share, constant)
            for part, labels in (("validation", self._validation), ("test", self._labels))
        }
        np.savez_compressed(self._folder.predictions / f"{result.id}.npz", **arrays)

    def _probabilities(self, labels: NDArray[np.int64], share: float, constant: bool) -> NDArray[np.float32]:
        """Right for about `share` of the rows; the constant names the largest class."""
        classes, rows = len(self.classes), len(labels)
        chosen = labels.copy()
        wrong = self._random.random(rows) >= share
        chosen[wrong] = (labels[wrong] + self._random.integers(1, classes, int(wrong.sum()))) % classes
        if constant:
            chosen[:] = np.bincount(self._labels, minlength=classes).argmax()
        probabilities = np.full((rows, classes), 0.2 / max(classes - 1, 1), dtype=np.float32)
        probabilities[np.arange(rows), chosen] = 0.8
        return probabilities


def _contender(name: str) -> Contender:
    checkpoint = Checkpoint(
        name=name, path="somewhere", revision="0" * 40, kind="folder", architecture="BertModel",
        model_type="bert", parameters=22_000_000, family="text_encoder",
    )  # fmt: skip
    return Contender(name=name, checkpoint=checkpoint, family="text_encoder", adaptation="full")
