"""Search spaces: the shipped files, every mistake a file can have, and drawing from them with real Optuna."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import optuna
import pytest
import yaml

from automl.errors import SpaceError
from automl.search.space import (
    RECIPE_KEYS,
    Parameter,
    SearchSpace,
    check_file,
    describe,
    list_spaces,
    load_space,
    shipped_directory,
)
from automl.search.space_keys import OWN_KEYS, OwnKey, known_keys, required_keys
from automl.training.recipe import REFERENCE_BATCH, Recipe
from automl.training.unfreezing import mode_of

SHIPPED = sorted(shipped_directory().glob("*.yaml"))
SPACES = [space for path in SHIPPED for space in check_file(path)]
every_space = pytest.mark.parametrize("space", SPACES, ids=lambda space: f"{space.name}-{space.adaptation}")

FIXED = {
    "weight_decay": 0.01, "head_dropout": 0.1, "frozen_share": 0, "head_only_share": 0, "release_share": 0,
    "bottom_lr_ratio": 1, "release_lr_scale": 1, "warmup_share": 0.1, "label_smoothing": 0,
    "gradient_clip": 1,
}  # fmt: skip
GOOD = """\
description: For tests
full:
  parameters:
    learning_rate: {low: 1e-5, high: 1e-3, log: true}
    batch_size: {choices: [16, 32], tier: 2}
    dropout: {low: 0, high: 0.2, tier: 2}
  fixed: FIXED
  first_trials:
    - {learning_rate: 1e-4, batch_size: 16, dropout: 0.1}
    - {dropout: 0}
"""


def write(directory: Path, text: str = GOOD, **changes: str) -> Path:
    for old, new in changes.items():
        text = text.replace(old, new)
    path = directory / "mine.yaml"
    path.write_text(text.replace("FIXED", json.dumps(FIXED)))
    return path


def recipe_keys(space: SearchSpace) -> tuple[str, ...]:
    """The keys that this space's recipes have: every required one, and what it says beyond them, in order."""
    said = {*space.fixed, *(parameter.name for parameter in space.parameters)}
    assert said >= set(required_keys(space.adaptation))
    return tuple(key for key in known_keys(space.adaptation) if key in said)


def problem(directory: Path, old: str, new: str) -> str:
    assert old in GOOD
    with pytest.raises(SpaceError) as caught:
        check_file(write(directory, GOOD.replace(old, new)))
    return str(caught.value)


# -- the shipped files ---------------------------------------------------------------------------------------


def test_the_keys_of_a_space_are_those_of_a_recipe() -> None:
    fields = dataclasses.fields(Recipe)
    assert set(RECIPE_KEYS) == {field.name for field in fields if field.default is dataclasses.MISSING}
    assert set(OWN_KEYS) >= {field.name for field in fields} - set(RECIPE_KEYS)


def test_models_of_text_have_a_space_for_every_adaptation() -> None:
    listed = {listing.name: listing for listing in list_spaces()}
    assert {"text_encoder_small", "text_encoder_base", "causal_lm"} <= set(listed)
    for name in ("text_encoder_small", "text_encoder_base", "causal_lm"):
        assert set(listed[name].adaptations) == {"full", "frozen", "lora"}
    for listing in listed.values():
        assert {"full", "frozen"} <= set(listing.adaptations)
        assert listing.description
    assert (shipped_directory() / "README.md").is_file()


@every_space
def test_a_first_trial_is_a_whole_recipe_and_comes_back_from_its_parameters(space: SearchSpace) -> None:
    for first in space.first_trials:
        recipe = space.complete(first)
        assert tuple(recipe) == recipe_keys(space)
        Recipe.of(recipe)
        drawn = space.suggest(optuna.trial.FixedTrial(space.to_params(recipe)))
        assert drawn == pytest.approx(recipe)


@every_space
def test_random_recipes_are_whole_and_come_back_from_their_parameters(space: SearchSpace) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        trial = study.ask()
        recipe = space.suggest(trial)
        assert tuple(recipe) == recipe_keys(space)
        assert trial.params == space.to_params(recipe)
        again = space.suggest(optuna.trial.FixedTrial(space.to_params(recipe)))
        assert again == recipe
        study.tell(trial, 0.0)


@every_space
def test_first_trials_that_are_enqueued_come_out_as_they_went_in(space: SearchSpace) -> None:
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, multivariate=True))
    for first in space.first_trials:
        study.enqueue_trial(space.to_params(space.complete(first)))
    for first in space.first_trials:
        trial = study.ask()
        assert space.suggest(trial) == pytest.approx(space.complete(first))
        study.tell(trial, 0.5)


@every_space
def test_a_space_survives_json(space: SearchSpace) -> None:
    assert SearchSpace.from_json(json.loads(json.dumps(space.to_json()))) == space


@every_space
def test_every_parameter_names_its_source_and_the_text_shows_all(space: SearchSpace) -> None:
    text = describe(space)
    for parameter in space.parameters:
        assert parameter.source, parameter.name
        assert parameter.name in text
        assert str(parameter) in text
    assert len(text.splitlines()[0]) < 100
    assert all(mode_of(space.complete(first)) in text for first in space.first_trials)


@pytest.mark.parametrize("name", ["text_encoder_base", "causal_lm"])
def test_models_of_text_differ_in_their_centres_alone(name: str) -> None:
    """Equal search richness: what one contender may search, every other may too."""
    for adaptation in ("full", "frozen", "lora"):
        small, base = load_space("text_encoder_small", adaptation), load_space(name, adaptation)
        assert len(small.first_trials) == len(base.first_trials) == 3
        assert [p.name for p in small.parameters] == [p.name for p in base.parameters]
        for one, other in zip(small.parameters, base.parameters, strict=True):
            assert (one.choices, one.log, one.tier, one.or_zero) == (
                other.choices,
                other.log,
                other.tier,
                other.or_zero,
            )
            if one.log:
                assert math.isclose(one.high / one.low, other.high / other.low, rel_tol=1e-6)  # type: ignore[operator]


def test_both_kinds_of_nets_for_pictures_have_as_much_to_search() -> None:
    """Only centres differ, and which dropout there is to set."""
    for adaptation in ("full", "frozen"):
        cnn, vit = (load_space(f"image_classifier_{kind}", adaptation) for kind in ("cnn", "vit"))
        assert len(cnn.first_trials) == len(vit.first_trials)
        assert [p.tier for p in cnn.parameters] == [p.tier for p in vit.parameters]
        for one, other in zip(cnn.parameters, vit.parameters, strict=True):
            assert one.name == other.name or {one.name, other.name} == {"dropout", "head_dropout"}
            assert (one.choices, one.log, one.or_zero, one.when, one.when_data) == (
                other.choices, other.log, other.or_zero, other.when, other.when_data
            )  # fmt: skip
            if one.log:
                assert math.isclose(one.high / one.low, other.high / other.low, rel_tol=1e-6)  # type: ignore[operator]
        assert cnn.complete({})["augmentation"] == vit.complete({})["augmentation"] == "none"


def test_nets_for_pictures_may_be_trained_with_sgd_and_momentum_and_it_is_tried_last() -> None:
    for kind, rate in (("cnn", 0.01), ("vit", 0.003)):
        space = load_space(f"image_classifier_{kind}", "full").for_data({})
        *others, sgd = (space.complete(first) for first in space.first_trials)
        assert len(others) == 3
        assert {recipe["optimizer"] for recipe in others} == {"adamw"}
        assert (sgd["optimizer"], sgd["learning_rate"], sgd["momentum"]) == ("sgd", rate, 0.9)
        assert "momentum" not in space.for_trials(11).complete({}), "too few trials for a second optimizer"


def test_full_fine_tuning_searches_all_five_numbers_of_unfreezing_alike_in_every_family() -> None:
    for space in (space for space in SPACES if space.adaptation == "full"):
        found = {p.name: p for p in space.parameters}
        assert found["frozen_share"].choices == (0, 0.25, 0.5, 0.75)
        assert found["head_only_share"].choices == (0, 0.05, 0.1, 0.2)
        assert found["release_share"].choices == (0, 0.2, 0.4)
        assert found["release_lr_scale"].choices == (1, 0.3, 0.1)
        ratio = found["bottom_lr_ratio"]
        assert (ratio.low, ratio.high, ratio.log) == (0.01, 1, True)
        assert {p.tier for p in found.values() if p.name.endswith(("share", "scale", "ratio"))} == {1}
        full, lp_ft, half = (space.complete(first) for first in space.first_trials[:3])
        assert (full["frozen_share"], full["head_only_share"], full["release_share"]) == (0, 0, 0)
        assert (lp_ft["head_only_share"], lp_ft["release_share"], lp_ft["release_lr_scale"]) == (0.1, 0, 0.3)
        assert (half["frozen_share"], half["head_only_share"]) == (0.5, 0)


def test_the_rate_at_a_release_is_searched_only_where_something_is_released_later() -> None:
    for space in (space for space in SPACES if space.adaptation != "frozen"):
        (scale,) = (p for p in space.parameters if p.name == "release_lr_scale")
        for head_only in (0, 0.05, 0.1, 0.2):
            for release in (0, 0.2, 0.4) if space.adaptation == "full" else (0,):
                recipe = {"head_only_share": head_only, "release_share": release}
                assert scale.active(recipe) == (head_only + release > 0)


def test_pictures_have_lora_where_layers_are_linear() -> None:
    listed = {listing.name: set(listing.adaptations) for listing in list_spaces()}
    assert listed["image_classifier_vit"] == {"full", "frozen", "lora"}
    assert listed["image_classifier_cnn"] == {"full", "frozen"}


def test_the_first_trial_of_a_small_encoder_is_the_one_that_the_literature_and_trec_agree_on() -> None:
    assert REFERENCE_BATCH == 16
    recipe = load_space("text_encoder_small", "full").complete({})
    assert (recipe["learning_rate"], recipe["batch_size"], recipe["warmup_share"]) == (1e-4, 32, 0.1)
    assert recipe["bottom_lr_ratio"] == pytest.approx(0.9**7, abs=1e-3), "a decay of 0.9 a layer, 6 blocks"


def test_frozen_means_that_the_whole_body_stays_frozen() -> None:
    for space in SPACES:
        assert (space.complete({})["frozen_share"] == 1) == (space.adaptation == "frozen")


def test_lora_starts_at_ten_times_the_rate_of_full_fine_tuning() -> None:
    for name in ("text_encoder_small", "text_encoder_base", "image_classifier_vit"):
        full, lora = (load_space(name, adaptation).complete({}) for adaptation in ("full", "lora"))
        assert lora["learning_rate"] == pytest.approx(10 * full["learning_rate"])
        assert (lora["lora_rank"], lora["frozen_share"], lora["bottom_lr_ratio"]) == (16, 0, 1)


# -- layers and completion -----------------------------------------------------------------------------------


def test_under_twelve_trials_tier_one_alone_is_searched() -> None:
    space = load_space("text_encoder_small", "full").for_data({})
    few = space.for_trials(11)
    assert {p.name for p in few.parameters} == {
        "learning_rate", "bottom_lr_ratio", "frozen_share", "head_only_share", "release_share", "release_lr_scale"
    }  # fmt: skip
    assert few.complete({}) == space.complete({}), "the untuned default is the same"
    assert few.fixed["dropout"] == 0.1
    assert space.for_trials(12) == space.for_trials(None)
    assert space.for_trials(24) == space


def test_first_trials_that_differ_in_nothing_searched_are_tried_once(tmp_path: Path) -> None:
    few = check_file(write(tmp_path))[0].for_trials(5)
    assert few.first_trials == ({"learning_rate": 1e-4},)


def test_what_is_given_goes_before_the_default_and_an_unknown_key_is_refused(tmp_path: Path) -> None:
    space = check_file(write(tmp_path))[0]
    assert space.complete({"dropout": 0.05})["dropout"] == 0.05
    with pytest.raises(SpaceError, match="Did you mean 'dropout'"):
        space.complete({"dropuot": 0.05})


def test_a_conditional_parameter_is_drawn_only_where_its_condition_holds(tmp_path: Path) -> None:
    text = GOOD.replace(
        "    dropout:", "    release_lr_scale: {choices: [1, 0.3], when: {batch_size: [32]}}\n    dropout:"
    ).replace("batch_size: 16, dropout", "batch_size: 16, release_lr_scale: 1, dropout")
    space = check_file(write(tmp_path, text))[0]
    asleep = {"learning_rate": 1e-4, "batch_size": 16, "dropout": 0.1}
    assert space.suggest(optuna.trial.FixedTrial(asleep))["release_lr_scale"] == 1
    awake = {**asleep, "batch_size": 32, "release_lr_scale": 0.3}
    recipe = space.suggest(optuna.trial.FixedTrial(awake))
    assert recipe["release_lr_scale"] == 0.3
    assert space.to_params(recipe) == awake
    assert space.to_params(space.suggest(optuna.trial.FixedTrial(asleep))) == asleep


def test_one_of_several_conditions_is_enough(tmp_path: Path) -> None:
    text = GOOD.replace(
        "dropout: {low: 0, high: 0.2, tier: 2}",
        "dropout: {low: 0, high: 0.2, tier: 2}\n    label_smoothing: {choices: [0, 0.1]}\n"
        "    release_lr_scale: {choices: [1, 0.3], when: [{batch_size: [32]}, {label_smoothing: [0.1]}]}",
    ).replace("dropout: 0.1}", "dropout: 0.1, label_smoothing: 0, release_lr_scale: 1}")
    text = text.replace("FIXED", json.dumps({k: v for k, v in FIXED.items() if k != "label_smoothing"}))
    space = check_file(write(tmp_path, text))[0]
    scale = space.parameters[-1]
    held = [scale.active({"batch_size": b, "label_smoothing": s}) for b in (16, 32) for s in (0, 0.1)]
    assert held == [False, True, True, True]
    assert "only when batch_size is 32, or when label_smoothing is 0.1" in describe(space)
    assert SearchSpace.from_json(json.loads(json.dumps(space.to_json()))) == space


def test_zero_beside_a_log_range_is_a_choice_of_its_own() -> None:
    parameter = Parameter(name="weight_decay", low=1e-3, high=0.3, log=True, or_zero=True)
    assert parameter.drawn(0) == {"weight_decay_is_zero": True}
    assert parameter.drawn(0.01) == {"weight_decay_is_zero": False, "weight_decay": 0.01}
    assert parameter.draw(optuna.trial.FixedTrial({"weight_decay_is_zero": True})) == 0.0


def test_numbers_that_yaml_would_read_as_text_are_numbers(tmp_path: Path) -> None:
    assert yaml.safe_load("2e-5") == "2e-5", "the trap: YAML 1.1 wants 2.0e-5"
    parameter = check_file(write(tmp_path))[0].parameters[0]
    assert (parameter.low, parameter.high) == (1e-5, 1e-3)


# -- finding files -------------------------------------------------------------------------------------------


def test_a_folder_of_ones_own_is_looked_up_first(tmp_path: Path) -> None:
    write(tmp_path).rename(tmp_path / "text_encoder_small.yaml")
    space = load_space("text_encoder_small", "full", tmp_path)
    assert space.parameters[0].high == 1e-3
    listing = next(item for item in list_spaces(tmp_path) if item.name == "text_encoder_small")
    assert listing.path.parent == tmp_path
    assert listing.hides == shipped_directory() / "text_encoder_small.yaml"
    assert load_space("text_encoder_base", "full", tmp_path), "the shipped ones are there still"


def test_what_is_not_there_is_answered_with_what_is(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="Did you mean 'text_encoder_small'"):
        load_space("text_encoder_smal", "full")
    with pytest.raises(SpaceError, match="no section 'lora'.*one of full"):
        load_space("mine", "lora", write(tmp_path).parent)
    with pytest.raises(SpaceError, match="is no folder"):
        load_space("mine", "full", tmp_path / "nowhere")
    with pytest.raises(SpaceError, match="could not be read: No such file"):
        check_file(tmp_path / "nowhere.yaml")


# -- mistakes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("description: For tests", "description: [", 3, "broken YAML"),
        ("full:", "full: text\nother:", 2, "'full' is 'text'"),
        ("  fixed: FIXED", "  fixd: FIXED", 7, "unknown option in the YAML: in section 'full' 'fixd'"),
        ("log: true", "logg: true", 4, "Did you mean 'log'?"),
        ("learning_rate: {low", "learning_rat: {low", 4, "Did you mean 'learning_rate'?"),
        ("low: 1e-5, high: 1e-3", "low: 1e-3, high: 1e-5", 4, "low 0.001 of 'learning_rate' is not below"),
        ("low: 0, high: 0.2", "low: 0, high: 0.2, log: true", 6, "'dropout' is log with low 0; low above 0"),
        ("low: 0, high: 0.2", "low: 0, high: 1.5", 6, "dropout is 1.5; a number from 0 to 0.95"),
        ("low: 0, high: 0.2", "low: 0, high: 0.2, or_zero: true", 6, "or_zero and low 0"),
        ("low: 0, high: 0.2", "low: 0", 6, "parameter 'dropout' has no range"),
        ("low: 0, high: 0.2", "low: none, high: 0.2", 6, "dropout is 'none'"),
        ("choices: [16, 32]", "choices: [16, 16]", 5, "a list of different values"),
        ("choices: [16, 32]", "choices: [16, 0.5]", 5, "batch_size is 0.5; a whole number"),
        ("choices: [16, 32]", "choices: [16, 32], low: 1", 5, "a range or choices, not both"),
        ("choices: [16, 32]", "low: 8, high: 64", 5, "no 'integer: true'"),
        ("tier: 2}\n    drop", "tier: 7}\n    drop", 5, "tier of 'batch_size' is 7; 1, 2 or 3"),
        ("log: true", "log: maybe", 4, "'log' of 'learning_rate' is 'maybe'; true or false"),
        ("{dropout: 0}", "{dropout: 0.3}", 10, "first trial 2 has dropout 0.3; a value from 0 to 0.2"),
        ("batch_size: 16, dropout: 0.1", "batch_size: 8, dropout: 0.1", 9, "one of 16, 32"),
        ("{dropout: 0}", "{momentum: 0}", 10, "first trial 2 gives 'momentum'"),
        (", dropout: 0.1}", "}", 9, "first trial 1 does not say dropout"),
        ("fixed: FIXED", "fixed: {weight_decay: 0.01}", 2, "says nothing about head_dropout, frozen_share"),
        ("  fixed: FIXED", "  fixed: {dropout: 0.1}", 7, "'dropout' is searched and fixed"),
        ("high: 0.2, tier: 2", "high: 0.2, when: {momentum: [0]}", 6, "names 'momentum'; a parameter above"),
        ("high: 0.2, tier: 2", "high: 0.2, when: {batch_size: [64]}", 6, "wants batch_size in [64]"),
        ("high: 0.2, tier: 2", "high: 0.2, when: batch_size", 6, "a mapping such as {frozen_share: [0.5]}"),
        ("high: 0.2, tier: 2", "high: 0.2, when: [{batch_size: [16]}, {batch_size: [8]}]", 6, "wants batch_size in"),
        ("high: 0.2, tier: 2", "high: 0.2, when: [batch_size]", 6, "or a list of them"),
        ("high: 0.2, tier: 2", "high: 0.2, when: {learning_rate: [1]}", 6, "which has no choices"),
        ("    dropout: {low", "    batch_size: {choices: [8]}\n    dropout: {low", 6, "stands twice"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    message = problem(tmp_path, old, new)
    assert words in message
    assert f"mine.yaml:{line}: " in message


def test_the_keys_of_an_adaptation_are_wanted_in_its_section_and_refused_in_the_others(tmp_path: Path) -> None:
    lora = GOOD.replace("full:", "lora:")
    with pytest.raises(SpaceError, match="section 'lora' says nothing about lora_rank, lora_dropout"):
        check_file(write(tmp_path, lora))
    own = "    lora_rank: {choices: [8, 16]}\n    lora_dropout: {choices: [0, 0.05]}\n    dropout:"
    values = "lora_rank: 16, lora_dropout: 0, learning_rate: 1e-4"
    whole = lora.replace("    dropout:", own).replace("learning_rate: 1e-4", values)
    (space,) = check_file(write(tmp_path, whole))
    assert tuple(space.complete({})) == (*RECIPE_KEYS, "lora_rank", "lora_dropout")
    assert "{8, 16}" in describe(space)
    with pytest.raises(SpaceError, match="mine.yaml:6: unknown option in the YAML: parameter 'lora_rank'"):
        check_file(write(tmp_path, whole.replace("lora:", "full:")))
    with pytest.raises(SpaceError, match="lora_rank is 0.5; a whole number from 1"):
        check_file(write(tmp_path, whole.replace("[8, 16]", "[0.5, 16]")))


def test_a_key_that_any_section_may_say_can_be_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OWN_KEYS, "colour", OwnKey(frozenset({"red", "blue"})))  # type: ignore[arg-type]
    (without,) = check_file(write(tmp_path))
    assert "colour" not in without.complete({})
    text = GOOD.replace("    dropout:", "    colour: {choices: [red, blue]}\n    dropout:")
    text = text.replace("{learning_rate: 1e-4", "{colour: blue, learning_rate: 1e-4")
    (space,) = check_file(write(tmp_path, text))
    assert space.complete({})["colour"] == "blue"
    assert "{red, blue}" in describe(space)
    with pytest.raises(SpaceError, match="colour is 'green'; one of blue, red"):
        check_file(write(tmp_path, text.replace("[red, blue]", "[green, blue]")))


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a list\n", "description: only\n"])
def test_a_file_without_sections_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpaceError, match=r"mine.yaml:\d+"):
        check_file(write(tmp_path, text))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(SpaceError, match="could not be read"):
        check_file(path)


def test_a_section_that_lacks_its_parts_names_them(tmp_path: Path) -> None:
    with pytest.raises(SpaceError) as caught:
        check_file(write(tmp_path, "full: {fixed: FIXED}\n"))
    assert "has no 'parameters'" in str(caught.value)
    assert "has no 'first_trials'" in str(caught.value)


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("log: true", "logg: true").replace("high: 0.2", "high: 2").replace("{dropout: 0}", "{x: 0}")
    with pytest.raises(SpaceError) as caught:
        check_file(write(tmp_path, text))
    message = str(caught.value)
    assert "has 3 problems" in message
    assert [f"mine.yaml:{line}:" in message for line in (4, 6, 10)] == [True, True, True]
    assert "automl spaces check" in message
