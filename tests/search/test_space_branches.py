"""Ranges that depend on another parameter, parameters that only some data can use, and tiers."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest

from automl.errors import SpaceError
from automl.search.grid import grid
from automl.search.space import SearchSpace, check_file, describe
from automl.search.study import make_sampler
from tests.search.test_space import FIXED

TEXT = """\
full:
  parameters:
    optimizer: {choices: [adamw, sgd], tier: 2}
    learning_rate:
      - {low: 1e-5, high: 1e-3, log: true, when: {optimizer: [adamw]}}
      - {low: 1e-3, high: 1e-1, log: true, when: {optimizer: [sgd]}}
    momentum: {choices: [0, 0.9], tier: 2, when: {optimizer: [sgd]}}
    imbalance: {choices: [none, logit_adjust], when_data: {class_ratio: 5}}
    logit_adjust_tau: {low: 0.5, high: 1.5, when: {imbalance: [logit_adjust]}}
    label_smoothing: {low: 0, high: 0.2, tier: 3}
  fixed: FIXED
  first_trials:
    - {optimizer: adamw, learning_rate: 1e-4, imbalance: none, label_smoothing: 0}
    - {optimizer: sgd, learning_rate: 1e-2, momentum: 0.9}
    - {imbalance: logit_adjust}
"""
REST = {name: value for name, value in FIXED.items() if name != "label_smoothing"} | {
    "batch_size": 16, "dropout": 0.1, "momentum": 0, "logit_adjust_tau": 1,
}  # fmt: skip


def write(directory: Path, text: str = TEXT) -> Path:
    path = directory / "mine.yaml"
    path.write_text(text.replace("FIXED", json.dumps(REST)))
    return path


@pytest.fixture
def space(tmp_path: Path) -> SearchSpace:
    return check_file(write(tmp_path))[0]


def names(space: SearchSpace) -> list[str]:
    return list(dict.fromkeys(parameter.name for parameter in space.parameters))


def test_a_key_has_the_range_of_the_optimizer_that_was_drawn(space: SearchSpace) -> None:
    study = optuna.create_study(sampler=make_sampler("tpe", 0))
    rates: dict[str, list[float]] = {"adamw": [], "sgd": []}
    for _ in range(30):
        trial = study.ask()
        recipe = space.suggest(trial)
        rates[recipe["optimizer"]].append(recipe["learning_rate"])
        assert trial.params == space.to_params(recipe)
        assert f"learning_rate_if_{recipe['optimizer']}" in trial.params
        study.tell(trial, recipe["learning_rate"])
    assert min(rates["sgd"]) >= 1e-3 >= max(rates["adamw"])


def test_first_trials_speak_of_the_range_of_their_own_optimizer(space: SearchSpace) -> None:
    adamw, sgd, adjusted = (space.complete(trial) for trial in space.first_trials)
    assert (adamw["learning_rate"], adamw["momentum"]) == (1e-4, 0)
    assert (sgd["learning_rate"], sgd["momentum"]) == (1e-2, 0.9)
    assert (adjusted["learning_rate"], adjusted["logit_adjust_tau"]) == (1e-4, 1)
    for trial in space.first_trials:
        recipe = space.complete(trial)
        assert space.suggest(optuna.trial.FixedTrial(space.to_params(recipe))) == recipe


def test_a_grid_takes_the_points_of_the_range_that_holds(space: SearchSpace) -> None:
    recipes = grid(space.for_data({}).for_trials(12), 2)
    assert len(recipes) == 2 + 2 * 2, "two rates of AdamW, and two of SGD with two momenta each"
    for recipe in recipes:
        assert (recipe["learning_rate"] > 1e-3) == (recipe["optimizer"] == "sgd")


def test_a_space_with_ranges_and_conditions_survives_json(space: SearchSpace) -> None:
    assert SearchSpace.from_json(json.loads(json.dumps(space.to_json()))) == space


def test_what_only_unbalanced_data_can_use_is_searched_there_alone(space: SearchSpace) -> None:
    balanced, unbalanced = space.for_data({"class_ratio": 4.9}), space.for_data({"class_ratio": 5.0})
    assert names(unbalanced) == names(space)
    assert names(balanced) == ["optimizer", "learning_rate", "momentum", "label_smoothing"]
    recipe = balanced.complete({})
    assert recipe["imbalance"] == "none"
    assert "logit_adjust_tau" not in recipe, "what has no meaning here is not said"
    assert len(balanced.first_trials) == 2, "the third would repeat the first"
    assert names(space.for_data({})) == names(balanced), "data without classes has no ratio"


def test_few_trials_search_what_remains_under_the_first_trials_optimizer(space: SearchSpace) -> None:
    few = space.for_trials(11)
    assert names(few) == ["learning_rate", "imbalance", "logit_adjust_tau"]
    assert few.complete({})["optimizer"] == "adamw"
    assert few.first_trials[1:] == ({"imbalance": "logit_adjust"},), "a rate meant for SGD is not tried with AdamW"
    rates = [parameter for parameter in few.parameters if parameter.name == "learning_rate"]
    assert [(rate.low, rate.high, rate.when) for rate in rates] == [(1e-5, 1e-3, ())]


@pytest.mark.parametrize(("trials", "searched"), [(12, False), (23, False), (None, False), (24, True)])
def test_tier_three_is_searched_from_24_trials_on(space: SearchSpace, trials: int | None, searched: bool) -> None:
    held = space.for_trials(trials)
    assert ("label_smoothing" in names(held)) == searched
    assert "momentum" in names(held)
    assert held.complete({})["label_smoothing"] == 0


def test_the_text_tells_conditions_and_tiers(space: SearchSpace) -> None:
    text = describe(space)
    assert "only when optimizer is sgd" in text
    assert "only on data whose class_ratio is 5 or more" in text
    assert "Tier 3 is searched from 24 trials on" in text


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("[sgd]}}\n    mom", "[adamw]}}\n    mom", 5, "do not share out the values"),
        (", when: {optimizer: [sgd]}}\n    mom", "}\n    mom", 5, "do not share out the values"),
        ("log: true, when: {optimizer: [sgd]}", "log: true, tier: 2, when: {optimizer: [sgd]}", 5, "one tier"),
        ("high: 1e-1", "high: 1e2", 6, "learning_rate is 100.0; a number from"),
        ("{optimizer: sgd, learning_rate: 1e-2, ", "{optimizer: sgd, ", 14, "has learning_rate 0.0001; a value from"),
        ("adamw, learning_rate: 1e-4", "adamw, learning_rate: 1e-2", 13, "has learning_rate 0.01; a value from 1e"),
        ("[none, logit_adjust]", "[none, logit]", 8, "imbalance is 'logit'; one of balanced_sampler"),
        ("when_data: {class_ratio: 5}", "when_data: {class_ration: 5}", 8, "Did you mean 'class_ratio'?"),
        ("when_data: {class_ratio: 5}", "when_data: 5", 8, "a mapping such as {class_ratio: 5}"),
        ("when_data: {class_ratio: 5}", "when_data: {class_ratio: five}", 8, "a number above 0"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    assert TEXT.count(old) == 1
    with pytest.raises(SpaceError) as caught:
        check_file(write(tmp_path, TEXT.replace(old, new)))
    assert words in str(caught.value)
    assert f"mine.yaml:{line}: " in str(caught.value)


def test_a_condition_wants_a_value_for_where_it_does_not_hold(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT.replace("FIXED", json.dumps({n: v for n, v in REST.items() if n != "momentum"})))
    with pytest.raises(SpaceError, match="says nothing about momentum"):
        check_file(path)
