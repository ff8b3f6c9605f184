"""The rows that a part is made of: places in a table that stays where it lies, told piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automl.data.columns import Codes, Mask, as_text
from automl.data.pieces import rows_at, taken
from automl.data.split import Digests, digests_of


@dataclass(frozen=True)
class Kept:
    """Rows of a table of `row`, the inputs as they were read, and `label`.

    places: which rows they are, ascending. classes: the labels of the table, each once, in their order. codes: of
    every row of the table, where its label stands among them.
    """

    table: pa.Table
    inputs: tuple[str, ...]
    places: Codes
    classes: tuple[str, ...]
    codes: Codes

    @classmethod
    def of(cls, table: pa.Table, inputs: tuple[str, ...], keep: Mask) -> Kept:
        named = table["label"].unique().drop_null().to_pylist()
        classes = tuple(sorted(named))
        codes = pc.index_in(table["label"], pa.array(classes, pa.string()))
        numbers = pc.fill_null(codes, -1).to_numpy().astype(np.int64)
        return cls(table, inputs, np.flatnonzero(keep), classes, numbers)

    def __len__(self) -> int:
        return len(self.places)

    def filter(self, rows: Mask) -> Kept:
        return replace(self, places=self.places[rows])

    def of_classes(self, names: Iterable[str]) -> Mask:
        """Which of the rows are of one of these classes."""
        return np.isin(self.label_codes, [place for place, name in enumerate(self.classes) if name in set(names)])

    def relabelled(self, names: Iterable[str], label: str) -> Kept:
        """The same rows, those of some classes under one label."""
        labels = self.table["label"]
        moved = pc.is_in(labels, pa.array(list(names), pa.string()))
        labels = pc.if_else(moved, pa.scalar(label, pa.string()), labels)
        keep = np.zeros(self.table.num_rows, np.bool_)
        keep[self.places] = True
        place = self.table.column_names.index("label")
        return Kept.of(self.table.set_column(place, "label", labels), self.inputs, keep)

    @property
    def numbers(self) -> Codes:
        """The rows' numbers in their source."""
        return np.asarray(self.table["row"].to_numpy()[self.places], np.int64)

    @property
    def label_codes(self) -> Codes:
        """Of each row, where its label stands among the classes."""
        return self.codes[self.places]

    @property
    def labels(self) -> pa.ChunkedArray:
        return rows_at(self.table["label"], self.places)

    def label_counts(self) -> dict[str, int]:
        """Rows of each class that has any, the largest first."""
        counts = np.bincount(self.label_codes, minlength=len(self.classes)).tolist()
        pairs = [(name, rows) for name, rows in zip(self.classes, counts, strict=True) if rows]
        return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))

    def digests(self, columns: Sequence[str]) -> Digests:
        """As `row_digests`, of these columns and the label."""
        what = "taking fingerprints of the rows"
        found = [digests_of(piece.select([*columns, "label"])) for piece in self.pieces(what)]
        return np.concatenate(found)

    def pieces(self, what: str | None = None) -> Iterator[pa.Table]:
        """The rows in tables of so many each but the last, with their inputs as text, "" where they have none."""
        for piece in taken(self.table, self.places, what):
            for name in self.inputs:
                text = pc.fill_null(as_text(piece[name]).cast(pa.string()), "")
                piece = piece.set_column(piece.column_names.index(name), name, text)
            yield piece.combine_chunks()
