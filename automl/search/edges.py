"""The alarm at the edge: a winner that lies at the end of a searched range asks for a wider one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from automl.search.space import Parameter, SearchSpace
from automl.search.space_keys import OWN_KEYS, RECIPE_LIMITS

NEAR = 0.1
"""This share of a range, on the scale on which it is searched, counts as its edge."""


def edges(space: SearchSpace, recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every searched range at whose edge a recipe lies.

    {"parameter", "side": "low" or "high", "value", "low", "high", "can_widen"}; `can_widen` is false where the
    range ends with what the parameter can be at all. Choices have no edge, and zero beside a range is a choice.
    """
    found = []
    for parameter in space.parameters:
        value = recipe.get(parameter.name)
        if parameter.choices or not parameter.active(recipe) or (parameter.or_zero and value == 0):
            continue
        place = _place(parameter, float(value or 0.0))
        if NEAR < place < 1 - NEAR:
            continue
        side = "low" if place <= NEAR else "high"
        found.append({
            "parameter": parameter.name,
            "side": side,
            "value": value,
            "low": parameter.low,
            "high": parameter.high,
            "can_widen": _can_widen(parameter, side),
        })  # fmt: skip
    return found


def _place(parameter: Parameter, value: float) -> float:
    """Where a value stands in its range: 0 at its low end, 1 at its high one."""
    assert parameter.low is not None
    assert parameter.high is not None
    if parameter.high <= parameter.low:
        return 0.5
    if parameter.log:
        return math.log(value / parameter.low) / math.log(parameter.high / parameter.low)
    return (value - parameter.low) / (parameter.high - parameter.low)


def _can_widen(parameter: Parameter, side: str) -> bool:
    own = OWN_KEYS.get(parameter.name)
    limits: Any = RECIPE_LIMITS.get(parameter.name) or (own.values if own else (-math.inf, math.inf))
    if side == "low":
        # a logarithmic range beside zero goes on below its end
        return bool(parameter.low != limits[0])
    return bool(parameter.high != limits[1])
