from dataclasses import replace
from typing import Any

import pytest

from automl.metrics import get_metric
from automl.search.finals import choose_winner
from automl.search.ship import median_final
from automl.types import Cost, TrialResult, TrialStatus


def final(seed: int, validation: float | None, status: str = "completed") -> TrialResult:
    return TrialResult(
        id=f"x-final-{seed}", kind="final", contender="x", status=status, recipe={}, seed=seed,  # type: ignore[arg-type]
        horizon_samples=1, curve=(), validation=validation, cost=Cost(), error=None, predictions_file=None,
        split_fingerprint="", environment={}, started_at="", ended_at="", model_dir=f"checkpoints/{seed}",
    )  # fmt: skip


def test_the_shipped_model_is_neither_the_luckiest_nor_the_unluckiest() -> None:
    chosen = median_final([final(1, 0.9), final(2, 0.7), final(3, 0.8)])
    assert chosen is not None
    assert chosen.seed == 3


def test_failed_finals_are_never_shipped() -> None:
    chosen = median_final([final(1, None, "failed"), final(2, 0.7)])
    assert chosen is not None
    assert chosen.seed == 2
    assert median_final([final(1, None, "failed")]) is None


def test_a_trial_that_its_patience_ended_may_win_with_its_last_value_and_the_reason_tells() -> None:
    whole = replace(final(1, 0.8), kind="trial", horizon_samples=60, cost=Cost(samples_seen=60))
    ended = replace(final(2, 0.9), kind="trial", horizon_samples=60, cost=Cost(samples_seen=30))
    winner = choose_winner([whole, ended], {}, get_metric("accuracy"))
    assert winner is not None
    assert (winner.trial, winner.search_validation) == (ended.id, 0.9)
    assert "ended by their patience (1)" in winner.reason
    alone = choose_winner([whole], {}, get_metric("accuracy"))
    assert alone is not None
    assert "patience" not in alone.reason


def trial(number: int, validation: float | None, status: TrialStatus = "completed", **row: Any) -> TrialResult:
    curve = ({"samples_seen": 1, **row},)
    return replace(
        final(1, validation, status), id=f"x-{number:03d}", kind="trial", number=number, curve=curve,
        recipe={"learning_rate": number},
    )  # fmt: skip


def test_the_deciding_metric_alone_decides_and_in_its_own_direction() -> None:
    """transformers adds all metrics up and minimises the sum, so accuracy is minimised and seconds count as loss."""
    trials = [trial(0, 0.7, log_loss=9.0, seconds=100.0), trial(1, 0.6, log_loss=0.1, seconds=0.004)]
    best = choose_winner(trials, {}, get_metric("accuracy"))
    least = choose_winner(trials, {}, get_metric("log_loss"))
    assert best is not None
    assert least is not None
    assert (best.trial, least.trial) == ("x-000", "x-001")


def test_a_value_on_the_way_does_not_win_over_the_value_at_the_horizon() -> None:
    """Ray's scope of the last report and transformers' of the best checkpoint rank trials differently; here what is
    trained again is the training to its end, so its end is what counts, for every contender."""
    peaked = replace(
        trial(0, 0.6), curve=({"samples_seen": 300, "accuracy": 0.95}, {"samples_seen": 900, "accuracy": 0.6})
    )
    best = choose_winner([peaked, trial(1, 0.7)], {}, get_metric("accuracy"))
    assert best is not None
    assert best.trial == "x-001"


def test_a_trial_stopped_before_the_horizon_never_wins() -> None:
    best = choose_winner([trial(0, 0.99, "pruned"), trial(1, 0.5)], {}, get_metric("accuracy"))
    assert best is not None
    assert best.trial == "x-001"


@pytest.mark.parametrize("status", ["failed", "out_of_memory"])
def test_a_default_that_failed_itself_does_not_stand_in(status: TrialStatus) -> None:
    assert choose_winner([trial(0, None, status)], {"learning_rate": 0}, get_metric("accuracy"), "the time") is None
    stands_in = choose_winner([trial(1, None, status)], {"learning_rate": 0}, get_metric("accuracy"), "the time")
    assert stands_in is not None
    assert stands_in.is_default
