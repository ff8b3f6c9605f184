"""A vocabulary of which the training rows name a part: the rest stays as it was pretrained, and costs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from automl.training import fit, used_rows
from automl.training.used_rows import UsedRows, learning_used_rows, rows_named, token_embedding
from automl.types import Contender, PreparedData
from tests.toys import prepared_messages, tiny_bert, tiny_contender, trial_spec
from tests.training.test_fit import run


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Contender, PreparedData]:
    directory = tmp_path_factory.mktemp("rows")
    return tiny_contender(tiny_bert(directory / "bert")), prepared_messages(directory / "run")


@pytest.fixture
def small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(used_rows, "SMALLEST_TABLE", 10)  # the toy's vocabulary has 300 rows


class Words(nn.Module):
    def __init__(self, padding: int | None = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(50, 4, padding_idx=padding)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.words

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.words(ids)
        return found


IDS = torch.tensor([[7, 3, 7, 0], [41, 3, 0, 0]])


@pytest.mark.parametrize("padding", [0, None])
@pytest.mark.usefixtures("small_tables")
def test_named_rows_get_the_gradient_that_the_whole_table_would_give_them(padding: int | None) -> None:
    plain, model = Words(padding), Words(padding)
    plain(IDS).square().sum().backward()
    with learning_used_rows(model, {"input_ids": IDS.numpy().ravel()}, {"input_ids": 0}) as used:
        assert used is not None
        assert used.weight.shape == (4, 4)
        assert torch.equal(model(IDS), plain(IDS))
        model(IDS).square().sum().backward()
        assert used.weight.grad is not None
        assert plain.words.weight.grad is not None
        torch.testing.assert_close(used.weight.grad, plain.words.weight.grad[[0, 3, 7, 41]])


@pytest.mark.usefixtures("small_tables")
@pytest.mark.parametrize("fused", [True, False])
def test_what_rows_learned_is_read_in_eval_mode_and_stays_in_the_table_afterwards(fused: bool) -> None:
    """A fused optimizer changes weights without raising their version: nothing may rely on that."""
    model = Words()
    table, before = model.words, model.words.weight.detach().clone()
    named, others = [3, 7, 41], [row for row in range(50) if row not in (3, 7, 41)]

    def step(used: UsedRows) -> None:
        optimizer = torch.optim.AdamW([used.weight], lr=0.1, weight_decay=0.0, fused=fused)
        model.train()(IDS).square().sum().backward()
        optimizer.step()

    with learning_used_rows(model, {"input_ids": IDS.numpy().ravel()}, {"input_ids": 0}) as used:
        assert used is not None
        assert [n for n, _ in model.named_parameters()] == ["words.weight"]
        step(used)
        seen = model.eval()(torch.arange(50)).detach().clone()
        assert torch.equal(seen[others], before[others])
        assert (seen[named] != before[named]).all()
        step(used)
        learned = used.weight.detach().clone()
    assert model.words is table
    assert torch.equal(table.weight[[0, *named]], learned)
    assert torch.equal(table.weight[others], before[others])


@pytest.mark.usefixtures("small_tables")
def test_the_table_is_whole_again_when_training_raises() -> None:
    model = Words()
    table = model.words
    with pytest.raises(KeyError), learning_used_rows(model, {"input_ids": np.array([3])}, {}):
        raise KeyError
    assert model.words is table


@pytest.mark.usefixtures("small_tables")
def test_a_training_batch_with_an_unnamed_row_is_an_error_and_no_wrong_vector() -> None:
    model = Words()
    with learning_used_rows(model, {"input_ids": np.array([3])}, {}), pytest.raises(IndexError):
        model(torch.tensor([4]))


@pytest.mark.usefixtures("small_tables")
def test_small_shared_and_mostly_named_tables_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    tied = Words()
    tied.out = nn.Linear(4, 50, bias=False)
    tied.out.weight = tied.words.weight
    assert token_embedding(tied) is None
    model = Words()
    with learning_used_rows(model, {"input_ids": np.arange(45)}, {}) as used:
        assert used is None
    with learning_used_rows(model, {"pixel_values": np.arange(4)}, {}) as used:
        assert used is None
    monkeypatch.setattr(used_rows, "SMALLEST_TABLE", 51)
    assert token_embedding(model) is None


@pytest.mark.usefixtures("small_tables")
def test_the_training_is_that_of_a_whole_table_without_weight_decay(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to rounding: the norm of the gradients is summed in another order."""
    spec = trial_spec(tmp_path, *world, epochs=4, recipe={"weight_decay": 0.0})
    training, rows = run(spec)
    table = training.model.get_input_embeddings()  # type: ignore[operator]
    assert type(table) is nn.Embedding
    monkeypatch.setattr(used_rows, "SMALLEST_TABLE", 10**9)
    plain, whole = run(spec)
    for one, other in zip(rows.reports, whole.reports, strict=True):
        assert one.row["train_loss"] == pytest.approx(other.row["train_loss"], rel=1e-4)
        assert one.value == other.value
        assert one.row["log_loss"] == pytest.approx(other.row["log_loss"], rel=1e-3)
    torch.testing.assert_close(table.weight, plain.model.get_input_embeddings().weight, atol=2e-3, rtol=0)  # type: ignore[operator]


@pytest.mark.usefixtures("small_tables")
def test_only_named_rows_take_part_in_the_training(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    monkeypatch.setattr(UsedRows, "__init__", _noting(held, UsedRows.__init__))
    training, _ = run(trial_spec(tmp_path, *world))
    assert held == [len(np.unique(np.append(training.train.values["input_ids"], 0)))]
    assert training.outcome.parameters == sum(p.numel() for p in training.model.parameters())
    run(trial_spec(tmp_path, *world, recipe={"frozen_share": 0.5}))  # the table never learns: nothing to narrow
    assert len(held) == 1


def _noting(held: list[int], made: Any) -> Any:
    def init(self: UsedRows, table: nn.Embedding, rows: torch.Tensor) -> None:
        held.append(len(rows))
        made(self, table, rows)

    return init


@pytest.mark.usefixtures("small_tables")
def test_an_interrupted_training_of_named_rows_goes_on_bit_for_bit(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "CHECKPOINT_SECONDS", 0.0)
    spec = trial_spec(tmp_path, *world, epochs=6)
    whole, uninterrupted = run(spec)
    with pytest.raises(InterruptedError):
        run(spec, stop_after=3)
    resumed, context = run(spec)
    last, expected = context.reports[-1].row, uninterrupted.reports[-1].row
    assert {k: v for k, v in last.items() if k != "device_seconds"} == {
        k: v for k, v in expected.items() if k != "device_seconds"
    }
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_named_rows_are_found_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(used_rows, "_PIECE_IDS", 3)
    ids = np.array([7, 3, 7, 0, 41, 3, 9], np.int32)
    assert rows_named(ids, 1, 50).tolist() == [0, 1, 3, 7, 9, 41]
    assert rows_named(ids[:0], 1, 50).tolist() == [1]
