"""Why a search tries remedies for unequal classes and varied inputs, or does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from automl.search.space import Parameter, SearchSpace
from automl.tasks.base import Task
from automl.tasks.imbalance import IMBALANCE
from automl.tasks.variations import VARIATIONS, allowed, names_what_varies


def imbalance_reason(class_counts: Mapping[str, int], spaces: Iterable[SearchSpace]) -> str:
    """Which remedies for unequal classes are tried, and how unequal they are."""
    if not class_counts:
        return "not asked: there are no classes"
    largest = max(class_counts, key=lambda name: class_counts[name])
    smallest = min(class_counts, key=lambda name: class_counts[name])
    ratio = class_counts[largest] / class_counts[smallest]
    told = f"the largest class, {largest!r}, has {ratio:.1f} training rows for one of the smallest, {smallest!r}"
    choices = dict.fromkeys(str(choice) for found in _searched(spaces, IMBALANCE) for choice in found.choices)
    tried = ", ".join(choice.replace("_", " ") for choice in choices if choice != "none")
    return f"{tried} tried beside none: {told}" if tried else f"none tried: {told}"


def variation_reason(
    task: Task, augment: Sequence[str], class_counts: Mapping[str, int], spaces: Sequence[SearchSpace]
) -> str:
    """Which variations of training inputs are tried; where none is, why not, and what would have it tried."""
    tried = [name for name, one in VARIATIONS.items() if any(_searched(spaces, one.key))]
    if tried:
        return "tried beside none: " + "; ".join(
            f"{name} ({VARIATIONS[name].of}, {VARIATIONS[name].what})" for name in tried
        )
    if not task.variations:
        return f"none: {task.name} has none"
    offered = ", ".join(name for name in VARIATIONS if name in task.variations)
    if allowed(augment, tuple(class_counts), task.variations):
        return "none: with these trials, rows and adaptations it is not searched"
    named = next((name for name in class_counts if names_what_varies(name)), None)
    if named is not None and not augment:
        return f"not tried: the class {named!r} is named after what varies; to be had with --augment ({offered})"
    return f"none, unless --augment says so ({offered})"


def _searched(spaces: Iterable[SearchSpace], key: str) -> list[Parameter]:
    return [parameter for space in spaces for parameter in space.parameters if parameter.name == key]
