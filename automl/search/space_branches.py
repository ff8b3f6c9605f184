"""What the plain values of a file's parameters say: when each is drawn, and from which range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Branches = Mapping[str, list[dict[str, Any]]]
"""The plain values of every parameter: one mapping, or several, each for other values of one condition."""


def always_drawn(name: str, parameters: Branches) -> bool:
    """Whether a value of this key is drawn whatever the others are."""
    branches = parameters.get(name, [])
    conditions = [branch.get("when") for branch in branches]
    if not all(conditions) or not branches:
        return bool(branches)
    if len(branches) == 1 or not all(isinstance(when, dict) for when in conditions):
        return False
    (other, *_) = conditions[0]  # type: ignore[misc]
    choices = parameters[other][0].get("choices") if other in parameters else None
    shared = {value for when in conditions for value in when.get(other, ())}  # type: ignore[union-attr]
    return isinstance(choices, tuple) and shared >= set(choices) and always_drawn(other, parameters)


def holds(parameter: Mapping[str, Any], recipe: Mapping[str, Any]) -> bool:
    """Whether a parameter is drawn beside these values. A `when` that is none was complained of already."""
    cases = parameter.get("when") or ()
    cases = (cases,) if isinstance(cases, dict) else cases
    if not isinstance(cases, tuple) or not all(isinstance(case, dict) for case in cases):
        return True
    return not cases or any(
        all(isinstance(values, tuple) and recipe.get(other) in values for other, values in case.items())
        for case in cases
    )


def inside(value: Any, parameter: Mapping[str, Any]) -> bool:
    """Whether a parameter could draw this value."""
    if "choices" in parameter:
        return isinstance(parameter["choices"], tuple) and value in parameter["choices"]
    if parameter.get("or_zero") is True and value == 0:
        return True
    try:
        return bool(parameter["low"] <= value <= parameter["high"])
    except (KeyError, TypeError):
        return not {"low", "high"} <= set(parameter)  # a parameter without a range was complained of already


def range_text(parameter: Mapping[str, Any]) -> str:
    """What a parameter can draw, in words."""
    if "choices" in parameter:
        return f"one of {', '.join(map(str, parameter['choices']))}"
    zero = "0, or " if parameter.get("or_zero") else ""
    return f"{zero}a value from {parameter.get('low')} to {parameter.get('high')}"
