"""Rows of the data as the page of an inspection shows them: alone, beside what they are compared with, by class."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from automl.data.boxes import BOXES
from automl.data.columns import Codes, as_text, to_mask
from automl.data.images import thumbnail
from automl.data.leakage import Keyed
from automl.data.printing import printable
from automl.pages.page import cut
from automl.types import Finding

if TYPE_CHECKING:
    from automl.data.profile import Inspection

_LETTERS = 280
_SHOWN_OF_FINDING = 4
_CLASSES = 20
_OF_CLASS = 8
_TEXTS_OF_CLASS = 3
_ROWS = 10
_COLUMNS = 10
_PIXELS, _BOXED_PIXELS = 96, 220
_TWIN_KINDS = ("exact_duplicates", "near_duplicates", "conflicting_labels", "split_overlap", "near_split_overlap")
_SHOWN_KINDS = ("encoding", "too_long", "languages", "label_typos", "label_errors", "broken_boxes", "small_images")


@dataclass(frozen=True, kw_only=True)
class Quote:
    """One row: its number in the part's source, its cells by column, and the picture that its input names."""

    part: str
    row: int
    label: str | None
    cells: tuple[tuple[str, str], ...]
    picture: str | None = None


class Quoter:
    """Quotes the rows of an inspection; a page holds a bounded number of them whatever the data."""

    def __init__(self, seen: Inspection) -> None:
        self._seen = seen
        self._pictured = bool(seen.looks)
        names = [column.name for column in seen.columns if column.name != seen.roles.target]
        self._columns = list(seen.roles.inputs) or names[:_COLUMNS]
        self._boxed = self._pictured and seen.roles.target == BOXES

    @property
    def pictured(self) -> bool:
        return self._pictured

    @property
    def boxed(self) -> bool:
        """Whether the pictures are shown with boxes on them."""
        return self._boxed

    def quote(self, part: Keyed, place: int) -> Quote:
        table, target = part.rows.table, self._seen.roles.target
        cells = [(name, as_text(table[name].slice(place, 1))[0].as_py()) for name in self._columns]
        picture = None
        if self._pictured:
            path = cells[0][1]
            cells = [(cells[0][0], Path(path).name if path else None)]
            boxes = (table[BOXES][place].as_py() or ()) if self._boxed else ()
            pixels = _BOXED_PIXELS if self._boxed else _PIXELS
            picture = thumbnail(path or "", pixels, boxes, self._seen.levels)
        label = None
        if target in table.column_names and not self._boxed:
            label = as_text(table[target].slice(place, 1))[0].as_py()
        shown = tuple((cut(name, 60), _quoted(value, _LETTERS)) for name, value in cells)
        return Quote(
            part=part.name,
            row=int(part.numbers[place]),
            label=None if label is None else _quoted(label, 80),
            cells=shown,
            picture=picture,
        )

    def of_finding(self, finding: Finding) -> list[tuple[Quote, ...]]:
        """The first rows of a finding: each with what it repeats or contradicts, where that is what is wrong."""
        if finding.kind not in _TWIN_KINDS + _SHOWN_KINDS:
            return []
        part = self._seen.keyed[finding.part]
        found: list[tuple[Quote, ...]] = []
        for number in finding.rows[:_SHOWN_OF_FINDING]:
            place = int(np.searchsorted(part.numbers, number))
            own = self.quote(part, place)
            twin = self._twin(finding.kind, part, place) if finding.kind in _TWIN_KINDS else None
            found.append((own,) if twin is None else (self.quote(*twin), own))
        return found

    def _twin(self, kind: str, part: Keyed, place: int) -> tuple[Keyed, int] | None:
        """The first row that a row repeats: in its own part, or in the first earlier part that holds its like."""
        order = list(self._seen.keyed)
        among = order[: order.index(part.name)] if kind.endswith("split_overlap") else [part.name]
        for name in among:
            other = self._seen.keyed[name]
            same = self._codes(kind, other) == self._codes(kind, part)[place]
            if other is part:
                same[place] = False
            if kind == "conflicting_labels":
                same &= (other.label_codes != part.label_codes[place]) & ~other.unlabelled
            if kind == "near_duplicates":  # what is equal to the byte is another finding's
                same &= other.exact != part.exact[place]
            if same.any():
                return other, int(np.argmax(same))
        return None

    def _codes(self, kind: str, part: Keyed) -> Codes:
        if kind.startswith("near_") and part.name in self._seen.near:
            return self._seen.near[part.name]
        return part.exact if kind == "exact_duplicates" else part.keys

    def broken(self, finding: Finding) -> list[tuple[str, str, str]]:
        """Row, file and reason of pictures that cannot be used."""
        if finding.kind != "broken_images":
            return []
        part, looks = self._seen.keyed[finding.part], self._seen.looks[finding.part]
        places = [int(np.searchsorted(part.numbers, number)) for number in finding.rows]
        paths = as_text(part.rows.table[self._columns[0]])
        return [
            (f"{part.numbers[one]:,}", cut(paths[one].as_py() or "(no path)"), cut(looks[one].problem or ""))
            for one in places
        ]

    def samples(self) -> list[tuple[str, list[Quote]]]:
        """Rows of the training part from all over it: some of each class, or of the whole where it has no classes."""
        part = self._seen.keyed["train"]
        return [(name, [self.quote(part, one) for one in places]) for name, places in self._spread(part)]

    def _spread(self, part: Keyed) -> Iterator[tuple[str, list[int]]]:
        classes = list(self._seen.class_counts)[:_CLASSES] if part.labels is not None else []
        if not classes or not self._seen.roles.inputs:
            yield "", _evenly(np.flatnonzero(~part.blank), _OF_CLASS if self._pictured else _ROWS)
            return
        assert part.labels is not None
        for name in classes:
            own = np.flatnonzero(to_mask(pc.equal(part.labels, name)) & ~part.blank)
            yield name, _evenly(own, _OF_CLASS if self._pictured else _TEXTS_OF_CLASS)


def _quoted(value: str | None, longest: int) -> str:
    """A cell on one line; control characters are spelled out, for they may be what is wrong with it."""
    return "(nothing)" if not value else printable(re.sub(r"[ \t\r\n]+", " ", value), longest)


def _evenly(places: Codes, count: int) -> list[int]:
    """So many of the places, from the first to the last."""
    if not len(places):
        return []
    chosen = np.linspace(0, len(places) - 1, min(count, len(places))).astype(np.int64)
    return [int(one) for one in places[chosen]]


def rows_in_words(finding: Finding, most: int = 20) -> str:
    """'3, 7, 9, ...': the numbers of a finding's rows, as many as a line holds."""
    shown: Sequence[str] = [f"{row}" for row in finding.rows[:most]]
    return ", ".join(shown) + (", …" if shown and finding.count > len(shown) else "")
