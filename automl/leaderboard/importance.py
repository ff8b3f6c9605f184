"""Which hyperparameters mattered in a search, and on what scale each was searched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from automl.metrics import Metric
from automl.types import TrialResult

Floats = NDArray[np.float64]

FEWEST = 10
"""With fewer whole trials a forest explains chance."""
_WORTH = 0.1
"""A forest that explains less than this share of what it has not seen tells nothing of the search."""
_ZERO_GAP = 0.15
"""Where a logarithmic range includes zero, zero stands at 0 and the range begins here."""
_TREES, _POINTS, _GRID = 128, 256, 24


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A searched hyperparameter as an axis from 0 to 1: the scale on which it was drawn.

    ticks: (position, text), from left to right.
    """

    name: str
    low: float
    high: float
    log: bool
    or_zero: bool
    choices: tuple[Any, ...]

    @classmethod
    def of(cls, parameter: Mapping[str, Any], values: Sequence[Any]) -> Self:
        """From a parameter of a search space; `values` of the trials outside of the range widen it."""
        choices = tuple(parameter.get("choices") or ())
        low, high, log = 0.0, 1.0, bool(parameter.get("log"))
        if choices:
            choices += tuple(dict.fromkeys(value for value in values if value not in choices))
        else:
            told = [float(one) for one in values if isinstance(one, int | float) and (one > 0 or not log)]
            low, high = min([parameter["low"], *told]), max([parameter["high"], *told])
        or_zero = log and (bool(parameter.get("or_zero")) or 0 in values)
        return cls(name=parameter["name"], low=low, high=high, log=log, or_zero=or_zero, choices=choices)

    def position(self, value: Any) -> float | None:
        """Where a value stands from 0 to 1; None for what does not stand on this axis."""
        if self.choices:
            last = len(self.choices) - 1
            return (self.choices.index(value) / last if last else 0.5) if value in self.choices else None
        if not isinstance(value, int | float):
            return None
        if self.log:
            start = _ZERO_GAP if self.or_zero else 0.0
            if value <= 0:
                return 0.0 if self.or_zero else None
            share = math.log(value / self.low) / math.log(self.high / self.low) if self.high > self.low else 0.5
            return start + (1 - start) * share
        return (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5

    @property
    def ticks(self) -> list[tuple[float, str]]:
        values: list[Any] = list(self.choices)
        if not values:
            middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
            values = [0.0] * self.or_zero + [self.low, middle, self.high]
        places = [(self.position(value), value) for value in values]
        return [(place, f"{v:.2g}" if isinstance(v, float) else str(v)) for place, v in places if place is not None]


@dataclass(frozen=True, kw_only=True)
class Importance:
    """What share of the scores' variance over the search space each hyperparameter explains alone.

    shares: (name, share, lower and upper quartile over the trees), the largest first; empty where the
    trials cannot tell, and `why_not` says so. together: the share that only combinations explain.
    """

    contender: str
    trials: int
    shares: tuple[tuple[str, float, float, float], ...] = ()
    together: float = 0.0
    explained: float = 0.0
    why_not: str = ""


def whole_trials(trials: Sequence[TrialResult], contender: str) -> list[TrialResult]:
    """The search's trials of a contender that were trained to their end and scored."""
    own = [trial for trial in trials if trial.contender == contender and trial.kind == "trial"]
    return [trial for trial in own if trial.status == "completed" and trial.validation is not None]


def scales(space: Mapping[str, Any], trials: Sequence[TrialResult]) -> list[Scale]:
    """The searched hyperparameters of a space, in its order; one whose ranges have conditions on all of them."""
    found: dict[str, Scale] = {}
    for parameter in space.get("parameters", ()):
        values = [trial.recipe[parameter["name"]] for trial in trials if parameter["name"] in trial.recipe]
        if values and parameter["name"] not in found:  # the values of other ranges widen the first one's
            found[parameter["name"]] = Scale.of(parameter, values)
    return list(found.values())


def importance(
    contender: str, space: Mapping[str, Any], trials: Sequence[TrialResult], metric: Metric, seed: int = 0
) -> Importance:
    """Functional ANOVA of a random forest over a contender's whole trials, main effects only.

    Trials that were stopped early have no score at the horizon, so they are left out.
    Source: Hutter, Hoos & Leyton-Brown 2014; the marginals are sampled, not integrated.
    """
    whole = whole_trials(trials, contender)
    axes = [axis for axis in scales(space, whole) if len({str(trial.recipe[axis.name]) for trial in whole}) > 1]
    if len(whole) < FEWEST:
        few = f"{len(whole)} whole trial{'' if len(whole) == 1 else 's'}: too few to tell ({FEWEST} are needed)"
        return Importance(contender=contender, trials=len(whole), why_not=few)
    if not axes:
        return Importance(contender=contender, trials=len(whole), why_not="no hyperparameter took two values")
    places = [[axis.position(trial.recipe[axis.name]) for axis in axes] for trial in whole]
    inputs = np.array([[0.5 if place is None else place for place in line] for line in places])
    scores = np.array([trial.validation for trial in whole], dtype=np.float64) * metric.points
    if scores.std() == 0:
        return Importance(contender=contender, trials=len(whole), why_not="every whole trial scored the same")
    return _analysis(contender, axes, inputs, scores, seed)


def _analysis(contender: str, axes: Sequence[Scale], inputs: Floats, scores: Floats, seed: int) -> Importance:
    from sklearn.ensemble import RandomForestRegressor  # costs a second that a board without a search saves

    forest = RandomForestRegressor(_TREES, max_features=0.7, oob_score=True, bootstrap=True, random_state=seed)
    forest.fit(inputs, scores)
    explained = float(forest.oob_score_)
    if explained < _WORTH:
        weak = "their hyperparameters do not predict the score of a trial that was held out; chance is as likely"
        return Importance(contender=contender, trials=len(scores), explained=explained, why_not=weak)
    random = np.random.default_rng(seed)
    points = np.column_stack([_drawn(axis, random, _POINTS) for axis in axes])
    single = np.array([_shares(tree, axes, points) for tree in forest.estimators_])
    single = single[np.isfinite(single).all(axis=1)]  # a tree without a split has no variance to share out
    low, mean, high = np.quantile(single, 0.25, axis=0), single.mean(axis=0), np.quantile(single, 0.75, axis=0)
    shares = [(axis.name, float(mean[k]), float(low[k]), float(high[k])) for k, axis in enumerate(axes)]
    return Importance(
        contender=contender,
        trials=len(scores),
        shares=tuple(sorted(shares, key=lambda share: -share[1])),
        together=max(0.0, 1.0 - float(mean.sum())),
        explained=explained,
    )


def _drawn(axis: Scale, random: np.random.Generator, number: int) -> Floats:
    """Positions as the search's own prior would draw them."""
    if axis.choices:
        return random.integers(0, len(axis.choices), number) / max(len(axis.choices) - 1, 1)
    return random.random(number)


def _grid(axis: Scale) -> Floats:
    if axis.choices:
        return np.arange(len(axis.choices)) / max(len(axis.choices) - 1, 1)
    return (np.arange(_GRID) + 0.5) / _GRID


def _shares(tree: Any, axes: Sequence[Scale], points: Floats) -> Floats:
    """Variance of each axis's marginal over the variance of the whole tree, shape (axes,)."""
    blocks, grids = [points], [_grid(axis) for axis in axes]
    for number, grid in enumerate(grids):
        block = np.repeat(points, len(grid), axis=0)
        block[:, number] = np.tile(grid, len(points))
        blocks.append(block)
    told = np.split(tree.predict(np.vstack(blocks)), np.cumsum([len(block) for block in blocks])[:-1])
    total = float(told[0].var())
    if total <= 0:
        return np.full(len(axes), np.nan)
    # points that the sample happens to miss can make a marginal vary more than the whole
    return np.array([min(float(one.reshape(len(points), -1).mean(axis=0).var()) / total, 1.0) for one in told[1:]])
