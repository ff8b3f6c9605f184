"""The loop on a toy BERT: what learns, what does not, what comes back after an interruption."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl.training import fit
from automl.training.clock import SlotClock
from automl.training.context import Report
from automl.training.fit import Diverged, Training
from automl.types import Contender, PreparedData, TrialSpec
from tests.toys import prepared_messages, tiny_bert, tiny_contender, trial_spec

SGD = {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9}
MIDST = {"head_only_share": 0.1, "release_share": 0.8, "release_lr_scale": 0.1}  # half the blocks learn at p = 0.5
EVEN = {"imbalance": "balanced_sampler"}


class Alone:
    """A context without Ray; `stop_after` raises after so many reports, as a killed process would."""

    rank, world, device, leaving = 0, 1, torch.device("cpu"), False

    def __init__(self, stop_after: int | None = None) -> None:
        self.reports: list[Report] = []
        self._stop_after = stop_after

    def report(self, report: Report) -> None:
        self.reports.append(report)
        if self._stop_after is not None and len(self.reports) >= self._stop_after:
            raise InterruptedError

    def add_up(self, values: torch.Tensor) -> None:
        raise AssertionError("there is nobody to add up with")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Contender, PreparedData]:
    directory = tmp_path_factory.mktemp("fit")
    return (
        directory,
        tiny_contender(tiny_bert(directory / "bert", layers=4)),
        prepared_messages(directory / "run"),
    )


def spec_of(world: tuple[Path, Contender, PreparedData], directory: Path, **changes: Any) -> TrialSpec:
    _, contender, prepared = world
    return trial_spec(directory, contender, prepared, **changes)


def run(spec: TrialSpec, stop_after: int | None = None) -> tuple[Training, Alone]:
    context = Alone(stop_after)
    training = Training(spec, context, SlotClock(None))
    training.run()
    return training, context


def fingerprints(training: Training) -> list[str]:
    """One hash a block, over parameters and buffers."""
    found = []
    blocks = training.blocks
    for block in range(blocks.depth + 1):
        digest = hashlib.sha256()
        for module in blocks.modules(block):
            for value in module.state_dict().values():
                digest.update(value.numpy().tobytes())
        found.append(digest.hexdigest())
    return found


def test_the_loss_falls_and_validation_beats_chance(world: Any, tmp_path: Path) -> None:
    _, context = run(spec_of(world, tmp_path, epochs=20))
    curve = [report.row for report in context.reports]
    assert curve[-1]["train_loss"] < 0.6 * curve[0]["train_loss"]
    assert curve[-1]["accuracy"] > 0.6


def test_reports_come_exactly_at_the_rungs_and_the_horizon_ends_the_curve(world: Any, tmp_path: Path) -> None:
    spec = spec_of(world, tmp_path, epochs=6)
    _, context = run(spec)
    assert tuple(r.rung for r in context.reports if r.rung is not None) == spec.rungs
    assert context.reports[-1].row["samples_seen"] == spec.horizon_samples
    assert [r.row["rung"] for r in context.reports if "rung" in r.row] == list(spec.rungs)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_frozen_blocks_do_not_change_by_a_bit_and_the_others_do(world: Any, tmp_path: Path, share: float) -> None:
    spec = spec_of(world, tmp_path, recipe={"frozen_share": share})
    untouched = Training(spec, Alone(), SlotClock(None))
    untouched._set_up()
    before = fingerprints(untouched)
    training, _ = run(spec)
    after = fingerprints(training)
    frozen = training.unfreezing.frozen_depth
    assert frozen is not None
    same = [a == b for a, b in zip(after, before, strict=True)]
    assert same == [block <= frozen for block in range(len(before))]


def test_the_head_alone_learns_during_its_phase(world: Any, tmp_path: Path) -> None:
    spec = spec_of(world, tmp_path, epochs=6, recipe={"head_only_share": 0.9})
    untouched = Training(spec, Alone(), SlotClock(None))
    untouched._set_up()
    before, head = fingerprints(untouched), untouched.model.classifier.weight.clone()  # type: ignore[union-attr]
    training = Training(spec, Alone(stop_after=1), SlotClock(None))
    with pytest.raises(InterruptedError):
        training.run()
    assert fingerprints(training) == before
    assert not torch.equal(training.model.classifier.weight, head)  # type: ignore[union-attr]


def test_the_model_is_whole_again_after_training_on_stored_activations(world: Any, tmp_path: Path) -> None:
    spec = spec_of(world, tmp_path, kind="final", id="tiny-full-final-1", recipe={"frozen_share": 0.5})
    training, context = run(spec)
    assert len(training.model.bert.encoder.layer) == 4  # type: ignore[union-attr]
    stored = np.load(tmp_path / "predictions" / "tiny-full-final-1.npz")
    labels = training.validation.labels
    assert (stored["validation"].argmax(axis=1) == labels).mean() == pytest.approx(context.reports[-1].value)
    assert stored["test"].shape == (len(world[2].split.test), 3)
    np.testing.assert_allclose(stored["test"].sum(axis=1), 1, atol=1e-5)


def test_the_same_seed_gives_the_same_curve_and_another_seed_another(world: Any, tmp_path: Path) -> None:
    def losses(seed: int) -> list[float]:
        _, context = run(spec_of(world, tmp_path, seed=seed))
        return [report.row["train_loss"] for report in context.reports]

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)


@pytest.mark.parametrize("recipe", [{}, {"head_only_share": 0.2}, {"frozen_share": 0.5}, MIDST, SGD, EVEN])
def test_an_interrupted_training_goes_on_bit_for_bit(
    world: Any, tmp_path: Path, recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "CHECKPOINT_SECONDS", 0.0)
    spec = spec_of(world, tmp_path, epochs=6, recipe=recipe)
    whole, uninterrupted = run(spec)
    with pytest.raises(InterruptedError):
        run(spec, stop_after=3)
    assert list((tmp_path / "checkpoints").glob("*.resume.pt"))
    resumed, context = run(spec)
    assert len(context.reports) < len(uninterrupted.reports)
    keys = [key for key in context.reports[-1].row if key != "device_seconds"]
    assert [context.reports[-1].row[k] for k in keys] == [uninterrupted.reports[-1].row[k] for k in keys]
    told = [row["samples_seen"] for row in context.reports[0].earlier]  # a new driver has not heard of these
    assert told == [report.row["samples_seen"] for report in uninterrupted.reports[: len(told)]]
    assert len(told) + len(context.reports) == len(uninterrupted.reports)
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not list((tmp_path / "checkpoints").glob("*.resume.pt"))


def test_a_loss_that_is_no_number_ends_the_training_with_a_reason(world: Any, tmp_path: Path) -> None:
    spec = spec_of(world, tmp_path, recipe={"learning_rate": 1e30})
    with pytest.raises(Diverged, match="no number"):
        run(spec)


def test_predictions_that_are_no_numbers_end_the_training_with_a_reason(world: Any, tmp_path: Path) -> None:
    """Too few steps for the loss to tell: the evaluation meets the broken weights first."""
    spec = spec_of(world, tmp_path, epochs=2, recipe={"learning_rate": 1e30, "batch_size": 64})
    with pytest.raises(Diverged, match="a prediction was no number, at"):
        run(spec)


def test_encoding_is_done_once_a_contender(world: Any, tmp_path: Path) -> None:
    spec = spec_of(world, tmp_path)
    run(spec)
    written = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.npy")}
    assert written
    run(spec)
    assert written == {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.npy")}


def test_the_optimizer_holds_no_state_for_frozen_blocks(world: Any, tmp_path: Path) -> None:
    training, _ = run(spec_of(world, tmp_path, recipe={"frozen_share": 0.5}))
    inner = training.optimizer._inner
    assert inner is not None
    held = {id(p) for group in inner.param_groups for p in group["params"]}
    frozen = [p for block in training.blocks.parameters()[:3] for _, p in block]
    assert frozen
    assert not held & {id(p) for p in frozen}
    assert all(id(p) not in {id(q) for q in inner.state} for p in frozen)


STILL = {"learning_rate": 1e-9, "dropout": 0.0, "head_dropout": 0.0}


@pytest.mark.parametrize("kind", ["trial", "final"])
def test_a_training_without_improvement_ends_after_its_patience_and_says_so(
    world: Any, tmp_path: Path, kind: str
) -> None:
    horizon = 6 * world[2].counts["train"]
    spec = spec_of(
        world, tmp_path, epochs=6, kind=kind, rungs=(horizon,), recipe=STILL, patience_samples=horizon // 3
    )
    training, context = run(spec)
    seen = [report.row["samples_seen"] for report in context.reports]
    assert len(seen) == 3, "the first of six evaluations is the best, and two more are its patience"
    assert seen[-1] - seen[0] >= spec.patience_samples  # type: ignore[operator]
    assert any("ended by its patience" in note for note in training.outcome.notes)
    assert training.outcome.metrics["accuracy"] == context.reports[-1].value, "it is worth its last evaluation"
    assert bool(training.outcome.predictions_file) == (kind == "final")


def test_patience_does_not_run_while_blocks_wait_for_their_release(world: Any, tmp_path: Path) -> None:
    horizon = 6 * world[2].counts["train"]
    waiting = STILL | {"head_only_share": 0.3, "release_share": 0.2}
    spec = spec_of(world, tmp_path, epochs=6, rungs=(horizon,), recipe=waiting, patience_samples=horizon // 3)
    _, context = run(spec)
    assert context.reports[-1].row["samples_seen"] >= horizon / 2 + horizon // 3


def test_without_a_patience_a_training_runs_to_its_horizon(world: Any, tmp_path: Path) -> None:
    spec = spec_of(world, tmp_path, epochs=6, recipe=STILL)
    _, context = run(spec)
    assert context.reports[-1].row["samples_seen"] == spec.horizon_samples
