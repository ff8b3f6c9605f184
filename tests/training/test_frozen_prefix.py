"""Stored activations: the same training as without them, never read for something else, within one quota."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl.config import make_request
from automl.data.prepare import prepare
from automl.data.prepared import load_prepared
from automl.models.blocks import Blocks
from automl.training import frozen_prefix
from automl.training.clock import SlotClock
from automl.training.fit import Training
from automl.training.frozen_prefix import NotStored, StoreKey, refuse_too_large, store_activations
from automl.types import Contender, PreparedData, TrialSpec
from tests.toys import FILLER, messages, tiny_bert, tiny_contender, trial_spec, write_csv
from tests.training.test_fit import Alone


def even_messages(rows: int = 90) -> list[tuple[str, str]]:
    """Rows of seven words each, which pad alike in every batch."""
    found = [(text.split(), label) for text, label in messages(rows)]
    return [(" ".join((words + FILLER)[:7]), label) for words, label in found]


def prepared(directory: Path, rows: list[tuple[str, str]]) -> PreparedData:
    (directory / "data").mkdir(parents=True)
    source = write_csv(directory / "messages.csv", rows)
    prepare(make_request({"source": str(source), "target": "label", "text": "text"}), directory / "data")
    return load_prepared(directory / "data")


@pytest.fixture(scope="module")
def contender(tmp_path_factory: pytest.TempPathFactory) -> Contender:
    return tiny_contender(tiny_bert(tmp_path_factory.mktemp("bert"), layers=4))


@pytest.fixture(scope="module")
def even(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return prepared(tmp_path_factory.mktemp("even"), even_messages())


@pytest.fixture(scope="module")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return prepared(tmp_path_factory.mktemp("ragged"), messages())


def trained(
    spec: TrialSpec, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> tuple[list[float], np.ndarray[Any, Any]]:
    """Losses of the curve, and predictions on validation."""
    with monkeypatch.context() as patch:
        if not stored:
            patch.setattr(frozen_prefix, "QUOTA_BYTES", 0)
        context = Alone()
        training = Training(spec, context, SlotClock(None))
        training.run()
    assert bool(training.outcome.notes) != stored
    losses = [report.row["train_loss"] for report in context.reports]
    return losses, np.load(Path(spec.run_directory) / "predictions" / f"{spec.id}.npz")["validation"]


def both(
    contender: Contender, data: PreparedData, directory: Path, share: float, patch: pytest.MonkeyPatch
) -> list[tuple[list[float], np.ndarray[Any, Any]]]:
    recipe = {"frozen_share": share, "dropout": 0.1, "head_dropout": 0.1}
    found = []
    for stored in (True, False):
        spec = trial_spec(directory / str(stored), contender, data, recipe=recipe, kind="default", id="one")
        found.append(trained(spec, patch, stored))
    return found


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_where_batches_pad_alike_losses_and_predictions_are_the_same_to_the_bit(
    contender: Contender, even: PreparedData, tmp_path: Path, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    (losses, predictions), (losses_anew, predictions_anew) = both(contender, even, tmp_path, share, monkeypatch)
    assert losses == losses_anew
    assert np.array_equal(predictions, predictions_anew)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_where_they_do_not_losses_and_predictions_differ_by_rounding_alone(
    contender: Contender, ragged: PreparedData, tmp_path: Path, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    (losses, predictions), (losses_anew, predictions_anew) = both(contender, ragged, tmp_path, share, monkeypatch)
    np.testing.assert_allclose(losses, losses_anew, atol=1e-3)
    np.testing.assert_allclose(predictions, predictions_anew, atol=1e-3)


# -- what a store is of --------------------------------------------------------------------------------------

KEY = StoreKey(checkpoint="sha", data="split", part="train", preprocessing={"max_length": 64})


@pytest.fixture
def training(contender: Contender, even: PreparedData, tmp_path: Path) -> Training:
    """One that is set up, and has stored nothing itself."""
    found = Training(trial_spec(tmp_path, contender, even), Alone(), SlotClock(None))
    found._set_up()
    return found


def store(training: Training, key: StoreKey = KEY, depth: int = 2, precision: torch.dtype | None = None) -> set[str]:
    """The names of the contender's stores after this one was asked for."""
    place = (training.task, training.padding, torch.device("cpu"), precision)
    store_activations(training.cache, key, training.train, training.blocks, depth, *place)
    return {folder.name for folder in training.cache.glob("prefix-*") if folder.is_dir()}


def test_a_store_is_read_again_for_the_same_and_built_anew_for_anything_else(training: Training) -> None:
    first = store(training)
    (folder,) = (training.cache / name for name in first)
    written = (folder / "values.npy").stat().st_mtime_ns
    assert store(training) == first
    assert (folder / "values.npy").stat().st_mtime_ns == written
    others = [
        {"key": replace(KEY, checkpoint="other")},
        {"key": replace(KEY, data="other")},
        {"key": replace(KEY, part="validation")},
        {"key": replace(KEY, preprocessing={"max_length": 32})},
        {"depth": 1},
        {"precision": torch.bfloat16},
    ]
    for number, other in enumerate(others, start=2):
        assert len(store(training, **other)) == number  # type: ignore[arg-type]
    key = json.loads((folder / "key.json").read_text())
    assert (key["checkpoint"], key["depth"], key["precision"]) == ("sha", 2, "float32")
    assert {"torch", "transformers", "device"} <= set(key)


def test_values_are_kept_in_the_dtype_in_which_the_block_put_them_out(training: Training) -> None:
    place = (training.blocks, 2, training.task, training.padding, torch.device("cpu"))
    for precision in (None, torch.bfloat16):
        found = store_activations(training.cache, KEY, training.train, *place, precision)
        rows = np.arange(5)
        batch = training.task.collate(training.train.rows(rows), None, training.padding)
        training.model.eval()
        enabled = precision is not None
        with torch.no_grad(), torch.autocast("cpu", precision or torch.bfloat16, enabled=enabled):
            computed = training.blocks.run_until(2, batch)
        assert found.batch(rows, torch.device("cpu")).dtype == computed.dtype
        assert torch.equal(found.batch(rows, torch.device("cpu")), computed)


# -- quota and cost ------------------------------------------------------------------------------------------


def test_the_quota_is_the_runs_and_counts_what_other_contenders_store(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(training)
    (file,) = training.cache.glob("prefix-*/values.npy")
    other = training.cache.parent / "another-contender" / ".prefix-1-train-0123.99"  # still being written
    other.mkdir(parents=True)
    (other / "values.npy").write_bytes(bytes(100))
    monkeypatch.setattr(frozen_prefix, "QUOTA_BYTES", file.stat().st_size + 100 + 50)
    refuse_too_large(50, training.cache.parent)
    with pytest.raises(NotStored, match="exceed the quota"):
        refuse_too_large(51, training.cache.parent)
    with pytest.raises(NotStored):
        store(training, depth=1)
    assert len(list(training.cache.glob("*prefix-*/values.npy"))) == 1, "nothing half-written is left"


def test_what_a_dead_process_left_half_written_makes_room(training: Training) -> None:
    (name,) = store(training)
    left = training.cache / f".{name}.999999"
    (training.cache / name).rename(left)
    assert store(training) == {name}
    assert not left.exists()


def test_building_a_store_is_charged_as_cache_and_reading_it_again_is_not(
    contender: Contender, even: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [0.0]
    run_until = Blocks.run_until

    def slow(*arguments: Any) -> torch.Tensor:
        seconds[0] += 10.0
        return run_until(*arguments)

    monkeypatch.setattr(Blocks, "run_until", slow)
    spec = trial_spec(tmp_path, contender, even, recipe={"frozen_share": 0.5})
    spent = []
    for _ in range(2):
        clock = SlotClock(None, now=lambda: seconds[0])
        Training(spec, Alone(), clock).run()
        spent.append(clock.spent)
    batches = sum(-(-even.counts[part] // frozen_prefix._BUILD_ROWS) for part in ("train", "validation"))
    assert spent[0] == {"train": 0.0, "cache": 10.0 * batches, "validate": 0.0}
    assert spent[1] == {"train": 0.0, "cache": 0.0, "validate": 0.0}
