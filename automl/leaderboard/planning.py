"""How surely a difference would show, and how many more test rows or seeds would show it.

The parts of a comparison's variance shrink with seeds, with test rows, or with either (statistics.py). What a
larger contest would see follows from them, as far as its seeds and rows are like these. They are estimates from a
few seeds, so the numbers are good to about a factor of two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from scipy.special import nctdtr, ndtri

from automl.leaderboard.statistics import ALPHA, ASSUMED_SEED_SD, POWER, Spread, t_quantile

MOST_SEEDS = 50
"""Nobody trains a winner more often than this to settle a tie."""
MOST_ROWS_FACTOR = 1_000
"""Nor labels so many times the test rows there are."""

ASSUMED_DISAGREEMENT = 0.1
"""Share of rows on which one of two fine-tuned models is right and the other wrong: 3% to 15% are usual."""


def detectable_difference(rows: int, seeds: int | None, disagreement: float = ASSUMED_DISAGREEMENT) -> float:
    """The smallest true difference in accuracy that a comparison still to be made will show in 80% of repeats.

    rows: that both are scored on. seeds: finals of each; None where two single trainings are compared as they are.
    disagreement: the share of rows on which one is right and the other wrong.
    Source: Connor 1987 for paired proportions, with the seeds' variance added as `compare` adds it.
    """
    of_seeds = 2 * ASSUMED_SEED_SD**2 / seeds if seeds else 0.0
    spread = Spread(seeds=seeds or 0, rows=rows, of_seeds=of_seeds, of_both=0.0, of_rows=disagreement / rows)
    return spread.half() + float(ndtri(POWER)) * spread.error


def power(spread: Spread, difference: float, alpha: float = ALPHA) -> float:
    """The probability that a true difference shows: a two-sided t test at `alpha`, in the right direction."""
    planned = larger(spread)
    if planned.error == 0:
        return 1.0 if difference else 0.0
    away, asked = abs(difference) / planned.error, t_quantile(planned.freedom, alpha)
    return 1.0 - float(nctdtr(planned.freedom, away, asked))


def larger(spread: Spread, *, rows: int | None = None, seeds: int | None = None) -> Spread:
    """The same comparison with another number of test rows or seeds; seeds that agreed by chance count as equal."""
    rows, seeds = rows or spread.rows, spread.seeds if seeds is None or spread.seeds == 0 else seeds
    by_rows, by_seeds = spread.rows / rows, spread.seeds / seeds if seeds else 1.0
    return replace(
        spread,
        rows=rows,
        seeds=seeds,
        of_seeds=max(spread.of_seeds, 0.0) * by_seeds,
        of_both=spread.of_both * by_seeds * by_rows,
        of_rows=spread.of_rows * by_rows,
    )


def rows_needed(spread: Spread, difference: float, alpha: float = ALPHA) -> int | None:
    """The fewest test rows that show a true difference in 80% of repeats; None where no number of them does."""

    def shows(rows: int) -> bool:
        return power(larger(spread, rows=rows), difference, alpha) >= POWER

    return _fewest(shows, spread.rows, spread.rows * MOST_ROWS_FACTOR)


def seeds_needed(spread: Spread, difference: float, alpha: float = ALPHA) -> int | None:
    """The fewest seeds that do the same; None where no sensible number does, or no seed changes anything."""
    if spread.seeds == 0:
        return None

    def shows(seeds: int) -> bool:
        return power(larger(spread, seeds=seeds), difference, alpha) >= POWER

    return _fewest(shows, max(spread.seeds, 2), MOST_SEEDS)


def alpha_left(open_pairs: int) -> float:
    """What Holm's correction asks of the next pair to be told apart, where so many are not yet."""
    return ALPHA / max(open_pairs, 1)


def _fewest(shows: Callable[[int], bool], low: int, high: int) -> int | None:
    """The smallest number from low to high for which a condition holds that stays true once it is."""
    if not shows(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if shows(middle) else (middle + 1, high)
    return high
