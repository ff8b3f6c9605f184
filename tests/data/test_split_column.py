"""A column that says which rows are train, validation and test makes the parts; contradictions are refused."""

import json

import pyarrow as pa
import pytest

from automl.cli import main
from automl.config import make_request
from automl.data.part_words import parts_named
from automl.data.prepare import prepare
from automl.data.prepared import read_part
from automl.data.profile import inspect
from automl.data.write import write_rows
from automl.errors import DataError, RequestError


def table(words, column="split", count=60, **more):
    """words: the column's values, repeated in this order."""
    rows = {
        "text": [f"some words about number {n}" for n in range(count)],
        "label": [("no", "yes")[n // 6 % 2] for n in range(count)],
        column: [words[n % len(words)] for n in range(count)],
    }
    return rows | more


def write(tmp_path, columns, name="rows.csv"):
    write_rows(pa.table(columns), tmp_path / name)
    return str(tmp_path / name)


def run(tmp_path, columns, **options):
    return prepare(make_request({"source": write(tmp_path, columns)} | options), tmp_path / "data")


TRAIN_TEST = ("train",) * 4 + ("test",) * 2


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        (("train", "test"), ("train", "test")),
        (("Training", "PublicTest", "PrivateTest"), ("train", "validation", "test")),
        (("Training", "PublicTest"), ("train", "test")),
        (("TRAIN", "dev", "eval"), ("train", "validation", "test")),
        (("train_set", "test-set", "unsup"), ("train", "test", "")),
        (("tr", "val", "test"), ("train", "validation", "test")),
        (("train", "bus"), None),
        (("train", "test", ""), None),
    ],
)
def test_words_for_parts_are_known_in_all_their_spellings(values, parts):
    found = parts_named(values)
    assert (None if found is None else tuple(found.values())) == parts


def test_the_users_test_rows_are_the_test(tmp_path):
    prepared = run(tmp_path, table(TRAIN_TEST))
    assert prepared.given == ("test",)
    assert prepared.split.test == tuple(n for n in range(60) if n % 6 >= 4)
    assert set(prepared.split.train) | set(prepared.split.validation) == {n for n in range(60) if n % 6 < 4}
    (line,) = [line for line in prepared.assumptions if "parts by the column 'split'" in line]
    assert "train 40, test 20 (--split none" in line
    assert read_part(prepared.directory, "train").column_names == ["row", "text", "label"]


def test_validation_and_rows_of_no_part_are_kept_apart(tmp_path):
    words = ("train", "train", "train", "dev", "test", "unlabeled")
    prepared = run(tmp_path, table(words, "Usage"))
    assert prepared.given == ("validation", "test")
    assert prepared.counts == {"train": 30, "validation": 10, "test": 10}
    assert any("left aside 10 ('unlabeled')" in line for line in prepared.assumptions)


def test_a_flag_says_the_parts_as_words_do(tmp_path):
    prepared = run(tmp_path, table((0, 0, 0, 0, 1, 1), "is_test"))
    assert prepared.split.test == tuple(n for n in range(60) if n % 6 >= 4)
    both = table((True, True, True, False, False, False), "is_train")
    both["is_valid"] = [n % 6 == 3 for n in range(60)]
    seen = inspect(write(tmp_path, both, "both.csv"))
    assert {name: part.table.num_rows for name, part in seen.parts.items()} == {
        "train": 30,
        "validation": 10,
        "test": 20,
    }


def test_none_takes_all_rows_and_the_column_is_no_target(tmp_path):
    columns = table(TRAIN_TEST)
    columns["kind_of_text"] = columns.pop("label")  # no name that says it is the target
    prepared = run(tmp_path, columns, split="none")
    assert prepared.given == ()
    assert prepared.schema.target == "kind_of_text"
    assert sum(prepared.counts.values()) == 60


def test_a_column_that_is_named_for_something_else_makes_no_parts(tmp_path):
    seen = inspect(write(tmp_path, table(TRAIN_TEST)), target="split")
    assert (list(seen.parts), seen.roles.target, seen.roles.task) == (["train"], "split", "text-classification")


def test_only_words_for_parts_make_parts(tmp_path):
    seen = inspect(write(tmp_path, table(("train", "bus", "test"), "vehicle")))
    assert list(seen.parts) == ["train"]


@pytest.mark.parametrize(
    ("columns", "options", "words"),
    [
        (table(TRAIN_TEST), {"test": "SAME"}, "--test .* is given too"),
        (table(("train", "train", "val")), {"folds": 3}, "--folds 3 would cut"),
        (
            table(TRAIN_TEST, day=list(range(60))),
            {"time": "day"},
            "--time day would take.*Say --split split to test on its rows",
        ),
        (table(TRAIN_TEST), {"slice": "split"}, "--slice split takes it for something else"),
        (table(("train", "train", "tset", "test")), {"split": "split"}, "'tset' in 15 rows"),
        (table(("train", "train", "train", "test", "?")), {}, "'\\?' in 12 rows.*--split none"),
        (table(("dev", "test")), {}, "no row of train"),
        (table(TRAIN_TEST, fold=["test", "train"] * 30), {}, "'split' and 'fold'.*differ"),
        (table(TRAIN_TEST), {"split": "splitt"}, "did you mean 'split'"),
        (table(TRAIN_TEST), {"split": "label", "target": "label"}, "both --split and --target"),
    ],
)
def test_what_contradicts_the_column_is_refused(tmp_path, columns, options, words):
    source = write(tmp_path, columns)
    options = {name: source if value == "SAME" else value for name, value in options.items()}
    with pytest.raises((DataError, RequestError), match=words):
        prepare(make_request({"source": source} | options), tmp_path / "data")
    assert not (tmp_path / "data" / "prepared.json").exists()


def test_time_cuts_the_validation_where_the_test_column_is_named(tmp_path):
    prepared = run(tmp_path, table(TRAIN_TEST, day=list(range(60))), split="split", time="day")
    assert prepared.given == ("test",)
    assert min(prepared.split.validation) > max(prepared.split.train)


def test_findings_name_rows_by_their_numbers_in_the_file(tmp_path):
    columns = table(TRAIN_TEST)
    columns["text"][59] = columns["text"][0]
    seen = inspect(write(tmp_path, columns))
    (finding,) = [finding for finding in seen.findings if finding.kind == "split_overlap"]
    assert (finding.part, finding.rows) == ("test", (59,))


def test_slices_are_those_of_the_test_rows_of_the_file(tmp_path):
    words = table(TRAIN_TEST, where=[f"place {n % 6}" for n in range(60)])
    prepared = run(tmp_path, words, slice="where")
    with pa.memory_map(str(prepared.directory / "test_slices.arrow")) as file:
        slices = pa.ipc.open_file(file).read_all()
    assert slices["row"].to_pylist() == list(prepared.split.test)
    assert set(slices["slice: where"].to_pylist()) == {"place 4", "place 5"}


def test_a_cleaned_dataset_is_written_in_its_parts(tmp_path, capsys):
    source = write(tmp_path, table(TRAIN_TEST))
    assert main(["clean", source, "-o", str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (set(told["rows"]), len(told["notes"])) == ({"train", "test"}, 1)
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"train.csv", "test.csv", "cleaning.json"}
    assert main(["clean", source, "-o", str(tmp_path / "one.csv")]) == 2
    assert "--split none" in capsys.readouterr().err
    assert main(["clean", source, "-o", str(tmp_path / "one.csv"), "--split", "none"]) == 0
