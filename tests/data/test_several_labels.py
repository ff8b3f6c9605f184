"""Several labels for a row are refused by name, columns of 0 and 1 joined, and names with separators are classes."""

import pyarrow as pa
import pytest

from automl.config import make_request
from automl.data.prepare import prepare
from automl.data.several_labels import several_labels
from automl.data.write import write_rows
from automl.errors import DataError

REFUSED = "several labels for a row are a task that is not supported yet"


def texts(count):
    return [f"some words about number {n}" for n in range(count)]


def labelled(values, count=60, name="label"):
    return {"text": texts(count), name: [values[n % len(values)] for n in range(count)]}


def one_hot(*names, count=60, **more):
    columns = {name: [int(n % len(names) == place) for n in range(count)] for place, name in enumerate(names)}
    return {"text": texts(count)} | columns | more


def run(tmp_path, columns, name="rows.csv", **options):
    write_rows(pa.table(columns), tmp_path / name)
    return prepare(make_request({"source": str(tmp_path / name)} | options), tmp_path / "data")


@pytest.mark.parametrize(
    "values",
    [
        ("a", "a|b", "b"),
        ("action", "comedy", "action, comedy", "drama,comedy", "drama"),
        ("x;y", "y;z", "x;z"),
        ("sun/rain", "sun", "rain"),
        ("x", "y", "z", "x y", "y z", "x z"),
        ('["a"]', '["a", "b"]', "[]"),
        ("['a', 'b']", "['a']", "['c']"),
        ("1,2", "2,3", "1", "3"),
    ],
)
def test_cells_of_several_labels_are_known(values):
    assert several_labels(pa.chunked_array([pa.array(values)])) is not None


@pytest.mark.parametrize(
    "values",
    [
        ("yes", "no"),
        ("Trinidad, Tobago", "Paris, France", "Lyon, France", "Rome"),  # one part comes back, the other does not
        ("sport|football", "sport|tennis", "news|politics"),
        ("food|good", "food|bad", "staff|good", "staff|bad"),  # a matter and what is said of it
        ("good", "very good", "bad", "very bad"),
        ("AC/DC", "rock", "pop"),
        ("1,0", "1,5", "2,0", "1", "2", "5"),  # decimals with a comma
        ("N/A", "yes", "no"),
        ("a|", "|b", "a"),
        ("new york", "york", "paris"),
    ],
)
def test_names_with_separators_are_classes(values):
    assert several_labels(pa.chunked_array([pa.array(values)])) is None


def test_a_target_of_several_labels_is_refused_and_taken_as_classes_by_name(tmp_path):
    columns = labelled(("a", "a|b", "b"), name="tags")
    with pytest.raises(DataError, match=f"'tags' holds several labels in 20 rows, such as 'a|b'.*{REFUSED}"):
        run(tmp_path, columns)
    with pytest.raises(DataError, match="--task text-classification"):
        run(tmp_path, columns, target="tags")
    assert run(tmp_path, columns, task="text-classification").schema.classes == ("a", "a|b", "b")


def test_free_text_with_commas_is_no_set_of_labels(tmp_path):
    columns = labelled([f"well, {n} rooms, and a view of {n * 7}" for n in range(60)])
    with pytest.raises(DataError, match="looks like free text|seq2seq|fits no"):
        run(tmp_path, columns)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_lists_of_several_labels_are_refused_and_lists_of_one_are_classes(tmp_path, name):
    with pytest.raises(DataError, match=f"lists of several labels in 30 rows.*{REFUSED}"):
        run(tmp_path, labelled((["a"], ["a", "b"]), name="tags"), name)
    prepared = run(tmp_path, labelled((["a"], ["b"], []), name="tags"), name)
    assert prepared.schema.classes == ("a", "b")
    assert sum(prepared.counts.values()) == 40
    assert any("lists of one in 'tags' read as their element" in line for line in prepared.assumptions)


def test_the_text_of_lists_of_one_is_read_as_their_element(tmp_path):
    prepared = run(tmp_path, labelled(("['joy']", '["fear"]', "[]"), name="tags"))
    assert prepared.schema.classes == ("fear", "joy")
    assert sum(prepared.counts.values()) == 40


def test_columns_of_which_one_is_1_are_joined_and_said(tmp_path):
    prepared = run(tmp_path, one_hot("positive", "negative", "neutral"))
    assert (prepared.schema.target, prepared.schema.classes) == ("label", ("negative", "neutral", "positive"))
    (line,) = [line for line in prepared.assumptions if "joined to 'label'" in line]
    assert "'positive', 'negative', 'neutral' of 0 and 1, of which one is 1 in every row" in line
    assert prepared.class_counts["positive"] > 10


def test_joined_columns_lose_what_their_names_share_and_leave_others_alone(tmp_path):
    columns = one_hot("class_cat", "class_dog", "class_owl", retweeted=[n % 5 // 4 for n in range(60)])
    prepared = run(tmp_path, columns)
    assert (prepared.schema.target, prepared.schema.classes) == ("class", ("cat", "dog", "owl"))


def test_a_named_target_is_not_joined(tmp_path):
    columns = one_hot("spam", "ham")
    assert run(tmp_path, columns, target="spam").schema.classes == ("0", "1")
    columns["label"] = ["x", "y", "z"] * 20
    assert run(tmp_path, columns).schema.classes == ("x", "y", "z")


def test_a_column_of_0_and_1_with_the_name_of_a_target_is_it(tmp_path):
    flags = one_hot("spam_label", "other", count=60, retweeted=[n % 5 // 4 for n in range(60)])
    flags["other"] = [n % 7 // 6 for n in range(60)]
    assert run(tmp_path, flags).schema.target == "spam_label"


def test_columns_of_which_several_or_none_are_1_are_refused_with_their_rows(tmp_path):
    columns = one_hot("toxic", "obscene", "threat")
    columns["obscene"][0] = 1  # beside toxic
    columns["threat"][2] = 0
    with pytest.raises(DataError, match=f"in 1 rows several are 1, in 1 none.*{REFUSED}.*--target"):
        run(tmp_path, columns)
    assert run(tmp_path, columns, target="toxic").schema.classes == ("0", "1")


def test_a_test_file_of_columns_is_joined_as_its_training_rows_are(tmp_path):
    test = {name: values[:6] for name, values in one_hot("a", "b").items()} | {"text": [f"new {n}" for n in range(6)]}
    write_rows(pa.table(test), tmp_path / "test.csv")
    prepared = run(tmp_path, one_hot("a", "b"), test=str(tmp_path / "test.csv"))
    assert prepared.counts["test"] == 6
    test["a"][0] = test["b"][0] = 1
    write_rows(pa.table(test), tmp_path / "test.csv")
    with pytest.raises(DataError, match="in .*test.csv, which has 2 of them, in 1 rows several are 1"):
        run(tmp_path, one_hot("a", "b"), test=str(tmp_path / "test.csv"))


def test_tags_of_tokens_are_a_task_of_their_own(tmp_path):
    columns = {"text": texts(40), "tokens": [["a", "b"]] * 40, "ner_tags": [[0, n % 3] for n in range(40)]}
    with pytest.raises(DataError, match="token-classification"):
        run(tmp_path, columns, "rows.jsonl")
