"""What is found of rows does not depend on how many of them are looked at together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from automl.config import make_request
from automl.data.columns import codes_of, fold_space
from automl.data.load import load
from automl.data.pieces import by_pieces, pieces, taken, telling
from automl.data.prepare import prepare
from automl.data.prepared import read_part
from automl.data.profile import inspect


def messy(path: Path) -> Path:
    """Sixty rows with repetitions, contradictions, blanks and missing values on both sides of every piece's end."""
    rows = [f"{n},text number {n} of some &amp; more,{'ab'[n % 2]}" for n in range(40)]
    rows += [f"{n},TEXT  number {n - 40} of some &amp; more,{'ab'[n % 2]}" for n in range(40, 50)]
    rows += [
        "50,text number 3 of some &amp; more,a",
        "51,  ,a",
        "52,caf\u00c3\u00a9 au lait for everybody,b",
        "53,no label,",
    ]
    path.write_text("id,text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("size", [1, 7])
def test_findings_and_parts_are_the_same_whatever_the_size_of_a_piece(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = messy(tmp_path / "rows.csv")
    request = make_request({"source": str(path)})
    whole, prepared = inspect(str(path)).to_json(), prepare(request, tmp_path / "whole")
    assert {"exact_duplicates", "conflicting_labels", "missing_values", "encoding"} <= {
        finding["kind"] for finding in whole["findings"]
    }
    monkeypatch.setattr("automl.data.pieces.PIECE_ROWS", size)
    assert inspect(str(path)).to_json() == whole
    again = prepare(request, tmp_path / "pieces")
    assert again.split == prepared.split
    for part in ("train", "validation", "test"):
        assert read_part(again.directory, part).equals(read_part(prepared.directory, part))  # type: ignore[arg-type]


def test_rows_are_taken_from_every_piece_in_their_order() -> None:
    column = pa.chunked_array([["a", "b", "c"], ["d", "e"]])
    found = [piece.to_pylist() for piece in taken(column, np.array([0, 2, 3]))]
    assert [text for piece in found for text in piece] == ["a", "c", "d"]
    assert pa.chunked_array(taken(column, np.empty(0, np.int64)), pa.string()).to_pylist() == []


def test_equal_texts_have_one_number_in_all_chunks_and_nulls_are_no_text() -> None:
    column = pa.chunked_array([["b", None, "a"], ["a", "", "b"], []], pa.string())
    assert codes_of(column).tolist() == [0, 1, 2, 2, 3, 0]
    assert codes_of(column.slice(0, 0)).tolist() == []


def test_whoever_listens_is_told_of_every_piece() -> None:
    told: list[tuple[str, int, int]] = []
    table = pa.table({"x": list(range(5))})
    with telling(lambda *word: told.append(word)):
        by_pieces(lambda piece: piece["x"].to_numpy(), table, "counting")
        assert [len(piece) for piece in pieces(table, "looking", 2)] == [2, 2, 1]
    assert told[0] == ("counting", 0, 5)
    assert told[-4:] == [("looking", 0, 5), ("looking", 2, 5), ("looking", 4, 5), ("looking", 5, 5)]
    list(pieces(table, "unheard"))
    assert told[-1] == ("looking", 5, 5)


def test_whoever_listens_is_told_how_far_reading_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automl.data.formats.delimited._BLOCK_BYTES", (200, 2000))
    told: list[tuple[str, int, int]] = []
    with telling(lambda *word: told.append(word)):
        load(str(messy(tmp_path / "rows.csv")))
    done = [done for what, done, _ in told if what == "reading rows.csv"]
    assert len(done) > 5
    assert done == sorted(done)
    assert all(40 < rows < 80 for _, _, rows in told), "how many rows there are is guessed from what has come"
    assert told[-1] == ("reading rows.csv", 54, 54)


def test_white_space_of_every_script_is_folded_and_a_single_blank_left_alone() -> None:
    letters = [f"a{chr(number)}b" for number in range(0x3100)] + [" a  b ", "a \u3000 b", "", "a b", None]
    expected = [None if text is None else " ".join(text.split()) for text in letters]
    for column in (pa.chunked_array([letters]), pa.chunked_array([letters[:9], [], letters[9:]], pa.string())):
        assert fold_space(column).to_pylist() == expected
    assert fold_space(pa.chunked_array([], pa.string())).to_pylist() == []


def test_rows_that_repeat_in_every_column_are_told_from_those_that_repeat_their_text(tmp_path: Path) -> None:
    lines = ["text,place,label", "one text here,x,a", "ONE  text here,X,a", "one text here,y,a", "one text here,y,a"]
    (tmp_path / "rows.csv").write_text("\n".join([*lines, *(f"text {n} of some,x,b" for n in range(9))]) + "\n")
    (found,) = (f for f in inspect(str(tmp_path / "rows.csv")).findings if f.kind == "exact_duplicates")
    assert (found.count, found.rows) == (3, (1, 2, 3))
    assert found.what.endswith("; 2 of them in every column")
