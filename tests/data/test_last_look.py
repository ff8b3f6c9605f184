"""What is asked of prepared data before anything is spent on it."""

import numpy as np
import pytest
from PIL import Image

from automl.config import make_request
from automl.data.last_look import KINDS
from automl.data.prepare import prepare
from automl.data.prepared import load_prepared


def write(path, rows):
    path.write_text("\n".join(["text,label", *(f"{text},{label}" for text, label in rows)]) + "\n", encoding="utf-8")
    return str(path)


def rows_of(count, classes=("no", "yes"), word="words"):
    return [(f"some {word} about number {n}", classes[n % len(classes)]) for n in range(count)]


def look(tmp_path, rows, **options):
    request = make_request({"source": write(tmp_path / "rows.csv", rows)} | options)
    found = prepare(request, tmp_path / "data").findings
    return {finding.kind: finding for finding in found if finding.kind in KINDS}


def test_good_data_is_not_warned_of(tmp_path):
    given = write(tmp_path / "test.csv", rows_of(60, word="fresh"))
    assert look(tmp_path, rows_of(100), test=given) == {}


@pytest.mark.parametrize(("rows", "severity"), [(30, "refuse"), (2, "warn")])
def test_a_test_of_one_class_is_refused_unless_it_may_be_chance(tmp_path, rows, severity):
    given = write(tmp_path / "test.csv", rows_of(rows, ("yes",), "fresh"))
    found = look(tmp_path, rows_of(100), test=given)["class_shares"]
    assert (found.severity, found.part, found.count) == (severity, "test", rows)
    assert "'yes', which is 50.6% of the training rows" in found.what


def test_a_test_whose_classes_are_otherwise_distributed_is_warned_of(tmp_path):
    given = write(tmp_path / "test.csv", rows_of(200, ("a", "b", "b", "b", "b"), "fresh"))
    found = look(tmp_path, rows_of(200, ("a", "a", "a", "b")), test=given)
    assert list(found) == ["class_shares"]
    assert found["class_shares"].severity == "warn"
    assert "74.7% of train, 20.0% of test" in found["class_shares"].what


def test_a_class_that_a_given_test_lacks_is_named(tmp_path):
    given = write(tmp_path / "test.csv", rows_of(90, ("a", "b"), "fresh"))
    found = look(tmp_path, rows_of(150, ("a", "b", "c")), test=given)["class_in_few_parts"]
    assert "test has no row of 'c', which has" in found.what


def test_a_class_too_small_for_the_validation_is_named(tmp_path):
    found = look(tmp_path, [*rows_of(100), ("a rare one", "rare"), ("another", "rare")])["class_in_few_parts"]
    assert (found.severity, found.part) == ("warn", "validation")
    assert "'rare', which has 1 training row" in found.what


@pytest.mark.parametrize(
    ("classes", "target", "severity"),
    [
        (("training_set", "test_set"), None, "refuse"),
        (("Train", "Val", "Test"), None, "refuse"),
        (("train", "test"), "label", "warn"),  # the user says that it is the target
        (("cat", "dog", "holdout"), None, "warn"),
        (("train", "bus"), None, None),
    ],
)
def test_classes_that_are_named_as_parts(tmp_path, classes, target, severity):
    found = look(tmp_path, rows_of(90, classes), **({"target": target} if target else {}))
    assert (found["class_named_as_part"].severity if found else None) == severity


def test_an_input_column_that_is_mostly_empty_or_the_same_is_warned_of(tmp_path):
    same = [("the same words", "yes")] * 200
    found = look(tmp_path, rows_of(60) + same)
    assert found["input_says_little"].count == 200
    assert "77% of the training texts in 'text' are all alike" in found["input_says_little"].what
    assert found["rows_left_out"].count > 130


def test_letters_that_cannot_be_read_in_most_texts_are_warned_of(tmp_path):
    found = look(tmp_path, [(f"w\ufffdrds {text}", label) for text, label in rows_of(60)])
    assert "cannot be read" in found["input_says_little"].what


def test_images_of_one_colour_are_warned_of(tmp_path):
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(20):
            dark = generator.integers(0, 4, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(dark).save(tmp_path / "set" / name / f"{name}{number}.png")
    prepared = prepare(make_request({"source": str(tmp_path / "set")}), tmp_path / "data")
    found = [finding for finding in prepared.findings if finding.kind == "input_says_little"]
    assert any("of one colour" in finding.what for finding in found)
    assert load_prepared(prepared.directory).findings == prepared.findings
