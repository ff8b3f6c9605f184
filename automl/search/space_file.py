"""Reads a search-space file: every problem found at once, each with its line.

A file has a `description` and one section per adaptation (`full`, `frozen`, ...). A section has `parameters`
(what is searched), `fixed` (what is not) and `first_trials` (the literature's defaults). Together they say
every key of a recipe; some keys belong to one adaptation, or to some models, alone (`OWN_KEYS`).
search_spaces/README.md explains the format to people.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from automl.errors import SpaceError
from automl.search.space_branches import Branches, always_drawn, holds, inside, range_text
from automl.search.space_keys import (
    DATA_FACTS,
    OWN_KEYS,
    RECIPE_KEYS,
    RECIPE_LIMITS,
    WHOLE_NUMBERS,
    known_keys,
    required_keys,
)

_SECTION_KEYS = ("parameters", "fixed", "first_trials")
_PARAMETER_KEYS = ("low", "high", "log", "integer", "choices", "when", "when_data", "tier", "or_zero", "source")
# YAML 1.1 reads 2e-5 as text (it wants 2.0e-5); people who write search spaces do not.
_PLAIN_NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?")


def read_space_file(path: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    """The description, and each section as the plain values that SearchSpace.from_json takes.

    Raises SpaceError that lists every problem of the file with its line.
    """
    reader = _Reader(path)
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reader.say(mark.line + 1 if mark else 1, f"broken YAML ({error.problem or error.context})", "a YAML mapping")
        root = None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text that YAML allows"
        raise SpaceError(
            f"{path} could not be read: {reason}", "a search-space file (YAML)", "Check the path"
        ) from None
    description, sections = "", dict[str, dict[str, Any]]()
    if not reader.problems:
        description, sections = reader.file(root)
    reader.raise_problems()
    return description, sections


class _Reader:
    """Walks one file's YAML nodes and collects its problems."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[tuple[str, str, str]] = []
        self.keys = RECIPE_KEYS  # those that the section being read may have

    def say(self, where: yaml.Node | int, found: str, expected: str, todo: str = "") -> None:
        line = where if isinstance(where, int) else where.start_mark.line + 1
        self.problems.append((f"{self.path}:{line}: {found}", expected, todo))

    def raise_problems(self) -> None:
        if not self.problems:
            return
        if len(self.problems) == 1:
            found, expected, todo = self.problems[0]
            raise SpaceError(found, expected, todo or "Mend this line")
        lines = (str(SpaceError(*problem)) for problem in self.problems)
        raise SpaceError(
            f"{self.path} has {len(self.problems)} problems:\n  " + "\n  ".join(lines) + "\n",
            "",
            f"Mend them, then check with: automl spaces check {self.path}",
        )

    # -- plain values ----------------------------------------------------------------------------------

    def mapping(self, node: yaml.Node | None, what: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """{key: (key node, value node)}; duplicates and non-mappings are problems."""
        if not isinstance(node, yaml.MappingNode):
            self.say(node or 1, f"{what} is {_kind(node)}", "a mapping such as 'name: value'")
            return {}
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
            if name in found:
                self.say(key, f"{name!r} stands twice in {what}", "each name once", "Remove one of them")
            found[name] = (key, value)
        return found

    def value(self, node: yaml.Node) -> Any:
        """A scalar as bool, int, float, text or None; a list as a tuple; a mapping as a dict."""
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.value(item) for item in node.value)
        if isinstance(node, yaml.MappingNode):
            return {str(key.value): self.value(value) for key, value in node.value}
        assert isinstance(node, yaml.ScalarNode)
        text = node.value
        if node.style is None and _PLAIN_NUMBER.fullmatch(text):
            digits = text.replace("_", "")
            return int(digits) if re.fullmatch(r"[-+]?\d+", digits) else float(digits)
        try:
            return yaml.SafeLoader("").construct_object(node)
        except yaml.YAMLError:
            self.say(node, f"the tag {node.tag!r}", "plain text, numbers, true or false")
            return None

    def unknown(self, key: yaml.Node, name: str, known: Iterable[str], what: str) -> None:
        names = list(known)
        near = difflib.get_close_matches(name, names, n=1)
        todo = f"Did you mean {near[0]!r}?" if near else "Remove it, or check its spelling"
        self.say(key, f"unknown option in the YAML: {what} {name!r}", f"one of {', '.join(names)}", todo)

    # -- the parts of a file -----------------------------------------------------------------------------

    def file(self, root: yaml.Node | None) -> tuple[str, dict[str, dict[str, Any]]]:
        if root is None:
            self.say(1, "the file is empty", "a section such as 'full:'", "Copy a shipped search space")
            return "", {}
        description, sections = "", dict[str, dict[str, Any]]()
        for name, (key, node) in self.mapping(root, "the file").items():
            if name == "description":
                description = " ".join(str(self.value(node)).split())
            elif isinstance(node, yaml.MappingNode) and re.fullmatch(r"[a-z][a-z0-9_]*", name):
                sections[name] = self.section(name, key, node)
            else:
                self.say(
                    key,
                    f"unknown option in the YAML: {name!r} is {_kind(node)}",
                    "'description', or a section (full, frozen, ...) that holds a mapping",
                    "Remove it, or check its spelling",
                )
        if not sections and not self.problems:
            self.say(root, "the file has no section", "a section such as 'full:'", "Copy a shipped one")
        return description, sections

    def section(self, name: str, key: yaml.Node, node: yaml.MappingNode) -> dict[str, Any]:
        self.keys = known_keys(name)
        parts = self.mapping(node, f"section {name!r}")
        for part, (part_key, _) in parts.items():
            if part not in _SECTION_KEYS:
                self.unknown(part_key, part, _SECTION_KEYS, f"in section {name!r}")
        for part in ("parameters", "first_trials"):
            if part not in parts:
                self.say(key, f"section {name!r} has no {part!r}", "both", f"Add '{part}:' to it")
        parameters: dict[str, list[dict[str, Any]]] = {}
        if "parameters" in parts:
            for parameter, (where, value) in self.mapping(parts["parameters"][1], "parameters").items():
                parameters[parameter] = self.branches(parameter, where, value, parameters)
        fixed = self.fixed(parts["fixed"][1], parameters) if "fixed" in parts else {}
        wanted = dict.fromkeys([*required_keys(name), *(key for key in parameters if key in self.keys)])
        missing = [key for key in wanted if key not in fixed and not always_drawn(key, parameters)]
        if missing:
            self.say(
                key,
                f"section {name!r} says nothing about {', '.join(missing)}",
                "every key of a recipe under 'parameters' or 'fixed' (a parameter with 'when' under both)",
                "Add what is missing to 'fixed'",
            )
        trials = self.first_trials(parts["first_trials"][1], parameters, fixed) if "first_trials" in parts else []
        known = [branch for branches in parameters.values() for branch in branches]
        return {"adaptation": name, "parameters": known, "fixed": fixed, "first_trials": trials}

    def fixed(self, node: yaml.Node, parameters: Branches) -> dict[str, Any]:
        fixed = {}
        for name, (key, value_node) in self.mapping(node, "'fixed'").items():
            if name not in self.keys:
                self.unknown(key, name, self.keys, "in 'fixed'")
            elif always_drawn(name, parameters):
                self.say(key, f"{name!r} is searched and fixed", "one of the two", "Remove it from one place")
            elif self.possible(name, value := self.value(value_node), value_node):
                fixed[name] = value
        return fixed

    def branches(self, name: str, key: yaml.Node, node: yaml.Node, above: Branches) -> list[dict[str, Any]]:
        """A parameter's plain values; a list of them where its range depends on another parameter."""
        if not isinstance(node, yaml.SequenceNode):
            return [self.parameter(name, key, node, above)]
        found = [self.parameter(name, item, item, above) for item in node.value]
        asked = [branch["when"] if isinstance(branch.get("when"), dict) else {} for branch in found]
        values = [value for when in asked for allowed in when.values() for value in allowed]
        others = {other for when in asked for other in when}
        if not found or len(others) != 1 or not all(asked) or len(set(values)) < len(values):
            self.say(
                node if found else key,
                f"the ranges of {name!r} do not share out the values of one parameter among them",
                "a list such as [{..., when: {optimizer: [adamw]}}, {..., when: {optimizer: [sgd]}}]",
            )
        if len({branch.get("tier", 1) for branch in found}) > 1 or any("when_data" in branch for branch in found):
            self.say(node, f"the ranges of {name!r} differ in more than range", "one tier, and no 'when_data'")
        for branch, when in zip(found, asked, strict=True):
            branch["branch"] = "_or_".join(map(str, next(iter(when.values()), ())))
        return found

    def parameter(self, name: str, key: yaml.Node, node: yaml.Node, above: Branches) -> dict[str, Any]:
        """The plain values of one parameter; what is wrong with it is noted, and left out."""
        if name not in self.keys:
            self.unknown(key, name, self.keys, "parameter")
        options = self.mapping(node, f"parameter {name!r}")
        for option, (where, _) in options.items():
            if option not in _PARAMETER_KEYS:
                self.unknown(where, option, _PARAMETER_KEYS, f"in parameter {name!r}")
        known = {option: node for option, (_, node) in options.items() if option in _PARAMETER_KEYS}
        values = {option: self.value(value) for option, value in known.items()}
        plain: dict[str, Any] = {"name": name, **values}
        self.flags(name, options, values)
        if "choices" in values:
            self.choices(name, options, values)
        elif "low" in values and "high" in values:
            self.limits(name, options, values)
        else:
            self.say(key, f"parameter {name!r} has no range", "'low' and 'high', or 'choices'", "Add them")
        if "when" in values:
            self.conditions(name, options["when"][1], values["when"], above)
        if "when_data" in values:
            self.data_condition(name, options["when_data"][1], values["when_data"])
        return plain

    def flags(self, name: str, options: Mapping[str, tuple[yaml.Node, yaml.Node]], values: Mapping[str, Any]) -> None:
        for flag in ("log", "integer", "or_zero"):
            if not isinstance(values.get(flag, False), bool):
                self.say(options[flag][1], f"{flag!r} of {name!r} is {values[flag]!r}", "true or false")
        if values.get("tier", 1) not in (1, 2, 3):
            self.say(options["tier"][1], f"tier of {name!r} is {values['tier']!r}", "1, 2 or 3")

    def choices(
        self, name: str, options: Mapping[str, tuple[yaml.Node, yaml.Node]], values: Mapping[str, Any]
    ) -> None:
        where = options["choices"][1]
        others = [other for other in ("low", "high", "log", "integer", "or_zero") if other in values]
        if others:
            self.say(where, f"{name!r} has choices and {', '.join(others)}", "a range or choices, not both")
        choices = values["choices"]
        if not isinstance(choices, tuple) or not choices or len(set(map(str, choices))) < len(choices):
            self.say(where, f"choices of {name!r} are {choices!r}", "a list of different values")
        else:
            for choice in choices:
                self.possible(name, choice, where)

    def limits(
        self, name: str, options: Mapping[str, tuple[yaml.Node, yaml.Node]], values: Mapping[str, Any]
    ) -> None:
        low, high, where = values["low"], values["high"], options["low"][1]
        if not (self.possible(name, low, where) and self.possible(name, high, options["high"][1])):
            return
        if low >= high:
            self.say(where, f"low {low} of {name!r} is not below high {high}", "low < high", "Change one")
        if values.get("log") is True and low <= 0:
            self.say(where, f"{name!r} is log with low {low}", "low above 0", "Raise it, or add 'or_zero: true'")
        if values.get("or_zero") is True and low <= 0:
            self.say(where, f"{name!r} has or_zero and low {low}", "low above 0", "Raise it")
        if values.get("integer") is True and not (isinstance(low, int) and isinstance(high, int)):
            self.say(where, f"{name!r} is integer in {low} to {high}", "whole numbers")
        if name in WHOLE_NUMBERS and values.get("integer") is not True:
            self.say(where, f"{name!r} has no 'integer: true'", "whole numbers", "Add it")

    def data_condition(self, name: str, node: yaml.Node, asked: Any) -> None:
        if not isinstance(asked, dict) or not asked:
            self.say(node, f"'when_data' of {name!r} is {asked!r}", "a mapping such as {class_ratio: 5}")
            return
        for fact, least in asked.items():
            if fact not in DATA_FACTS:
                self.unknown(node, fact, DATA_FACTS, f"'when_data' of {name!r} asks for")
            elif isinstance(least, bool) or not isinstance(least, int | float) or least <= 0:
                self.say(node, f"'when_data' of {name!r} asks for {fact} {least!r}", "a number above 0: the least")

    def conditions(self, name: str, node: yaml.Node, when: Any, above: Branches) -> None:
        """One mapping whose every line must hold, or a list of such mappings of which one must."""
        cases = when if isinstance(when, tuple) and when else (when,)
        nodes = node.value if isinstance(node, yaml.SequenceNode) and node.value else [node]
        for case, its_node in zip(cases, nodes, strict=True):
            if isinstance(case, dict) and case and all(isinstance(values, tuple) for values in case.values()):
                for other, values in case.items():
                    self.condition(name, its_node, other, values, above)
            else:
                expected = "a mapping such as {frozen_share: [0.5]}, or a list of them"
                self.say(its_node, f"'when' of {name!r} is {case!r}", expected)

    def condition(self, name: str, node: yaml.Node, other: str, values: tuple[Any, ...], above: Branches) -> None:
        choices = above[other][0].get("choices") if other in above else None
        if other not in above:
            near = difflib.get_close_matches(other, above, n=1)
            todo = f"Did you mean {near[0]!r}?" if near else "Move that one up, or remove this"
            self.say(node, f"'when' of {name!r} names {other!r}", "a parameter above it", todo)
        elif isinstance(choices, tuple) and not set(values) <= set(choices):
            self.say(node, f"'when' of {name!r} wants {other} in {list(values)}", f"some of {list(choices)}")
        elif choices is None:
            self.say(node, f"'when' of {name!r} names {other!r}, which has no choices", "one that has")

    def first_trials(self, node: yaml.Node, parameters: Branches, fixed: Mapping[str, Any]) -> list[dict[str, Any]]:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            self.say(node, f"'first_trials' is {_kind(node)}", "a list with at least one trial")
            return []
        trials: list[dict[str, Any]] = []
        for position, item in enumerate(node.value, start=1):
            trial, places = {}, dict[str, yaml.Node]()
            for name, (key, value_node) in self.mapping(item, f"first trial {position}").items():
                if name not in parameters:
                    self.unknown(key, name, parameters, f"first trial {position} gives")
                    continue
                trial[name], places[name] = self.value(value_node), value_node
            trials.append(trial)
            default, recipe = {**fixed, **trials[0]}, {**fixed, **trials[0], **trial}
            for name, branches in parameters.items():
                drawn = [branch for branch in branches if holds(branch, recipe)]
                inherited = name not in trial and drawn == [b for b in branches if holds(b, default)]
                allowed = drawn or branches
                if inherited or name not in recipe or any(inside(recipe[name], branch) for branch in allowed):
                    continue
                self.say(
                    places.get(name, item),
                    f"first trial {position} has {name} {recipe[name]!r}",
                    " or ".join(range_text(branch) for branch in allowed),
                    "Widen the range, or change the trial" if name in trial else f"Say {name} in it",
                )
        recipe = {**fixed, **trials[0]}
        missing = [
            name
            for name, branches in parameters.items()
            if name not in trials[0] and any(holds(branch, recipe) for branch in branches)
        ]
        if missing:
            self.say(
                node.value[0],
                f"first trial 1 does not say {', '.join(missing)}",
                "every parameter: the first trial is the untuned default; later ones say only what differs",
                "Add them",
            )
        return trials

    def possible(self, name: str, value: Any, node: yaml.Node) -> bool:
        """Whether a recipe can have this value; says so where it cannot."""
        if name not in self.keys:
            return False  # said already
        limits = RECIPE_LIMITS[name] if name in RECIPE_LIMITS else OWN_KEYS[name].values
        if isinstance(limits, frozenset):
            if value not in limits:
                self.say(node, f"{name} is {value!r}", f"one of {', '.join(sorted(limits))}", "Correct it")
            return value in limits
        low, high = limits
        number = isinstance(value, int | float) and not isinstance(value, bool)
        whole = name not in WHOLE_NUMBERS or isinstance(value, int)
        if number and whole and low <= value <= high:
            return True
        kind = "a whole number" if name in WHOLE_NUMBERS else "a number"
        self.say(node, f"{name} is {value!r}", f"{kind} from {low:g} to {high:g}", "Correct it")
        return False


def _kind(node: yaml.Node | None) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list" if node.value else "an empty list"
    return "empty" if node is None or not node.value else f"{node.value!r}"
