from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from automl.search.space import load_space
from automl.search.study import ContenderStudy, open_journal
from automl.types import Cost, TrialResult

SPACE = load_space("text_encoder_small", "full").for_trials(24)
RUNGS = (300, 900)


def result(
    number: int, recipe: dict[str, object], status: str = "completed", value: float | None = 0.5
) -> TrialResult:
    return TrialResult(
        id=f"x-{number:03d}", kind="trial", contender="x", status=status, recipe=recipe, seed=1,  # type: ignore[arg-type]
        horizon_samples=900, curve=(), validation=value, cost=Cost(), error=None, predictions_file=None,
        split_fingerprint="", environment={}, started_at="", ended_at="", number=number,
    )  # fmt: skip


def study(journal: object = None, seed: int = 0) -> ContenderStudy:
    return ContenderStudy("x", SPACE, True, seed, journal=journal)  # type: ignore[arg-type]


def test_the_first_recipes_are_the_spaces_first_trials() -> None:
    one = study()
    for number, first in enumerate(SPACE.first_trials):
        asked = one.ask(number)
        assert asked == SPACE.complete(first)
        one.tell(result(number, asked), RUNGS)


def test_a_stopped_trial_is_told_as_pruned_with_its_values_at_the_rungs() -> None:
    one = study()
    recipe = one.ask(0)
    one.report(0, 300, 0.4)
    one.tell(result(0, recipe, "pruned", 0.4), RUNGS)
    (trial,) = one.trials
    assert trial.state is TrialState.PRUNED
    assert trial.intermediate_values == {300: 0.4}


@pytest.mark.parametrize("status", ["failed", "out_of_memory"])
def test_a_failed_trial_leaves_no_running_one_behind_and_ranks_last(status: str) -> None:
    one = study()
    recipe = one.ask(0)
    one.tell(result(0, recipe, status, None), RUNGS)
    (trial,) = one.trials
    assert trial.state is TrialState.PRUNED
    assert trial.intermediate_values == {300: -math.inf}


def test_the_sampler_proposes_the_same_after_a_rebuild() -> None:
    def told(count: int) -> ContenderStudy:
        one = study(seed=3)
        for number in range(count):
            recipe = one.ask(number)
            one.tell(result(number, recipe, value=0.5 + 0.01 * number), RUNGS)
        return one

    whole = told(8)
    rebuilt = study(seed=3)
    for number in range(8):
        recipe = SPACE.complete(SPACE.suggest(optuna.trial.FixedTrial(whole.trials[number].params)))
        rebuilt.adopt(number, recipe)
        rebuilt.tell(result(number, recipe, value=0.5 + 0.01 * number), RUNGS)
    assert rebuilt.ask(8) == whole.ask(8)


def test_the_journal_holds_every_ended_trial_once_and_no_running_one(tmp_path: Path) -> None:
    first = study(open_journal(tmp_path))
    recipes = [first.ask(number) for number in range(3)]
    for number in (0, 1):
        first.tell(result(number, recipes[number]), RUNGS)
    again = study(open_journal(tmp_path))
    for number in range(3):
        again.adopt(number, recipes[number])
        again.tell(result(number, recipes[number]), RUNGS)
    stored = optuna.load_study(study_name="x", storage=open_journal(tmp_path))
    assert [t.state for t in stored.trials] == [TrialState.COMPLETE] * 3


def test_the_best_is_learnt_from() -> None:
    """TPE fed with its own results does better than the first random draws on a smooth valley."""
    one = study(seed=1)
    values = []
    for number in range(40):
        recipe = one.ask(number)
        value = 1 - abs(math.log10(recipe["learning_rate"] / 3e-4))
        one.tell(replace(result(number, recipe), validation=value), RUNGS)
        values.append(value)
    assert sum(values[-10:]) / 10 > sum(values[3:13]) / 10
