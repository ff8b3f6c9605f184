"""The test rows that a contender gets wrong again and again, and is most sure of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from automl.metrics import Labels, Scores

SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A test row that most trainings get wrong.

    place: its place in the Arrow files of the test, from 0. true, called: class numbers; `called` is the wrong
    class named most often. wrong: trainings that got it wrong, of `trainings`. confidence: mean probability
    that they gave to the class they named.
    """

    place: int
    true: int
    called: int
    wrong: int
    trainings: int
    confidence: float


def confident_mistakes(labels: Labels, predictions: Sequence[Scores], shown: int = SHOWN) -> tuple[Mistake, ...]:
    """Up to `shown` rows that more than half of the trainings get wrong, the surest mistake first."""
    if not predictions:
        return ()
    named = np.stack([one.argmax(axis=1) for one in predictions])
    sure = np.stack([one.max(axis=1) for one in predictions]).astype(np.float64)
    wrong = named != labels
    often = np.flatnonzero(wrong.sum(axis=0) * 2 > len(predictions))
    confidence = (sure * wrong).sum(axis=0)[often] / wrong.sum(axis=0)[often]
    first = often[np.argsort(-confidence, kind="stable")][:shown]
    found = []
    for place in first:
        miss = wrong[:, place]
        found.append(
            Mistake(
                place=int(place),
                true=int(labels[place]),
                called=int(np.bincount(named[miss, place]).argmax()),
                wrong=int(miss.sum()),
                trainings=len(predictions),
                confidence=round(float(sure[miss, place].mean()), 4),
            )
        )
    return tuple(found)
