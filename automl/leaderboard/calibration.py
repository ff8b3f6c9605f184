"""Whether a contender that says '90% sure' is right in nine of ten such cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from automl.metrics import Labels, Scores

BINS = 10


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Test rows whose confidence (the probability of the class that was named) fell into one tenth.

    rows: mean number over the trainings. confidence, right: mean share over those rows.
    """

    low: float
    high: float
    rows: float
    confidence: float
    right: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """error: the expected calibration error, mean over the trainings; 0.05 is five points off on average."""

    error: float
    bins: tuple[Bin, ...]

    def to_json(self) -> dict[str, Any]:
        return {"error": round(self.error, 6), "bins": [asdict(one) for one in self.bins]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        return cls(error=values["error"], bins=tuple(Bin(**one) for one in values["bins"]))


def calibration_of(labels: Labels, predictions: Sequence[Scores]) -> Calibration:
    """Reliability in ten equal steps of confidence; steps without rows are left out.

    predictions: one array of shape (rows, classes) a training; at least one.
    Source: Guo et al. 2017 (ECE on the class that was named). Read with its rows: with few, ECE is biased up.
    """
    sure = np.stack([one.max(axis=1).astype(np.float64) for one in predictions])
    right = np.stack([one.argmax(axis=1) == labels for one in predictions])
    # the last step holds 1.0 too
    places = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    errors = np.zeros(len(predictions))
    bins = []
    for step in range(BINS):
        here = places == step
        if not here.any():
            continue
        gaps = np.abs(((sure - right) * here).sum(axis=1))
        errors += gaps / len(labels)
        bins.append(
            Bin(
                low=step / BINS,
                high=(step + 1) / BINS,
                rows=round(float(here.sum()) / len(predictions), 4),
                confidence=round(float(sure[here].mean()), 6),
                right=round(float(right[here].mean()), 6),
            )
        )
    return Calibration(error=float(errors.mean()), bins=tuple(bins))
