"""A target that is spread over columns of 0 and 1: joined where exactly one is 1 in every row."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from automl.data.columns import Codes, Column, as_text, numeric_values
from automl.data.guess import TARGETS, named_targets
from automl.data.part_words import says_parts
from automl.data.rows import Rows

_MOST_COLUMNS = 500
_FIRST_ROWS, _MOST_RUNS = 1_000, 10
_LISTED = 8
Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class OneHot:
    """The parts with the joined target, or as they were. target: its name. reason: what was joined, or why not.

    several: whether there are such columns, of which several or none may be 1.
    """

    parts: Mapping[str, Rows]
    target: str | None
    reason: str
    several: bool = False


def joined(parts: Mapping[str, Rows], columns: Sequence[Column], taken: Sequence[str]) -> OneHot | None:
    """The target that columns of 0 and 1 make together; None where another column is named as a target is.

    taken: columns that are named for something else.
    """
    binary = [
        column.name
        for column in columns
        if column.name not in taken and _is_binary(column) and not says_parts(column.name)
    ]
    if not 2 <= len(binary) <= _MOST_COLUMNS:
        return None
    table = parts["train"].table
    group = _exclusive(table, binary)
    for column in named_targets(columns, set(taken)):
        if column.name not in (group or ()) or column.name.lower() in TARGETS:
            return None
    if group is None:
        return OneHot(
            parts, None, f"{_listed(binary)} hold 0 and 1 each, and {_counted(table, binary)}", several=True
        )
    for rows in parts.values():
        present = [name for name in group if name in rows.table.column_names]
        if present and (len(present) < len(group) or bool((_sums(rows.table, group) != 1).any())):
            how = f"in {rows.read_as.source}, which has {len(present)} of them, {_counted(rows.table, present)}"
            return OneHot(parts, None, f"{_listed(group)} hold 0 and 1 each, and {how}", several=True)
    prefix = re.sub(r"[^\W_]*$", "", os.path.commonprefix(group)) if len(group) > 1 else ""
    names = [name.removeprefix(prefix) for name in group]
    target = _free_name(re.sub(r"[\W_]+$", "", prefix) or "label", table.column_names)
    note = f"{_listed(group)} of 0 and 1, of which one is 1 in every row, joined to {target!r}"
    made = {part: _joined(rows, group, names, target) for part, rows in parts.items()}
    made["train"] = made["train"].noting(f"{note} (--target names another)")
    return OneHot(made, target, "it is joined from columns of 0 and 1")


def _is_binary(column: Column) -> bool:
    if column.missing or column.distinct != 2:
        return False
    return column.kind == "boolean" or (
        column.kind == "number" and column.whole and (column.low, column.high) == (0, 1)
    )


def _marks(column: pa.ChunkedArray) -> Marks:
    numbers = numeric_values(column)
    if numbers is not None:
        return np.asarray(numbers == 1)
    return np.asarray(pc.equal(pc.utf8_lower(as_text(column)), "true").to_numpy(zero_copy_only=False), np.bool_)


def _sums(table: pa.Table, names: Sequence[str]) -> Codes:
    """How many of the columns are 1 in every row."""
    sums = np.zeros(table.num_rows, np.int64)
    for name in names:
        sums += _marks(table[name])
    return sums


def _exclusive(table: pa.Table, names: Sequence[str]) -> list[str] | None:
    """The columns of which exactly one is 1 in every row: all, or some that begin alike, or neighbours."""
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(re.split(r"[\W_]", name, maxsplit=1)[0], []).append(name)
    first = np.cumsum(
        [np.zeros(min(table.num_rows, _FIRST_ROWS)), *(_marks(table[n][:_FIRST_ROWS]) for n in names)], 0
    )
    neighbours = (
        list(names[start:end])
        for start in range(len(names))
        for end in range(len(names), start + 2, -1)
        if (first[end] - first[start] == 1).all()
    )
    for group in (list(names), *families.values(), *islice(neighbours, _MOST_RUNS)):
        if len(group) > 1 and bool((_sums(table, group) == 1).all()):
            return group
    return None


def _counted(table: pa.Table, names: Sequence[str]) -> str:
    sums = _sums(table, names)
    return f"in {int((sums > 1).sum()):,} rows several are 1, in {int((sums == 0).sum()):,} none"


def _joined(rows: Rows, group: Sequence[str], names: Sequence[str], target: str) -> Rows:
    if group[0] not in rows.table.column_names:
        return rows
    which = np.zeros(rows.table.num_rows, np.int64)
    for number, name in enumerate(group):
        which[_marks(rows.table[name])] = number
    place = rows.table.column_names.index(group[0])
    labels = pa.chunked_array([pa.DictionaryArray.from_arrays(which, pa.array(names)).dictionary_decode()])
    left = rows.table.drop_columns(list(group))
    return replace(rows, table=left.add_column(min(place, left.num_columns), target, labels))


def _free_name(name: str, taken: Sequence[str]) -> str:
    return name if name not in taken else _free_name(f"{name}_joined", taken)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"the columns {', '.join(map(repr, names[:_LISTED]))}{more}"
