"""No row is lost: separators, quotation marks and headers are judged by the whole file."""

import pytest

from automl.data.load import load, read_rows
from automl.data.rows import ReadOptions
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


@pytest.mark.parametrize("inside", ["\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\x1c"])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_only_line_feeds_end_the_lines_of_a_file_that_has_them(tmp_path, inside, quote, end):
    rows = [(f"a{inside}long text {number}" if number % 3 else f"text {number}", "x") for number in range(12)]
    lines = ["text,label", *(f"{quote}{text}{quote},{label}" for text, label in rows)]
    (tmp_path / "rows.csv").write_bytes((end.join(lines) + end).encode())
    table, read_as = read_rows(str(tmp_path / "rows.csv"))
    assert table["text"].to_pylist() == [text for text, _ in rows]
    assert set(table["label"].to_pylist()) == {"x"}
    assert not read_as.skipped_rows


def test_carriage_returns_end_lines_where_each_piece_is_a_row(tmp_path):
    (tmp_path / "joined.csv").write_bytes(b"text,label\ngood one,x\rbad one,y\ngood two,x\rbad two,y\n")
    table, _ = read_rows(str(tmp_path / "joined.csv"))
    assert table.to_pydict() == {"text": ["good one", "bad one", "good two", "bad two"], "label": list("xyxy")}


def test_a_file_written_with_two_returns_a_line_end_has_none_in_its_texts(tmp_path):
    (tmp_path / "twice.csv").write_bytes(b"label,text\r\r\nx,good one\r\r\ny,bad one\r\r\n")
    table, _ = read_rows(str(tmp_path / "twice.csv"))
    assert table.to_pydict() == {"label": ["x", "y"], "text": ["good one", "bad one"]}


@pytest.mark.parametrize(
    ("header", "names"), [("0,1", ["0", "1"]), (",0,1", ["column_1", "0", "1"]), ("index,0,1", ["index", "0", "1"])]
)
def test_numbers_that_count_the_columns_name_them(tmp_path, header, names):
    index = "7," if header.count(",") == 2 else ""
    (tmp_path / "rows.csv").write_text(header + "\n" + f"{index}a good one,1\n{index}a bad one,0\n" * 5)
    table, read_as = read_rows(str(tmp_path / "rows.csv"))
    assert table.column_names == names
    assert table.num_rows == 10
    assert "names the columns (--header no says otherwise)" in read_as.sentence()
    first = read_rows(str(tmp_path / "rows.csv"), ReadOptions(header=False))[0]
    assert first.num_rows == 11


def test_counting_numbers_above_numbers_are_a_row(tmp_path):
    (tmp_path / "rows.csv").write_text("0,1\n3,4\n0,2\n")
    assert read_rows(str(tmp_path / "rows.csv"))[0].num_rows == 3


@pytest.mark.parametrize("line", ["sep=;", "SEP=;", '"sep=;"'])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_first_line_that_names_the_delimiter_is_no_row(tmp_path, line, end):
    (tmp_path / "rows.csv").write_bytes(end.join([line, "text;label", "good, one;x", "bad, one;y", ""]).encode())
    table, read_as = read_rows(str(tmp_path / "rows.csv"))
    assert table.to_pydict() == {"text": ["good, one", "bad, one"], "label": ["x", "y"]}
    assert "its first line, sep=, names the delimiter" in read_as.sentence()


@pytest.mark.parametrize("separator", [",", "\t", ";", " "])
def test_row_names_of_r_are_a_column_of_their_own(tmp_path, separator):
    cells = [["text", "label"], ["1", "a good one", "x"], ["2", "a bad one", "y"], ["3", "fine", "x"]]
    lines = [separator.join(f'"{cell}"' for cell in row) for row in cells]
    (tmp_path / "rows.txt").write_text("\n".join(lines) + "\n")
    table, read_as = read_rows(str(tmp_path / "rows.txt"))
    assert table.to_pydict() == {
        "row_name": ["1", "2", "3"],
        "text": ["a good one", "a bad one", "fine"],
        "label": ["x", "y", "x"],
    }
    assert "row names as R writes them" in read_as.sentence()


def test_a_delimiter_at_the_end_of_every_row_makes_no_row_names(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\na good one,x,\na bad one,y,\nfine,x,\n")
    table, read_as = read_rows(str(tmp_path / "rows.csv"))
    assert table["text"].to_pylist() == ["a good one", "a bad one", "fine"]
    assert table.column_names == ["text", "label", "column_3"]
    assert "every row ends with a delimiter" in read_as.sentence()
