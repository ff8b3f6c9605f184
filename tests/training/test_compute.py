"""Options of how a model is computed change neither what is learnt nor, where they fail, the training's end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from automl.models.text_encoder import TextEncoder
from automl.search.contest import trial_templates
from automl.training import compute, fit
from automl.training.clock import SlotClock
from automl.training.fit import Training
from automl.types import TrialSpec
from tests.toys import prepared_messages, tiny_bert, tiny_contender, trial_spec
from tests.training.test_fit import Alone


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("compute")
    return tiny_contender(tiny_bert(directory / "bert")), prepared_messages(directory / "run")


def train(world: Any, directory: Path, stop_after: int | None = None, **changes: Any) -> tuple[Training, list[Any]]:
    context = Alone(stop_after)
    training = Training(trial_spec(directory, *world, **changes), context, SlotClock(None))
    training.run()
    rows = [{k: v for k, v in report.row.items() if k != "device_seconds"} for report in context.reports]
    return training, rows


def same_model(one: Training, other: Training) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True))


@pytest.mark.parametrize("recipe", [{}, {"head_only_share": 0.2, "release_share": 0.4}, {"frozen_share": 0.5}])
def test_gradient_checkpointing_gives_the_same_training_bit_for_bit(
    world: Any, tmp_path: Path, recipe: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, expected = train(world, tmp_path, recipe=recipe)
    twice: list[bool] = []
    load = TextEncoder.load

    def counted(self: TextEncoder, *arguments: Any) -> torch.nn.Module:
        model = load(self, *arguments)
        layer = model.base_model.encoder.layer[-1]  # type: ignore[union-attr, index]
        layer.attention.register_forward_pre_hook(lambda module, _: twice.append(module.training))  # type: ignore[union-attr]
        return model

    monkeypatch.setattr(TextEncoder, "load", counted)
    training, curve = train(world, tmp_path, recipe=recipe, gradient_checkpointing=True)
    assert curve == expected
    assert same_model(training, plain)
    assert training.outcome.notes == plain.outcome.notes
    batches = -(-training.spec.horizon_samples // training.recipe.batch_size)
    head_only = batches * recipe.get("head_only_share", 0.0)
    assert not any(module._forward_hooks for module in training.model.modules())
    assert sum(twice) > 1.5 * (batches - head_only)  # what learns is computed twice, what is frozen once


def test_a_model_that_cannot_recompute_is_trained_as_it_is_and_says_so(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import BertForSequenceClassification

    monkeypatch.setattr(BertForSequenceClassification, "supports_gradient_checkpointing", False)
    training, _ = train(world, tmp_path, gradient_checkpointing=True)
    assert training.outcome.notes == [
        "gradient checkpointing is off: BertForSequenceClassification does not support it"
    ]


def test_a_compiled_model_learns_the_same(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced by torch's own compiler front; its back end is left out, which needs a C++ compiler."""
    monkeypatch.setattr(compute, "COMPILER", "eager")
    plain, expected = train(world, tmp_path)
    training, curve = train(world, tmp_path, compile=True)
    assert training.outcome.notes == plain.outcome.notes
    for one, other in zip(curve, expected, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], abs=1e-3)


def test_a_compiler_that_fails_is_noted_and_the_training_goes_on(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_compiler(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no C++ compiler found")

    monkeypatch.setattr(compute, "COMPILER", no_compiler)
    plain, expected = train(world, tmp_path)
    training, curve = train(world, tmp_path, compile=True)
    (note,) = training.outcome.notes
    assert "not compiled" in note
    assert "no C++ compiler found" in note
    assert curve == expected
    assert same_model(training, plain)


def test_half_precision_scales_its_loss_and_is_resumed_bit_for_bit(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU: float16 there runs through the same scaler as on a GPU without bfloat16."""
    monkeypatch.setattr(fit, "autocast_dtype", lambda device: torch.float16)
    monkeypatch.setattr(fit, "CHECKPOINT_SECONDS", 0.0)
    changes: dict[str, Any] = {"epochs": 6, "recipe": {"head_only_share": 0.1, "release_share": 0.3}}
    whole, expected = train(world, tmp_path, **changes)
    scale = whole.step.scaler.get_scale()
    with pytest.raises(InterruptedError):
        train(world, tmp_path, stop_after=3, **changes)
    resumed, curve = train(world, tmp_path, **changes)
    assert curve == expected[-len(curve) :]
    assert len(curve) < len(expected)
    assert same_model(whole, resumed)
    assert resumed.step.scaler.get_scale() == scale > 1
    monkeypatch.setattr(fit, "autocast_dtype", lambda device: None)
    _, precise = train(world, tmp_path / "float32", **changes)
    for one, other in zip(precise, expected, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], abs=0.01)


def test_a_step_whose_gradients_overflow_is_left_out_and_the_scale_falls(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "autocast_dtype", lambda device: torch.float16)
    training = Training(trial_spec(tmp_path, *world), Alone(), SlotClock(None))
    training._set_up()
    training.optimizer.release(0.0)
    training.optimizer.train_mode(training.model)
    before = [parameter.clone() for parameter in training.model.parameters()]
    training.step.backward(training.train.lengths.argsort()[:8], 0)
    next(p for p in training.model.parameters() if p.grad is not None).grad.fill_(float("inf"))  # type: ignore[union-attr]
    scale = training.step.scaler.get_scale()
    training.optimizer.step(0.05, training.step.scaler)
    assert training.step.scaler.get_scale() == scale / 2
    assert all(torch.equal(a, b) for a, b in zip(before, training.model.parameters(), strict=True))


def test_the_options_of_a_contest_reach_every_training(world: Any, tmp_path: Path) -> None:
    from automl.config import RunRequest
    from automl.leaderboard.store import RunFolder

    contender, prepared = world
    folder = RunFolder(tmp_path / "run")
    folder.create(RunRequest(source="a.csv"))
    other = TrialSpec.from_json(trial_spec(tmp_path, contender, prepared).to_json()).contender
    contest = {
        "contenders": [contender.to_json(), {**other.to_json(), "name": "other/full"}],
        "trial_seed": 1, "horizon_samples": 3, "rungs": [3], "split_fingerprint": "f", "task": prepared.schema.task,
        "metric": "accuracy", "compute": {"gradient_checkpointing": True, "compile": True},
    }  # fmt: skip
    folder.write_contest(contest)
    specs = [TrialSpec.from_json(spec.to_json()) for spec in trial_templates(folder, contest, prepared)]
    assert [(spec.gradient_checkpointing, spec.compile) for spec in specs] == [(True, True)] * 2
