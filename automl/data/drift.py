"""Whether a later part looks like the training rows: simple measures of every row, compared as distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from automl.data.columns import Column, as_text, codes_of, fold, numeric_values, word_counts
from automl.data.guess import Roles
from automl.data.images import Look
from automl.data.leakage import Keyed
from automl.types import Finding

FAR = 0.15
"""Distributions are told of from this distance on (Kolmogorov-Smirnov, or total variation of categories)."""
_BY_CHANCE = 1.95  # times sqrt((n + m) / nm): the Kolmogorov-Smirnov distance at a significance of 0.001
_FEWEST_ROWS = 50
_MOST_CATEGORIES = 50
Numbers = npt.NDArray[np.float64]


def find_drift(
    keyed: Mapping[str, Keyed], columns: Sequence[Column], roles: Roles, looks: Mapping[str, Sequence[Look]]
) -> list[Finding]:
    """One finding for each later part whose inputs or other columns are distributed otherwise than in train.

    The labels of a test are never looked at.
    """
    findings: list[Finding] = []
    if len(keyed) == 1:
        return findings
    train = _measures(keyed["train"], columns, roles, looks)
    for name, part in keyed.items():
        if name == "train" or min(len(part.keys), len(keyed["train"].keys)) < _FEWEST_ROWS:
            continue
        told = []
        for measure, values in _measures(part, columns, roles, looks).items():
            if measure not in train:
                continue
            distance = _distance(train[measure], values)
            if distance >= max(FAR, _chance(len(train[measure]), len(values))):
                told.append((distance, f"{measure} {_how(train[measure], values)} (distance {distance:.2f})"))
        if told:
            told.sort(key=lambda pair: -pair[0])
            findings.append(
                Finding(
                    kind="drift",
                    severity="warn",
                    count=len(part.keys),
                    what=f"{name} is not distributed as train is: {'; '.join(text for _, text in told[:6])}",
                    suggestion="nothing is changed; scores on it tell of rows that training saw few of",
                    part=name,
                )
            )
    return findings


def _measures(
    part: Keyed, columns: Sequence[Column], roles: Roles, looks: Mapping[str, Sequence[Look]]
) -> dict[str, Any]:
    """By name: numbers, or texts of categories, one a row."""
    found: dict[str, Any] = {}
    if part.name in looks:
        grey = [np.frombuffer(look.miniature, np.uint8) for look in looks[part.name] if look.miniature]
        found["brightness"] = np.array([values.mean() for values in grey])
        found["colour"] = np.array([look.colour for look in looks[part.name] if look.miniature])
        found["contrast"] = np.array([values.std() for values in grey])
    for column in columns:
        if column.name == roles.target or column.name not in part.rows.table.column_names or column.kind == "image":
            continue
        values = part.rows.table[column.name]
        if column.kind == "text" or column.name in roles.inputs:
            found[f"words of {column.name!r}"] = word_counts(as_text(values)).astype(np.float64)
        elif column.kind == "number" and (numbers := numeric_values(values)) is not None:
            found[f"{column.name!r}"] = numbers[np.isfinite(numbers)]
        elif column.kind in ("category", "boolean") and column.distinct <= _MOST_CATEGORIES:
            found[f"{column.name!r}"] = fold(as_text(values)).drop_null()
    return {name: values for name, values in found.items() if len(values) >= _FEWEST_ROWS}


def _chance(first: int, second: int) -> float:
    return float(_BY_CHANCE * np.sqrt((first + second) / (first * second)))


def _distance(before: Any, after: Any) -> float:
    if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
        values = np.union1d(before, after)
        shares = (np.searchsorted(np.sort(part), values, side="right") / len(part) for part in (before, after))
        return float(np.abs(np.subtract(*shares)).max())
    if isinstance(before, np.ndarray) or isinstance(after, np.ndarray):
        return 0.0  # numbers here and words there: told of as other columns are
    codes = codes_of(pa.chunked_array([chunk for part in (before, after) for chunk in part.chunks], pa.string()))
    counts = (np.bincount(part, minlength=codes.max() + 1) for part in (codes[: len(before)], codes[len(before) :]))
    return float(np.abs(np.subtract(*(count / count.sum() for count in counts))).sum() / 2)


def _how(before: Any, after: Any) -> str:
    if isinstance(before, np.ndarray):
        return f"median {np.median(before):.4g} there, {np.median(after):.4g} here"
    shares = [
        {p["values"]: p["counts"] / len(part) for p in part.value_counts().to_pylist()} for part in (before, after)
    ]
    most = max(
        shares[0].keys() | shares[1].keys(), key=lambda name: abs(shares[0].get(name, 0) - shares[1].get(name, 0))
    )
    return f"= {most!r} {shares[0].get(most, 0):.1%} there, {shares[1].get(most, 0):.1%} here"
