"""Labels are compared in one spelling over all parts; what stands for no label is named, and kept until told."""

import pyarrow as pa
import pytest

from automl.config import make_request
from automl.data.labels import as_labels, placeholders, read_labels, unknowns
from automl.data.prepare import prepare
from automl.data.prepared import read_part
from automl.data.profile import inspect
from automl.data.write import write_rows
from automl.errors import DataError


def column(*values):
    return pa.chunked_array([pa.array(values)])


def rows_of(count, classes):
    return {
        "text": [f"some words about number {n}" for n in range(count)],
        "label": [classes[n % len(classes)] for n in range(count)],
    }


def write(path, columns):
    write_rows(pa.table(columns), path)
    return str(path)


def spelled(train, test):
    found = read_labels({"train": column(*train), "test": column(*test)})
    return found["test"].values.to_pylist()


@pytest.mark.parametrize(
    ("train", "test", "read"),
    [
        (("1.0", "1.5", "2.0"), ("1", "2", "1.5"), ["1.0", "2.0", "1.5"]),
        (("1", "2"), ("1.0", "1.5"), ["1", "1.5"]),
        (("1.0", "2.0", "1.5"), (1.0, 2.0, 1.5), ["1.0", "2.0", "1.5"]),
        (("True", "False", "both"), (True, False), ["True", "False"]),
        (("+1", "-1"), ("1", "-1"), ["+1", "-1"]),
        (("Pos", "Neg"), ("pos", "NEG"), ["Pos", "Neg"]),
        (("caf\u00e9", "bar"), ("cafe\u0301",), ["caf\u00e9"]),
        # different classes stay different
        (("01", "02"), ("1", "2"), ["1", "2"]),
        (("1.1", "1.2"), ("1.10",), ["1.10"]),
        (("us", "US"), ("Us",), ["Us"]),
        (("Co", "CO"), ("CO", "Co"), ["CO", "Co"]),
    ],
)
def test_labels_of_a_later_part_are_read_as_training_spells_them(train, test, read):
    assert spelled(train, test) == read


def test_category_types_are_read_by_their_values():
    train = pa.chunked_array([pa.array(["no", "yes"]).dictionary_encode()])
    assert read_labels({"train": train, "test": column("yes", "No")})["test"].values.to_pylist() == ["yes", "no"]


def test_one_column_of_two_files_has_one_spelling():
    assert as_labels(column("1.0", "1.5", "1", "2")).to_pylist() == ["1", "1.5", "1", "2"]
    assert as_labels(column("1.0", "1.5", "2.0")).to_pylist() == ["1.0", "1.5", "2.0"]
    assert as_labels(column("1.0", "1.0.1", "1")).to_pylist() == ["1.0", "1.0.1", "1"]


def test_a_run_scores_labels_that_are_spelled_in_two_ways_and_says_so(tmp_path):
    train = write(tmp_path / "train.csv", rows_of(90, ("1.0", "1.5", "2.0")))
    test = write(tmp_path / "test.csv", {"text": [f"new {n}" for n in range(20)], "label": ["1", "2"] * 10})
    prepared = prepare(make_request({"source": train, "test": test}), tmp_path / "data")
    assert prepared.schema.classes == ("1.0", "1.5", "2.0")
    (line,) = [line for line in prepared.cleaned if "as the training rows spell" in line]
    assert line.startswith("test: 20 labels")
    assert "'1' as '1.0', '2' as '2.0' (--clean no-label-spelling" in line
    with pytest.raises(DataError, match="never saw: '1', '2'"):
        prepare(make_request({"source": train, "test": test, "clean": "no-label-spelling"}), tmp_path / "as-it-is")


@pytest.mark.parametrize(
    ("classes", "found"),
    [
        (("entailment", "neutral", "-"), ["-"]),
        (("yes", "no", "?", "-"), ["-", "?"]),
        (("pos", "neg", "N/A", "Unlabeled"), ["N/A", "Unlabeled"]),
        (("-1", "0", "1", "2"), ["-1"]),
        (("-1", "pos", "neg"), ["-1"]),
        # these are classes
        (("+", "-"), []),
        (("+", "-", "neutral"), []),
        (("-1", "0", "1"), []),
        (("-1", "1"), []),
        ((",", ".", "?", "none"), []),
        (("\U0001f600", "ok"), []),
        (("-2", "-1", "0", "1", "2"), []),
        (("n/a",), []),
    ],
)
def test_classes_that_stand_for_no_label(classes, found):
    assert placeholders(classes) == found


def test_words_that_may_be_classes_are_a_repair_of_their_own():
    assert unknowns(["spam", "Unknown", "none"]) == ["Unknown", "none"]
    assert unknowns(["spam", "<unk>", "(none)", "unbekannt"]) == ["(none)", "<unk>", "unbekannt"]
    assert unknowns(["unknown"]) == []


def test_a_sign_among_labels_is_warned_of_and_left_out_by_name(tmp_path):
    source = write(tmp_path / "rows.csv", rows_of(120, ("yes", "no", "yes", "no", "-", "unknown")))
    found = {f.severity: f for f in inspect(source).findings if f.kind == "label_placeholders"}
    assert (found["warn"].count, found["note"].count) == (20, 20)
    assert "--clean placeholder-labels" in found["warn"].suggestion
    assert prepare(make_request({"source": source}), tmp_path / "kept").schema.classes == (
        "-",
        "no",
        "unknown",
        "yes",
    )
    request = make_request({"source": source, "clean": "placeholder-labels,unknown-labels"})
    prepared = prepare(request, tmp_path / "left-out")
    assert prepared.schema.classes == ("no", "yes")
    assert sum(prepared.counts.values()) == 80
    assert not [f for f in prepared.findings if f.kind == "label_placeholders"]
    assert "train: 20 labels '-' read as no label (by --clean placeholder-labels)" in prepared.cleaned


def test_a_placeholder_in_a_given_test_is_left_out_there_too(tmp_path):
    train = write(tmp_path / "train.csv", rows_of(60, ("yes", "no")))
    test = write(
        tmp_path / "test.csv", {"text": [f"new {n}" for n in range(20)], "label": ["yes", "no", "no", "-"] * 5}
    )
    with pytest.raises(DataError, match="never saw: '-'.*--clean placeholder-labels"):
        prepare(make_request({"source": train, "test": test}), tmp_path / "refused")
    request = make_request({"source": train, "test": test, "clean": "placeholder-labels"})
    assert prepare(request, tmp_path / "data").counts["test"] == 15


def test_a_class_called_nan_is_missing_on_record_or_kept_by_name(tmp_path):
    source = write(tmp_path / "rows.csv", rows_of(90, ("nan", "naan", "roti")))
    seen = inspect(source)
    (finding,) = [f for f in seen.findings if "nan" in f.what and f.kind == "missing_values"]
    assert (finding.count, finding.severity) == (30, "repair")
    assert "--clean no-nan-labels" in finding.suggestion
    prepared = prepare(make_request({"source": source}), tmp_path / "data")
    assert prepared.schema.classes == ("naan", "roti")
    assert any("30 labels 'nan' read as no label" in line for line in prepared.cleaned)
    kept = prepare(make_request({"source": source, "clean": "no-nan-labels"}), tmp_path / "kept")
    assert kept.schema.classes == ("naan", "nan", "roti")


def test_labels_that_differ_in_case_become_one_in_every_part(tmp_path):
    train = write(tmp_path / "train.csv", rows_of(80, ("yes", "no", "yes", "No")))
    test = write(tmp_path / "test.csv", {"text": [f"new {n}" for n in range(8)], "label": ["No", "yes"] * 4})
    request = make_request({"source": train, "test": test, "clean": "label-case"})
    prepared = prepare(request, tmp_path / "data")
    assert prepared.schema.classes == ("No", "yes")
    assert read_part(prepared.directory, "train")["label"].unique().to_pylist() in (["yes", "No"], ["No", "yes"])
