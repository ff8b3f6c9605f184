"""Repairs, each on record: the rows that train are cleaned, a given test or validation never is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


def clean(parts: Mapping[str, Keyed]) -> tuple[dict[str, Mask], list[Repair]]:
    """Which rows of each part stay, and one repair for each reason to leave rows out.

    Training rows go where their input is blank or broken, their label missing, their input labelled in two ways,
    their input and label a repetition, or their input one of a given validation or test. Other parts lose only
    rows without a label, which nothing can be scored on.
    """
    keep: dict[str, Mask] = {}
    repairs: list[Repair] = []
    for name in ("test", "validation"):
        if name in parts:
            part = parts[name]
            keep[name] = ~part.unlabelled
            repairs += _repair(part, "missing_values", "rows without a label left out", part.unlabelled)
    train = parts["train"]
    noun, aside = train.medium.noun, train.medium.aside
    stay = np.ones(len(train.keys), np.bool_)

    def remove(kind: str, what: str, rows: Mask) -> None:
        nonlocal stay
        repairs.extend(_repair(train, kind, what, rows & stay))
        stay = stay & ~rows

    remove(train.medium.unusable_kind, train.medium.unusable, train.blank)
    remove("missing_values", "rows without a label removed", train.unlabelled)
    for name in ("test", "validation"):
        if name in parts:
            other = parts[name]
            shared = overlapping(train.keys, stay, other.keys[~other.blank])
            remove("split_overlap", f"rows whose {noun} stands in the {name} rows removed", shared)
    torn = conflicting(train.keys, train.label_codes, stay)
    remove("conflicting_labels", f"rows whose {noun} stands with more than one label removed", torn)
    twice = repeated(train.keys, stay)
    remove("exact_duplicates", f"repetitions of another row removed, {aside}", twice)
    keep["train"] = stay
    return keep, repairs


def _repair(part: Keyed, kind: str, what: str, rows: Mask) -> list[Repair]:
    return [Repair(kind=kind, part=part.name, what=what, rows=part.numbers[rows])] if rows.any() else []
