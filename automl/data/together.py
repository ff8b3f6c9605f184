"""Rows that belong on one side of a cut: those of one author, patient or review, and near duplicates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from automl.data.columns import Codes, Column, as_text, blank, codes_of, fold_space, numeric_values, to_mask
from automl.data.leakage import Keyed, first_rows
from automl.data.near import chained
from automl.errors import DataError
from automl.types import Finding

_LARGEST_SHARE = 0.05
_FEWEST_UNITS = 3
_STEM = r"^(.+)[_\-/:#][^_\-/:#]+$"  # review_7 of "review_7_3"
_GROUP_NAME = re.compile(
    r"(^|[^a-z])(authors?|users?|patients?|subjects?|groups?|speakers?|sessions?|customers?|documents?|doc|reviewer|"
    r"participants?|threads?|conversations?)([^a-z]|$)",
    re.IGNORECASE,
)


def groups_of(values: pa.ChunkedArray) -> tuple[pa.ChunkedArray, bool]:
    """The group of every row, null where there is none, and whether it is only a part of the value.

    Where every row has a value of its own, such as 12_3, its group is what stands before the last separator.
    """
    text = fold_space(as_text(values))
    text = pc.if_else(pa.array(blank(text)), None, text)
    present = text.drop_null()
    if len(present) and pc.count_distinct(present).as_py() == len(present) and (stem := stems(present)) is not None:
        return pc.replace_substring_regex(text, _STEM, r"\1"), stem < len(present)
    return text, False


def stems(present: pa.ChunkedArray) -> int | None:
    """How many different stems such as 12 of 12_3 the values have; None where nearly all are not of this form."""
    if pc.mean(pc.match_substring_regex(present, _STEM).cast(pa.float64())).as_py() < 0.95:
        return None
    return int(pc.count_distinct(pc.replace_substring_regex(present, _STEM, r"\1")).as_py())


def held_together(part: Keyed, near: Codes | None, group: str | None) -> Codes | None:
    """A number for every row, equal where rows must stay together; None where none must.

    near: equal where rows are nearly equal. A chain of near duplicates that takes in more than a twentieth of the
    rows is a template that many texts are made after: it is not held together, or nothing would be left to cut. Nor
    are the rows of a class that then could not be in all three parts.
    """
    rows = len(part.keys)
    pairs = []
    if near is not None:
        _, places, sizes = np.unique(near, return_inverse=True, return_counts=True)
        few = np.bincount(np.unique(np.stack((part.label_codes, near)), axis=1)[0]) < _FEWEST_UNITS
        where = (sizes[places] <= max(2, _LARGEST_SHARE * rows)) & ~part.blank & ~few[part.label_codes]
        pairs.append(_chain(near, where))
    if group is not None:
        values, _ = groups_of(part.rows.table[group])
        pairs.append(_chain(codes_of(values), ~to_mask(pc.is_null(values))))
    together = np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)
    return chained(rows, together) if len(together) else None


def _chain(codes: Codes, where: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Each row of `where` beyond the first of its code, with that first, shape (pairs, 2)."""
    rows = np.flatnonzero(where)
    _, first, places = np.unique(codes[rows], return_index=True, return_inverse=True)
    firsts = rows[first][places]
    other = rows != firsts
    return np.stack((rows[other], firsts[other]), axis=1)


def times_of(part: Keyed, column: str) -> npt.NDArray[np.float64]:
    """When every row was, as numbers that grow. Raises DataError where the column does not tell it."""
    values = part.rows.table[column]
    if pa.types.is_temporal(values.type):
        values = values.cast(pa.int32() if values.type.bit_width == 32 else pa.int64())  # the count behind it
    numbers = numeric_values(values)
    if numbers is None:
        import pandas

        text = as_text(values).to_pandas()
        stamps = pandas.to_datetime(text, errors="coerce", format="mixed", utc=True)
        dates = np.where(stamps.isna(), np.nan, stamps.astype("int64").to_numpy(np.float64))
        plain = pandas.to_numeric(text, errors="coerce").to_numpy(np.float64)
        # numbers with a stray word among them are still numbers, dates with one still dates
        numbers = min(dates, plain, key=lambda found: int(np.isnan(found).sum()))
    unknown = ~np.isfinite(numbers)
    if unknown.any():
        first = int(np.flatnonzero(unknown)[0])
        raise DataError(
            f"{int(unknown.sum()):,} rows of {column!r} tell no time, the first in row {int(part.numbers[first]):,}: "
            f"{as_text(part.rows.table[column])[first].as_py()!r}",
            "a date or a number in every row",
            "Mend these rows, or choose another --time",
        )
    return np.asarray(numbers, np.float64)


def find_groups(keyed: Mapping[str, Keyed], columns: Sequence[Column], group: str | None) -> list[Finding]:
    """Rows of later parts whose group stands in an earlier one; unnamed, columns that look like groups."""
    train = keyed["train"]
    if group is None:
        return [finding for column in columns for finding in _candidate(train, column)]
    findings = []
    earlier, _ = groups_of(train.rows.table[group])
    for name, part in keyed.items():
        if name == "train" or group not in part.rows.table.column_names:
            continue
        own, _ = groups_of(part.rows.table[group])
        shared = to_mask(pc.is_in(own, pc.unique(earlier.drop_null())))
        if shared.any():
            findings.append(
                Finding(
                    kind="group_overlap",
                    severity="warn",
                    count=int(shared.sum()),
                    what=f"{name} rows whose {group!r} stands in an earlier part too",
                    suggestion="kept: these parts were given; the score may be too good for new groups",
                    rows=first_rows(part.numbers, shared),
                    part=part.name,
                )
            )
    return findings


def _candidate(train: Keyed, column: Column) -> list[Finding]:
    """A note where rows seem to belong together, which a cut by chance would part."""
    values = train.rows.table[column.name]
    rows = len(values) - as_text(values).null_count
    if column.kind == "id":
        count, what = stems(as_text(values).drop_null()), f"the part of {column.name!r} before the last separator"
    elif column.kind in ("category", "number", "text") and _GROUP_NAME.search(column.name):
        count, what = column.distinct, f"{column.name!r}"
    else:
        return []
    if count is None or not 2 <= count <= 0.7 * rows:
        return []
    return [
        Finding(
            kind="group_overlap",
            severity="warn",
            count=rows,
            what=f"{what} names {count:,} groups of rows, {rows / count:.1f} rows each on average",
            suggestion=f"parts cut by chance share groups; to keep each on one side say --group {column.name}",
        )
    ]
