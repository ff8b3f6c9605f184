"""Columns that part the test rows into slices: kept from the models, and scored one by one at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from automl.config import RunRequest
from automl.data.columns import as_text, fold_space, numeric_values
from automl.data.guess import find_column
from automl.data.load import raise_all
from automl.data.rows import Rows
from automl.data.split import rows_sha256
from automl.errors import DataError

TEST_SLICES = "test_slices.arrow"
MOST_SLICES = 20
"""Of a column with more values than this, numbers are cut into quarters, and rare words are put together."""
MISSING, OTHERS = "(missing)", "(other values)"


def set_aside(parts: Mapping[str, Rows], request: RunRequest) -> dict[str, Rows]:
    """The parts without the columns of --slice, so that none is guessed to be an input or the target.

    Raises DataError, with all that is wrong, where a column is named as both, or the test's rows lack it.
    """
    source = parts.get("test", parts["train"])
    problems: list[DataError] = []
    for name in request.slice:
        taken = {"--target": (request.target,), "--text": request.text or (), "--image": (request.image,)}
        option = next((option for option, names in taken.items() if name in names), None)
        if option is not None:
            found = f"column {name!r} is named with both --slice and {option}"
            problems.append(DataError(found, "a column that no model sees", "Leave it out of one of them"))
            continue
        try:
            find_column(name, source.table.column_names, "--slice", source.read_as.source)
        except DataError as problem:
            problems.append(problem)
    raise_all(problems)
    needed = (request.group, request.time)  # these cut the parts, and are no inputs either
    aside = [name for name in request.slice if name not in needed]
    return {part: _without(rows, aside) for part, rows in parts.items()}


def _without(rows: Rows, columns: Sequence[str]) -> Rows:
    present = [name for name in columns if name in rows.table.column_names]
    return replace(rows, table=rows.table.drop_columns(present)) if present else rows


def slice_table(source: Rows, columns: Sequence[str], test: Sequence[int]) -> pa.Table:
    """The slice of every test row in every column: `row`, and a text column for each.

    source: what the test rows were taken from, as it was loaded. test: their numbers there, in their order.
    """
    place = {int(number): index for index, number in enumerate(source.numbers)}
    chosen = np.array([place[number] for number in test], dtype=np.int64)
    found = {name: find_column(name, source.table.column_names, "--slice", source.read_as.source) for name in columns}
    values = {column_name(name): slices_of(source.table[spelled].take(chosen)) for name, spelled in found.items()}
    return pa.table({"row": np.array(test, dtype=np.int64), **values})


def slices_sha256(table: pa.Table) -> str:
    """SHA-256 of the rows' numbers and their slices."""
    names = [name for name in table.column_names if name != "row"]
    joined = ["\x1e".join([name, *table.column(name).to_pylist()]) for name in names]
    return rows_sha256(table.column("row").to_numpy(), pa.chunked_array([pa.array(joined, pa.string())]))


def column_name(name: str) -> str:
    """The name under which a column of slices is kept: a file may call one 'row'."""
    return f"slice: {name}"


def slices_of(column: pa.ChunkedArray) -> list[str]:
    """A slice's name for every row: the value; of many numbers their quarter; of many words the frequent ones."""
    texts = fold_space(as_text(column))
    absent = np.asarray(pc.fill_null(pc.equal(texts, ""), True).to_numpy(zero_copy_only=False), np.bool_)
    distinct = pc.count_distinct(texts.filter(pa.array(~absent))).as_py()
    numbers = numeric_values(column) if distinct > MOST_SLICES else None
    if numbers is not None:
        return _quarters(numbers)
    words = [MISSING if gone else text for text, gone in zip(texts.to_pylist(), absent, strict=True)]
    if distinct <= MOST_SLICES:
        return words
    names, counts = np.unique(np.array(words, dtype=object).astype(str), return_counts=True)
    order = np.lexsort((names, -counts))[: MOST_SLICES - 1]
    kept = {str(names[k]) for k in order}
    return [word if word in kept else OTHERS for word in words]


def _quarters(values: npt.NDArray[np.float64]) -> list[str]:
    """Four ranges of about as many rows each, by the test's own values; equal values are never parted."""
    present = values[np.isfinite(values)]
    edges = np.unique(np.quantile(present, [0.25, 0.5, 0.75], method="lower"))
    groups = np.searchsorted(edges, values, side="left")
    names = {}
    for group in np.unique(groups[np.isfinite(values)]):
        inside = values[(groups == group) & np.isfinite(values)]
        names[int(group)] = f"{inside.min():g} to {inside.max():g}"
    return [names[int(g)] if np.isfinite(v) else MISSING for g, v in zip(groups, values, strict=True)]
