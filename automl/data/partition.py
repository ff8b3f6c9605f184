"""Training, validation and test: the parts that are given, and those that are split off the training rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from automl.config import RunRequest
from automl.data.checks import check_cut
from automl.data.columns import Codes, Mask
from automl.data.folds import Masks, cut_folds, describe_folds
from automl.data.guess import find_column
from automl.data.kept import Kept
from automl.data.leakage import Keyed
from automl.data.profile import Inspection
from automl.data.split import Digests, fingerprint, latest_cut, stratified_cut, test_rows, validation_rows
from automl.data.together import groups_of, held_together, times_of
from automl.errors import RequestError
from automl.types import Fold

PARTS: tuple[str, ...] = ("train", "validation", "test")
CONTENT = "\x00content"  # no file can name a column so


@dataclass(frozen=True)
class Bound:
    """What binds the training rows when parts are split off them. groups: equal where rows stay together.

    by: the column that the user named for it.
    """

    groups: Codes | None
    times: npt.NDArray[np.float64] | None
    words: str
    by: str | None = None

    def filter(self, rows: Mask) -> Bound:
        return replace(
            self,
            groups=None if self.groups is None else self.groups[rows],
            times=None if self.times is None else self.times[rows],
        )


def bound(train: Keyed, seen: Inspection, request: RunRequest) -> Bound:
    """The same for all training rows. Raises DataError where a named column does not serve."""
    if request.time is not None:
        find_column(request.time, train.rows.table.column_names, "--time", train.rows.read_as.source)
        return Bound(None, times_of(train, request.time), f"the latest rows by {request.time!r}", request.time)
    near, words = seen.near.get("train"), "stratified by class"
    if request.group is not None:
        stem = groups_of(train.rows.table[request.group])[1]
        words += f", rows of one {request.group!r}{' (before its last separator)' if stem else ''} together"
    if held_together(train, near, None) is not None:
        words += ", near duplicates together"
    groups = held_together(train, near, request.group)
    return Bound(groups, None, f"{words}, by a hash of content and seed", request.group)


@dataclass(frozen=True)
class Partition:
    """The three parts; origin: the part that each was taken from; sha256: fingerprints of the parts' rows.

    masks, folds: with --folds, of every cut its validation among the rows of train and validation, and what it is.
    """

    rows: dict[str, Kept]
    origin: dict[str, str]
    sha256: dict[str, str]
    strategy: str
    masks: Masks = field(default_factory=list)
    folds: tuple[Fold, ...] = ()

    @property
    def cut(self) -> tuple[str, ...]:
        """The parts that were split off the training rows."""
        return tuple(part for part in PARTS[1:] if self.origin[part] == "train")


def partition(kept: Mapping[str, Kept], inputs: tuple[str, ...], request: RunRequest, bound: Bound) -> Partition:
    """What is not given is split off the training rows: the test first, then the validation from the rest.

    Raises Uncuttable where a part would be empty or have a class of its own.
    """
    cut, origin, words = dict(kept), {part: part for part in kept}, []
    # by what the rows hold: the same pictures are cut the same way wherever they lie
    told = (CONTENT,) if CONTENT in kept["train"].table.column_names else inputs
    digests = {part: rows.digests(told) for part, rows in cut.items()}
    if request.folds is not None and "validation" in cut:
        raise RequestError(
            f"the source has a validation split of its own ({len(cut['validation']):,} rows), "
            f"and --folds {request.folds} would cut others",
            "validation rows that are cut in several ways, or rows that are given once",
            "Leave --folds out, or name the file of training rows as the source",
        )
    for name, size_of in (("test", test_rows), ("validation", validation_rows)):
        if name == "validation" and request.folds is not None:
            break
        if name in cut:
            words.append(f"{name} given")
            continue
        train = cut["train"]
        labels = train.label_codes
        size = size_of(len(train))
        if bound.times is not None:
            chosen = latest_cut(bound.times, digests["train"], size, request.seed, name)
        else:
            chosen = stratified_cut(labels, digests["train"], size, request.seed, name, groups=bound.groups)
        check_cut(labels, train.classes, chosen, name, bound.by, bound.groups is not None)
        cut |= {name: train.filter(chosen), "train": train.filter(~chosen)}
        digests[name], digests["train"] = digests["train"][chosen], digests["train"][~chosen]
        bound = bound.filter(~chosen)
        origin[name] = "train"
        words.append(f"{name} cut from train, {bound.words}")
    parted = Partition(cut, origin, {}, "; ".join(words))
    if request.folds is not None:
        parted = _in_folds(parted, digests, request, request.folds, bound)
    return replace(parted, sha256={part: fingerprint(digests[part]) for part in PARTS})


def _in_folds(
    cut: Partition, digests: dict[str, Digests], request: RunRequest, folds: int, bound: Bound
) -> Partition:
    """Train and validation cut in as many ways as folds or finals ask for; `digests` become those of the first."""
    rows = cut.rows["train"]
    labels = rows.label_codes
    cuts = max(folds, request.seeds)
    masks = cut_folds(labels, digests["train"], folds, cuts, request.seed, bound.groups)
    for number, mask in enumerate(masks, start=1):
        part = f"validation of fold {number}"
        check_cut(labels, rows.classes, mask, part, bound.by, bound.groups is not None)
    cut.rows.update(train=rows.filter(~masks[0]), validation=rows.filter(masks[0]))
    # the rows of the first cut's training, then those of its validation: so all cuts are told of them
    order = np.argsort(masks[0], kind="stable")
    masks, pool = [mask[order] for mask in masks], digests["train"][order]
    for part, mask in (("train", ~masks[0]), ("validation", masks[0])):
        digests[part] = pool[mask]
    times = "" if cuts == folds else f", parted anew until there are {cuts} cuts"
    strategy = f"{cut.strategy}; train and validation cut from train, {folds} folds{times}, {bound.words}"
    origin = cut.origin | {"validation": "train"}
    return replace(cut, origin=origin, strategy=strategy, masks=masks, folds=describe_folds(masks, pool))
