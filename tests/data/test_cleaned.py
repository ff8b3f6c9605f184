"""Repairs by name, each on or off, every touched row on record, given parts never edited."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from automl.cli import main
from automl.config import make_request
from automl.data.cleaned import write_cleaned
from automl.data.load import read_rows
from automl.data.prepare import prepare
from automl.data.repairs import chosen
from automl.data.write import write_rows
from automl.errors import DataError, RequestError

ROWS = {
    "text": [
        "fine day", "Fine  day", "", "no cell", "no cell", "no cell",
        "salt &amp; sea", "caf\u00c3\u00a9 noir", "odd one", "odd one",
    ],
    "label": ["good", "good", "bad", "bad", "bad", "good", "good", "Good", "good", "bad"],
    "note": list("0123456789"),
}  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_rows(pa.table(ROWS), tmp_path / "rows.csv")
    return tmp_path / "rows.csv"


def notes(file: Path) -> str:
    return "".join(read_rows(str(file))[0]["note"].to_pylist())


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        ((), "067"),
        (("no-exact-duplicates",), "0167"),
        (("no-conflicting-labels",), "03678"),
        (("majority-label",), "0367"),
        (("no-blank-inputs", "no-conflicting-labels", "no-exact-duplicates"), "0123456789"),
    ],
)
def test_each_repair_can_be_made_or_left_alone(source: Path, names: tuple[str, ...], kept: str) -> None:
    done = write_cleaned(str(source), source.parent / "out.csv", on=chosen(names))
    assert notes(source.parent / "out.csv") == kept
    assert done.rows == {"train": (10, len(kept))}


def test_every_row_that_was_touched_is_on_record(source: Path) -> None:
    write_cleaned(
        str(source), source.parent / "out", on=chosen(("mojibake", "html-entities", "label-case", "majority-label"))
    )
    record = json.loads((source.parent / "out" / "cleaning.json").read_text())
    touched = [(repair["kind"], repair["rows"]) for repair in record["repairs"]]
    assert touched == [
        ("encoding", [7]),
        ("encoding", [6]),
        ("label_typos", [7]),
        ("missing_values", [2]),
        ("conflicting_labels", [5, 8, 9]),
        ("exact_duplicates", [1, 4]),
    ]
    table = read_rows(str(source.parent / "out" / "train.csv"))[0].to_pydict()
    assert table["text"] == ["fine day", "no cell", "salt & sea", "caf\u00e9 noir"]
    assert table["label"] == ["good", "bad", "good", "good"]


def test_a_given_test_is_written_as_it_was_and_its_mended_twin_leaves_train(source: Path) -> None:
    given = pa.table({"text": ["caf\u00c3\u00a9 noir", ""], "label": ["good", "bad"], "note": ["a", "b"]})
    write_rows(given, source.parent / "given.csv")
    out = source.parent / "out"
    write_cleaned(str(source), out, test=str(source.parent / "given.csv"), on=chosen(("mojibake",)))
    assert notes(out / "train.csv") == "06"
    assert read_rows(str(out / "test.csv"))[0].to_pydict() == given.to_pydict()


def test_nothing_is_written_over_or_squeezed_into_one_file(source: Path) -> None:
    with pytest.raises(DataError, match="is there already"):
        write_cleaned(str(source), source)
    with pytest.raises(DataError, match=r"has 2 parts \(train, test\)"):
        write_cleaned(str(source), source.parent / "o.csv", test=str(source))
    assert [file.name for file in source.parent.iterdir()] == ["rows.csv"]


def test_numbers_as_targets_never_conflict(tmp_path: Path) -> None:
    rows = {"text": [f"text number {n // 2} of many" for n in range(60)], "score": [n / 7 for n in range(60)]}
    write_rows(pa.table(rows), tmp_path / "rows.csv")
    done = write_cleaned(str(tmp_path / "rows.csv"), tmp_path / "out.csv")
    assert [repair.kind for repair in done.repairs] == ["exact_duplicates"]


def test_the_command_says_what_it_did_and_an_unknown_repair_names_the_near_miss(source: Path, capsys) -> None:
    out = str(source.parent / "out")
    assert main(["clean", str(source), "-o", out, "--clean", "mojibak"]) == 2
    assert "did you mean 'mojibake'?" in capsys.readouterr().err
    assert main(["clean", str(source), "-o", out]) == 0
    assert "train: 3 of 10 rows kept" in capsys.readouterr().out


def test_a_run_takes_repairs_and_refuses_to_do_without_the_needed_ones(tmp_path: Path) -> None:
    rows = {
        "text": [f"{n} {n * 7919 % 9973} pears &amp; {n * 31 % 997} figs" for n in range(40)],
        "label": ["a", "b"] * 20,
    }
    write_rows(pa.table(rows), tmp_path / "rows.csv")
    source = str(tmp_path / "rows.csv")
    data = prepare(make_request({"source": source, "clean": "html-entities"}), tmp_path / "data")
    assert "train: 40 texts mended by the repair html-entities" in data.cleaned
    with pytest.raises(RequestError, match="no-split-overlap"):
        prepare(make_request({"source": source, "clean": "no-split-overlap"}), tmp_path / "other")
