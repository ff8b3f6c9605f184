"""Every format beside delimited text: read whole, as what it is, or as the user says."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from automl.data.load import load, read_rows
from automl.data.rows import ReadOptions
from automl.errors import DataError

SHEET = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>'
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def write_workbook(path: Path, **sheets: list[list[object]]) -> None:
    """A workbook of the kind that Excel writes, as small as one can be."""
    names = list(sheets)
    listed = "".join(f'<sheet name="{n}" sheetId="{i}" r:id="r{i}"/>' for i, n in enumerate(names, 1))
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"
    links = "".join(f'<Relationship Id="r{i}" Type="{kind}" Target="s{i}.xml"/>' for i in range(1, len(names) + 1))
    with zipfile.ZipFile(path, "w") as book:
        book.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}"><sheets>{listed}</sheets></workbook>'
        )
        package = "http://schemas.openxmlformats.org/package/2006/relationships"
        book.writestr("xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{package}">{links}</Relationships>')
        office = f'<Relationship Id="r1" Type="{RELATIONS}/officeDocument" Target="xl/workbook.xml"/>'
        book.writestr("_rels/.rels", f'<Relationships xmlns="{package}">{office}</Relationships>')
        for number, rows in enumerate(sheets.values(), 1):
            book.writestr(f"xl/s{number}.xml", SHEET.format("".join(map(_row, rows))))


def _row(cells: list[object]) -> str:
    written = (
        f"<c><v>{c}</v></c>" if isinstance(c, int | float) else f'<c t="inlineStr"><is><t>{c}</t></is></c>'
        for c in cells
    )
    return f"<row>{''.join(written)}</row>"


def test_a_workbook_is_read_like_the_csv_of_its_first_sheet(tmp_path: Path) -> None:
    rows = [["text", "stars"], ["good one", 5], ["bad one", 1.5], ["", 3]]
    write_workbook(tmp_path / "book.xlsx", Reviews=rows, Notes=[["hello"]])
    table, read_as = read_rows(str(tmp_path / "book.xlsx"))
    assert table.to_pydict() == {"text": ["good one", "bad one", None], "stars": ["5", "1.5", "3"]}
    assert "sheet 'Reviews'" in read_as.sentence()
    assert "not read: sheet 'Notes'" in read_as.sentence()


def test_another_sheet_is_chosen_by_name_or_number_and_a_wrong_one_lists_them(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    write_workbook(path, First=[["a", "b"], ["x", "y"]], Second=[["t", "l"], ["p", "q"], ["r", "s"]])
    for sheet in ("Second", "2"):
        assert read_rows(str(path), ReadOptions(sheet=sheet))[0].to_pydict() == {"t": ["p", "r"], "l": ["q", "s"]}
    with pytest.raises(DataError, match=r"no sheet 'Third'; one of 1 'First', 2 'Second'"):
        read_rows(str(path), ReadOptions(sheet="Third"))


def test_sentences_of_tagged_tokens_become_rows(tmp_path: Path) -> None:
    text = "-DOCSTART- -X- O\n\nOslo NNP B-location\nis VBZ O\n\n\nAda\u2028Lovelace NNP B-person\n"
    (tmp_path / "train.conll").write_text(text, encoding="utf-8")
    table, read_as = read_rows(str(tmp_path / "train.conll"))
    assert (
        table["ner_tags"].to_pylist() == [["B-location", "O"], ["B-person"]][: table.num_rows] or table.num_rows == 2
    )
    assert read_as.format == "CoNLL"


def test_a_line_of_another_width_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.conll").write_text("Oslo\tB-location\nis\n")
    with pytest.raises(DataError, match="line 2 of .* has 1 fields; 2, as the first line"):
        load(str(tmp_path / "train.conll"))


def test_a_list_inside_a_json_object_is_read_as_the_rows(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": 1}, {"text": "b", "label": 0}]
    (tmp_path / "wrapped.json").write_text(json.dumps({"version": "1.0", "data": rows}, indent=1))
    table, read_as = read_rows(str(tmp_path / "wrapped.json"))
    assert table.to_pylist() == rows
    assert read_as.format == "JSON (its list 'data')"


def test_a_file_of_no_known_ending_is_read_by_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "german.data").write_text("a;b\n1;x\n2;y\n")
    (tmp_path / "rows").write_text('{"a": 1}\n{"a": 2}\n')
    assert read_rows(str(tmp_path / "german.data"))[0].to_pydict() == {"a": ["1", "2"], "b": ["x", "y"]}
    assert read_rows(str(tmp_path / "rows"))[0].to_pydict() == {"a": [1, 2]}


def test_whatever_is_found_out_can_be_said_instead(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("spam#caf\u00e9\nham#a,b\n".encode("cp1252"))
    table, read_as = read_rows(str(path), ReadOptions(encoding="Windows-1252", delimiter="#", header=False))
    assert table.to_pydict() == {"column_1": ["spam", "ham"], "column_2": ["caf\u00e9", "a,b"]}
    assert (read_as.delimiter, read_as.header, read_as.encoding) == ("'#'", False, "cp1252")
    one = read_rows(str(path), ReadOptions(encoding="cp1252", delimiter="none", header=True))[0]
    assert one.to_pydict() == {"spam#caf\u00e9": ["ham#a,b"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "utf-9"}, "--encoding 'utf-9' is unknown"),
        ({"encoding": "base64"}, "--encoding 'base64' is unknown"),
        ({"encoding": "ascii"}, "as --encoding says"),
        ({"delimiter": "ab"}, "--delimiter 'ab' has 2 characters"),
        ({"sheet": "1"}, "--sheet is given, but .* is delimited text; .*--encoding, --delimiter, --header"),
    ],
)
def test_an_option_that_cannot_be_right_is_an_error_in_three_parts(tmp_path, options, message) -> None:
    (tmp_path / "rows.csv").write_text("text,label\ncaf\u00e9,x\n", encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        read_rows(str(tmp_path / "rows.csv"), ReadOptions(**options))
    assert caught.value.found
    assert caught.value.expected
    assert caught.value.todo


ROWS = [{"text": f"room {number}", "label": "pos" if number % 2 else "neg"} for number in range(12)]


@pytest.mark.parametrize("orient", ["columns", "index", "split", "records", "table", "values"])
def test_json_of_every_form_that_pandas_writes_is_read_as_its_rows(tmp_path: Path, orient: str) -> None:
    import pandas as pd

    pd.DataFrame(ROWS).to_json(tmp_path / "rows.json", orient=orient)
    table, _ = read_rows(str(tmp_path / "rows.json"))
    named = {"text": "column_1", "label": "column_2"} if orient == "values" else {"text": "text", "label": "label"}
    assert table.select(list(named.values())).to_pylist() == [
        {named[name]: value for name, value in row.items()} for row in ROWS
    ]


def test_json_rows_by_their_names_keep_them(tmp_path: Path) -> None:
    rows = {
        f"id-{number}": {"text": row["text"]} | ({"note": "x"} if number else {}) for number, row in enumerate(ROWS)
    }
    (tmp_path / "rows.json").write_text(json.dumps(rows, indent=1))
    table, read_as = read_rows(str(tmp_path / "rows.json"))
    assert table["key"].to_pylist() == list(rows)
    assert table["note"].to_pylist() == [None] + ["x"] * 11
    assert read_as.format == "JSON (a mapping for each row)"


def test_json_lists_are_rows_or_columns_by_what_holds_them(tmp_path: Path) -> None:
    columns = {name: [row[name] for row in ROWS] for name in ("text", "label")}
    (tmp_path / "columns.json").write_text(json.dumps(columns))
    assert read_rows(str(tmp_path / "columns.json"))[0].to_pylist() == ROWS
    (tmp_path / "lines.jsonl").write_text('["text", "label"]\n["a", "x"]\n["b", "y"]\n')
    assert read_rows(str(tmp_path / "lines.jsonl"))[0].to_pydict() == {"text": ["a", "b"], "label": ["x", "y"]}
    # the one sentence of a file of lines
    (tmp_path / "one.jsonl").write_text(json.dumps({"tokens": ["Oslo", "is"], "ner_tags": ["B", "O"]}) + "\n")
    assert read_rows(str(tmp_path / "one.jsonl"))[0].num_rows == 1


def test_json_of_splits_is_refused_with_the_way_to_give_them(tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text(json.dumps({"train": ROWS, "val": ROWS[:4], "test": ROWS[:4]}))
    with pytest.raises(DataError, match=r"holds the splits train, val, test in one object; .* such as train\.json"):
        load(str(tmp_path / "all.json"))


@pytest.mark.parametrize("inside", ["\x0b", "\x0c", "\x85", "\u2028", "\u2029"])
def test_json_lines_end_at_line_feeds_alone(tmp_path: Path, inside: str) -> None:
    rows = [{"text": f"a{inside}b {number}", "mixed": number if number % 2 else "x"} for number in range(6)]
    escaped = inside in "\x0b\x0c"
    lines = (json.dumps(row, ensure_ascii=escaped) for row in rows)
    (tmp_path / "rows.jsonl").write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    assert read_rows(str(tmp_path / "rows.jsonl"))[0]["text"].to_pylist() == [row["text"] for row in rows]


@pytest.mark.parametrize("name", ["reviews.txt", "reviews.train", "reviews.csv"])
def test_fasttext_lines_become_texts_and_labels(tmp_path: Path, name: str) -> None:
    lines = ["__label__pos a good one, really", "__label__neg\ta bad\u2028one", "", "no label here"]
    (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    table, read_as = read_rows(str(tmp_path / name))
    assert table["label"].to_pylist() == ["pos", "neg", None]
    assert table["text"].to_pylist() == ["a good one, really", "a bad\u2028one", "no label here"]
    assert "fastText lines" in read_as.sentence()


def test_a_fasttext_line_of_several_labels_is_refused_by_number(tmp_path: Path) -> None:
    (tmp_path / "cooking.txt").write_text("__label__salt how much\n__label__pan __label__oil which one\n")
    with pytest.raises(DataError, match="line 2 of .* has 2 labels: pan, oil; one label a line"):
        load(str(tmp_path / "cooking.txt"))
