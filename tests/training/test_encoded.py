from pathlib import Path

import numpy as np
import pytest

from automl.models.base import ModelFamily
from automl.registry import get_part
from automl.storage.bundle import build_once
from automl.tasks.base import Task
from automl.tasks.text_classification import TextClassification
from automl.training.encoded import GrowingArray, encode_part, sorted_batches
from automl.training.stream import shuffled_batches
from tests.toys import prepared_messages, tiny_bert, tiny_contender

LENGTHS = np.random.default_rng(0).integers(3, 60, size=503)


def test_an_epoch_shows_every_row_once() -> None:
    batches = shuffled_batches(LENGTHS, 16, seed=1, epoch=0)
    assert sorted(np.concatenate(batches)) == list(range(503))


def test_seed_and_epoch_alone_decide_the_order() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return list(np.concatenate(shuffled_batches(LENGTHS, 16, seed=seed, epoch=epoch)))

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_batches_hold_rows_of_like_length() -> None:
    def padding(batches: list[np.ndarray]) -> float:
        return float(sum((LENGTHS[b].max() - LENGTHS[b]).sum() for b in batches))

    generator = np.random.default_rng(0)
    random = np.array_split(generator.permutation(503), 32)
    assert padding(shuffled_batches(LENGTHS, 16, seed=1, epoch=0)) < 0.3 * padding(random)


def test_evaluation_meets_the_longest_rows_first() -> None:
    batches = sorted_batches(LENGTHS, 64)
    assert LENGTHS[batches[0]].max() == LENGTHS.max()
    assert sorted(np.concatenate(batches)) == list(range(503))


def test_a_cache_that_broke_while_being_built_is_built_again(tmp_path: Path) -> None:
    def broken(target: Path) -> None:
        (target / "half").write_text("x")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        build_once(tmp_path / "cache", broken)
    assert not (tmp_path / "cache").exists()
    build_once(tmp_path / "cache", lambda target: (target / "whole").write_text("x"))
    build_once(tmp_path / "cache", broken)  # it is there, so nothing is built
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["whole"]


def test_a_lone_last_row_joins_the_batch_before_it() -> None:
    sizes = sorted(len(batch) for batch in shuffled_batches(LENGTHS[:33], 16, seed=1, epoch=0))
    assert sizes == [16, 17], "batch norm has no variance of one row"
    assert sorted(np.concatenate(shuffled_batches(LENGTHS[:33], 16, seed=1, epoch=0))) == list(range(33))
    assert [len(batch) for batch in shuffled_batches(LENGTHS[:1], 16, seed=1, epoch=0)] == [1]


def test_rows_encoded_piece_by_piece_are_those_encoded_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contender, data = tiny_contender(tiny_bert(tmp_path / "bert")), prepared_messages(tmp_path / "run")
    task = get_part("automl.tasks", Task, data.schema.task)  # type: ignore[type-abstract]
    family = get_part("automl.models", ModelFamily, contender.family)  # type: ignore[type-abstract]
    files = {}
    for size in (None, 7):
        monkeypatch.setattr(TextClassification, "piece_rows", size)
        cache = tmp_path / str(size)
        part = encode_part(cache, "train", data.directory, task, family, contender.checkpoint, data.schema)
        assert len(part) == data.counts["train"]
        assert part.labels is not None
        files[size] = {file.name: file.read_bytes() for file in (cache / "encoded-train").iterdir()}
    assert files[7] == files[None]
    assert {"input_ids.npy", "offsets.npy", "labels.npy"} < set(files[7])


def test_an_array_that_grew_is_read_as_one_that_was_saved(tmp_path: Path) -> None:
    values = np.arange(24_000, dtype=np.float32).reshape(2_000, 4, 3)
    with GrowingArray(tmp_path / "grown.npy") as grown:
        for size in (0, 1, 11, 2_000):
            grown.extend(values[:size])
    expected = np.concatenate([values[:1], values[:11], values])
    found = np.load(tmp_path / "grown.npy", mmap_mode="r")
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)
    np.save(tmp_path / "saved.npy", expected)
    assert (tmp_path / "grown.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()
