"""Repairs, each on record: the rows that train are cleaned; a given part loses only rows that no score can be of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from automl.data.columns import Codes, Mask
from automl.data.leakage import Keyed, conflicting, overlapping, repeated


@dataclass(frozen=True, kw_only=True)
class Repair:
    """Rows that were taken out. rows: all of their numbers in their source, from 0."""

    kind: str
    part: str
    what: str
    rows: Codes

    @property
    def count(self) -> int:
        return len(self.rows)

    def sentence(self) -> str:
        return f"{self.part}: {self.count:,} {self.what}"

    def to_json(self) -> dict[str, Any]:
        rows = [int(number) for number in self.rows]
        return {"kind": self.kind, "what": self.what, "count": self.count, "rows": rows, "part": self.part}


def clean(
    parts: Mapping[str, Keyed],
    on: frozenset[str],
    near: Mapping[str, Codes] = MappingProxyType({}),
    classified: bool = True,
) -> tuple[dict[str, Mask], list[Repair]]:
    """Which rows of each part stay, and one repair for each reason to leave rows out.

    on: the names of the repairs that are made (repairs.py). Training rows go where their input is blank or broken,
    their label missing, their input labelled in two ways, their input and label a repetition, or their input one of a
    given validation or test. Other parts lose only rows without a label, which nothing can be scored on, and rows
    whose picture cannot be decoded, which nothing can be predicted for.
    near: of each part, equal where rows are nearly equal, over all parts; empty where they were not compared.
    classified: whether labels are classes, which can contradict.
    """
    keep: dict[str, Mask] = {}
    repairs: list[Repair] = []
    for name in ("test", "validation"):
        if name in parts:
            part = parts[name]
            keep[name] = ~part.unlabelled
            repairs += _repair(part, "missing_values", "rows without a label left out", part.unlabelled)
            if part.medium.complete:  # no contender could answer, so for none is it counted
                what = f"rows left out whose {part.medium.noun} cannot be decoded, for every contender alike"
                repairs += _repair(part, part.medium.unusable_kind, what, part.blank & keep[name])
                keep[name] &= ~part.blank
    train = parts["train"]
    noun, aside = train.medium.noun, train.medium.aside
    stay = np.ones(len(train.keys), np.bool_)

    def remove(repair: str, kind: str, what: str, rows: Mask) -> None:
        nonlocal stay
        if repair in on:
            repairs.extend(_repair(train, kind, what, rows & stay))
            stay = stay & ~rows

    remove("blank-inputs", train.medium.unusable_kind, train.medium.unusable, train.blank)
    if train.labels is not None:
        remove("missing-labels", "missing_values", "rows without a label removed", train.unlabelled)
    for name in ("test", "validation"):
        if name in parts:
            other = parts[name]
            shared = overlapping(train.keys, stay, other.keys[~other.blank])
            what = f"rows whose {noun} stands in the {name} rows removed"
            remove("split-overlap", "split_overlap", what, shared)
            if name in near and "train" in near:
                nearly = overlapping(near["train"], stay, near[name][~other.blank])
                what = f"rows whose {noun} nearly stands in the {name} rows removed"
                remove("near-overlaps", "near_split_overlap", what, nearly)
    if classified and train.labels is not None:
        if "majority-label" in on:
            what = f"rows removed whose {noun} stands more often with another label, or as often"
            remove("majority-label", "conflicting_labels", what, _outvoted(train.keys, train.label_codes, stay))
        torn = conflicting(train.keys, train.label_codes, stay)
        what = f"rows whose {noun} stands with more than one label removed"
        remove("conflicting-labels", "conflicting_labels", what, torn)
    twice = repeated(train.keys, stay)
    remove("exact-duplicates", "exact_duplicates", f"repetitions of another row removed, {aside}", twice)
    if "train" in near:
        nearly = repeated(near["train"], stay)
        remove("near-duplicates", "near_duplicates", "rows that nearly repeat another removed", nearly)
    keep["train"] = stay
    return keep, repairs


def _outvoted(keys: Codes, labels: Codes, where: Mask) -> Mask:
    """Rows of `where` whose label is not the most frequent one of their key, and all rows of keys without such."""
    found = np.zeros(len(keys), np.bool_)
    rows = np.flatnonzero(where)
    pairs, places, counts = np.unique(
        np.stack((keys[rows], labels[rows])), axis=1, return_inverse=True, return_counts=True
    )
    most = np.zeros(int(keys.max(initial=0)) + 1, np.int64)
    np.maximum.at(most, pairs[0], counts)
    leading = counts == most[pairs[0]]
    leaders = np.bincount(pairs[0][leading], minlength=len(most))
    wins = leading & (leaders[pairs[0]] == 1)
    found[rows] = ~wins[places.reshape(-1)]
    return found


def _repair(part: Keyed, kind: str, what: str, rows: Mask) -> list[Repair]:
    return [Repair(kind=kind, part=part.name, what=what, rows=part.numbers[rows])] if rows.any() else []
