"""Numbers that are no measurement are told from numbers that are merely far out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from automl.data.profile import inspect
from automl.data.write import write_rows


def sentinels(path: Path, values: list[float]) -> list[tuple[int, str]]:
    texts = [f"some words and the number {row * row}" for row in range(len(values))]
    labels = ["ab"[row % 2] for row in range(len(values))]
    write_rows(pa.table({"text": texts, "n": values, "label": labels}), path / "a.csv")
    found = [one for one in inspect(str(path / "a.csv")).findings if one.kind == "sentinel_values"]
    assert all(one.rows[:1] == (0,) for one in found)
    return [(one.count, one.what.split(" in many")[0]) for one in found]


def test_a_value_far_from_all_others_in_many_rows_is_a_sentinel(tmp_path: Path) -> None:
    assert sentinels(tmp_path, [999] * 90 + [n % 22 for n in range(60)]) == [(90, "'n' is 999")]
    assert sentinels(tmp_path, [0] * 5 + [1990 + n % 30 for n in range(95)]) == [(5, "'n' is 0")]


def test_the_only_value_below_zero_is_one_where_it_is_a_code(tmp_path: Path) -> None:
    rest = [float(n) for n in range(97)]
    assert sentinels(tmp_path, [-1.0, -1.0, *rest]) == [(2, "'n' is -1")]
    assert sentinels(tmp_path, [-99.0, -99.0, *rest]) == [(2, "'n' is -99")]
    assert sentinels(tmp_path, [-5.0, -5.0, *rest]) == []


@pytest.mark.parametrize(
    "values",
    [
        [5000, *range(199)],  # far out, but once: an outlier
        [1, 2, 3, 99] * 30,  # codes
        [0] * 100 + [n % 40 for n in range(60)],  # many zeros are counts
        np.random.default_rng(0).lognormal(0, 2, 200).round(3).tolist(),
    ],
)
def test_outliers_codes_and_long_tails_are_none(tmp_path: Path, values: list[float]) -> None:
    texts = [f"some words and the number {row * row}" for row in range(len(values))]
    labels = ["ab"[row % 2] for row in range(len(values))]
    write_rows(pa.table({"text": texts, "n": values, "label": labels}), tmp_path / "a.csv")
    assert not [one for one in inspect(str(tmp_path / "a.csv")).findings if one.kind == "sentinel_values"]
