"""Finds the parts of a package by importing it: a new task or family is one new file, named nowhere else."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import TypeVar

from automl.errors import RequestError

Part = TypeVar("Part")


@cache
def _import_all(package: str) -> None:
    module = importlib.import_module(package)
    for info in pkgutil.iter_modules(module.__path__):
        importlib.import_module(f"{package}.{info.name}")
    for point in entry_points(group=package):
        point.load()  # a broken plug-in raises: a part that silently is not there costs more


def parts(package: str, kind: type[Part]) -> dict[str, Part]:
    """One instance of every concrete subclass of `kind` that the package or a plug-in defines, by name.

    package: a dotted package, such as 'automl.tasks'; also the group of the plug-ins' entry points.
    """
    _import_all(package)
    found: dict[str, Part] = {}
    waiting = list(kind.__subclasses__())
    while waiting:
        part = waiting.pop()
        waiting.extend(part.__subclasses__())
        if not getattr(part, "__abstractmethods__", None):
            instance = part()
            found[instance.name] = instance  # type: ignore[attr-defined]
    return dict(sorted(found.items()))


def get_part(package: str, kind: type[Part], name: str) -> Part:
    """The part of that name. Raises RequestError with the near miss."""
    known = parts(package, kind)
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "Check the name"
    raise RequestError(f"{kind.__name__.lower()} {name!r} is unknown", f"one of {', '.join(known)}", hint)
