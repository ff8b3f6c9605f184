"""Columns of slices are kept from the models and travel with the test's rows."""

import pyarrow as pa
import pytest

from automl.config import make_request
from automl.data.prepare import TEST_LABELS, prepare
from automl.data.prepared import read_part
from automl.data.slices import MISSING, OTHERS, TEST_SLICES, slices_of
from automl.data.write import write_rows
from automl.errors import DataError


def table(count, start=0):
    rows = range(start, start + count)
    columns = {
        "text": [f"some words about number {n}" for n in rows],
        "label": [("no", "yes")[n % 2] for n in rows],
        # a worse guess could take them for the target and the text
        "class": [("web", "mail", "phone")[n % 3] for n in rows],
        "title": [f"a much longer text than the other one has, about {n}" for n in rows],
        "row": [n * 10 for n in rows],
    }
    return pa.table(columns)


def run(tmp_path, **options):
    write_rows(table(120), tmp_path / "rows.csv")
    return prepare(make_request({"source": str(tmp_path / "rows.csv")} | options), tmp_path / "data")


def kept(prepared, name):
    with pa.memory_map(str(prepared.directory / name)) as file:
        return pa.ipc.open_file(file).read_all()


def test_no_model_sees_a_column_of_slices_and_none_is_taken_for_the_target(tmp_path):
    prepared = run(tmp_path, slice="class,title")
    assert (prepared.schema.inputs, prepared.schema.target) == (("text",), "label")
    for part in ("train", "validation", "test"):
        assert set(read_part(prepared.directory, part).column_names) <= {"row", "text", "label"}


def test_slices_stand_in_the_order_of_the_tests_rows(tmp_path):
    prepared = run(tmp_path, slice="class,row")
    found, labels = kept(prepared, TEST_SLICES), kept(prepared, TEST_LABELS)
    numbers = found["row"].to_pylist()
    assert numbers == labels["row"].to_pylist() == list(prepared.split.test)
    assert found["slice: class"].to_pylist() == [("web", "mail", "phone")[n % 3] for n in numbers]
    assert len(set(found["slice: row"].to_pylist())) == 4, "24 numbers, in quarters"


def test_a_given_test_brings_its_own_slices(tmp_path):
    write_rows(table(30, start=500), tmp_path / "test.csv")
    write_rows(table(120).drop_columns(["class"]), tmp_path / "rows.csv")
    request = {"source": str(tmp_path / "rows.csv"), "test": str(tmp_path / "test.csv"), "slice": "class"}
    prepared = prepare(make_request(request), tmp_path / "data")
    assert kept(prepared, TEST_SLICES)["slice: class"].to_pylist()[:3] == ["phone", "web", "mail"]


def test_the_split_is_the_same_with_and_without_slices(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    plain = run(tmp_path / "a", text="text", target="label")
    sliced = run(tmp_path / "b", text="text", target="label", slice="class")
    assert plain.split == sliced.split
    assert not (plain.directory / TEST_SLICES).exists()


def test_all_that_is_wrong_with_the_columns_is_said_at_once_and_nothing_is_written(tmp_path):
    with pytest.raises(DataError) as caught:
        run(tmp_path, slice="label,clas", target="label")
    assert "both --slice and --target" in str(caught.value)
    assert "did you mean 'class'" in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_few_values_stand_as_they_are_and_rare_ones_of_many_are_put_together():
    words = pa.chunked_array([["a", " a ", None, "", "b"]])
    assert slices_of(words) == ["a", "a", MISSING, MISSING, "b"]
    many = pa.chunked_array([[f"w{n}" for n in range(30)] + ["w3", "w4"]])
    found = slices_of(many)
    assert (found[3], found[4], found.count(OTHERS)) == ("w3", "w4", 11)


def test_many_numbers_are_cut_into_quarters_that_part_no_equal_values():
    found = slices_of(pa.chunked_array([[*range(100), None]]))
    assert sorted(set(found)) == sorted(["0 to 24", "25 to 49", "50 to 74", "75 to 99", MISSING])
    skewed = slices_of(pa.chunked_array([[0] * 60 + list(range(1, 41))]))
    assert [skewed.count(name) for name in dict.fromkeys(skewed)] == [60, 15, 25]
    assert len({slices for slices, value in zip(skewed, [0] * 60, strict=False) if value == 0}) == 1
