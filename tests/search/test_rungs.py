import math

import pytest

from automl.search.rungs import FEWEST_WHOLE, Rungs, milestones, rungs_of


def test_the_grace_period_is_a_third_of_the_horizon() -> None:
    assert milestones(3000) == (1000, 2000, 3000)
    assert milestones(2) == (1, 2)


@pytest.mark.parametrize("horizon", [2, 7, 100, 4_361, 1_000_003])
def test_rungs_are_whole_numbers_of_samples_that_end_with_the_horizon(horizon: int) -> None:
    """A budget that is a fraction is missed by rounding, and a trial that misses its rung is never judged."""
    rungs = milestones(horizon)
    assert all(type(rung) is int for rung in rungs)
    assert rungs[-1] == horizon
    assert 0 < rungs[0] < horizon


@pytest.mark.parametrize(
    ("head_only", "release", "compared"),
    [(0, 0, (100, 300)), (0.1, 0.2, (100, 300)), (0.2, 0.2, (300,)), (0, 0.4, (300,)), (0.6, 0.4, (300,))],
)
def test_a_trial_is_compared_only_after_its_last_block_was_released(
    head_only: float, release: float, compared: tuple[int, ...]
) -> None:
    assert rungs_of({"head_only_share": head_only, "release_share": release}, (100, 300)) == compared


def test_the_worst_of_many_is_stopped_and_the_best_goes_on() -> None:
    rungs = Rungs((100, 300), higher_is_better=True, protected=0)
    decisions = [rungs.goes_on(number, 100, value, 0.0) for number, value in enumerate([0.8, 0.7, 0.9, 0.2, 0.95])]
    assert decisions == [True, True, True, False, True]


def test_lower_is_better_turns_the_decision_round() -> None:
    rungs = Rungs((100, 300), higher_is_better=False, protected=0)
    assert [rungs.goes_on(n, 100, v, 0.0) for n, v in enumerate([0.8, 0.7, 0.9, 2.0, 0.1])][-2:] == [
        False,
        True,
    ]


def test_a_value_within_one_standard_error_of_the_cut_is_tied_and_goes_on() -> None:
    values = [0.90, 0.90, 0.90]
    for error, expected in ((0.02, True), (0.005, False)):
        rungs = Rungs((100, 300), higher_is_better=True, protected=0)
        for number, value in enumerate(values):
            rungs.goes_on(number, 100, value, error)
        assert rungs.goes_on(3, 100, 0.885, error) is expected


def test_first_trials_are_never_stopped() -> None:
    rungs = Rungs((100, 300), higher_is_better=True, protected=2)
    for number in range(2, 8):
        rungs.goes_on(number, 100, 0.9, 0.0)
    assert rungs.goes_on(0, 100, 0.1, 0.0)
    assert not rungs.goes_on(9, 100, 0.1, 0.0)


def test_nobody_is_stopped_at_the_horizon() -> None:
    rungs = Rungs((100, 300), higher_is_better=True, protected=0)
    assert all(rungs.goes_on(n, 300, v, 0.0) for n, v in enumerate([0.9, 0.9, 0.9, 0.9, 0.1]))


def test_a_report_beside_the_rungs_is_refused_not_filed_under_another() -> None:
    rungs = Rungs((100, 300), higher_is_better=True, protected=0)
    with pytest.raises(ValueError, match="no rung"):
        rungs.goes_on(0, 120, 0.9, 0.0)


def test_a_slow_model_is_not_judged_by_a_fast_ones_values() -> None:
    fast, slow = (Rungs((100, 300), higher_is_better=True, protected=0) for _ in range(2))
    for number in range(6):
        fast.goes_on(number, 100, 0.95, 0.0)
    assert slow.goes_on(0, 100, 0.3, 0.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_stopped_at_once_and_sets_no_cut(value: float) -> None:
    """Ray's ASHA never stops a NaN: it is not below the cut. Even a protected trial must not go on with it."""
    rungs = Rungs((100, 300), higher_is_better=True, protected=2)
    assert not rungs.goes_on(0, 100, value, 0.0)
    assert rungs.values(100) == {}


def whole(rungs: Rungs, number: int, first: float, last: float) -> bool:
    """A trial that is trained to its end, stopped or not; whether the rung lets it go on."""
    goes_on = rungs.goes_on(number, 100, first, 0.0)
    rungs.goes_on(number, 300, last, 0.0)
    rungs.settle(number, last)
    return goes_on


def test_a_rung_whose_order_is_that_of_the_end_foretells_it() -> None:
    rungs = Rungs((100, 300), higher_is_better=True, protected=0)
    for number in range(6):
        whole(rungs, number, 0.5 + 0.01 * number, 0.7 + 0.02 * number)
    (found,) = rungs.foresights
    assert (found.rung, found.trials, found.stops) == (100, 6, True)
    assert found.kendall_tau == pytest.approx(1.0)
    assert not rungs.goes_on(9, 100, 0.1, 0.0)


def test_a_rung_that_foretells_the_end_badly_stops_nobody_any_more() -> None:
    """Curves that cross: who leads early ends last, so stopping the last would keep the worst."""
    rungs = Rungs((100, 300), higher_is_better=True, protected=0)
    for number in range(FEWEST_WHOLE):
        assert rungs.foresight(100).stops
        assert whole(rungs, number, 0.5 + 0.01 * number, 0.9 - 0.02 * number)
    (found,) = rungs.foresights
    assert found.kendall_tau == pytest.approx(-1.0)
    assert not found.stops
    assert rungs.goes_on(9, 100, 0.1, 0.0)


def test_fewer_whole_trials_do_not_switch_a_rung_off() -> None:
    rungs = Rungs((100, 300), higher_is_better=True, protected=0)
    for number in range(FEWEST_WHOLE - 1):
        whole(rungs, number, 0.5 + 0.01 * number, 0.9 - 0.02 * number)
    assert not rungs.goes_on(9, 100, 0.1, 0.0)


def test_trials_that_were_stopped_do_not_count_as_foretold() -> None:
    rungs = Rungs((100, 300), higher_is_better=True, protected=0)
    for number in range(3):
        whole(rungs, number, 0.5 + 0.01 * number, 0.7 + 0.02 * number)
    rungs.goes_on(3, 100, 0.1, 0.0)
    assert rungs.foresight(100).trials == 3


def test_trials_that_all_tie_tell_nothing_and_switch_nothing_off() -> None:
    rungs = Rungs((100, 300), higher_is_better=True, protected=0)
    for number in range(8):
        whole(rungs, number, 0.5, 0.9)
    assert rungs.foresights[0].kendall_tau is None
    assert rungs.foresights[0].stops
