"""Rows that stand twice, rows that contradict each other, and rows of one part that stand in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from automl.data.columns import (
    Codes,
    Hashes,
    Mask,
    as_text,
    blank_rows,
    codes_of,
    hashes_of,
    numbered,
    row_hashes,
    to_mask,
)
from automl.data.labels import Change, read_labels
from automl.data.media import TEXT, Medium
from automl.data.pieces import by_pieces, taken
from automl.data.rows import Rows
from automl.types import Finding

MOST_ROWS_SHOWN = 100


@dataclass(frozen=True)
class Contents:
    """Digests of what the inputs of one part hold, by what they mean and to the byte; empty where it is nothing."""

    medium: Medium
    meaning: pa.ChunkedArray
    exact: pa.ChunkedArray


@dataclass(frozen=True, kw_only=True)
class Keyed:
    """One part with what is compared. keys: equal where the inputs are equal (folded text, pixels), over all parts.

    labels: label texts, null where missing; None where the part has no target. changes: where they are read otherwise
    than they are written. blank: the inputs hold nothing.
    content: what an input is, where its column only points at it (a digest of a picture); None: the column itself.
    exact: as `keys` where inputs can be equal to the byte and equal in meaning.
    """

    name: str
    rows: Rows
    numbers: Codes
    keys: Codes
    blank: Mask
    labels: pa.ChunkedArray | None
    exact: Codes
    content: pa.ChunkedArray | None = None
    medium: Medium = TEXT
    changes: tuple[Change, ...] = ()

    @cached_property
    def label_codes(self) -> Codes:
        assert self.labels is not None
        return codes_of(self.labels)

    @property
    def unlabelled(self) -> Mask:
        if self.labels is None:
            return np.ones(len(self.keys), np.bool_)
        return np.asarray(pc.is_null(self.labels).to_numpy(zero_copy_only=False), np.bool_)


def key_parts(
    parts: Mapping[str, Rows],
    inputs: tuple[str, ...],
    target: str | None,
    contents: Mapping[str, Contents] | None = None,
) -> dict[str, Keyed]:
    """The parts with their rows numbered so that equal inputs have equal numbers in all of them.

    contents: what the inputs hold where their column only points at it; folded texts are compared without.
    """
    if contents is None:
        hashes = [row_hashes(rows.table, inputs, f"comparing {name} rows") for name, rows in parts.items()]
    else:
        hashes = [hashes_of(contents[name].meaning) for name in parts]
    codes = numbered(np.concatenate(hashes))
    columns = {name: rows.table[target] for name, rows in parts.items() if target in rows.table.column_names}
    labels = read_labels(columns)
    found, start = {}, 0
    for name, rows in parts.items():
        end = start + rows.table.num_rows
        content = None if contents is None else contents[name]
        found[name] = Keyed(
            name=name,
            rows=rows,
            numbers=rows.numbers,
            keys=codes[start:end],
            exact=codes[start:end] if content is None else codes_of(content.exact),
            blank=blank_rows(rows.table, inputs) if content is None else to_mask(pc.equal(content.meaning, "")),
            labels=labels[name].values if name in labels else None,
            changes=labels[name].changes if name in labels else (),
            content=None if content is None else content.meaning,
            medium=TEXT if content is None else content.medium,
        )
        start = end
    return found


def repeated(keys: Codes, where: Mask) -> Mask:
    """Rows beyond the first of their kind, among those of `where`."""
    found = np.zeros(len(keys), np.bool_)
    candidates = np.flatnonzero(where)
    _, first = np.unique(keys[candidates], return_index=True)
    found[candidates] = True
    found[candidates[first]] = False
    return found


def conflicting(keys: Codes, labels: Codes, where: Mask) -> Mask:
    """Rows of `where` whose key also stands with another label there."""
    found = np.zeros(len(keys), np.bool_)
    candidates = np.flatnonzero(where)
    if not len(candidates):
        return found
    chosen_keys, places = np.unique(keys[candidates], return_inverse=True)
    lowest = np.full(len(chosen_keys), np.iinfo(np.int64).max)
    highest = np.full(len(chosen_keys), -1)
    np.minimum.at(lowest, places, labels[candidates])
    np.maximum.at(highest, places, labels[candidates])
    found[candidates] = (lowest != highest)[places]
    return found


def overlapping(keys: Codes, where: Mask, other: Codes) -> Mask:
    """Rows of `where` whose key stands in the other part too."""
    return np.isin(keys, other) & where


def first_rows(numbers: npt.NDArray[np.int64], mask: Mask) -> tuple[int, ...]:
    return tuple(int(n) for n in numbers[mask][:MOST_ROWS_SHOWN])


def find_repeats(part: Keyed, inputs: Sequence[str], classified: bool) -> list[Finding]:
    """Duplicates and, where the target holds classes, conflicting labels of one part."""
    findings = []
    written = ~part.blank
    twice = repeated(part.exact, written)
    kept = part.name != "train"
    named = " and ".join(repr(name) for name in inputs)
    if twice.any():
        same = ""
        if classified and part.labels is not None:
            joint = _joint(part.exact, part.label_codes)
            same = f"; {int(repeated(joint, written).sum()):,} of them with the same label"
        if part.content is None and part.rows.table.num_columns > len(inputs) + 1:
            # rows that are equal in every column are equal in their inputs
            alike = np.flatnonzero(written & np.isin(part.exact, part.exact[twice]))
            names = tuple(part.rows.table.column_names)
            what = f"comparing {part.name} rows in every column"
            found = [row_hashes(piece, names, what) for piece in taken(part.rows.table, alike)]
            whole = repeated(numbered(np.concatenate(found)), np.ones(len(alike), np.bool_))
            same += f"; {int(whole.sum()):,} of them in every column"
        findings.append(
            Finding(
                kind="exact_duplicates",
                severity="warn" if kept else "repair",
                count=int(twice.sum()),
                what=f"{part.name}: rows whose {named} stood before, {part.medium.aside}{same}",
                suggestion="kept, for a given part is never changed" if kept else "removed before the split",
                rows=first_rows(part.numbers, twice),
                part=part.name,
            )
        )
    if classified and part.labels is not None:
        torn = conflicting(part.keys, part.label_codes, written & ~part.unlabelled)
        if torn.any():
            several = f"{len(np.unique(part.keys[torn])):,} {part.medium.noun}s"
            findings.append(
                Finding(
                    kind="conflicting_labels",
                    severity="warn" if kept else "repair",
                    count=int(torn.sum()),
                    what=f"{part.name}: rows of {several} that stand with more than one label",
                    suggestion="kept, for a given part is never changed"
                    if kept
                    else "all dropped before the split; decide on one label each to keep them",
                    rows=first_rows(part.numbers, torn),
                    part=part.name,
                )
            )
    return findings


def _joint(keys: Codes, labels: Codes) -> Codes:
    return keys * (int(labels.max(initial=0)) + 1) + labels


def find_overlaps(parts: Mapping[str, Keyed], inputs: Sequence[str]) -> list[Finding]:
    """Rows of a later part (train, validation, test in this order) that stand in an earlier one."""
    findings = []
    order = [name for name in ("train", "validation", "test") if name in parts]
    for place, later in enumerate(order):
        for earlier in order[:place]:
            part, before = parts[later], parts[earlier]
            shared = overlapping(part.keys, ~part.blank, before.keys[~before.blank])
            if shared.any():
                findings.append(_overlap(part, earlier, shared))
            if len(inputs) == 2:
                findings.extend(_one_sided(part, before, inputs))
    return findings


def _overlap(part: Keyed, earlier: str, shared: Mask) -> Finding:
    repair = earlier == "train"
    return Finding(
        kind="split_overlap",
        severity="repair" if repair else "warn",
        count=int(shared.sum()),
        what=f"{part.name} rows that stand in {earlier} too, {part.medium.aside}",
        suggestion=f"removed from train, {part.name} is kept"
        if repair
        else "kept: both parts were given; read the validation score with care",
        rows=first_rows(part.numbers, shared),
        part=part.name,
    )


def _one_sided(part: Keyed, before: Keyed, inputs: Sequence[str]) -> list[Finding]:
    """Pairs of which one side is known: a premise that the model has learnt with another partner."""
    known = {name: _words(before, name) for name in inputs}
    sides = {name: _words(part, name) for name in inputs}
    nothing = hashes_of(pa.chunked_array([[""]]))
    everything = np.unique(np.concatenate(list(known.values())))
    either = np.zeros(len(part.keys), np.bool_)
    for words in sides.values():
        either |= np.isin(words, everything) & (words != nothing)
    first = inputs[0]
    leading = np.isin(sides[first], known[first]) & (sides[first] != nothing)
    found = []
    for where, what in (
        (leading, f"whose {first!r} stands in"),
        (either, "that share at least one text with"),
    ):
        if where.any():
            found.append(
                Finding(
                    kind="group_overlap",
                    severity="note",
                    count=int(where.sum()),
                    what=f"{part.name} rows {what} {before.name}, case and punctuation aside",
                    suggestion="nothing is changed; the score may be somewhat too good",
                    rows=first_rows(part.numbers, where),
                    part=part.name,
                )
            )
    return found


def _words(part: Keyed, name: str) -> Hashes:
    """A column's letters and digits in lower case: two quotations of a sentence differ in their marks."""

    def words(text: pa.ChunkedArray) -> Hashes:
        lower = pc.fill_null(pc.utf8_lower(as_text(text)), "")
        return hashes_of(pc.replace_substring_regex(lower, r"[^\pL\pN_]+", ""))

    return by_pieces(words, part.rows.table[name], f"comparing {part.name} rows by {name!r}")
