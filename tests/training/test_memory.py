"""Memory that runs out: the same training goes on with fewer rows at a time, and everybody learns of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl.models.text_encoder import TextEncoder
from automl.training import fit
from automl.training.clock import SlotClock
from automl.training.fit import Training
from automl.training.memory import NotOneRow, RowsAtOnce, is_out_of_memory
from automl.training.workers import train_spec
from automl.types import Contender, PreparedData
from tests.toys import prepared_messages, tiny_bert, tiny_contender, trial_spec
from tests.training.test_fit import Alone

Limit = Callable[[int, bool], bool]
"""Whether so many rows are too many, in training or not."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Contender, PreparedData]:
    directory = tmp_path_factory.mktemp("memory")
    return tiny_contender(tiny_bert(directory / "bert")), prepared_messages(directory / "run")


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[Limit], list[int]]:
    """From now on models raise MemoryError in the middle of their forward where the limit says so.

    What it returns grows by the rows of every training forward.
    """

    def install(too_many: Limit) -> list[int]:
        load, rows_seen = TextEncoder.load, []

        def guard(module: torch.nn.Module, arguments: Any) -> None:
            if module.training:
                rows_seen.append(len(arguments[0]))
            if too_many(len(arguments[0]), module.training):
                raise MemoryError("cannot allocate")

        def guarded(self: TextEncoder, *arguments: Any) -> torch.nn.Module:
            model = load(self, *arguments)
            model.base_model.encoder.layer[-1].register_forward_pre_hook(guard)  # type: ignore[union-attr, index, operator, arg-type]
            return model

        monkeypatch.setattr(TextEncoder, "load", guarded)
        return rows_seen

    return install


def train(world: Any, directory: Path, stop_after: int | None = None, **changes: Any) -> tuple[Training, Alone]:
    context = Alone(stop_after)
    training = Training(trial_spec(directory, *world, **changes), context, SlotClock(None))
    training.run()
    return training, context


def curve(context: Alone) -> list[dict[str, Any]]:
    return [{k: v for k, v in report.row.items() if k != "device_seconds"} for report in context.reports]


def same_model(one: Training, other: Training) -> bool:
    pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
    return all(torch.equal(mine, yours) for mine, yours in pairs)


def test_the_training_goes_on_as_if_it_had_always_taken_the_smaller_pieces(
    world: Any, tmp_path: Path, small_memory: Any
) -> None:
    """Bit for bit, dropout included: the interrupted step leaves nothing behind."""
    recipe = {"batch_size": 16, "dropout": 0.1, "head_dropout": 0.1}
    expected, uninterrupted = train(world, tmp_path / "a", recipe=recipe, micro_batch=4)
    rows_seen = small_memory(lambda rows, training: training and rows > 4)
    training, context = train(world, tmp_path / "b", recipe=recipe)
    assert rows_seen[:3] == [16, 8, 4]
    assert curve(context) == curve(uninterrupted)
    assert same_model(training, expected)
    assert training.at_once.rows == 4
    assert [note.split(":")[0] for note in training.outcome.notes] == [
        "out of memory in training, at 0 samples with 16 rows at a time",
        "out of memory in training, at 0 samples with 8 rows at a time",
    ]
    assert context.reports[0].micro_batch == 4
    assert len(context.reports[0].notes) == 2


@pytest.mark.parametrize("pieces", [1, 3, 5])
def test_pieces_give_the_gradients_of_the_whole_batch(
    world: Any, tmp_path: Path, pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces of unequal size too: every row weighs the same. 1e-5 is what the order of float32 sums leaves."""
    monkeypatch.setattr(fit, "autocast_dtype", lambda device: None)
    recipe = {"batch_size": 16, "dropout": 0.0, "head_dropout": 0.0}
    gradients = []
    for micro_batch in (None, pieces):
        training = Training(
            trial_spec(tmp_path, *world, recipe=recipe, micro_batch=micro_batch), Alone(), SlotClock(None)
        )
        training._set_up()
        training.optimizer.release(0.0)
        training.optimizer.train_mode(training.model)
        loss = training.step.backward(np.arange(16), 0)
        gradients.append({n: p.grad.clone() for n, p in training.model.named_parameters() if p.grad is not None})
        gradients[-1]["loss"] = torch.tensor(loss)
    assert gradients[0].keys() == gradients[1].keys()
    for name, whole in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], whole, rtol=1e-5, atol=1e-5, msg=name)


def test_the_curve_without_dropout_is_that_of_whole_batches(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a whole training Adam enlarges what the order of sums left: 1e-3 of the loss is the stated bound."""
    monkeypatch.setattr(fit, "autocast_dtype", lambda device: None)
    recipe = {"batch_size": 16, "dropout": 0.0, "head_dropout": 0.0}
    _, whole = train(world, tmp_path, recipe=recipe)
    _, pieces = train(world, tmp_path, recipe=recipe, micro_batch=3)
    for one, other in zip(curve(whole), curve(pieces), strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], abs=1e-3)
        assert one["accuracy"] == other["accuracy"]


def test_evaluation_takes_fewer_rows_at_a_time_and_predicts_the_same(
    world: Any, tmp_path: Path, small_memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "autocast_dtype", lambda device: None)
    _, whole = train(world, tmp_path)
    small_memory(lambda rows, training: not training and rows > 5)
    training, context = train(world, tmp_path)
    assert training.evaluated_at_once.rows is not None
    assert training.evaluated_at_once.rows <= 5
    assert training.at_once.rows is None
    assert [row["accuracy"] for row in curve(context)] == [row["accuracy"] for row in curve(whole)]
    assert all("in evaluation" in note for note in training.outcome.notes)


def test_a_model_that_takes_not_even_one_row_ends_as_out_of_memory(
    world: Any, tmp_path: Path, small_memory: Any
) -> None:
    small_memory(lambda rows, training: training)
    (tmp_path / "logs" / "heartbeats").mkdir(parents=True)
    sent: list[dict[str, Any]] = []
    train_spec(trial_spec(tmp_path, *world), 1, sent.append)
    (end,) = sent
    assert end["status"] == "out_of_memory"
    assert "with one row at a time" in end["error"]
    assert end["micro_batch"] == 1
    assert len(end["notes"]) == 3  # 8, 4 and 2 rows
    assert end["spent"]["train"] > 0


@pytest.mark.parametrize(
    "recipe",
    [
        {"head_only_share": 0.1, "release_share": 0.6, "word_noise": 0.3},
        {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.05},
        {"frozen_share": 0.5},
    ],
)
def test_a_training_in_pieces_is_resumed_bit_for_bit(
    world: Any, tmp_path: Path, recipe: dict[str, Any], small_memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle of the release as well; the pieces found so far come back from the checkpoint."""
    monkeypatch.setattr(fit, "CHECKPOINT_SECONDS", 0.0)
    rows_seen = small_memory(lambda rows, training: training and rows > 3)
    changes: dict[str, Any] = {"epochs": 6, "recipe": recipe}
    whole, uninterrupted = train(world, tmp_path, **changes)
    with pytest.raises(InterruptedError):
        train(world, tmp_path, stop_after=3, **changes)
    rows_seen.clear()
    resumed, context = train(world, tmp_path, **changes)
    assert max(rows_seen) <= 3
    assert curve(context) == curve(uninterrupted)[-len(context.reports) :]
    assert len(context.reports) < len(uninterrupted.reports)
    assert same_model(whole, resumed)


def test_torchs_own_words_for_a_full_memory_are_understood() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(RuntimeError("could not create a primitive"))  # oneDNN, under RLIMIT_AS
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for an eltwise forward"))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def test_pieces_are_of_nearly_equal_size_and_lose_no_row() -> None:
    at_once = RowsAtOnce(4, [])
    assert [len(piece) for piece in at_once.split(np.arange(9))] == [3, 3, 3]
    assert np.concatenate(list(at_once.split(np.arange(9)))).tolist() == list(range(9))
    assert [len(piece) for piece in RowsAtOnce(None, []).split(np.arange(9))] == [9]


def test_rows_at_once_only_shrink_down_to_one() -> None:
    at_once = RowsAtOnce(None, [])
    sizes = []
    for _ in range(4):
        at_once.halve(9, "here")
        sizes.append(at_once.rows)
    assert sizes == [5, 3, 2, 1]
    with pytest.raises(NotOneRow, match="one row at a time"):
        at_once.halve(9, "here")
