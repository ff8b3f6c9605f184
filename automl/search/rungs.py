"""ASHA's decisions for one contender: which trials go on past a rung.

Asynchronous successive halving in its stopping form (Li et al. 2018, arXiv 1810.05934): at a rung a trial goes on
when it is among the best 1/eta of those that have come so far. Differences from Ray's AsyncHyperBandScheduler:
a value within one standard error of the cut counts as tied and goes on; the first trials (the literature's
defaults) are never stopped; a rung takes only the report made exactly at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

ETA = 3


def milestones(horizon_samples: int, eta: int = ETA) -> tuple[int, ...]:
    """The rungs: one third of the horizon, and the horizon.

    A single cut with a long grace period: at 4 to 24 trials, cutting at a ninth keeps the best trial less often
    and saves little more (methods: grace R/3 for small data and for schedules that unfreeze late).
    """
    return (max(1, horizon_samples // eta), horizon_samples)


def rungs_of(recipe: Mapping[str, Any], rungs: tuple[int, ...]) -> tuple[int, ...]:
    """The rungs at which a trial of this recipe is compared: the horizon, and those after its last release.

    Before it, blocks that are still frozen would be compared with blocks that learnt from the start, and a
    recipe that unfreezes late would be stopped for being slow, not for being worse (methods: r >= (h + g) R).
    """
    released = (recipe["head_only_share"] + recipe["release_share"]) * rungs[-1]
    return tuple(rung for rung in rungs if rung >= released or rung == rungs[-1])


class Rungs:
    """Values seen at each rung of one contender."""

    def __init__(self, rungs: tuple[int, ...], higher_is_better: bool, protected: int, eta: int = ETA) -> None:
        """protected: trials numbered below it are never stopped."""
        self._eta, self._sign, self._protected = eta, 1.0 if higher_is_better else -1.0, protected
        self._horizon = rungs[-1]
        self._values: dict[int, dict[int, float]] = {rung: {} for rung in rungs}

    def goes_on(self, number: int, rung: int, value: float, error: float) -> bool:
        """Record trial `number`'s value at a rung and decide. error: standard error of the value."""
        self.record(number, rung, value)
        seen = self._values[rung]
        if rung >= self._horizon or number < self._protected or len(seen) < self._eta:
            return True
        cut = float(np.percentile([self._sign * v for v in seen.values()], (1 - 1 / self._eta) * 100))
        return self._sign * value >= cut - error

    def record(self, number: int, rung: int, value: float) -> None:
        """Enter a value without a decision (a trial of an interrupted run)."""
        if rung not in self._values:
            raise ValueError(f"{rung} samples is no rung; rungs are {', '.join(map(str, self._values))}")
        self._values[rung][number] = value

    def values(self, rung: int) -> dict[int, float]:
        return dict(self._values[rung])
