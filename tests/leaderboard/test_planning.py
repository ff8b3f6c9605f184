"""What a larger contest would show follows from the parts of the variance, and nothing is promised that cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from automl.leaderboard.planning import alpha_left, detectable_difference, larger, power, rows_needed, seeds_needed
from automl.leaderboard.statistics import POWER, Spread

ROWS_ALONE = Spread(seeds=5, rows=400, of_seeds=0.0, of_both=0.0, of_rows=0.0004)
SEEDS_ALONE = Spread(seeds=5, rows=400, of_seeds=0.0004, of_both=0.0, of_rows=0.0)
MIXED = Spread(seeds=5, rows=400, of_seeds=0.0001, of_both=0.0001, of_rows=0.0002)


def test_four_times_the_rows_halve_an_error_that_the_rows_make() -> None:
    assert larger(ROWS_ALONE, rows=1_600).error == pytest.approx(ROWS_ALONE.error / 2)
    assert larger(ROWS_ALONE, seeds=20).error == pytest.approx(ROWS_ALONE.error)
    assert larger(SEEDS_ALONE, seeds=20).error == pytest.approx(SEEDS_ALONE.error / 2)


def test_the_numbers_that_are_needed_are_the_fewest_that_have_the_power() -> None:
    rows, seeds = rows_needed(MIXED, 0.045), seeds_needed(MIXED, 0.045)
    assert rows is not None
    assert seeds is not None
    assert power(larger(MIXED, rows=rows), 0.045) >= POWER > power(larger(MIXED, rows=rows - 1), 0.045)
    assert power(larger(MIXED, seeds=seeds), 0.045) >= POWER > power(larger(MIXED, seeds=seeds - 1), 0.045)


def test_what_only_seeds_or_only_rows_can_settle_asks_for_nothing_else() -> None:
    assert seeds_needed(ROWS_ALONE, 0.01) is None
    assert rows_needed(SEEDS_ALONE, 0.01) is None
    assert rows_needed(ROWS_ALONE, 0.01) is not None
    assert seeds_needed(SEEDS_ALONE, 0.03) is not None


def test_no_number_of_seeds_helps_where_no_seed_changes_anything() -> None:
    assert seeds_needed(replace(ROWS_ALONE, seeds=0), 0.05) is None


def test_a_difference_that_shows_already_needs_no_more() -> None:
    assert rows_needed(MIXED, 0.5) == MIXED.rows
    assert seeds_needed(MIXED, 0.5) == MIXED.seeds
    assert power(MIXED, 0.5) == pytest.approx(1.0)
    assert power(MIXED, 0.0) == pytest.approx(0.025, abs=1e-6)


def test_seeds_that_agree_by_chance_promise_nothing() -> None:
    lucky = replace(MIXED, of_seeds=-0.0001)
    assert larger(lucky, rows=800).of_seeds == 0
    assert rows_needed(lucky, 0.03) == rows_needed(replace(MIXED, of_seeds=0.0), 0.03)


def test_many_open_pairs_ask_for_more_than_one() -> None:
    assert alpha_left(0) == alpha_left(1) == 0.05
    one, three = (rows_needed(ROWS_ALONE, 0.045, alpha_left(pairs)) for pairs in (1, 3))
    assert one is not None
    assert three is not None
    assert three > one


@pytest.mark.parametrize(
    ("rows", "disagreement", "points"),
    [(277, 0.15, 6.5), (408, 0.10, 4.4), (500, 0.03, 2.2), (872, 0.05, 2.1), (200, 0.08, 5.6)],
)
def test_the_rows_alone_foretell_the_difference_that_will_show(rows: int, disagreement: float, points: float) -> None:
    """The textbook's figures for paired proportions: n d^2 = (1.96 sqrt(p) + 0.84 sqrt(p - d^2))^2."""
    assert 100 * detectable_difference(rows, None, disagreement) == pytest.approx(points, abs=0.1)


def test_more_rows_and_more_seeds_let_smaller_differences_show() -> None:
    assert detectable_difference(2_000, 5) < detectable_difference(500, 5) < detectable_difference(500, 3)
    assert detectable_difference(500, None) < detectable_difference(500, 20)
    assert detectable_difference(1, 1) > 0.5  # tiny data: next to nothing shows
