"""Numbers that stand for something else: a 999 or -1 that means "never" or "unknown" among measurements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from automl.data.columns import Column, numeric_values
from automl.data.guess import Roles
from automl.data.leakage import Keyed, first_rows
from automl.types import Finding

_SHARE = 0.01
_FEWEST_OTHERS = 5
"""A column of fewer other values holds codes, of which none is far from the rest."""


def find_sentinels(part: Keyed, columns: Sequence[Column], roles: Roles) -> list[Finding]:
    """A note for each value at an end of a column that a hundredth of the rows hold and nothing else is near to.

    Far from the rest: further than these are from each other; or the only value below zero, where that is -1, -9,
    -99 and so on.
    """
    findings = []
    for column in columns:
        if column.kind != "number" or column.name == roles.target or column.name in roles.inputs:
            continue
        numbers = numeric_values(part.rows.table[column.name])
        if numbers is None:
            continue
        values, counts = np.unique(numbers[np.isfinite(numbers)], return_counts=True)
        for place, others in ((0, values[1:]), (-1, values[:-1])):
            if len(others) < _FEWEST_OTHERS or counts[place] < max(2, _SHARE * len(numbers)):
                continue
            value = float(values[place])
            nearest, furthest = sorted((abs(float(others[0]) - value), abs(float(others[-1]) - value)))
            if value == int(value) and (nearest > furthest - nearest or (place == 0 and _is_code(value, others[0]))):
                where = numbers == value
                findings.append(
                    Finding(
                        kind="sentinel_values",
                        severity="note",
                        count=int(where.sum()),
                        what=f"{column.name!r} is {value:g} in many rows, and {others[0]:g} to {others[-1]:g} in all "
                        "others: it seems to stand for something that is no measurement",
                        suggestion="nothing is changed; write it as a missing value, or as a column of its own",
                        rows=first_rows(part.numbers, where),
                    )
                )
    return findings


def _is_code(value: float, next_value: float) -> bool:
    """-1, -9, -99, -999 ... below numbers that are never below zero."""
    return next_value >= 0 and (value == -1 or (value < 0 and set(f"{-value:.0f}") == {"9"}))
