from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from automl.search.grid import GridOrder, grid, points, size
from automl.search.space import Parameter, SearchSpace, load_space

FIXED: Mapping[str, Any] = load_space("text_encoder_small", "full").complete({})


def space(*parameters: Parameter, first: tuple[Mapping[str, Any], ...] = ({},)) -> SearchSpace:
    return SearchSpace(name="s", adaptation="full", parameters=parameters, fixed=dict(FIXED), first_trials=first)


RATE = Parameter(name="learning_rate", low=1e-5, high=1e-2, log=True)
BATCH = Parameter(name="batch_size", choices=(16, 32))
HEAD = Parameter(name="head_only_share", choices=(0.0, 0.1))
SCALE = Parameter(name="release_lr_scale", choices=(1.0, 0.3, 0.1), when=({"head_only_share": (0.1,)},))


def test_points_of_a_range_are_the_middles_of_equal_parts_of_its_scale() -> None:
    assert points(RATE, 3) == pytest.approx([10**-4.5, 10**-3.5, 10**-2.5])
    assert points(Parameter(name="dropout", low=0, high=0.3), 3) == pytest.approx([0.05, 0.15, 0.25])
    assert points(BATCH, 3) == [16, 32]


def test_zero_beside_a_range_is_a_point_of_its_own() -> None:
    assert points(Parameter(name="weight_decay", low=1e-3, high=1e-1, log=True, or_zero=True), 1) == pytest.approx(
        [0.0, 1e-2]
    )


def test_a_finer_grid_holds_the_coarser_one() -> None:
    fine = points(RATE, 9)
    assert all(any(value == pytest.approx(other) for other in fine) for value in points(RATE, 3))


def test_a_conditional_parameter_takes_its_points_only_under_its_condition() -> None:
    made = [(r["head_only_share"], r["release_lr_scale"]) for r in grid(space(HEAD, SCALE), 3)]
    assert made == [(0.0, FIXED["release_lr_scale"]), (0.1, 1.0), (0.1, 0.3), (0.1, 0.1)]


def test_the_size_of_a_space_of_choices_is_known_and_of_a_range_is_not() -> None:
    assert size(space(BATCH, HEAD, SCALE)) == 8
    assert size(space(BATCH, RATE)) is None


def test_every_recipe_comes_once_and_none_of_the_first_trials_again() -> None:
    order = GridOrder(space(BATCH, HEAD, first=({"batch_size": 16, "head_only_share": 0.0},)), seed=1)
    found = [order.recipe(index) for index in range(4)]
    assert found[3] is None
    assert len({json.dumps(recipe) for recipe in found[:3]}) == 3
    assert not any(r and (r["batch_size"], r["head_only_share"]) == (16, 0.0) for r in found)


def test_a_grid_that_is_through_is_made_finer() -> None:
    order = GridOrder(space(RATE), seed=0)
    rates = [recipe["learning_rate"] for index in range(9) if (recipe := order.recipe(index))]
    assert sorted(rates[:3]) == pytest.approx(points(RATE, 3))
    assert sorted(rates) == pytest.approx(points(RATE, 9))


def test_the_order_depends_on_the_seed_alone() -> None:
    shipped = load_space("text_encoder_small", "full")

    def first(seed: int) -> list[Any]:
        order = GridOrder(shipped, seed)
        return [order.recipe(index) for index in range(20)]

    assert first(3) == first(3)
    assert first(3) != first(4)


def test_a_grid_of_millions_is_tried_without_being_made() -> None:
    """The convolutional nets' space has some 2.8 million points: a list of them would take a minute and gigabytes."""
    shipped = load_space("image_classifier_cnn", "full")
    order = GridOrder(shipped, seed=0)
    assert len({json.dumps(order.recipe(index)) for index in range(50)}) == 50
