"""What every task must keep, from a user's data to a model that someone else can load.

A task's test file inherits `TaskContract`, and gives it a class-scoped or module-scoped fixture `world`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from automl.data.prepared import read_part
from automl.leaderboard.store import RunFolder
from automl.metrics import get_metric
from automl.models.base import ModelFamily
from automl.registry import get_part
from automl.search.baselines import BaselineRunner, planned
from automl.search.ledger import Ledger
from automl.tasks.base import Task
from automl.tracking.base import Tracker
from automl.training.encoded import EncodedPart
from automl.types import Budget, Contender, PreparedData
from tests.toys import trial_spec
from tests.training.test_fit import run


@dataclass(frozen=True)
class World:
    """Prepared data of the task and a small model for it; directory: where trainings may write."""

    directory: Path
    contender: Contender
    prepared: PreparedData

    @property
    def family(self) -> ModelFamily:
        return get_part("automl.models", ModelFamily, self.contender.family)  # type: ignore[type-abstract]


class TaskContract:
    task: ClassVar[Task]
    epochs: ClassVar[int] = 12
    good_enough: ClassVar[float] = 0.6
    """The accuracy that a toy model must reach on three classes in so many epochs."""

    def encoded(self, world: World, part: str = "train") -> EncodedPart:
        processor = world.family.load_processor(world.contender.checkpoint)
        limits = world.family.limits(world.contender.checkpoint.path, processor)
        table = read_part(world.prepared.directory, part)  # type: ignore[arg-type]
        return EncodedPart.of(self.task.encode(table, world.prepared.schema, processor, limits))

    def batch(self, world: World, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        padding = world.family.padding(world.family.load_processor(world.contender.checkpoint))
        labels = self.task.labels(read_part(world.prepared.directory, "train"), world.prepared.schema)
        return self.task.unpack(self.task.collate(self.encoded(world).rows(rows), labels[rows], padding))

    def serve(self, world: World, directory: Path) -> list[Any]:
        """What a shipped model answers to the validation rows without us."""
        from transformers import pipeline

        table = read_part(world.prepared.directory, "validation")
        served = pipeline(self.task.pipeline, str(directory))
        answers: Any = served(list(self.task.baseline_inputs(table, world.prepared.schema)))
        return [answer[0]["label"] if isinstance(answer, list) else answer["label"] for answer in answers]

    def test_the_registry_finds_it_and_a_family_takes_its_head(self, world: World) -> None:
        assert type(get_part("automl.tasks", Task, self.task.name)) is type(self.task)  # type: ignore[type-abstract]
        assert self.task.head in world.family.heads
        assert world.prepared.schema.task == self.task.name

    def test_the_metric_is_one_of_its_own_and_comes_with_a_reason(self, world: World) -> None:
        for counts in ({"a": 50, "b": 50}, {"a": 95, "b": 5}):
            metric, reason = self.task.choose_metric(counts)
            assert metric in self.task.metrics
            assert reason
        assert all(get_metric(name) for name in self.task.metrics)

    def test_rows_are_encoded_one_for_one_with_their_labels(self, world: World) -> None:
        for part in ("train", "validation", "test"):
            assert len(self.encoded(world, part)) == world.prepared.counts[part]
        labels = self.task.labels(read_part(world.prepared.directory, "train"), world.prepared.schema)
        assert labels.dtype == np.int64
        assert set(labels.tolist()) == set(range(len(world.prepared.schema.classes)))

    def test_a_batch_holds_its_rows_whatever_stands_beside_them(self, world: World) -> None:
        batch = self.batch(world, np.array([3, 0, 5]))
        assert {len(values) for values in batch.values()} == {3}
        model = world.family.load(
            world.contender.checkpoint, self.task.head, world.prepared.schema, {"dropout": 0.0, "head_dropout": 0.0}
        ).eval()
        alone = self.batch(world, np.array([0]))
        for fields in (batch, alone):
            del fields["labels"]
        with torch.no_grad():
            torch.testing.assert_close(model(**alone).logits[0], model(**batch).logits[1], atol=1e-4, rtol=1e-3)

    @pytest.mark.parametrize("imbalance", ["none", "logit_adjust", "class_balanced"])
    def test_the_loss_of_a_batch_is_the_mean_over_its_rows(self, world: World, imbalance: str) -> None:
        """Then a batch may be computed in pieces, and on several workers, and stay the same batch."""
        recipe = trial_spec(world.directory, world.contender, world.prepared).recipe
        recipe |= {"label_smoothing": 0.1, "imbalance": imbalance}
        labels_of_train = self.task.labels(read_part(world.prepared.directory, "train"), world.prepared.schema)
        make_loss = self.task.make_loss(labels_of_train, recipe, torch.device("cpu"))
        model = world.family.load(world.contender.checkpoint, self.task.head, world.prepared.schema, recipe).eval()

        def loss(rows: Any) -> float:
            batch = self.batch(world, rows)
            labels = batch.pop("labels")
            with torch.no_grad():
                return float(make_loss(model(**batch), labels))

        pieces = [np.arange(5), np.arange(5, 6), np.arange(6, 12)]
        weighed = sum(len(piece) * loss(piece) for piece in pieces) / 12
        assert loss(np.arange(12)) == pytest.approx(weighed, rel=1e-4)

    def test_evaluation_inputs_never_vary(self, world: World) -> None:
        one, other = (self.batch(world, np.arange(4)) for _ in range(2))
        assert all(torch.equal(one[name], other[name]) for name in one)
        assert not self.task.is_augmented({})
        assert not self.task.rewrites({})

    def test_the_loss_falls_and_validation_beats_chance(self, world: World, tmp_path: Path) -> None:
        _, context = run(trial_spec(tmp_path, world.contender, world.prepared, epochs=self.epochs))
        curve = [report.row for report in context.reports]
        assert curve[-1]["train_loss"] < 0.8 * curve[0]["train_loss"]
        assert max(row["accuracy"] for row in curve) > self.good_enough

    @pytest.mark.parametrize("recipe", [{}, {"frozen_share": 0.5}, {"frozen_share": 1.0}])
    def test_a_final_predicts_is_saved_and_served(
        self, world: World, tmp_path: Path, recipe: dict[str, float]
    ) -> None:
        spec = trial_spec(tmp_path, world.contender, world.prepared, kind="final", id="toy-final-1", recipe=recipe)
        training, _ = run(spec)
        stored = np.load(tmp_path / "predictions" / "toy-final-1.npz")
        for part in ("validation", "test"):
            assert stored[part].shape == (world.prepared.counts[part], len(world.prepared.schema.classes))
            np.testing.assert_allclose(stored[part].sum(axis=1), 1, atol=1e-4)
        assert training.outcome.model_dir is not None
        said = self.task.answers(stored["validation"], world.prepared.schema)["prediction"]
        sure = stored["validation"].max(axis=1) - np.sort(stored["validation"], axis=1)[:, -2] > 1e-3
        served = self.serve(world, tmp_path / training.outcome.model_dir)
        assert [a for a, s in zip(served, sure, strict=True) if s] == [
            a for a, s in zip(said, sure, strict=True) if s
        ]

    def test_every_baseline_is_fitted_and_scored(self, world: World, tmp_path: Path) -> None:
        folder = RunFolder(tmp_path)
        for place in (folder.predictions, folder.cache):
            place.mkdir(parents=True, exist_ok=True)
        contest = {
            "task": self.task.name, "contenders": [world.contender.to_json()], "trial_seed": 1, "horizon_samples": 1,
            "split_fingerprint": world.prepared.split.fingerprint, "metric": "accuracy",
            "schema": world.prepared.schema.to_json(),
        }  # fmt: skip
        folder.write_contest(contest)
        BaselineRunner(folder, contest, world.prepared, Ledger(folder, Budget(trials=1)), Tracker()).run()
        results = folder.baselines()
        assert [r.contender for r in results] == [name for name, *_ in planned(self.task, [world.contender])]
        assert [r.error for r in results if r.status != "completed"] == []
        assert min(r.validation for r in results if r.validation is not None) >= 0.2
        for result in results:
            found = np.load(tmp_path / str(result.predictions_file))
            np.testing.assert_allclose(found["test"].sum(axis=1), 1, atol=1e-4)
