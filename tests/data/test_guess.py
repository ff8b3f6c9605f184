"""What columns mean: codes are classes, words for parts and ids are no targets, numbers alone are no text."""

import pyarrow as pa
import pytest

from automl.config import make_request
from automl.data.columns import describe
from automl.data.prepare import prepare
from automl.data.profile import inspect
from automl.data.write import write_rows
from automl.errors import DataError


def texts(count=120):
    return [f"some words about number {n}" for n in range(count)]


def cycled(values, count=120):
    return [values[n % len(values)] for n in range(count)]


def roles(tmp_path, **columns):
    write_rows(pa.table({"text": texts()} | columns), tmp_path / "rows.csv")
    return inspect(str(tmp_path / "rows.csv")).roles


@pytest.mark.parametrize(
    "values",
    [
        ("01.11.12", "10.51.11"),
        ("1.0.2", "1.10.12", "2.0.0"),
        ("2020-01-01", "2021-01-01"),
        ("12:30", "18:45"),
        tuple(f"{n:05}" for n in range(1, 31)),  # postal codes
        tuple(range(1000, 1240, 10)),
        ("0", "1", "5", "77"),
    ],
)
def test_a_few_codes_that_come_back_are_classes(tmp_path, values):
    found = roles(tmp_path, label=cycled(values))
    assert (found.target, found.task) == ("label", "text-classification")


def test_dates_and_measures_are_no_classes(tmp_path):
    assert roles(tmp_path, label=[f"2020-{n % 12 + 1:02}-{n % 28 + 1:02}" for n in range(120)]).target is None
    assert roles(tmp_path, score=[n * 1.37 for n in range(120)]).task == "text-regression"
    assert roles(tmp_path, stars=cycled([n / 2 for n in range(2, 11)])).task == "text-classification"


def test_zeros_in_front_make_codes_of_digits():
    assert describe("code", pa.chunked_array([cycled(["01", "02", "10"])])).kind == "category"
    assert describe("count", pa.chunked_array([cycled(["1", "2", "10"])])).kind == "number"


def test_ids_and_what_is_said_of_labels_are_no_targets(tmp_path):
    ids = [f"x{n * 7919 % 1000:04}" for n in range(120)]
    sources = cycled(["crowd", "expert"])
    said = {"label_id": ids, "label_source": sources, "label_confidence": cycled([0.5, 0.9])}
    assert roles(tmp_path, **said, mood=cycled("ab")).target == "mood"
    assert roles(tmp_path, **said).target is None


def test_numbers_of_folds_and_flags_of_parts_are_no_targets(tmp_path):
    aside = {"fold": cycled([0, 1]), "is_train": cycled([1, 1, 0])}
    write_rows(pa.table({"text": texts()} | aside | {"mood": cycled(["glad", "sad", "calm"])}), tmp_path / "rows.csv")
    assert inspect(str(tmp_path / "rows.csv"), split="none").roles.target == "mood"


def test_a_score_is_the_target_before_a_text_that_sums_up(tmp_path):
    assert (
        roles(tmp_path, Summary=[f"a short word on {n}" for n in range(120)], Score=cycled([1, 2, 3, 4, 5])).target
        == "Score"
    )


def test_text_is_chosen_before_lists_of_numbers(tmp_path):
    columns = {
        "remark": texts(),
        "vector": [[n / 3, n / 7, n / 11, n / 13] for n in range(120)],
        "label": cycled("ab"),
    }
    write_rows(pa.table(columns), tmp_path / "rows.jsonl")
    assert inspect(str(tmp_path / "rows.jsonl")).roles.inputs == ("remark",)


def test_numbers_alone_are_no_text_unless_named(tmp_path):
    pixels = [" ".join(str(n * k % 251) for k in range(60)) for n in range(1, 121)]
    columns = {
        "emotion": cycled((0, 1, 2)),
        "pixels": pixels,
        "Usage": cycled(("Training",) * 3 + ("PublicTest",) * 3),
    }
    write_rows(pa.table(columns), tmp_path / "rows.csv")
    with pytest.raises(DataError, match="'pixels' holds numbers alone.*--text pixels"):
        prepare(make_request({"source": str(tmp_path / "rows.csv")}), tmp_path / "refused")
    request = make_request({"source": str(tmp_path / "rows.csv"), "text": "pixels"})
    prepared = prepare(request, tmp_path / "data")
    assert (prepared.schema.target, prepared.given) == ("emotion", ("test",))
    assert [finding.kind for finding in prepared.findings if finding.severity == "warn"] == ["numbers_as_text"]
