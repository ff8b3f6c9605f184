"""How sure a score and a difference are, and which rows tie.

The model behind every interval: a score varies with the seed of the training and with the test rows, and
the seeds of one contender share their test rows. Both are random effects, crossed. Their variances add up
(Obuchowski & Rockette 1995), and few seeds are paid for with a t quantile whose degrees of freedom follow
Hillis 2007, with a Satterthwaite term for the rows. A plain bootstrap over three seeds would cover the
truth in about 75% of cases instead of 95%.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

Floats = NDArray[np.float64]

LEVEL = 0.95
ALPHA = 0.05
POWER = 0.8
ASSUMED_SEED_SD = 0.01
"""With one seed nothing tells how much seeds matter; one point is what published fine-tunings show."""
FEW_ROWS = 30
"""Below this many rows that tell two contenders apart, the normal approximation is checked exactly."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The scores of one row of the board, higher is better, with what they owe to the test rows.

    scores: shape (seeds,). deviations: shape (seeds, columns), see resampling.py. rows: test rows.
    deterministic: no seed changes it (a baseline); its one score stands for every seed.
    per_row: the columns of `deviations` are the test rows themselves.
    """

    name: str
    seeds: tuple[int, ...]
    scores: Floats
    deviations: Floats
    rows: int
    deterministic: bool = False
    per_row: bool = False

    @property
    def mean(self) -> float:
        return float(self.scores.mean())

    def on(self, seeds: Sequence[int]) -> Sample:
        """The same row on these seeds only; a deterministic one repeats itself."""
        if self.deterministic:
            picked = [0] * len(seeds)
        else:
            picked = [self.seeds.index(seed) for seed in seeds]
        chosen = self.scores[picked], self.deviations[picked]
        return replace(self, seeds=tuple(seeds), scores=chosen[0], deviations=chosen[1])


@dataclass(frozen=True, kw_only=True)
class Interval:
    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`better` minus `worse`, paired on shared seeds and test rows; above zero is for `better`.

    adjusted: the p value after Holm's correction within its family.
    detectable: the smallest true difference that these seeds and rows would show in 80% of repeats.
    """

    better: str
    worse: str
    difference: float
    low: float
    high: float
    p_value: float
    adjusted: float
    separable: bool
    detectable: float


@dataclass(frozen=True, kw_only=True)
class _Spread:
    variance: float
    freedom: float

    @property
    def quantile(self) -> float:
        return float(stats.t.ppf((1 + LEVEL) / 2, self.freedom))


def _spread(scores: Floats, deviations: Floats, rows: int, deterministic: bool, few: float) -> _Spread:
    """Variance of the mean score over new seeds and new test rows, with its degrees of freedom.

    few: the variance of seeds to assume where there is one seed only.
    """
    seeds = len(scores)
    mean_row = deviations.mean(axis=0)
    of_rows = float(mean_row @ mean_row)
    if deterministic:
        return _Spread(variance=of_rows, freedom=max(rows - 1.0, 1.0))
    if seeds == 1:
        return _Spread(variance=of_rows + few, freedom=max(rows - 1.0, 1.0))
    of_seeds = float(scores.var(ddof=1)) / seeds
    one_seed = float((deviations**2).sum(axis=1).mean())
    both = max(one_seed - of_rows, 0.0) / (seeds - 1)  # seeds x rows, which each of the two holds once
    common = max(of_rows - both, 0.0)
    variance = max(of_seeds + common, of_rows)
    if variance <= 0:
        return _Spread(variance=0.0, freedom=seeds - 1.0)
    known = of_seeds**2 / (seeds - 1) + common**2 / max(rows - 1.0, 1.0)
    freedom = variance**2 / known if known > 0 else max(rows - 1.0, 1.0)
    return _Spread(variance=variance, freedom=float(np.clip(freedom, seeds - 1.0, 1e6)))


def mean_interval(sample: Sample, bounds: tuple[float, float] | None = (0.0, 1.0)) -> Interval:
    """95% interval of the expected score over new seeds and new test rows.

    bounds: the range of the metric, which the interval then never leaves (Wilson's form, with the number
    of rows that would give the same variance); None for a metric without a range.
    """
    few = 0.0 if sample.deterministic else ASSUMED_SEED_SD**2
    spread = _spread(sample.scores, sample.deviations, sample.rows, sample.deterministic, few)
    mean, quantile = sample.mean, spread.quantile
    if bounds is None:
        half = quantile * float(np.sqrt(spread.variance))
        return Interval(mean=mean, low=mean - half, high=mean + half)
    low, high = bounds
    share = float(np.clip((mean - low) / (high - low), 0.0, 1.0))
    variance = spread.variance / (high - low) ** 2
    if variance <= 0 and 0 < share < 1:
        return Interval(
            mean=mean, low=mean, high=mean
        )  # no rows move it, as the AUROC of a constant is a half on all
    # no row was wrong, or none right: as sure as that many rows can make it, and no surer
    rows = share * (1 - share) / variance if 0 < share < 1 else float(sample.rows)
    squared = quantile**2
    centre = (share + squared / (2 * rows)) / (1 + squared / rows)
    half = quantile / (1 + squared / rows) * np.sqrt(share * (1 - share) / rows + squared / (4 * rows**2))
    ends = [float(np.clip(end, 0.0, 1.0)) * (high - low) + low for end in (centre - half, centre + half)]
    return Interval(mean=mean, low=min(ends[0], mean), high=max(ends[1], mean))


def compare(better: Sample, worse: Sample, margin: float = 0.0) -> Comparison:
    """`better` minus `worse` with a 95% interval and a two-sided p value, before any correction.

    margin: a difference of at most this much is no difference in practice, however sure it is.
    """
    one, other = _paired(better, worse)
    scores, deviations = one.scores - other.scores, one.deviations - other.deviations
    both_fixed = better.deterministic and worse.deterministic
    trained = (not better.deterministic) + (not worse.deterministic)
    spread = _spread(scores, deviations, better.rows, both_fixed, trained * ASSUMED_SEED_SD**2)
    difference, error = float(scores.mean()), float(np.sqrt(spread.variance))
    if error > 0:
        p_value = float(2 * stats.t.sf(abs(difference) / error, spread.freedom))
    else:
        p_value = 1.0 if difference == 0 else 0.0
    if p_value < ALPHA and better.per_row and worse.per_row:  # a tie needs no second opinion
        p_value = max(p_value, _exact(difference, deviations, better.rows))
    half = spread.quantile * error
    return Comparison(
        better=better.name,
        worse=worse.name,
        difference=difference,
        low=difference - half,
        high=difference + half,
        p_value=p_value,
        adjusted=p_value,
        separable=p_value < ALPHA and abs(difference) > margin,
        detectable=float((spread.quantile + stats.norm.ppf(POWER)) * error),
    )


def _paired(one: Sample, other: Sample) -> tuple[Sample, Sample]:
    if one.deterministic and other.deterministic:
        return one, other
    if one.deterministic or other.deterministic:
        seeds = other.seeds if one.deterministic else one.seeds
    else:
        seeds = tuple(seed for seed in one.seeds if seed in other.seeds)
    if not seeds:  # nothing is shared: pairing in the order of the seeds is as good as any
        count = min(len(one.seeds), len(other.seeds))
        return one.on(one.seeds[:count]), other.on(other.seeds[:count])
    return one.on(seeds), other.on(seeds)


def _exact(difference: float, deviations: Floats, rows: int) -> float:
    """Paired permutation test on the rows that tell two contenders apart; 0 where there are many of them.

    The rows' differences are recovered from the deviations, averaged over the seeds.
    """
    values = deviations.mean(axis=0) * np.sqrt(rows * (rows - 1.0)) + difference
    values = values[np.abs(values) > 1e-9]
    if len(values) >= FEW_ROWS:
        return 0.0
    if len(values) < 2:
        return 1.0
    found = stats.permutation_test(
        (values, np.zeros_like(values)),
        lambda a, b, axis: (a - b).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=5_000,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def holm(comparisons: Sequence[Comparison], margin: float) -> list[Comparison]:
    """The comparisons of one family, corrected for being many (Holm 1979)."""
    raw = [one.p_value for one in comparisons]
    adjusted = multipletests(raw, alpha=ALPHA, method="holm")[1] if len(raw) > 1 else raw
    return [
        replace(one, adjusted=float(p), separable=bool(p < ALPHA and one.difference > margin))
        for one, p in zip(comparisons, adjusted, strict=True)
    ]


def tie_groups(samples: Sequence[Sample], margin: float) -> tuple[list[list[Sample]], list[Comparison]]:
    """Rows that cannot be told from the best one, then the same for the rest, until none is left.

    samples: in falling order of their mean. margin: in the metric's unit.
    Also returns the comparisons that decided: each group's first row against all rows after it.
    """
    # every pair is in the family, because the first row of a group was picked for being lucky too
    pairs = [(one, other) for place, one in enumerate(samples) for other in samples[place + 1 :]]
    family = holm([compare(one, other, margin) for one, other in pairs], margin)
    by_rows = {(one.better, one.worse): one for one in family}
    waiting, groups, made = list(samples), [], []
    while waiting:
        first, *rest = waiting
        decisive = [by_rows[first.name, other.name] for other in rest]
        made += decisive
        told = {one.worse for one in decisive if one.separable}
        groups.append([first, *(other for other in rest if other.name not in told)])
        waiting = [other for other in rest if other.name in told]
    return groups, made
