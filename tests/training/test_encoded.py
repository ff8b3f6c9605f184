from pathlib import Path

import numpy as np
import pytest

from automl.training.encoded import build_once, sorted_batches
from automl.training.stream import shuffled_batches

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
