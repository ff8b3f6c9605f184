"""Letters come out right from every encoding that files really have."""

import pytest

from automl.data.load import read_rows
from automl.data.rows import ReadOptions
from automl.errors import DataError

TEXT = "text,label\nEl niño comió piña en la mañana,es\nDon’t worry: “fine” — she said,en\nÉlève à l’école,fr\n"


@pytest.mark.parametrize(
    ("codec", "written"),
    [
        ("utf-8", "utf-8"),
        ("utf-8", "utf-8-sig"),
        ("utf-16-le", "utf-16"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32-le", "utf-32"),
        ("cp1252", "cp1252"),
        ("mac_roman", "mac_roman"),
    ],
)
def test_text_is_read_in_the_encoding_it_was_written_in(tmp_path, codec, written):
    path = tmp_path / "rows.csv"
    path.write_bytes(TEXT.encode(written))
    table, read_as = read_rows(str(path))
    assert read_as.encoding == codec
    assert table.column_names == ["text", "label"]
    assert table["text"][0].as_py() == "El niño comió piña en la mañana"
    assert table["text"][1].as_py() == "Don’t worry: “fine” — she said"


def test_another_script_is_read_as_its_letters(tmp_path):
    path = tmp_path / "rows.csv"
    line = "Сегодня хорошая погода и мы идём гулять в парк вместе с друзьями,да\n"
    path.write_bytes(("text,label\n" + line * 20).encode("cp1251"))
    table, _ = read_rows(str(path))
    assert table["text"][0].as_py().startswith("Сегодня")


def test_utf16_cut_in_the_middle_of_a_letter_is_a_data_error(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes("text,label\na,b\n".encode("utf-16")[:-1])
    with pytest.raises(DataError, match="damaged"):
        read_rows(str(path))


@pytest.mark.parametrize("written", ["utf-8", "utf-16", "mac_roman", "cp1252", "gb18030"])
def test_a_large_file_is_read_part_by_part_with_the_same_letters(tmp_path, monkeypatch, written):
    path = tmp_path / "rows.csv"
    path.write_bytes(
        ("text,label\n" + "今天天气很好我们去公园散步,是\n" * 20 if written == "gb18030" else TEXT).encode(written)
    )
    whole, read_as = read_rows(str(path))
    monkeypatch.setattr("automl.data.encoding._DECODE_BYTES", 7)
    parts, alike = read_rows(str(path))
    assert parts.to_pydict() == whole.to_pydict()
    assert alike == read_as


def test_a_damaged_file_is_told_with_the_place_in_the_whole_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr("automl.data.encoding._DECODE_BYTES", 7)
    path = tmp_path / "rows.csv"
    path.write_bytes(TEXT.encode("utf-8").replace("É".encode(), b"\xff"))
    place = path.read_bytes().index(b"\xff")
    with pytest.raises(DataError, match=f"in position {place}-"):
        read_rows(str(path), ReadOptions(encoding="utf-8"))


def test_lines_that_end_as_on_old_macs_are_lines(tmp_path, monkeypatch):
    monkeypatch.setattr("automl.data.line_ends.SCAN_BYTES", 5)
    (tmp_path / "rows.csv").write_bytes(b"text,label\rone,a\rtwo,b\r")
    assert read_rows(str(tmp_path / "rows.csv"))[0].to_pydict() == {"text": ["one", "two"], "label": ["a", "b"]}
