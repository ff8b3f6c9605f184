"""Classes too small to stand in every part: dropped or merged on record, never in rows of a given part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from automl.config import RareClasses, RunRequest
from automl.data.checks import Uncuttable, check_classes, check_rows
from automl.data.clean import Repair
from automl.data.columns import Mask
from automl.data.kept import Kept
from automl.data.partition import PARTS, Bound, Partition, partition
from automl.data.profile import Inspection, class_counts
from automl.errors import DataError
from automl.types import Finding

MERGED = "other"
_NAMED = 10
_USES = {"train": "to learn from", "validation": "to choose by", "test": "to judge by"}


@dataclass(frozen=True, kw_only=True)
class _Rare:
    """The classes that are too small, in which parts each class must stand, and what is done about it.

    before, after: training rows of every class before and after cleaning. merged: the label of those merged.
    """

    target: str
    before: Mapping[str, int]
    after: Mapping[str, int]
    needed: tuple[str, ...]
    names: tuple[str, ...]
    what: RareClasses
    merged: str

    @property
    def rows(self) -> int:
        return sum(self.after.get(name, 0) for name in self.names)

    @property
    def merges(self) -> bool:
        """Whether they make a class together that is large enough; they are dropped where they do not."""
        return self.what == "merge" and self.rows >= _fewest(self.needed)

    def with_names(self, names: Sequence[str]) -> _Rare:
        """These classes too; where the merged one is among them, nothing is merged any more."""
        if self.merged in names:
            return replace(self, what="drop")
        return replace(self, names=(*self.names, *names))

    def refusal(self, names: Sequence[str], fewest: int, todo: str) -> DataError:
        """That these classes have fewer rows than needed."""
        one = len(names) == 1
        sizes = {self.after.get(name, 0) for name in names}
        if len(sizes) == 1 and not any(map(self._cleaned, names)):
            how = f"{(size := sizes.pop())} row{'' if size == 1 else 's'}"
            listed = ", ".join(map(repr, names[:_NAMED])) + _more(names)
        else:
            how, listed = f"fewer than {fewest} rows", self.listed(names)
        parts = [*self.needed[: fewest - 1], self.needed[-1]]
        return DataError(
            f"{_classes(names)} of {self.target!r} {'has' if one else 'have'} {how}: {listed}",
            f"{fewest} are needed, {', '.join(f'one {_USES[part]}' for part in parts)}",
            todo,
        )

    def listed(self, names: Sequence[str]) -> str:
        """Each with its rows."""
        told = []
        for name in names[:_NAMED]:
            rows = self.after.get(name, 0)
            plain = f"{rows} row{'' if rows == 1 else 's'}"
            cleaned = f"{rows} of {self.before[name]} rows left after cleaning"
            told.append(f"{name!r} ({cleaned if self._cleaned(name) else plain})")
        return ", ".join(told) + _more(names)

    def _cleaned(self, name: str) -> bool:
        return self.before[name] != self.after.get(name, 0)


def divided(
    kept: Mapping[str, Kept], seen: Inspection, target: str, request: RunRequest, bound: Bound, repairs: list[Repair]
) -> tuple[Partition, list[Repair], list[Finding]]:
    """The parts, all repairs, and a finding on classes that were dropped or merged because they are too small.

    A class is too small that has fewer rows than the parts in which it must stand, or that a cut leaves in one part
    alone although it has fewer rows, or groups of rows, than there are parts. One of which a given part has rows
    stays, whatever its size: no given row is left out for it or labelled otherwise.
    kept: the rows of every given part that stay after cleaning. bound: of the training rows.
    Raises DataError where too little is left, and with --rare-classes keep where any class is too small.
    """
    check_rows(seen, target, len(kept["train"]), repairs)
    rare = _too_small(kept, seen, target, request)
    while True:
        thinned, rows = _thinned(kept, rare)
        done = [*repairs, *_repairs(rare, kept["train"])]
        counts = {part: found.label_counts() for part, found in thinned.items()}
        check_classes(seen, counts)
        if len(counts["train"]) < 2:
            raise _nothing_left(rare)
        check_rows(seen, target, len(thinned["train"]), done)
        try:
            parted = partition(thinned, seen.roles.inputs, request, bound.filter(rows))
        except Uncuttable as error:
            rare = rare.with_names(_lost(error, rare, kept, bound))
            continue
        return parted, done, list(_findings(rare))


def _fewest(needed: Sequence[str]) -> int:
    """A class must be learnt and judged; it may be missing from the validation beside a test."""
    return min(2, len(needed))


def _too_small(kept: Mapping[str, Kept], seen: Inspection, target: str, request: RunRequest) -> _Rare:
    before, after = class_counts(seen.keyed["train"]), kept["train"].label_counts()
    needed = tuple(part for part in PARTS if part == "train" or part not in kept)
    given = _of_given(kept)
    taken = {name.casefold() for name in (*before, *given)}
    rare = _Rare(
        target=target,
        before=before,
        after=after,
        needed=needed,
        names=tuple(name for name in before if after.get(name, 0) < _fewest(needed) and name not in given),
        what=request.rare_classes,
        merged=next(name for name in _free_names() if name not in taken),
    )
    if rare.names and rare.what == "keep":
        todo = "Add rows, or say --rare-classes drop to leave such classes out or merge to join them"
        raise rare.refusal(rare.names, _fewest(needed), todo)
    return rare


def _free_names() -> Iterator[str]:
    yield MERGED
    yield from (f"{MERGED} {number}" for number in range(2, 1_000_000))


def _of_given(kept: Mapping[str, Kept]) -> set[str]:
    return {name for part, rows in kept.items() if part != "train" for name in rows.label_counts()}


def _thinned(kept: Mapping[str, Kept], rare: _Rare) -> tuple[dict[str, Kept], Mask]:
    """The parts with rare classes merged or dropped, and which of the training rows stayed."""
    train = kept["train"]
    stay = np.ones(len(train), np.bool_)
    if rare.merges:
        train = train.relabelled(rare.names, rare.merged)
    elif rare.names:
        stay = ~train.of_classes(rare.names)
        train = train.filter(stay)
    return {**kept, "train": train}, stay


def _nothing_left(rare: _Rare) -> DataError:
    merged = replace(rare, what="merge").merges and len(rare.names) < len(rare.before)
    todo = "join them to one class with --rare-classes merge" if merged else "join them to larger ones in the file"
    return rare.refusal(
        rare.names, _fewest(rare.needed), f"Without them fewer than two classes are left: add rows of them, or {todo}"
    )


def _lost(error: Uncuttable, rare: _Rare, kept: Mapping[str, Kept], bound: Bound) -> list[str]:
    """The classes that a cut left in one part alone, where they are too small for it. Raises `error` otherwise."""
    train, every = kept["train"], len(rare.needed)
    if not error.classes:
        if bound.groups is not None or bound.times is not None:
            raise error
        names = [name for name in rare.before if rare.after.get(name, 0) < every]
        raise rare.refusal(names, every, "Add rows of these classes, or give the parts as files of their own")
    for name in error.classes:
        mine = train.of_classes(rare.names if name == rare.merged else [name])
        units = int(mine.sum()) if bound.groups is None else len(np.unique(bound.groups[mine]))
        if rare.what == "keep" or units >= every or name in _of_given(kept):
            raise error
    return list(error.classes)


def _repairs(rare: _Rare, train: Kept) -> list[Repair]:
    if not rare.rows:
        return []
    how = f"merged into {rare.merged!r}" if rare.merges else "removed"
    what = f"rows of {_classes(rare.names)} too small for every part {how}: {rare.listed(rare.names)}"
    numbers = train.numbers[train.of_classes(rare.names)]
    return [Repair(kind="rare_classes", part="train", what=what, rows=numbers)]


def _findings(rare: _Rare) -> Iterator[Finding]:
    if not rare.names:
        return
    how = f"merged into {rare.merged!r}" if rare.merges else "left out"
    other = "drop leaves them out" if rare.merges else "merge joins them to one class"
    yield Finding(
        kind="rare_classes",
        severity="repair" if rare.rows else "warn",  # without rows no repair is on record, so it is told of
        count=rare.rows,
        what=f"{_classes(rare.names)} of {rare.target!r} too small for every part {how}: {rare.listed(rare.names)}",
        suggestion=f"add rows to keep them; --rare-classes {other}, keep refuses them",
    )


def _classes(names: Sequence[str]) -> str:
    return f"{len(names)} class{'' if len(names) == 1 else 'es'}"


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
