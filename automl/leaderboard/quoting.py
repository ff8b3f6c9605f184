"""Error texts and findings that quote the data: what is shown of them, and where.

The board, the model cards and leaderboard.md travel; an exception may carry the text that it failed on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from automl.data.prepared import read_part

QUOTING_FINDINGS = frozenset({"broken_images", "constant_column", "found_by_name", "small_images", "wrong_extension"})
"""Kinds of findings whose text holds a cell of the data."""
_RUN = 24
"""So many letters in a row that also stand in an input are a quotation, not chance."""
_LONGEST = 1_000
_QUOTED = re.compile(r"(['\"`])(.+?)\1", re.S)


def finding_quotes(finding: Mapping[str, Any]) -> bool:
    return finding.get("kind") in QUOTING_FINDINGS


class DataQuotes:
    """Knows the inputs of a run, and tells whether a text quotes one; reads them only when first asked."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def without_rows(self, error: str | None) -> str | None:
        """The error as it is; or only its kind, where its text quotes an input."""
        if error is None:
            return None
        text = error if len(error) <= _LONGEST else error[: _LONGEST - 1] + "…"
        if not self.quotes(text):
            return text
        kind = re.match(r"(seed \d+: )?[A-Za-z_][\w.]*(?=:)", text)
        before = f"{kind[0]}: " if kind else ""
        return f"{before}the message quotes a data row and is left out here; trials.jsonl has it"

    def quotes(self, text: str) -> bool:
        """Whether a run of letters of the text, or a quoted part of it, stands in an input of the data."""
        if any(part in self._cells for _, part in _QUOTED.findall(text)):
            return True
        starts = [0, *(match.end() for match in re.finditer(r"\W+", text))]
        runs = {text[start : start + _RUN] for start in starts if len(text) - start >= _RUN}
        return any(run in self._everything for run in runs)

    @cached_property
    def _cells(self) -> frozenset[str]:
        cells: set[str] = set()
        for part in ("train", "validation", "test"):
            if (self._directory / f"{part}.arrow").exists():
                table = read_part(self._directory, part)
                inputs = [n for n in table.column_names if n not in ("row", "label")]
                for name in inputs:
                    if pa.types.is_string(table.schema.field(name).type):
                        cells.update(value for value in table.column(name).to_pylist() if value)
        return frozenset(cells)

    @cached_property
    def _everything(self) -> str:
        return "\0".join(self._cells)
