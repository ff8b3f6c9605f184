"""Prepared rows looked at again: whether they still are what the split was drawn up with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import pyarrow as pa

from automl.data.images import look_at_all
from automl.data.split import fingerprint, row_digests


def holds_rows(table: pa.Table, inputs: Sequence[str], labels: pa.ChunkedArray, sha256: str) -> bool:
    """Whether a part's rows and labels have this fingerprint (split.json), in whatever order they stand."""
    return any(fingerprint(row_digests(one, inputs, labels)) == sha256 for one in _readings(table, inputs))


def _readings(table: pa.Table, inputs: Sequence[str]) -> Iterator[pa.Table]:
    """The inputs as they stand; and what they show, where they are paths of pictures."""
    yield table
    paths = table[inputs[0]].to_pylist() if len(inputs) == 1 else []
    if paths and all(os.path.isfile(path or "") for path in paths):
        pixels = pa.array([look.pixels for look in look_at_all(paths)], pa.large_string())
        yield pa.table({inputs[0]: pixels})
