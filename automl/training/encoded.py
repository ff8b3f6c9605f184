"""Model inputs of one part, encoded once per contender and memory-mapped by every trial."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from automl.data.pieces import pieces
from automl.data.prepared import read_part
from automl.models.base import ModelFamily
from automl.storage.bundle import build_once
from automl.tasks.base import Task
from automl.types import Checkpoint, Part, Schema


class GrowingArray:
    """An array in a .npy file that grows along its first axis while it is open."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._head: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def extend(self, values: NDArray[Any]) -> None:
        kind: dict[str, Any] = {"descr": np.lib.format.dtype_to_descr(values.dtype), "fortran_order": False}
        rows = self._head["shape"][0] if self._head else 0
        if not self._head:
            self._write_head(kind | {"shape": (0, *values.shape[1:])})
        head = kind | {"shape": (rows + len(values), *values.shape[1:])}
        assert head["descr"] == self._head["descr"], "values of one type make an array"
        assert head["shape"][1:] == self._head["shape"][1:], "values of one shape make an array"
        np.ascontiguousarray(values).tofile(self._file)
        self._head = head

    def __exit__(self, *error: object) -> None:
        with self._file:
            if self._head:
                self._file.seek(0)
                self._write_head(self._head)

    def _write_head(self, head: dict[str, Any]) -> None:
        # numpy pads a head so that it keeps its length when the first axis grows
        np.lib.format.write_array_header_1_0(self._file, head)
        self._head = head


@dataclass(frozen=True)
class EncodedPart:
    """Rows as ragged fields: `values[name][offsets[i]:offsets[i + 1]]` is field `name` of row i.

    labels: shape (rows,), or None for the sealed test.
    places: where a part is a choice of the rows that lie there: which of them its rows are, in their order.
    """

    values: dict[str, NDArray[Any]]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64] | None
    places: NDArray[np.int64] | None = None

    @property
    def lengths(self) -> NDArray[np.int64]:
        lengths = np.diff(self.offsets)
        return lengths if self.places is None else lengths[self.places]

    def __len__(self) -> int:
        return len(self.offsets) - 1 if self.places is None else len(self.places)

    @property
    def ragged(self) -> bool:
        """Whether rows have several positions each (text), not one item each (pictures)."""
        return bool(self.offsets[-1] != len(self.offsets) - 1)

    @classmethod
    def of(cls, fields: Mapping[str, tuple[NDArray[Any], NDArray[np.int64]]]) -> Self:
        """Rows that are in memory, without labels."""
        offsets = next(iter(fields.values()))[1]
        return cls(values={name: values for name, (values, _) in fields.items()}, offsets=offsets, labels=None)

    def rows(self, indices: NDArray[np.int64]) -> list[dict[str, NDArray[Any]]]:
        offsets = self.offsets
        return [
            {name: values[offsets[i] : offsets[i + 1]] for name, values in self.values.items()}
            for i in self.stored(indices)
        ]

    def stored(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where these rows lie in what the part is a choice of."""
        return indices if self.places is None else self.places[indices]

    def cut(self, judges: NDArray[np.bool_]) -> tuple[Self, Self]:
        """The rows that learn and those that judge, as parts of their own; they stay where they lie."""
        assert self.labels is not None
        learn, judge = (self.stored(np.flatnonzero(rows)) for rows in (~judges, judges))
        labels = self.labels[~judges], self.labels[judges]
        return replace(self, labels=labels[0], places=learn), replace(self, labels=labels[1], places=judge)

    def own_values(self) -> dict[str, NDArray[Any]]:
        """The values of these rows alone, end to end."""
        if self.places is None:
            return self.values
        ends = zip(self.offsets[self.places], self.offsets[self.places + 1], strict=True)
        own = np.concatenate([np.arange(start, end) for start, end in ends])
        return {name: values[own] for name, values in self.values.items()}


def encode_part(
    directory: Path,
    part: Part,
    data_directory: Path,
    task: Task,
    family: ModelFamily,
    checkpoint: Checkpoint,
    schema: Schema,
) -> EncodedPart:
    """The encoded rows of a part, made on first use. directory: this contender's cache.

    Rows that a task encodes each by itself are written piece by piece: the memory does not grow with their number.
    """

    def build(target: Path) -> None:
        table = task.located(read_part(data_directory, part), schema, data_directory)
        processor = family.load_processor(checkpoint)
        limits = family.limits(checkpoint.path, processor)
        lengths, labels = [], []
        with ExitStack() as files:
            fields: dict[str, GrowingArray] = {}
            for piece in pieces(table, f"encoding {part} rows", task.piece_rows or max(table.num_rows, 1)):
                encoded = task.encode(piece, schema, processor, limits)
                offsets = next(iter(encoded.values()))[1]
                for name, (values, own_offsets) in encoded.items():
                    assert np.array_equal(offsets, own_offsets), f"field {name} is ragged in its own way"
                    if name not in fields:
                        fields[name] = files.enter_context(GrowingArray(target / f"{name}.npy"))
                    fields[name].extend(values)
                lengths.append(np.diff(offsets))
                if part != "test":
                    labels.append(task.labels(piece, schema))
        np.save(target / "offsets.npy", np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64))
        if part != "test":
            np.save(target / "labels.npy", np.concatenate(labels))
        (target / "fields.json").write_text(json.dumps(sorted(fields)))

    folder = directory / f"encoded-{part}"
    build_once(folder, build)
    names = json.loads((folder / "fields.json").read_text())
    labels = folder / "labels.npy"
    return EncodedPart(
        values={name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names},
        offsets=np.load(folder / "offsets.npy"),
        labels=np.load(labels) if labels.exists() else None,
    )


def sorted_batches(lengths: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Every row once, longest first: least padding, and an out-of-memory comes at once or never."""
    order = np.argsort(-lengths, kind="stable")
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
