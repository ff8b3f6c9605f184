"""Classes that are too small for every part are dropped or merged on record, and never in a given part."""

import json
from itertools import product

import numpy as np
import pyarrow as pa
import pytest

from automl.config import make_request
from automl.data.prepare import prepare
from automl.data.prepared import load_prepared, read_part
from automl.data.split import rows_sha256
from automl.errors import DataError

PARTS = ("train", "validation", "test")


def rows_of(count, classes=("no", "yes"), word="words"):
    return [(f"some {word} about number {n}", classes[n % len(classes)]) for n in range(count)]


def write(path, rows, names="text,label"):
    path.write_text("\n".join([names, *map(",".join, rows)]) + "\n", encoding="utf-8")
    return str(path)


def run(tmp_path, rows, folder="data", names="text,label", **options):
    source = write(tmp_path / "rows.csv", rows, names)
    return prepare(make_request({"source": source, "target": "label", "text": "text"} | options), tmp_path / folder)


def repairs_of(prepared):
    found = json.loads((prepared.directory / "cleaning.json").read_text())["repairs"]
    return [repair for repair in found if repair["kind"] == "rare_classes"]


RARE = [("the only one", "odd"), ("alone as well", "queer"), ("a third such", "strange")]


def test_a_class_of_one_row_is_dropped_on_record(tmp_path):
    prepared = run(tmp_path, [*rows_of(60), *RARE[:1]])
    assert prepared.schema.classes == ("no", "yes")
    assert sum(prepared.counts.values()) == 60
    assert [(repair["part"], repair["rows"]) for repair in repairs_of(prepared)] == [("train", [60])]
    line = "train: 1 rows of 1 class too small for every part removed: 'odd' (1 row)"
    assert line in prepared.cleaned
    found = [finding for finding in prepared.findings if finding.kind == "rare_classes"]
    assert [(one.severity, one.count) for one in found] == [("repair", 1)]
    assert load_prepared(prepared.directory) == prepared


def test_what_is_left_is_split_as_if_the_rare_classes_had_never_been_there(tmp_path):
    without = run(tmp_path, rows_of(60), "a")
    dropped = run(tmp_path, [*rows_of(60), *RARE], "b")
    assert dropped.split.fingerprint == without.split.fingerprint


@pytest.mark.parametrize("mode", ["keep", "merge"])
def test_classes_of_two_rows_are_split_as_ever(tmp_path, mode):
    rows = [*rows_of(60), ("the one", "odd"), ("the other", "odd")]
    usual, other = run(tmp_path, rows, "a"), run(tmp_path, rows, "b", rare_classes=mode)
    assert usual.schema.classes == ("no", "odd", "yes")
    assert usual.split == other.split
    assert not repairs_of(usual)


def test_rare_classes_are_merged_into_one_of_a_free_name(tmp_path):
    prepared = run(tmp_path, [*rows_of(60), *RARE], "a", rare_classes="merge")
    assert prepared.schema.classes == ("no", "other", "yes")
    assert sum(prepared.counts.values()) == 63
    labels = {row: label for part in ("train", "validation") for row, label in labels_of(prepared, part)}
    assert {labels.get(row, "other") for row in (60, 61, 62)} == {"other"}
    assert [repair["rows"] for repair in repairs_of(prepared)] == [[60, 61, 62]]
    taken = run(tmp_path, [*rows_of(60, ("no", "Other")), *RARE], "b", rare_classes="merge")
    assert taken.schema.classes == ("Other", "no", "other 2")


def labels_of(prepared, part):
    table = read_part(prepared.directory, part)
    return list(zip(table["row"].to_pylist(), table["label"].to_pylist(), strict=True))


def test_one_row_alone_makes_no_merged_class_and_is_dropped(tmp_path):
    prepared = run(tmp_path, [*rows_of(60), *RARE[:1]], rare_classes="merge")
    assert prepared.schema.classes == ("no", "yes")
    assert "removed: 'odd'" in prepared.cleaned[-1]


def test_keep_refuses_and_names_the_ways_out(tmp_path):
    with pytest.raises(DataError) as caught:
        run(tmp_path, [*rows_of(60), *RARE], rare_classes="keep")
    told = str(caught.value)
    assert told.startswith(
        "3 classes of 'label' have 1 row: 'odd', 'queer', 'strange'; 2 are needed, one to learn from"
    )
    assert "--rare-classes drop" in told
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("mode", ["keep", "drop", "merge"])
def test_where_every_class_has_two_rows_three_are_asked_for_and_no_group_is_spoken_of(tmp_path, mode):
    rows = [(f"words of {name} {n}", name) for name, n in product("abcdefghijklmno", range(2))]
    with pytest.raises(DataError) as caught:
        run(tmp_path, rows, rare_classes=mode)
    assert str(caught.value).startswith("15 classes of 'label' have 2 rows: 'a', 'b'")
    assert "; 3 are needed, one to learn from, one to choose by, one to judge by." in str(caught.value)
    assert "group" not in str(caught.value)


def test_where_dropping_leaves_one_class_merging_is_named_and_works(tmp_path):
    rows = [*rows_of(60, ("no",)), *RARE]
    with pytest.raises(DataError, match="3 classes .* fewer than two classes are left: .* --rare-classes merge"):
        run(tmp_path, rows)
    assert run(tmp_path, rows, rare_classes="merge").schema.classes == ("no", "other")


def test_where_cleaning_leaves_one_class_of_those_of_a_given_test_that_class_is_named(tmp_path):
    test = write(tmp_path / "test.csv", [*rows_of(20, ("no",), "fresh"), ("the only one", "odd")])
    with pytest.raises(DataError, match="classes that training never saw: 'odd'"):
        run(tmp_path, [*rows_of(60, ("no",)), *RARE[:1]], test=test)


def test_where_every_class_has_one_row_two_are_asked_for(tmp_path):
    rows = [(f"the words of {name}", name) for name in "abcdefghijklmno"]
    with pytest.raises(DataError, match="15 classes of 'label' have fewer than 2 rows: 'a' .1 of 2 .*; 2 are needed"):
        run(tmp_path, [*rows, *rows])  # twice, so that they look like classes


def test_a_class_without_a_row_left_after_cleaning_is_told_of(tmp_path):
    rows = [*rows_of(60), ("torn", "odd"), ("torn", "no")]
    prepared = run(tmp_path, rows)
    assert prepared.schema.classes == ("no", "yes")
    found = next(finding for finding in prepared.findings if finding.kind == "rare_classes")
    assert found.severity == "warn"
    assert "'odd' (0 of 1 rows left after cleaning)" in found.what


@pytest.mark.parametrize("mode", ["keep", "drop", "merge"])
def test_a_rare_class_of_a_given_test_stays_and_no_test_row_is_touched(tmp_path, mode):
    test = write(tmp_path / "test.csv", [*rows_of(20, word="fresh"), ("another odd one", "odd")])
    prepared = run(tmp_path, [*rows_of(60), *RARE[:1]], test=test, rare_classes=mode)
    assert prepared.schema.classes == ("no", "odd", "yes")
    assert prepared.counts["test"] == 21
    assert (60, "odd") in labels_of(prepared, "train")
    assert not repairs_of(prepared)


def test_a_class_of_a_given_test_that_training_has_no_row_of_is_refused_by_name(tmp_path):
    test = write(tmp_path / "test.csv", [*rows_of(20, word="fresh"), ("the only one", "odd")])
    with pytest.raises(DataError, match="classes that training never saw: 'odd'"):  # its one row stands in the test
        run(tmp_path, [*rows_of(60), *RARE[:1]], test=test)


def test_with_both_parts_given_one_row_of_a_class_is_enough(tmp_path):
    given = {
        part: write(tmp_path / f"{part}.csv", rows_of(20, word=f"{part} words")) for part in ("validation", "test")
    }
    prepared = run(tmp_path, [*rows_of(60), *RARE[:1]], **given)
    assert "odd" in prepared.schema.classes


GROUPED = [(f"words of {n}", "yes" if n % 2 else "no", f"g{n // 4}") for n in range(80)]


def test_a_class_whose_few_rows_a_group_carries_off_is_dropped(tmp_path):
    """All rows of a rare class stand in groups of other classes, and a cut can take them all."""
    names, dropped = "text,label,author", 0
    for group in range(6):
        rows = [*GROUPED, ("rare a", "rare", f"g{group}"), ("rare b", "rare", f"g{group}")]
        prepared = run(tmp_path, rows, f"data{group}", names, group="author")
        kept = "rare" in prepared.schema.classes
        dropped += not kept
        assert [repair["rows"] for repair in repairs_of(prepared)] == ([] if kept else [[80, 81]])
        if not kept:
            with pytest.raises(DataError, match="left nowhere else: 'rare'"):
                run(tmp_path, rows, "kept", names, group="author", rare_classes="keep")
    assert 0 < dropped < 6


def test_folds_are_cut_without_rare_classes(tmp_path):
    prepared = run(tmp_path, [*rows_of(60), *RARE], folds=3, seeds=3)
    assert prepared.schema.classes == ("no", "yes")
    assert len(prepared.folds) == 3
    merged = run(tmp_path, [*rows_of(60), *RARE], "merged", folds=3, seeds=3, rare_classes="merge")
    assert merged.schema.classes == ("no", "other", "yes")


def test_the_sealed_test_labels_are_those_of_the_merged_classes(tmp_path):
    prepared = run(tmp_path, [*rows_of(60), *RARE], rare_classes="merge")
    split = json.loads((prepared.directory / "split.json").read_text())
    with pa.memory_map(str(prepared.directory / "test_labels.arrow")) as file:
        table = pa.ipc.open_file(file).read_all()
    assert "other" in table["label"].to_pylist()
    numbers = np.asarray(table["row"].to_numpy(), np.int64)
    assert rows_sha256(numbers, table["label"]) == split["test_labels_sha256"]
