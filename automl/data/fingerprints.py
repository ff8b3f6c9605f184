"""Prepared rows looked at again: whether they still are what the split was drawn up with."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pyarrow as pa

from automl.data.images import look_at_all
from automl.data.levels import Levels
from automl.data.split import fingerprint, row_digests


def row_problem(
    table: pa.Table, inputs: Sequence[str], labels: pa.ChunkedArray, sha256: str, levels: Levels | None = None
) -> str | None:
    """Why a part's rows and labels do not have this fingerprint (split.json); None where they do.

    Rows that point at pictures have the fingerprint of what the pictures show. levels: as in `decode`.
    """
    if fingerprint(row_digests(table, inputs, labels)) == sha256:
        return None
    paths = [path or "" for path in table[inputs[0]].to_pylist()] if len(inputs) == 1 else []
    if paths and all(os.path.isabs(path) for path in paths):
        missing = sum(not os.path.isfile(path) for path in paths)
        if missing:
            return f"{missing} of the {len(paths)} files that its rows point at are missing"
        pixels = pa.array([look.pixels for look in look_at_all(paths, levels)], pa.large_string())
        if fingerprint(row_digests(pa.table({inputs[0]: pixels}), inputs, labels)) == sha256:
            return None
    return f"its rows are not those of the split (SHA-256 {sha256[:12]})"
