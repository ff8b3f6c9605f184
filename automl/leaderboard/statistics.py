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
from scipy.special import stdtr, stdtrit
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
class Spread:
    """The variance of a mean score (or of a difference of two) over new seeds and new test rows, in its parts.

    seeds: trainings, 0 where no seed changes anything. of_rows: what shrinks with more test rows; of_both: with more
    rows or seeds; of_seeds: with more seeds. It is estimated from few numbers and may come out below zero, at most
    by as much as `of_both` is above.
    """

    seeds: int
    rows: int
    of_seeds: float
    of_both: float
    of_rows: float

    @property
    def variance(self) -> float:
        return self.of_seeds + self.of_both + self.of_rows

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the variance: few where the seeds decide, many where the rows do (Satterthwaite)."""
        if self.seeds < 2:
            return self._many
        seen = self.of_seeds + self.of_both  # by how much the scores of the seeds themselves spread
        known = seen**2 / (self.seeds - 1) + self.of_rows**2 / self._many
        return float(np.clip(self.variance**2 / known if known > 0 else np.inf, self.seeds - 1.0, 1e6))

    @property
    def kinds(self) -> tuple[tuple[float, float], ...]:
        """(variance, degrees of freedom) of both seeds and rows, and of the rows alone, of which the wider counts.

        Seeds that agree by chance must not make a few test rows look like many.
        """
        return (max(self.variance, 0.0), self.freedom), (self.of_both + self.of_rows, self._many)

    def half(self, alpha: float = ALPHA) -> float:
        """Half the width of the 1 - alpha interval."""
        return max(t_quantile(freedom, alpha) * float(np.sqrt(variance)) for variance, freedom in self.kinds)

    def p_value(self, difference: float) -> float:
        """Of no difference, two-sided; below alpha where the interval of `half` leaves zero out."""
        if difference == 0:
            return 1.0
        errors = ((np.sqrt(variance), freedom) for variance, freedom in self.kinds)
        return max(
            2 * float(stdtr(freedom, -abs(difference) / error)) if error > 0 else 0.0 for error, freedom in errors
        )

    @property
    def error(self) -> float:
        """The standard error to plan with: seeds are not taken to make anything surer than it is."""
        return float(np.sqrt(max(self.of_seeds, 0.0) + self.of_both + self.of_rows))

    @property
    def _many(self) -> float:
        return max(self.rows - 1.0, 1.0)


def t_quantile(freedom: float, alpha: float = ALPHA) -> float:
    """How many standard errors a two-sided test at `alpha` asks for."""
    return -float(stdtrit(freedom, alpha / 2))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`better` minus `worse`, paired on shared seeds and test rows; above zero is for `better`.

    adjusted: the p value after Holm's correction within its family.
    detectable: the smallest true difference that these seeds and rows would show in 80% of repeats.
    spread: what the variance of `difference` is owed to, for planning (planning.py).
    seeds_better: how often `better` has the higher test score on a shared seed, an equal one counting half
    (Bouthillier et al. 2021 ask for three quarters). A baseline has one score for all seeds.
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
    spread: Spread
    seeds_better: float


def _spread(scores: Floats, deviations: Floats, rows: int, deterministic: bool, few: float) -> Spread:
    """What the variance of the mean score over new seeds and new test rows is owed to.

    few: the variance of seeds to assume where there is one seed only.
    """
    seeds = len(scores)
    mean_row = deviations.mean(axis=0)
    of_rows = float(mean_row @ mean_row)
    if deterministic or seeds == 1:
        few = 0.0 if deterministic else few
        return Spread(seeds=0 if deterministic else 1, rows=rows, of_seeds=few, of_both=0.0, of_rows=of_rows)
    of_seeds = float(scores.var(ddof=1)) / seeds
    one_seed = float((deviations**2).sum(axis=1).mean())
    # seeds x rows stands once in the spread of the seeds and once in that of the rows
    both = min(max(one_seed - of_rows, 0.0) / (seeds - 1), of_rows)
    return Spread(seeds=seeds, rows=rows, of_seeds=of_seeds - both, of_both=both, of_rows=of_rows - both)


def mean_interval(sample: Sample, bounds: tuple[float, float] | None = (0.0, 1.0)) -> Interval:
    """95% interval of the expected score over new seeds and new test rows.

    bounds: the range of the metric, which the interval then never leaves (Wilson's form, with the number
    of rows that would give the same variance); None for a metric without a range.
    """
    few = 0.0 if sample.deterministic else ASSUMED_SEED_SD**2
    spread = _spread(sample.scores, sample.deviations, sample.rows, sample.deterministic, few)
    mean = sample.mean
    if bounds is None:
        return Interval(mean=mean, low=mean - spread.half(), high=mean + spread.half())
    ends = [_wilson(mean, variance, freedom, sample.rows, bounds) for variance, freedom in spread.kinds]
    return Interval(mean=mean, low=min(low for low, _ in ends), high=max(high for _, high in ends))


def _wilson(
    mean: float, variance: float, freedom: float, test_rows: int, bounds: tuple[float, float]
) -> tuple[float, float]:
    """An interval that stays within bounds (Wilson's form, with a t quantile)."""
    low, high = bounds
    share = float(np.clip((mean - low) / (high - low), 0.0, 1.0))
    variance = variance / (high - low) ** 2
    if variance <= 0 and 0 < share < 1:
        return mean, mean  # no rows move it, as the AUROC of a constant is a half on all
    # no row was wrong, or none right: as sure as that many rows can make it, and no surer
    rows = share * (1 - share) / variance if 0 < share < 1 else float(test_rows)
    quantile = t_quantile(freedom)
    squared = quantile**2
    centre = (share + squared / (2 * rows)) / (1 + squared / rows)
    half = quantile / (1 + squared / rows) * np.sqrt(share * (1 - share) / rows + squared / (4 * rows**2))
    ends = [float(np.clip(end, 0.0, 1.0)) * (high - low) + low for end in (centre - half, centre + half)]
    return min(ends[0], mean), max(ends[1], mean)


def compare(better: Sample, worse: Sample, margin: float = 0.0) -> Comparison:
    """`better` minus `worse` with a 95% interval and a two-sided p value, before any correction.

    margin: a difference of at most this much is no difference in practice, however sure it is.
    """
    one, other = _paired(better, worse)
    scores, deviations = one.scores - other.scores, one.deviations - other.deviations
    both_fixed = better.deterministic and worse.deterministic
    trained = (not better.deterministic) + (not worse.deterministic)
    spread = _spread(scores, deviations, better.rows, both_fixed, trained * ASSUMED_SEED_SD**2)
    difference = float(scores.mean())
    p_value, half = spread.p_value(difference), spread.half()
    if p_value < ALPHA and better.per_row and worse.per_row:  # a tie needs no second opinion
        p_value = max(p_value, _exact(difference, deviations, better.rows))
    return Comparison(
        better=better.name,
        worse=worse.name,
        difference=difference,
        low=difference - half,
        high=difference + half,
        p_value=p_value,
        adjusted=p_value,
        separable=p_value < ALPHA and abs(difference) > margin,
        detectable=half + float(stats.norm.ppf(POWER)) * spread.error,
        spread=spread,
        seeds_better=float(((scores > 0) + 0.5 * (scores == 0)).mean()),
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
