import pytest

from automl.search.rungs import Rungs, milestones, rungs_of


def test_the_grace_period_is_a_third_of_the_horizon() -> None:
    assert milestones(3000) == (1000, 3000)
    assert milestones(2) == (1, 2)


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
