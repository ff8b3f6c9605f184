"""Columns that give the answer away: how well one column alone separates the classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from automl.data.columns import Codes, Column, as_text, codes_of, numeric_values
from automl.data.guess import Roles
from automl.data.leakage import Keyed
from automl.data.pieces import evenly, rows_at
from automl.types import Finding

REPAIR_AT, WARN_AT = 0.98, 0.80
_MOST_ROWS = 200_000
_MOST_CLASSES = 50
_FEWEST_ROWS = 50
_FOLDS = 5
Scores = npt.NDArray[np.float64]


def find_target_leaks(part: Keyed, columns: Sequence[Column], roles: Roles) -> list[Finding]:
    """A finding for each column, text inputs excepted, whose best one-vs-rest AUROC is 0.80 or more."""
    assert part.labels is not None
    labelled = np.flatnonzero(~part.unlabelled)
    if len(labelled) < _FEWEST_ROWS:
        return []
    if len(labelled) > _MOST_ROWS:
        labelled = labelled[evenly(len(labelled), _MOST_ROWS)]
    labels = rows_at(part.labels, labelled)
    classes = codes_of(labels)
    findings = []
    for column in columns:
        if column.name == roles.target or column.name in roles.inputs or column.kind in ("constant", "empty", "list"):
            continue
        area, name = _separation(rows_at(part.rows.table[column.name], labelled), column, classes)
        if area < WARN_AT:
            continue
        label = labels[int(np.argmax(classes == name))].as_py()
        findings.append(
            Finding(
                kind="target_leak",
                severity="repair" if area >= REPAIR_AT else "warn",
                count=part.rows.table.num_rows - column.missing,
                what=f"column {column.name!r} alone tells {roles.target!r} = {label!r} from the rest "
                f"with an AUROC of {area:.3f}",
                suggestion="not used; leave it out of any model unless it is known before the answer is",
            )
        )
    return findings


def _separation(values: pa.ChunkedArray, column: Column, classes: Codes) -> tuple[float, int]:
    """The best one-vs-rest AUROC and the class it was reached for."""
    frequent = np.argsort(-np.bincount(classes), kind="stable")[:_MOST_CLASSES]
    numbers = numeric_values(values) if column.kind in ("number", "id", "boolean") else None
    best = (0.0, 0)
    for scores in _rankings(values, numbers, column, classes, frequent):
        for name, score in scores:
            area = auroc(score, classes == name)
            # a number may fall where the class rises; a share learnt from other rows may not
            best = max(best, (max(area, 1 - area) if numbers is not None else area, int(name)))
    return best


def _rankings(
    values: pa.ChunkedArray,
    numbers: Scores | None,
    column: Column,
    classes: Codes,
    frequent: Codes,
) -> list[list[tuple[int, Scores]]]:
    found = []
    if numbers is not None:
        filled = np.where(np.isnan(numbers), np.nanmin(numbers) - 1, numbers)
        found.append([(int(name), filled) for name in frequent])
    if numbers is None or column.distinct <= 50:
        codes = codes_of(as_text(values))
        found.append([(int(name), _share_elsewhere(codes, classes == name)) for name in frequent])
    return found


def _share_elsewhere(codes: Codes, positive: npt.NDArray[np.bool_]) -> Scores:
    """Each row's share of the class among rows with its value, counted on the other folds.

    On its own fold every unique value, such as an id, would seem to know the answer.
    """
    folds = np.random.default_rng(0).permutation(len(codes)) % _FOLDS
    prior = positive.mean()
    scores = np.empty(len(codes))
    size = int(codes.max()) + 1
    rows, hits = np.bincount(codes, minlength=size), np.bincount(codes, weights=positive, minlength=size)
    for fold in range(_FOLDS):
        inside = folds == fold
        rows_elsewhere = rows - np.bincount(codes[inside], minlength=size)
        hits_elsewhere = hits - np.bincount(codes[inside], weights=positive[inside], minlength=size)
        share = (hits_elsewhere + prior) / (rows_elsewhere + 1)
        scores[inside] = share[codes[inside]]
    return scores


def auroc(scores: Scores, positive: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve: how often a positive row scores above a negative one; ties count half."""
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return 0.5
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))
