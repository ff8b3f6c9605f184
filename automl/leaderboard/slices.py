"""Scores of the slices that --slice asks for: how well a row does on the parts of the test that it names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from automl.data.slices import TEST_SLICES, column_name, slices_sha256
from automl.errors import RunFolderError
from automl.leaderboard.resampling import TestDraws
from automl.leaderboard.store import RunFolder
from automl.leaderboard.verdict import score
from automl.metrics import Metric
from automl.types import LeaderboardRow, SliceScore

FEW_ROWS = 30
"""Of fewer rows a slice tells too little to be called the worst."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The test rows with one value in one column. where: their places. draws: their bootstrap, shared by all rows."""

    column: str
    value: str
    where: NDArray[np.int64]
    draws: TestDraws


def read_slices(folder: RunFolder, rows: NDArray[np.int64]) -> tuple[Slice, ...]:
    """Every slice of the test, in the order of the columns, the largest first.

    rows: the test's row numbers. Raises RunFolderError where the slices are missing or are not those of the split.
    """
    columns = folder.read_contest().get("slices", ())
    if not columns:
        return ()
    path = folder.data / TEST_SLICES
    restore = "Restore the run's data/ folder"
    if not path.exists():
        raise RunFolderError(f"{path} is missing", "the slices of the test rows", restore)
    try:
        with pa.memory_map(str(path)) as source:
            table = pyarrow.ipc.open_file(source).read_all()
            values = {name: table.column(column_name(name)).to_pylist() for name in columns}
            numbers, sealed = table.column("row").to_numpy(), folder.split().get("test_slices_sha256")
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        raise RunFolderError(f"{path} could not be read: {error}", "an Arrow file", restore) from None
    if slices_sha256(table) != sealed or not np.array_equal(numbers, rows):
        raise RunFolderError(f"{path} does not hold the slices of this split", "what was written with it", restore)
    return tuple(one for name in columns for one in _of_column(name, np.array(values[name], dtype=object)))


def _of_column(name: str, values: NDArray[Any]) -> Iterator[Slice]:
    found, counts = np.unique(values.astype(str), return_counts=True)
    for place in np.lexsort((found, -counts)):
        where = np.flatnonzero(values == found[place])
        yield Slice(column=name, value=str(found[place]), where=where, draws=TestDraws(len(where)))


def worst_slice(row: LeaderboardRow, metric: Metric) -> SliceScore | None:
    """The slice with the lowest score among those with rows enough; None where fewer than two have."""
    able = [one for one in row.slices if not one.few and one.mean is not None]
    if len(able) < 2:
        return None
    return min(able, key=lambda one: (one.mean or 0.0) if metric.higher_is_better else -(one.mean or 0.0))


def is_clear(worst: SliceScore, row: LeaderboardRow, metric: Metric) -> bool:
    """Whether even the better end of the slice's interval is below what the row scores on the whole test."""
    if worst.low is None or worst.high is None or row.test_mean is None:
        return False
    return worst.high < row.test_mean if metric.higher_is_better else worst.low > row.test_mean


def slice_notes(rows: Sequence[LeaderboardRow], metric: Metric) -> Iterator[str]:
    """Of every contender: its worst slice, where that is clearly below the whole test."""
    for row in rows:
        worst = worst_slice(row, metric) if row.kind == "contender" else None
        if worst is not None and is_clear(worst, row, metric):
            assert row.test_mean is not None
            yield (
                f"{row.contender} is weakest where {worst.column} is {worst.value}: {_told(worst, metric)} on "
                f"{worst.rows:,} test rows, {score(row.test_mean, metric)} on all"
            )


def slice_table(rows: Sequence[LeaderboardRow], metric: Metric) -> list[tuple[str, ...]]:
    """Contender or baseline, column, slice, test rows, score with interval, what to know of it."""
    table: list[tuple[str, ...]] = []
    for row in rows:
        worst = worst_slice(row, metric)
        for one in row.slices:
            known = f"fewer than {FEW_ROWS} rows: too few to judge" if one.few else ""
            if one == worst:
                known = (
                    "worst, and clearly below the whole" if is_clear(one, row, metric) else "worst, maybe by chance"
                )
            told = "not defined here" if one.mean is None else _told(one, metric)
            table.append((row.contender, one.column, one.value, f"{one.rows:,}", told, known))
    return table


def _told(one: SliceScore, metric: Metric) -> str:
    assert one.mean is not None
    assert one.low is not None
    assert one.high is not None
    return f"{score(one.mean, metric)} ({score(one.low, metric)} to {score(one.high, metric)})"
