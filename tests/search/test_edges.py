from __future__ import annotations

from typing import Any

import pytest

from automl.search.edges import edges
from automl.search.space import Parameter, SearchSpace

RATE = Parameter(name="learning_rate", low=1e-5, high=1e-3, log=True)
DROPOUT = Parameter(name="dropout", low=0.0, high=0.2)
DECAY = Parameter(name="weight_decay", low=1e-3, high=0.3, log=True, or_zero=True)
BATCH = Parameter(name="batch_size", choices=(16, 32))
MIDDLE = {"learning_rate": 1e-4, "dropout": 0.1, "weight_decay": 0.02, "batch_size": 16}


def told(**changes: Any) -> list[tuple[str, str]]:
    space = SearchSpace(
        name="s", adaptation="full", parameters=(RATE, DROPOUT, DECAY, BATCH), fixed={}, first_trials=({},)
    )
    return [(one["parameter"], one["side"]) for one in edges(space, MIDDLE | changes)]


def test_a_recipe_in_the_middle_raises_no_alarm() -> None:
    assert told() == []


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(1.5e-5, [("learning_rate", "low")]), (1.7e-5, []), (6.0e-4, []), (6.5e-4, [("learning_rate", "high")])],
)
def test_a_tenth_of_a_logarithmic_range_is_measured_in_ratios(rate: float, expected: list[tuple[str, str]]) -> None:
    """On a linear scale 1e-5 to 1e-3 the first tenth would reach to 1.1e-4, the middle of the searched scale."""
    assert told(learning_rate=rate) == expected


def test_a_tenth_of_a_linear_range_is_measured_in_differences() -> None:
    assert told(dropout=0.185) == [("dropout", "high")]
    assert told(dropout=0.175) == []


def test_zero_beside_a_range_and_a_choice_are_no_edge() -> None:
    assert told(weight_decay=0.0, batch_size=32) == []
    assert told(weight_decay=0.0011) == [("weight_decay", "low")]


def test_an_edge_that_is_the_least_there_is_cannot_be_widened() -> None:
    space = SearchSpace(name="s", adaptation="full", parameters=(DROPOUT, RATE), fixed={}, first_trials=({},))
    found = {one["parameter"]: one["can_widen"] for one in edges(space, {"dropout": 0.0, "learning_rate": 1e-5})}
    assert found == {"dropout": False, "learning_rate": True}
