"""An inspection names the columns' roles and every flaw, with its count and its rows."""

import json

import pyarrow as pa
import pytest

from automl.data.profile import inspect
from automl.data.write import write_rows
from automl.errors import DataError, RequestError


def rows_of(count, label=lambda n: "yes" if n % 2 else "no"):
    words = ["the cat sat on", "a dog ran over", "some rain fell upon", "the old train left"]
    return {
        "text": [f"{words[n % 4]} the hill number {n}" for n in range(count)],
        "label": [label(n) for n in range(count)],
    }


def write(path, columns):
    write_rows(pa.table(columns), path)
    return str(path)


def found(seen, kind):
    return [finding for finding in seen.findings if finding.kind == kind]


def test_target_text_and_task_are_guessed_with_reasons(tmp_path):
    seen = inspect(write(tmp_path / "a.csv", {"id": list(range(40))} | rows_of(40)))
    assert (seen.roles.target, seen.roles.inputs, seen.roles.task) == (
        "label",
        ("text",),
        "text-classification",
    )
    assert all((seen.roles.target_reason, seen.roles.inputs_reason, seen.roles.task_reason))
    assert [column.kind for column in seen.columns] == ["id", "text", "category"]


def test_two_text_columns_that_belong_together_are_both_inputs(tmp_path):
    columns = rows_of(40)
    pair = {"sentence1": columns["text"], "sentence2": columns["text"][::-1], "label": columns["label"]}
    assert inspect(write(tmp_path / "a.csv", pair)).roles.inputs == ("sentence1", "sentence2")


def test_numbers_with_many_values_make_a_regression(tmp_path):
    columns = rows_of(40) | {"label": [n / 7 for n in range(40)]}
    assert inspect(write(tmp_path / "a.csv", columns)).roles.task == "text-regression"


def test_whole_numbers_are_classes(tmp_path):
    seen = inspect(write(tmp_path / "a.csv", rows_of(40, lambda n: n % 4)))
    assert seen.roles.task == "text-classification"
    assert seen.class_counts == {"0": 10, "1": 10, "2": 10, "3": 10}


def test_duplicates_are_counted_beyond_the_first_case_and_space_aside(tmp_path):
    columns = rows_of(40)
    columns["text"] += ["The CAT sat on  the hill number 0 ", "the cat sat on\u00a0the hill number 0"]
    columns["label"] += ["no", "no"]
    (finding,) = found(inspect(write(tmp_path / "a.csv", columns)), "exact_duplicates")
    assert (finding.count, finding.rows) == (2, (40, 41))


def test_all_rows_of_a_text_with_two_labels_conflict(tmp_path):
    columns = rows_of(40)
    columns["text"] += [columns["text"][0]] * 2
    columns["label"] += ["no", "yes"]
    (finding,) = found(inspect(write(tmp_path / "a.csv", columns)), "conflicting_labels")
    assert (finding.count, finding.rows) == (3, (0, 40, 41))


def test_overlap_counts_rows_of_the_later_part(tmp_path):
    train, test = (
        rows_of(40),
        {"text": ["new words here", "THE CAT sat on the hill number 0"], "label": ["no", "no"]},
    )
    seen = inspect(write(tmp_path / "a.csv", train), test=write(tmp_path / "b.csv", test))
    (finding,) = found(seen, "split_overlap")
    assert (finding.count, finding.rows) == (1, (1,))


def test_a_test_file_without_labels_can_be_inspected(tmp_path):
    test = write(tmp_path / "b.csv", {"text": ["some new words", "the cat sat on the hill number 0"]})
    seen = inspect(write(tmp_path / "a.csv", rows_of(40)), test=test)
    assert found(seen, "split_overlap")[0].count == 1


def test_empty_and_blank_values_are_told_apart(tmp_path):
    columns = rows_of(40)
    columns["text"][3], columns["text"][7], columns["text"][8] = "", "  ", "\t"
    counts = [finding.count for finding in found(inspect(write(tmp_path / "a.csv", columns)), "missing_values")]
    assert sorted(counts) == [1, 2]


def test_a_rare_class_is_an_imbalance_of_its_rows(tmp_path):
    (finding,) = found(
        inspect(write(tmp_path / "a.csv", rows_of(60, lambda n: "spam" if n % 10 == 0 else "ham"))),
        "imbalance",
    )
    assert (finding.count, finding.rows[:2]) == (6, (0, 10))
    assert "a run also searches logit adjustment" in finding.suggestion


def test_equal_classes_are_no_imbalance(tmp_path):
    assert not found(inspect(write(tmp_path / "a.csv", rows_of(60))), "imbalance")


def test_labels_spelled_in_two_ways_are_named(tmp_path):
    columns = rows_of(60, lambda n: "spam" if n % 2 else "ham")
    columns["label"][1], columns["label"][3] = "Spam", "spam "
    (finding,) = found(inspect(write(tmp_path / "a.csv", columns)), "label_typos")
    assert (finding.count, finding.rows) == (2, (1, 3))


def test_a_column_that_gives_the_answer_away_is_a_leak(tmp_path):
    columns = rows_of(100)
    # 85 of 100 rows tell: enough to warn, not to repair
    hint = [("A" if n % 2 else "B") if n % 100 < 85 else "A" for n in range(100)]
    shuffled = [str(n * 37 % 100 % 3) for n in range(100)]
    seen = inspect(
        write(
            tmp_path / "a.csv",
            columns | {"code": [n % 2 for n in range(100)], "hint": hint, "other": shuffled},
        )
    )
    leaks = {finding.what.split("'")[1]: finding.severity for finding in found(seen, "target_leak")}
    assert leaks == {"code": "repair", "hint": "warn"}


def test_an_id_leaks_nothing_and_is_named_as_an_id(tmp_path):
    columns = {"user_id": [f"u{n * 7919 % 1000:04d}" for n in range(100)]} | rows_of(100)
    seen = inspect(write(tmp_path / "a.csv", columns))
    assert found(seen, "id_like")[0].count == 100
    assert not found(seen, "target_leak")


def test_a_constant_column_is_named(tmp_path):
    seen = inspect(write(tmp_path / "a.csv", rows_of(40) | {"source": ["web"] * 40}))
    assert found(seen, "constant_column")[0].count == 40


def test_garbled_letters_and_html_entities_are_counted(tmp_path):
    columns = rows_of(40)
    columns["text"][2] += " caf\u0089"
    columns["text"][4] += " this &amp; that"
    counts = {
        f.what.split(": ")[1].split()[0]: f.rows
        for f in found(inspect(write(tmp_path / "a.csv", columns)), "encoding")
    }
    assert counts == {"letters": (2,), "HTML": (4,)}


def test_json_has_the_form_that_others_read(tmp_path):
    seen = inspect(write(tmp_path / "a.csv", rows_of(40)), text="text", target="label")
    value = json.loads(json.dumps(seen.to_json()))
    assert {"rows", "columns", "task", "target", "read_as", "findings"} <= set(value)
    assert value["rows"] == 40
    assert value["columns"][0]["name"] == "text"
    for finding in value["findings"]:
        assert {"kind", "severity", "count", "rows", "what", "suggestion"} <= set(finding)


def test_the_text_shows_no_control_characters_of_the_data(tmp_path):
    columns = rows_of(40, lambda n: "\x1b[31mred" if n % 2 else "safe\u202eright")
    columns["text"][0] = "\x1b]0;title\x07 and words"
    text = inspect(write(tmp_path / "a.csv", columns)).to_text()
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "\\x1b[31mred" in text


def test_the_text_stays_short_whatever_the_data(tmp_path):
    columns = rows_of(400, lambda n: f"class {n % 150}") | {
        f"column{n}": ["", *["x" * 500] * 399] for n in range(100)
    }
    text = inspect(write(tmp_path / "a.csv", columns)).to_text()
    assert len(text.splitlines()) < 220
    assert max(map(len, text.splitlines())) < 300


def test_a_column_that_is_not_there_names_the_near_miss(tmp_path):
    path = write(tmp_path / "a.csv", rows_of(40))
    with pytest.raises(DataError, match="did you mean 'label'"):
        inspect(path, target="lable")
    with pytest.raises(DataError, match=r"2 things .*'lable'.*'txt'"):
        inspect(path, target="lable", text=["txt"])
    with pytest.raises(DataError, match="both --target and --text"):
        inspect(path, target="label", text="label")


def test_commas_in_a_columns_name_part_no_two(tmp_path):
    path = tmp_path / "rows.csv"
    header = '"Review, text",title,"a, b, c",label'
    path.write_text(
        header + "\n" + "".join(f"good {n} words here,t{n} one,u{n} two,{'xy'[n % 2]}\n" for n in range(20))
    )
    for named in ("Review, text", "Review,text", ["Review, text"]):
        assert inspect(str(path), text=named).roles.inputs == ("Review, text",)
    assert inspect(str(path), text="Review, text,title").roles.inputs == ("Review, text", "title")
    assert inspect(str(path), text="title, a, b, c").roles.inputs == ("title", "a, b, c")
    with pytest.raises(RequestError, match="--text names 3 columns: title, Review, text, label; one column, or two"):
        inspect(str(path), text="title,Review, text,label")
    with pytest.raises(DataError, match="no column 'Review'"):
        inspect(str(path), text="Review,words")
