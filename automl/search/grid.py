"""A grid over a search space, for `--sampler grid`.

Choices stand as they are; a range is cut into equal parts of its scale (equal ratios where it is logarithmic), and
the middle of each is a point, so that none is spent on an edge. Where zero is possible too it is one point more. A
conditional parameter takes its points only under its condition, so no two points are the same training. That is why
this is not Optuna's GridSampler: it crosses every parameter with every other and would train such points again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

from automl.search.space import Parameter, Recipe, SearchSpace

COARSEST = 3
"""Points in a range of the first grid; each grid after it has three times as many, and holds the one before."""
MANY_MISSES = 100
"""So many draws in a row that were tried already, and the few that are left are looked for one by one."""


def points(parameter: Parameter, levels: int) -> list[Any]:
    """The values of one parameter on a grid with `levels` points in a range."""
    if parameter.choices:
        return list(parameter.choices)
    assert parameter.low is not None
    assert parameter.high is not None
    zero: list[Any] = [0 if parameter.integer else 0.0] if parameter.or_zero else []
    found = []
    for part in range(levels):
        share = (part + 0.5) / levels
        if parameter.log:
            value = parameter.low * (parameter.high / parameter.low) ** share
        else:
            value = parameter.low + (parameter.high - parameter.low) * share
        found.append(round(value) if parameter.integer else value)
    return list(dict.fromkeys([*zero, *found]))


def drawn(space: SearchSpace, levels: int, random: Random) -> Recipe:
    """A recipe of a grid, each parameter's points being equally likely."""
    recipe: Recipe = dict(space.fixed)
    for parameter in space.parameters:
        if parameter.active(recipe):
            recipe[parameter.name] = random.choice(points(parameter, levels))
    return space.complete(recipe)


def grid(space: SearchSpace, levels: int) -> list[Recipe]:
    """Every recipe of a grid, each once."""
    recipes: list[Recipe] = [dict(space.fixed)]
    for parameter in space.parameters:
        recipes = [
            made
            for recipe in recipes
            for made in (
                [{**recipe, parameter.name: value} for value in points(parameter, levels)]
                if parameter.active(recipe)
                else [recipe]  # it has the fixed value, or one from another range of this key
            )
        ]
    return [space.complete(recipe) for recipe in recipes]


def size(space: SearchSpace) -> int | None:
    """How many recipes a space has; None where a range makes them countless."""
    return None if any(not parameter.choices for parameter in space.parameters) else len(grid(space, 1))


class GridOrder:
    """The order in which a grid is tried: shuffled by the seed, without the first trials, finer when it is through.

    A grid larger than the budget is thus tried in a random part of it, and not in one corner.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._recipes = self._walk(space, seed)
        self._known: list[Recipe] = []

    def recipe(self, index: int) -> Recipe | None:
        """The recipe tried as number `index` after the first trials; None when there is no further one."""
        while len(self._known) <= index:
            found = next(self._recipes, None)
            if found is None:
                return None
            self._known.append(found)
        return self._known[index]

    @staticmethod
    def _walk(space: SearchSpace, seed: int) -> Iterator[Recipe]:
        tried = {json.dumps(space.complete(first)) for first in space.first_trials}
        levels, grew = COARSEST, True
        while grew:
            random, misses, grew = Random(f"{seed}/{levels}"), 0, False
            while misses < MANY_MISSES:  # a grid of a large space is never made: it may have millions of recipes
                recipe = drawn(space, levels, random)
                if (key := json.dumps(recipe)) in tried:
                    misses += 1
                    continue
                tried.add(key)
                misses, grew = 0, True
                yield recipe
            rest = [recipe for recipe in grid(space, levels) if json.dumps(recipe) not in tried]
            random.shuffle(rest)
            for recipe in rest:
                tried.add(json.dumps(recipe))
                grew = True
                yield recipe
            levels *= 3
