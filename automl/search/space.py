"""What is searched for a family: ranges, what is fixed, and the literature's first trials.

A space is data (search_spaces/*.yaml). It draws a recipe from anything that has `suggest_float`,
`suggest_int` and `suggest_categorical`, so this file knows no sampler.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from automl.errors import SpaceError
from automl.search.space_file import read_space_file
from automl.search.space_keys import DATA_FACTS, OWN_KEYS, RECIPE_KEYS, known_keys
from automl.training.unfreezing import mode_of

FEWEST_TRIALS = {1: 1, 2: 12, 3: 24}
"""The trials from which on a tier is searched: few trials spread over many dimensions find noise."""

Recipe = dict[str, Any]


class Suggests(Protocol):
    """The part of an Optuna trial that a space draws from."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One searched key of a recipe: a range (low to high) or choices.

    when: alternatives {other parameter: values}; it is drawn where one of them holds, or where there are none.
    Elsewhere its fixed value holds.
    when_data: {fact of the data: the least it must be}, see DATA_FACTS; on other data the first trial's value holds.
    branch: where the range depends on another parameter, there is one Parameter a range, and this tells them apart.
    or_zero: zero is possible too, drawn first as a yes-or-no (a log range cannot hold it).
    """

    name: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    integer: bool = False
    choices: tuple[Any, ...] = ()
    when: tuple[Mapping[str, tuple[Any, ...]], ...] = ()
    when_data: Mapping[str, float] = field(default_factory=dict)
    branch: str = ""
    tier: int = 1
    or_zero: bool = False
    source: str = ""

    @property
    def drawn_name(self) -> str:
        """The name under which the sampler sees it: ranges of one key are dimensions of their own."""
        return f"{self.name}_if_{self.branch}" if self.branch else self.name

    @property
    def zero_name(self) -> str:
        """The name under which the sampler sees whether an `or_zero` parameter is zero."""
        return f"{self.drawn_name}_is_zero"

    def active(self, recipe: Mapping[str, Any]) -> bool:
        holds = (all(recipe.get(other) in values for other, values in case.items()) for case in self.when)
        return not self.when or any(holds)

    def draw(self, trial: Suggests) -> Any:
        if self.choices:
            return trial.suggest_categorical(self.drawn_name, self.choices)
        if self.or_zero and trial.suggest_categorical(self.zero_name, (True, False)):
            return 0 if self.integer else 0.0
        assert self.low is not None
        assert self.high is not None
        if self.integer:
            return trial.suggest_int(self.drawn_name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.drawn_name, float(self.low), float(self.high), log=self.log)

    def drawn(self, value: Any) -> Recipe:
        """What `draw` would have suggested to get this value."""
        if not self.or_zero:
            return {self.drawn_name: value}
        return {self.zero_name: True} if value == 0 else {self.zero_name: False, self.drawn_name: value}

    def given(self, values: Mapping[str, Any]) -> Parameter | None:
        """The parameter where these values of others are fixed; None where it is then never drawn."""
        open_cases = [
            {other: allowed for other, allowed in case.items() if other not in values}
            for case in self.when
            if all(values[other] in allowed for other, allowed in case.items() if other in values)
        ]
        if self.when and not open_cases:
            return None
        return replace(self, when=() if not all(open_cases) else tuple(open_cases))

    def __str__(self) -> str:
        if self.choices:
            return "{" + ", ".join(map(_shown, self.choices)) + "}"
        assert self.low is not None
        assert self.high is not None
        text = f"{self.low:g} to {self.high:g}"
        if self.log:
            text += f", log ({math.log10(self.high / self.low):.1f} decades)"
        return f"0, or {text}" if self.or_zero else text

    def to_json(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        when = [{other: list(values) for other, values in case.items()} for case in self.when]
        return {**plain, "choices": list(self.choices), "when": when, "when_data": dict(self.when_data)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Parameter:
        cases = values.get("when") or ()
        cases = (cases,) if isinstance(cases, Mapping) else cases
        when = tuple({other: tuple(allowed) for other, allowed in case.items()} for case in cases)
        return cls(**{**values, "choices": tuple(values.get("choices") or ()), "when": when})


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """One adaptation's search space of one family. `first_trials[0]` is the untuned default."""

    name: str
    adaptation: str
    parameters: tuple[Parameter, ...]
    fixed: Mapping[str, Any]
    first_trials: tuple[Mapping[str, Any], ...]

    def suggest(self, trial: Suggests) -> Recipe:
        """A full recipe, drawn by the trial; the order of the parameters is the order of the draws."""
        recipe = dict(self.fixed)
        for parameter in self.parameters:
            if parameter.active(recipe):
                recipe[parameter.name] = parameter.draw(trial)
        return _ordered(recipe)

    def to_params(self, recipe: Mapping[str, Any]) -> Recipe:
        """The parameters that `suggest` would have drawn for a recipe: to enqueue it, to rebuild a study."""
        drawn: Recipe = {}
        for parameter in self.parameters:
            if parameter.active(recipe):
                drawn |= parameter.drawn(recipe[parameter.name])
        return drawn

    def complete(self, partial: Mapping[str, Any]) -> Recipe:
        """A full recipe: the fixed values, the first trial's, and over them what is given.

        Where a condition does not hold, the parameter takes its fixed value, as in `suggest`.
        Raises SpaceError for a key that no recipe has.
        """
        keys = known_keys(self.adaptation)
        for name in partial:
            if name not in keys:
                near = difflib.get_close_matches(name, keys, n=1)
                todo = f"Did you mean {near[0]!r}?" if near else "Check its spelling"
                raise SpaceError(f"a recipe with {name!r}", f"keys among {', '.join(keys)}", todo)
        recipe = {**self.fixed, **self.first_trials[0], **partial}
        for name in dict.fromkeys(parameter.name for parameter in self.parameters):
            if name not in partial and self.drawn(name, recipe) is None:
                recipe[name] = self.fixed[name]
        return _ordered(recipe)

    def drawn(self, name: str, recipe: Mapping[str, Any]) -> Parameter | None:
        """The parameter that draws this key beside the other values of a recipe; None where its fixed value holds."""
        return next((p for p in self.parameters if p.name == name and p.active(recipe)), None)

    def branch(self, name: str, recipe: Mapping[str, Any]) -> str | None:
        """Which of its ranges a key is drawn from beside the other values of a recipe."""
        parameter = self.drawn(name, recipe)
        return parameter.branch if parameter else None

    def for_trials(self, trials: int | None) -> SearchSpace:
        """The space that so many trials can search; where their number is not known, all but tier 3."""
        known = FEWEST_TRIALS[3] - 1 if trials is None else trials
        return self._holding({p.name for p in self.parameters if known < FEWEST_TRIALS[p.tier]})

    def for_data(self, facts: Mapping[str, float]) -> SearchSpace:
        """The space that fits the data: a parameter whose `when_data` it does not meet is held."""

        def met(parameter: Parameter) -> bool:
            return all(facts.get(fact, 0) >= least for fact, least in parameter.when_data.items())

        held = self._holding({p.name for p in self.parameters if not met(p)})
        return replace(held, parameters=tuple(replace(p, when_data={}) for p in held.parameters))

    def _holding(self, names: set[str]) -> SearchSpace:
        """The space without these dimensions: they stay as in the first trial.

        What can then never be drawn goes as well, and its key too where not every recipe has it. A first trial
        goes whose other values were meant for what is held (a learning rate for the optimizer that it named).
        """
        default = self.complete({})
        fixed = {**self.fixed, **{name: default[name] for name in names}}
        searched: list[Parameter] = []
        left, never = set[str](), {parameter.name for parameter in self.parameters}
        for parameter in self.parameters:
            found = parameter.given({name: value for name, value in fixed.items() if name not in left})
            if found is None:
                continue
            never.discard(parameter.name)
            if parameter.name not in names:
                searched.append(found)
                left.add(parameter.name)
        fixed = {name: value for name, value in fixed.items() if name not in never or name not in OWN_KEYS}
        space = replace(self, parameters=tuple(searched), fixed=fixed)
        first_trials: list[Mapping[str, Any]] = []
        for trial in self.first_trials:
            kept = {name: value for name, value in trial.items() if name in left}
            meant, got = self.complete(trial), space.complete(kept)
            same = all(self.branch(name, meant) == space.branch(name, got) for name in kept)
            if same and kept not in first_trials and (kept or not first_trials):
                first_trials.append(kept)
        return replace(space, first_trials=tuple(first_trials))

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "adaptation": self.adaptation,
            "parameters": [parameter.to_json() for parameter in self.parameters],
            "fixed": dict(self.fixed),
            "first_trials": [dict(trial) for trial in self.first_trials],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SearchSpace:
        return cls(
            name=values["name"],
            adaptation=values["adaptation"],
            parameters=tuple(Parameter.from_json(parameter) for parameter in values["parameters"]),
            fixed=dict(values["fixed"]),
            first_trials=tuple(dict(trial) for trial in values["first_trials"]),
        )


@dataclass(frozen=True, kw_only=True)
class SpaceListing:
    """One search-space file that can be used. `hides`: a shipped file of that name which it replaces."""

    name: str
    path: Path
    description: str
    adaptations: tuple[str, ...]
    hides: Path | None = None


def shipped_directory() -> Path:
    """Where the shipped spaces lie: inside an installed package, beside it in a checkout."""
    packaged = Path(str(files("automl"))) / "search_spaces"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "search_spaces"


def load_space(family_space: str, adaptation: str, directory: Path | None = None) -> SearchSpace:
    """The space of a family and adaptation; a file in `directory` goes before the shipped one.

    family_space: the file's name without ending, such as 'text_encoder_small'.
    Raises SpaceError where the file, or its section, is missing or wrong.
    """
    places = _places(directory)
    path = next((file for place in places if (file := place / f"{family_space}.yaml").is_file()), None)
    if path is None:
        known = sorted({file.stem for place in places for file in place.glob("*.yaml")})
        near = difflib.get_close_matches(family_space, known, n=1)
        raise SpaceError(
            f"no search space {family_space!r} in {', '.join(map(str, places))}",
            f"one of {', '.join(known)}",
            f"Did you mean {near[0]!r}?" if near else f"Write {family_space}.yaml for --search-spaces DIR",
        )
    spaces = {space.adaptation: space for space in check_file(path)}
    if adaptation not in spaces:
        raise SpaceError(
            f"{path}:1: there is no section {adaptation!r}",
            f"one of {', '.join(spaces)}",
            f"Add the section '{adaptation}:', or choose another with --adapt",
        )
    return spaces[adaptation]


def check_file(path: Path | str) -> tuple[SearchSpace, ...]:
    """Every space of a file. Raises SpaceError that lists all of its problems with their lines."""
    path = Path(path)
    _, sections = read_space_file(path)
    return tuple(SearchSpace.from_json({"name": path.stem, **section}) for section in sections.values())


def list_spaces(directory: Path | None = None) -> tuple[SpaceListing, ...]:
    """Every search space that a run would find, by name. Raises SpaceError where a file is wrong."""
    found: dict[str, SpaceListing] = {}
    for place in reversed(_places(directory)):
        for path in sorted(place.glob("*.yaml")):
            description, sections = read_space_file(path)
            found[path.stem] = SpaceListing(
                name=path.stem,
                path=path,
                description=description,
                adaptations=tuple(sections),
                hides=found[path.stem].path if path.stem in found else None,
            )
    return tuple(found[name] for name in sorted(found))


def describe(space: SearchSpace) -> str:
    """A space as plain text for a terminal: what is searched, what is fixed, the first trials."""
    lines = [f"{space.name} / {space.adaptation}", "", "searched"]
    width = max((len(parameter.name) for parameter in space.parameters), default=0)
    ranges = max((len(str(parameter)) for parameter in space.parameters), default=0)
    default = space.complete({})
    for parameter in space.parameters:
        line = f"  {parameter.name:<{width}}  {parameter!s:<{ranges}}  tier {parameter.tier}"
        if space.branch(parameter.name, default) in (None, parameter.branch):
            line += f"  first trial {_shown(default[parameter.name])}"
        cases = (
            " and ".join(f"{other} is {' or '.join(map(_shown, values))}" for other, values in case.items())
            for case in parameter.when
        )
        line += f"  only when {', or when '.join(cases)}" if parameter.when else ""
        for fact, least in parameter.when_data.items():
            line += f"  only on data whose {fact} is {least:g} or more ({DATA_FACTS[fact]})"
        lines.append(line)
        if parameter.source:
            lines.append(f"  {'':<{width}}    {parameter.source}")
    lines += ["", "fixed", "  " + ", ".join(f"{name} {_shown(value)}" for name, value in space.fixed.items())]
    lines += ["", "first trials (never pruned; the first is the untuned default, others say what differs)"]
    for position, trial in enumerate(space.first_trials, start=1):
        said = ", ".join(f"{name} {_shown(value)}" for name, value in trial.items())
        lines.append(f"  {position}. {mode_of(space.complete(trial))}: {said}")
    for tier, fewest in FEWEST_TRIALS.items():
        names = dict.fromkeys(parameter.name for parameter in space.parameters if parameter.tier == tier)
        if names and fewest > 1:
            lines += ["", f"Tier {tier} is searched from {fewest} trials on, else held as in the first trial:"]
            lines.append("  " + ", ".join(names))
    return "\n".join(lines)


def _places(directory: Path | None) -> list[Path]:
    if directory is None:
        return [shipped_directory()]
    if not directory.is_dir():
        raise SpaceError(f"--search-spaces {directory} is no folder", "a folder with YAML files", "Check the path")
    return [directory, shipped_directory()]


def _ordered(recipe: Mapping[str, Any]) -> Recipe:
    return {name: recipe[name] for name in (*RECIPE_KEYS, *OWN_KEYS) if name in recipe}


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"
