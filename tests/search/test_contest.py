"""What the data decide about the terms of a contest, alike for every contender."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.config import make_request
from automl.data.prepare import prepare
from automl.data.prepared import load_prepared
from automl.registry import get_part
from automl.search.contest import data_facts, draw_up, find_spaces
from automl.tasks.base import Task
from automl.types import PreparedData
from tests.toys import messages, tiny_contender, write_csv

TASK: Task = get_part("automl.tasks", Task, "text-classification")  # type: ignore[type-abstract]


def prepared_rows(directory: Path, most_of_the_rest: int) -> PreparedData:
    """Toy messages of three classes, two of which have at most so many rows."""
    kept: dict[str, int] = {}
    rows = []
    for text, label in messages(240):
        kept[label] = kept.get(label, 0) + 1
        if label == "refund" or kept[label] <= most_of_the_rest:
            rows.append((text, label))
    source = write_csv(directory / "rows.csv", rows)
    (directory / "data").mkdir()
    prepare(make_request({"source": str(source), "target": "label", "text": "text"}), directory / "data")
    return load_prepared(directory / "data")


@pytest.mark.parametrize(("rest", "searched"), [(80, False), (12, True)])
def test_remedies_are_searched_by_every_contender_or_by_none(tmp_path: Path, rest: int, searched: bool) -> None:
    prepared = prepared_rows(tmp_path, rest)
    facts = data_facts(prepared, TASK)
    assert (facts["class_ratio"] >= 5) == searched
    contenders = [tiny_contender(tmp_path, adaptation) for adaptation in ("full", "frozen", "lora")]
    request = make_request({"source": str(tmp_path / "rows.csv"), "trials": 12})
    for space in find_spaces(request, contenders, facts).values():
        assert ("imbalance" in {parameter.name for parameter in space.parameters}) == searched
        assert space.complete({})["imbalance"] == "none"


def test_patience_is_one_number_of_samples_for_all(tmp_path: Path) -> None:
    prepared = prepared_rows(tmp_path, 80)
    contender = tiny_contender(tmp_path)
    for patience, samples in ((None, None), (0.25, prepared.counts["train"])):
        request = make_request({"source": "rows.csv", "max_epochs": 4, "patience": patience})
        spaces = find_spaces(request, [contender], data_facts(prepared, TASK))
        assert draw_up(request, prepared, TASK, [contender], spaces, "")["patience_samples"] == samples
