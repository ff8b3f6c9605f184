"""How well each class is found, from the counts of what was called what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.types import ClassScore

MOST_CLASSES = 100
"""Of more classes than this a row tells the weakest; scores.json has the counts of all."""


def class_scores(confusion: NDArray[Any], classes: Sequence[str]) -> tuple[ClassScore, ...]:
    """Precision, recall and F1 of every class, the weakest recall first; classes without test rows last.

    confusion: shape (classes, classes), rows are true; mean counts over trainings are welcome.
    """
    hits, real, said = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)

    def share(part: float, whole: float) -> float | None:
        return round(float(part / whole), 6) if whole > 0 else None

    found = [
        ClassScore(
            name=name,
            rows=round(float(real[k])),
            precision=share(hits[k], said[k]),
            recall=share(hits[k], real[k]),
            f1=share(2 * hits[k], real[k] + said[k]),
        )
        for k, name in enumerate(classes)
    ]
    return tuple(sorted(found, key=lambda one: 2.0 if one.recall is None else one.recall))


def worst_class(scores: Sequence[ClassScore]) -> ClassScore | None:
    """The class of which most is missed; None where no class has test rows."""
    return next((one for one in scores if one.recall is not None), None)


def class_table(confusion: NDArray[Any], classes: Sequence[str]) -> list[tuple[str, ...]]:
    """The same as words: class, rows, precision, recall and F1 in percent."""
    return [
        (one.name, f"{one.rows:,}", *(_percent(value) for value in (one.precision, one.recall, one.f1)))
        for one in class_scores(confusion, classes)
    ]


def _percent(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value * 100:.1f}"
