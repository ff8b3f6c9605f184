"""ASHA's decisions for one contender: which trials go on past a rung.

Asynchronous successive halving in its stopping form (Li et al. 2018, arXiv 1810.05934): at a rung a trial goes on
when it is among the best 1/eta of those that have come so far. Differences from Ray's AsyncHyperBandScheduler:
a value within one standard error of the cut counts as tied and goes on; the first trials (the literature's
defaults) are never stopped; a rung takes only the report made exactly at it, and none that is no number; a trial is
compared only after its last layer was released; a rung that foretells the end badly stops nobody.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

ETA = 3
FEWEST_WHOLE = 6
"""So many whole trials before a rung's foresight is judged: a rank correlation of fewer is mostly chance."""
WEAKEST_TAU = 0.4
"""A rung whose order agrees less with the final one than this (Kendall's tau) would stop the wrong trials."""


def milestones(horizon_samples: int, eta: int = ETA) -> tuple[int, ...]:
    """The rungs: one third of the horizon, two thirds, and the horizon.

    The first is late: a cut at a ninth would pay only after a pilot of six to eight whole trials has shown that
    values so early tell the order at the end; of the 12 trials of a usual search hardly any would be left to save
    on, and at so few trials it keeps the best one less often. At the second, trials that tied at the first are
    compared again, and those that unfreeze late for the first time (`rungs_of`).
    """
    rungs = {max(1, horizon_samples * step // eta) for step in range(1, eta)}
    return tuple(sorted(rungs | {horizon_samples}))


def rungs_of(recipe: Mapping[str, Any], rungs: tuple[int, ...]) -> tuple[int, ...]:
    """The rungs at which a trial of this recipe is compared: the horizon, and those after its last release.

    Before it, blocks that are still frozen would be compared with blocks that learnt from the start, and a
    recipe that unfreezes late would be stopped for being slow, not for being worse (methods: r >= (h + g) R).
    Raising the rungs of all instead would let one late schedule take the saving from every other trial.
    """
    released = (recipe["head_only_share"] + recipe["release_share"]) * rungs[-1]
    return tuple(rung for rung in rungs if rung >= released or rung == rungs[-1])


@dataclass(frozen=True, kw_only=True)
class Foresight:
    """How far the order at a rung agrees with the order at the horizon.

    trials: whole trials that both values are known of. kendall_tau: None where there are fewer than two, or all tie.
    stops: whether the rung stops trials.
    """

    rung: int
    trials: int
    kendall_tau: float | None
    stops: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Rungs:
    """Values seen at each rung of one contender."""

    def __init__(self, rungs: tuple[int, ...], higher_is_better: bool, protected: int, eta: int = ETA) -> None:
        """protected: trials numbered below it are never stopped."""
        self._eta, self._sign, self._protected = eta, 1.0 if higher_is_better else -1.0, protected
        self._below, self._horizon = rungs[:-1], rungs[-1]
        self._values: dict[int, dict[int, float]] = {rung: {} for rung in rungs}
        self._final: dict[int, float] = {}
        self._blind: set[int] = set()

    def goes_on(self, number: int, rung: int, value: float, error: float) -> bool:
        """Record trial `number`'s value at a rung and decide. error: standard error of the value."""
        if not math.isfinite(value):
            return False  # compared with a cut, no-number is neither above nor below it
        self.record(number, rung, value)
        seen = self._values[rung]
        if rung >= self._horizon or number < self._protected or len(seen) < self._eta or rung in self._blind:
            return True
        cut = float(np.percentile([self._sign * v for v in seen.values()], (1 - 1 / self._eta) * 100))
        return self._sign * value >= cut - error

    def record(self, number: int, rung: int, value: float) -> None:
        """Enter a value without a decision (a trial of an interrupted run)."""
        if rung not in self._values:
            raise ValueError(f"{rung} samples is no rung; rungs are {', '.join(map(str, self._values))}")
        self._values[rung][number] = value

    def settle(self, number: int, value: float) -> tuple[Foresight, ...]:
        """Take the final value of a whole trial; the rungs that stop nobody from here on, having foretold it badly.

        Called in the order in which trainings ended, so that a resumed search comes to the same.
        """
        self._final[number] = value
        found = []
        for rung in self._below:
            if rung not in self._blind and self._tau_is_weak(rung):
                self._blind.add(rung)
                found.append(self.foresight(rung))
        return tuple(found)

    def _tau_is_weak(self, rung: int) -> bool:
        found = self.foresight(rung)
        return found.trials >= FEWEST_WHOLE and found.kendall_tau is not None and found.kendall_tau < WEAKEST_TAU

    def foresight(self, rung: int) -> Foresight:
        """How well a rung foretold the end, told by the trials that were not stopped.

        Those that were stopped have no final value. Without them the values lie closer together, which makes tau
        smaller rather than larger: the error is on the side of stopping nobody.
        """
        from scipy.stats import kendalltau

        first, last = self._values[rung], self._final
        both = [number for number in last if number in first]
        tau: float | None = None
        if len(both) > 1:
            tau = float(kendalltau([first[n] for n in both], [last[n] for n in both]).statistic)
        known = tau is not None and math.isfinite(tau)
        return Foresight(
            rung=rung, trials=len(both), kendall_tau=tau if known else None, stops=rung not in self._blind
        )

    @property
    def foresights(self) -> tuple[Foresight, ...]:
        """Of every rung before the horizon."""
        return tuple(self.foresight(rung) for rung in self._below)

    def values(self, rung: int) -> dict[int, float]:
        return dict(self._values[rung])
