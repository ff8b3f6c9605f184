from dataclasses import replace

from automl.metrics import get_metric
from automl.search.finals import choose_winner
from automl.search.ship import median_final
from automl.types import Cost, TrialResult


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
