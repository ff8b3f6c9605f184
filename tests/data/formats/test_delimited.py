"""No row is lost: separators, quotation marks and headers are judged by the whole file."""

import pytest

from automl.data.load import load, read_rows
from automl.errors import DataError


def read(tmp_path, text, name="rows.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_rows(str(path))


def test_stray_quotation_marks_swallow_no_lines(tmp_path):
    lines = ["label\ttext"] + [f"ham\tmessage {n}" for n in range(20)]
    lines[3], lines[9] = 'spam\t"opened and never closed', 'ham\tclosed here" it says'
    table, read_as = read(tmp_path, "\n".join(lines) + "\n", "rows.tsv")
    assert table.num_rows == 20
    assert table["text"][2].as_py() == '"opened and never closed'
    assert read_as.quoting == "none"


def test_marks_that_quote_by_accident_join_no_lines(tmp_path):
    # read as quoting, lines 2 to 4 would be one row: each mark stands at an edge of its field
    text = 'label\ttext\nham\tone\nham\t"two\nham\tthree\nham\tfour"\nham\tfive\n'
    assert read(tmp_path, text, "rows.tsv")[0].num_rows == 5


def test_quoted_separators_and_line_breaks_stay_in_their_value(tmp_path):
    text = 'text,label\n"a, b",x\n"two\nlines",y\n"a ""mark""",x\n'
    table, read_as = read(tmp_path, text)
    assert table["text"].to_pylist() == ["a, b", "two\nlines", 'a "mark"']
    assert read_as.quoting == "double"


def test_a_backslash_may_escape_a_mark(tmp_path):
    table, _ = read(tmp_path, 'text,label\n"say \\"hi\\", please",x\n"b, c",y\n')
    assert table["text"].to_pylist() == ['say "hi", please', "b, c"]


def test_one_mark_inside_a_quoted_file_costs_no_row(tmp_path):
    rows = [f'"row {n}, with a comma",x' for n in range(20)]
    rows[4] = 'a 5" pipe,x'
    rows[7] = '"two\nlines, here",y'
    table, _ = read(tmp_path, "text,label\n" + "\n".join(rows) + "\n")
    assert table.num_rows == 20
    assert table["text"][4].as_py() == 'a 5" pipe'
    assert table["text"][7].as_py() == "two\nlines, here"


@pytest.mark.parametrize(("separator", "name"), [(",", "comma"), ("\t", "tab"), (";", "semicolon"), ("|", "pipe")])
def test_the_separator_is_found_whatever_the_ending_says(tmp_path, separator, name):
    rows = [f"text{separator}label"] + [f"words here {n}{separator}x" for n in range(5)]
    table, read_as = read(tmp_path, "\n".join(rows), "rows.csv")
    assert table.column_names == ["text", "label"]
    assert read_as.delimiter == name


def test_one_column_with_commas_in_its_text_stays_one_column(tmp_path):
    table, _ = read(tmp_path, "text\nhello, world\nno comma\nand, more, of them\n")
    assert table.column_names == ["text"]
    assert table["text"][2].as_py() == "and, more, of them"


def test_a_file_without_header_keeps_its_first_row(tmp_path):
    lines = [f"{'spam' if n % 3 else 'ham'}\tGo to number {n} and call" for n in range(12)]
    table, read_as = read(tmp_path, "\n".join(lines), "rows.tsv")
    assert table.num_rows == 12
    assert table.column_names == ["column_1", "column_2"]
    assert not read_as.header


def test_repeated_and_missing_names_become_distinct(tmp_path):
    table, _ = read(tmp_path, ",text,text\n0,a,b\n1,c,d\n")
    assert table.column_names == ["column_1", "text", "text_2"]


def test_rows_with_too_many_fields_are_left_out_by_number(tmp_path):
    rows = [f"words {n},x" for n in range(40)]
    rows[5] = "one, two,x"
    table, read_as = read(tmp_path, "text,label\n" + "\n".join(rows) + "\n")
    assert table.num_rows == 39
    assert read_as.skipped_rows == (5,)
    numbers = load(str(tmp_path / "rows.csv"))["train"].numbers
    assert numbers[4] == 4
    assert numbers[5] == 6


def test_a_file_of_ragged_rows_is_refused(tmp_path):
    rows = [f"one, two and {n},x" for n in range(40)]
    with pytest.raises(DataError, match=r"40 of 40 rows .*first at row 0"):
        read(tmp_path, "text,label\n" + "\n".join(rows) + "\n")


def test_line_ends_of_every_system_are_read(tmp_path):
    for end in ("\n", "\r\n", "\r"):
        table, _ = read(tmp_path, end.join(["text,label", "a b,x", "c d,y", ""]))
        assert table.to_pydict() == {"text": ["a b", "c d"], "label": ["x", "y"]}


def test_a_row_longer_than_a_block_is_read(tmp_path):
    table, _ = read(tmp_path, "text,label\n" + "word " * 5_000_000 + ",x\nb,y\n")
    assert table["label"].to_pylist() == ["x", "y"]
