"""The board judges simulated contests rightly: `python -m benchmarks.board_self_test` prints how often."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from benchmarks.board_self_test import (
    Rate,
    World,
    adversarial_ends_without_winner,
    constant_wins,
    covers,
    loses,
    loses_as_stated,
    settles,
    ties,
)


@pytest.fixture(scope="module", autouse=True)
def no_garbage_of_others() -> Iterator[None]:
    """Holm's correction collects garbage each time: not that of all that the other tests imported."""
    gc.freeze()
    yield
    gc.unfreeze()


def holds(rate: Rate) -> None:
    assert rate.holds, str(rate)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_intervals_hold_the_truth_in_93_to_97_percent(seeds: int) -> None:
    for rate in covers(seeds):
        holds(rate)


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("seed_sd", [0.0, 0.15])
def test_one_contender_under_two_names_ties_in_95_percent(seeds: int, seed_sd: float) -> None:
    holds(ties(World(rows=400, seeds=seeds, seed_sd=seed_sd)))


def test_one_contender_under_six_names_ties_in_95_percent() -> None:
    """The first of six was picked for its luck, so the correction must count all fifteen pairs."""
    holds(ties(World(rows=400, seeds=5), contenders=6, repeats=150))


def test_a_contender_crippled_by_five_points_loses_in_95_percent() -> None:
    holds(loses(World(rows=2_000, seeds=5, ease=2.5, seed_sd=0.05), 5, 0.95, 300))


@pytest.mark.parametrize(("seeds", "seed_sd"), [(3, 0.15), (5, 0.05), (10, 0.1)])
def test_a_contender_crippled_by_two_points_loses_as_often_as_the_stated_power_says(
    seeds: int, seed_sd: float
) -> None:
    holds(loses_as_stated(World(rows=2_000, seeds=seeds, seed_sd=seed_sd), 2, 400))


def test_the_test_rows_that_a_tie_asks_for_mostly_settle_it() -> None:
    holds(settles(World(rows=400, seeds=5, seed_sd=0.05), 2, 200))


def test_a_constant_predictor_on_90_to_10_does_not_win_under_the_chosen_metric() -> None:
    for rate in constant_wins(100):
        holds(rate)


def test_a_test_that_disagrees_with_training_ends_without_a_winner() -> None:
    holds(adversarial_ends_without_winner(100))


def test_a_rate_that_is_missed_is_told() -> None:
    missed = Rate(what="a thing happens", share=0.9, low=0.95, high=1.0, repeats=100)
    assert not missed.holds
    assert str(missed).startswith("MISS   90.0%  (at least 95.0%")
