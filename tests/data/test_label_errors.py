"""Labels that are probably wrong are named, the most doubtful first, and clean labels are left in peace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from automl.data.profile import inspect
from automl.types import Finding
from tests.toys import messages, write_csv

pytest.importorskip("cleanlab")
FLIPPED = (7, 20, 46, 81, 133, 160, 201, 239)


def errors(path: Path) -> list[Finding]:
    return [f for f in inspect(str(path), label_errors=True).findings if f.kind == "label_errors"]


def test_flipped_labels_are_found_and_others_are_not(tmp_path: Path) -> None:
    rows = messages(240)
    names = sorted({label for _, label in rows})
    spoilt = [
        (text, names[(names.index(label) + 1) % len(names)] if number in FLIPPED else label)
        for number, (text, label) in enumerate(rows)
    ]
    [found] = errors(write_csv(tmp_path / "spoilt.csv", spoilt))
    assert len({*found.rows} & {*FLIPPED}) >= 6
    assert len({*found.rows} - {*FLIPPED}) <= 2
    assert f"row {found.rows[0]} " in found.what
    assert errors(write_csv(tmp_path / "clean.csv", rows)) == []


def test_without_being_asked_nothing_is_trained(tmp_path: Path) -> None:
    rows = [(text, str(np.random.default_rng(n).integers(2))) for n, (text, _) in enumerate(messages(60))]
    seen = inspect(str(write_csv(tmp_path / "rows.csv", rows)))
    assert "label_errors" not in {finding.kind for finding in seen.findings}
