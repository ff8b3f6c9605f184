"""A run's data: cleaned on record, split once, whole or not there at all."""

import json

import pyarrow as pa
import pytest

from automl.config import make_request
from automl.data.prepare import TEST_LABELS, prepare
from automl.data.prepared import load_prepared, read_part
from automl.data.write import write_rows
from automl.errors import DataError, RequestError

PARTS = ("train", "validation", "test")


def rows_of(count, classes=("no", "yes")):
    return [(f"some words about number {n}", classes[n % len(classes)]) for n in range(count)]


def write(path, rows, names=("text", "label")):
    columns = [list(column) for column in zip(*rows, strict=True)]
    write_rows(pa.table(dict(zip(names, columns, strict=True))), path)
    return str(path)


def run(tmp_path, rows, folder="data", **options):
    request = make_request({"source": write(tmp_path / "rows.csv", rows)} | options)
    return prepare(request, tmp_path / folder)


def texts(prepared, part):
    return set(read_part(prepared.directory, part)["text"].to_pylist())


def test_the_parts_hold_all_rows_once_and_the_test_has_no_label(tmp_path):
    prepared = run(tmp_path, rows_of(200))
    assert prepared.counts == {"train": 136, "validation": 24, "test": 40}
    assert sum(len(texts(prepared, part)) for part in PARTS) == 200
    assert read_part(prepared.directory, "train").column_names == ["row", "text", "label"]
    assert read_part(prepared.directory, "test").column_names == ["row", "text"]
    with pa.memory_map(str(prepared.directory / TEST_LABELS)) as file:
        labels = pa.ipc.open_file(file).read_all()
    assert labels.column_names == ["row", "label"]
    assert labels["row"].to_pylist() == list(prepared.split.test)
    assert labels["label"].to_pylist() == ["yes" if row % 2 else "no" for row in prepared.split.test]


def test_prepared_data_is_read_back_the_same(tmp_path):
    prepared = run(tmp_path, [*rows_of(100), ("some words about number 3", "yes")])
    assert load_prepared(prepared.directory) == prepared


def test_every_repair_is_on_record_with_its_rows(tmp_path):
    rows = rows_of(100) + [
        ("SOME words  about number 1", "yes"),  # 100: a repetition of row 1
        ("some words about number 2", "yes"),  # 101: contradicts row 2
        ("   ", "yes"),  # 102
        ("words without a label", ""),  # 103
    ]
    prepared = run(tmp_path, rows)
    repairs = json.loads((prepared.directory / "cleaning.json").read_text())["repairs"]
    assert [(repair["kind"], repair["rows"]) for repair in repairs] == [
        ("missing_values", [102]),
        ("missing_values", [103]),
        ("conflicting_labels", [2, 101]),
        ("exact_duplicates", [100]),
    ]
    assert sum(prepared.counts.values()) == 99
    assert len(prepared.cleaned) == 4


def test_overlaps_leave_train_and_never_a_given_part(tmp_path):
    test = [("SOME words about number 0", "no"), ("fresh words", "yes"), ("fresh words", "yes")]
    validation = [("some words about number 5", "yes"), ("fresh words", "yes"), ("", "no")]
    prepared = run(
        tmp_path,
        rows_of(60),
        test=write(tmp_path / "test.csv", test),
        validation=write(tmp_path / "validation.csv", validation),
    )
    assert prepared.counts == {"train": 58, "validation": 3, "test": 3}
    assert not {"some words about number 0", "some words about number 5"} & texts(prepared, "train")
    assert read_part(prepared.directory, "test")["text"].to_pylist() == [text for text, _ in test]
    assert any(f.kind == "split_overlap" and "in validation" in f.what for f in prepared.findings)


def test_the_same_seed_gives_the_same_split_whatever_the_order_of_the_file(tmp_path):
    first = run(tmp_path, rows_of(200), "a")
    again = run(tmp_path, rows_of(200), "b")
    turned = run(tmp_path, rows_of(200)[::-1], "c")
    other = run(tmp_path, rows_of(200), "d", seed=1)
    assert first.split == again.split
    assert first.split.fingerprint == turned.split.fingerprint != other.split.fingerprint
    assert all(texts(first, part) == texts(turned, part) for part in PARTS)


def test_the_fingerprint_follows_labels_and_parts(tmp_path):
    rows = rows_of(200)
    changed = [*rows[:-1], (rows[-1][0], "no")]
    assert run(tmp_path, rows, "a").split.fingerprint != run(tmp_path, changed, "b").split.fingerprint


def test_classes_keep_their_shares_in_every_part(tmp_path):
    rows = [(f"message number {n}", "spam" if n % 10 == 0 else "ham") for n in range(1000)]
    prepared = run(tmp_path, rows)
    for part in PARTS:
        numbers = getattr(prepared.split, part)
        share = sum(number % 10 == 0 for number in numbers) / len(numbers)
        assert share == pytest.approx(0.1, abs=0.01)


def test_a_class_of_three_rows_is_in_every_part(tmp_path):
    rare = [(f"a rare message {n}", "rare") for n in range(3)]
    prepared = run(tmp_path, rows_of(100) + rare)
    for part in PARTS:
        assert len({100, 101, 102} & set(getattr(prepared.split, part))) == 1


def test_two_texts_are_both_inputs(tmp_path):
    rows = [(f"first text {n}", f"second text {n}", "01"[n % 2]) for n in range(60)]
    path = write(tmp_path / "pairs.csv", rows, ("sentence1", "sentence2", "label"))
    prepared = prepare(make_request({"source": path}), tmp_path / "data")
    assert prepared.schema.inputs == ("sentence1", "sentence2")
    assert prepared.schema.classes == ("0", "1")
    assert read_part(prepared.directory, "train").column_names == ["row", "sentence1", "sentence2", "label"]


def test_labels_of_all_types_are_compared_as_text(tmp_path):
    train = pa.table({"text": [f"words {n}" for n in range(40)], "label": [float(n % 2) for n in range(40)]})
    test = pa.table({"text": ["new words", "newer words"], "label": [0, 1]})
    write_rows(train, tmp_path / "train.parquet")
    write_rows(test, tmp_path / "test.csv")
    options = {"source": str(tmp_path / "train.parquet"), "test": str(tmp_path / "test.csv")}
    assert prepare(make_request(options), tmp_path / "data").schema.classes == ("0", "1")


def test_assumptions_tell_how_the_file_was_read_and_why_the_columns(tmp_path):
    lines = run(tmp_path, rows_of(60)).assumptions
    assert lines[0].endswith("read as UTF-8, comma-separated, 60 rows, 2 columns")
    assert lines[1].startswith("target 'label': ")
    assert lines[2].startswith("text 'text': ")


def test_a_split_of_the_source_without_labels_is_left_aside(tmp_path):
    folder = tmp_path / "set"
    write(folder / "train.csv", rows_of(60))
    write_rows(pa.table({"text": ["unknown words"]}), folder / "test.csv")
    prepared = prepare(make_request({"source": str(folder)}), tmp_path / "data")
    assert any("test split has no labels" in line for line in prepared.assumptions)
    assert prepared.counts["test"] == 12


BAD_ROWS = {
    "one class": ([(text, "yes") for text, _ in rows_of(40)], "has one class \\('yes', 40 rows\\)"),
    "duplicates": (rows_of(2) * 30, "2 of 60 rows are left after cleaning"),
    "free text": (
        [(text, f"many words of {n} kinds") for n, (text, _) in enumerate(rows_of(40))],
        "looks like free text",
    ),
    "ids": ([(text, f"x{n:03}") for n, (text, _) in enumerate(rows_of(40))], "looks like an id"),
    "numbers": (
        [(text, str(n / 3)) for n, (text, _) in enumerate(rows_of(40))],
        "text-regression.*supported now",
    ),
    "no labels": ([(text, "") for text, _ in rows_of(40)], "empty in every row"),
    "no text": ([("", label) for _, label in rows_of(40)], "'text' is empty in every row"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_rows_that_teach_nothing_are_refused_in_three_parts_before_anything_is_written(tmp_path, name):
    rows, message = BAD_ROWS[name]
    with pytest.raises(DataError, match=message) as caught:
        run(tmp_path, rows, target="label", text="text")
    assert caught.value.found
    assert caught.value.expected
    assert caught.value.todo
    assert not (tmp_path / "data").exists()


def test_a_given_part_must_fit_the_training_rows(tmp_path):
    for rows, names, message in (
        ([("a", "maybe")], ("text", "label"), "never saw: 'maybe'"),
        ([("a", "yes")], ("phrase", "label"), "has no column 'text'"),
        ([("a", "yes")], ("text", "answer"), "has no column 'label'"),
    ):
        test = write(tmp_path / "test.csv", rows, names)
        with pytest.raises(DataError, match=message):
            run(tmp_path, rows_of(40), test=test)
    assert not (tmp_path / "data").exists()


def test_a_row_of_a_given_test_that_cannot_be_read_is_never_left_out_silently(tmp_path):
    lines = ["text,label"] + [f"words {n},yes" for n in range(20)] + ["one, two,yes"]
    (tmp_path / "test.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match="first row 20"):
        run(tmp_path, rows_of(40), test=str(tmp_path / "test.csv"))


def test_a_task_that_is_not_there_yet_is_a_request_error(tmp_path):
    with pytest.raises(RequestError, match="text-classification"):
        run(tmp_path, rows_of(40), task="regression")


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "prepared.json").mkdir()  # no file can be moved there
    with pytest.raises(OSError, match="prepared"):
        run(tmp_path, rows_of(40))
    assert not [path for path in (tmp_path / "data").iterdir() if path.name.startswith(".")]
