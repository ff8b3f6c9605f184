"""What a run would refuse, `inspect` says: in the run's words, first among its findings, and with exit code 0."""

import json

import pytest

from automl import inspect
from automl.cli import main
from automl.config import make_request
from automl.data.prepare import prepare
from automl.errors import RequestError, UserError


def write(path, rows, names="text,label"):
    path.write_text("\n".join([names, *map(",".join, rows)]) + "\n", encoding="utf-8")
    return str(path)


def rows_of(count, classes=("no", "yes"), word="words"):
    return [(f"some {word} about number {n}", str(classes[n % len(classes)])) for n in range(count)]


MEASURED = [(f"some words about {n}", f"{n / 7:.3f}") for n in range(60)]
ONE_TEST = rows_of(40, ("yes",), "fresh")
REFUSED = {
    "one class": (rows_of(40, ("yes",)), {"target": "label", "text": "text"}),
    "too few rows": (rows_of(8), {}),
    "a regression": (MEASURED, {"target": "label", "text": "text"}),
    "free text": (
        [(text, f"many words of {n} kinds") for n, (text, _) in enumerate(rows_of(40))],
        {"target": "label"},
    ),
    "no text": ([("12", "a"), ("13", "b")] * 20, {}),
    "two rows a class": (rows_of(30, "abcdefghijklmno"), {}),
    "rare and kept": ([*rows_of(40), ("alone", "odd")], {"rare_classes": "keep"}),
    "too many folds": (rows_of(40), {"folds": 19}),
    "a new class in the test": (rows_of(40), {"test": [("fresh words", "maybe")]}),
    "a test without labels": (rows_of(40), {"test": [("fresh words", "")]}),
    "two things": (rows_of(40), {"test": [("fresh", "maybe")], "validation": [("new", "perhaps")]}),
    "options that contradict": (rows_of(40), {"clean": "no-blank-inputs"}),
    "no time": (rows_of(40), {"time": "text"}),
}


def asked(tmp_path, name):
    rows, options = REFUSED[name]
    files = {
        part: write(tmp_path / f"{part}.csv", value) if isinstance(value, list) else value
        for part, value in options.items()
    }
    return write(tmp_path / "rows.csv", rows), files


@pytest.mark.parametrize("name", REFUSED)
def test_what_run_refuses_inspect_says_first_and_in_the_same_words(tmp_path, name):
    source, options = asked(tmp_path, name)
    with pytest.raises(UserError) as caught:
        prepare(make_request({"source": source} | options), tmp_path / "data")
    found = inspect(source, **options).findings
    told = [finding for finding in found if finding.severity == "refuse"]
    assert found[: len(told)] == tuple(told)
    several = getattr(caught.value, "several", ()) or (caught.value,)
    assert [(one.kind, one.suggestion) for one in told] == [("refused", error.todo) for error in several]
    assert all(error.found in one.what for one, error in zip(told, several, strict=True))
    assert not (tmp_path / "data").exists()


def test_a_last_look_that_refuses_is_seen_too(tmp_path):
    found = inspect(write(tmp_path / "rows.csv", rows_of(60)), test=write(tmp_path / "test.csv", ONE_TEST)).findings
    assert (found[0].kind, found[0].severity) == ("class_shares", "refuse")


def test_good_data_has_no_refusal(tmp_path):
    found = inspect(write(tmp_path / "rows.csv", rows_of(60)), folds=3, rare_classes="merge").findings
    assert not [finding for finding in found if finding.severity == "refuse"]


def test_rare_classes_are_foreseen(tmp_path):
    source = write(tmp_path / "rows.csv", [*rows_of(60), ("alone", "odd")])
    assert any(finding.kind == "rare_classes" for finding in inspect(source).findings)


@pytest.mark.parametrize("form", ["text", "json", "html"])
def test_every_form_shows_it_and_the_command_succeeds(tmp_path, capsys, form):
    source, page = write(tmp_path / "rows.csv", MEASURED), tmp_path / "page.html"
    extra = {"text": [], "json": ["--json"], "html": ["--html", str(page)]}[form]
    assert main(["inspect", source, "--target", "label", "--text", "text", *extra]) == 0
    shown = capsys.readouterr().out
    what = "which makes the task text-regression"
    if form == "json":
        first = json.loads(shown)["findings"][0]
        assert (first["kind"], first["severity"]) == ("refused", "refuse")
        assert what in first["what"]
    elif form == "html":
        assert "stops a run" in page.read_text(encoding="utf-8")
        assert what in page.read_text(encoding="utf-8")
    else:
        assert "REFUSE  refused: column 'label' holds numbers" in shown


def test_an_option_that_no_run_has_is_refused(tmp_path):
    source = write(tmp_path / "rows.csv", rows_of(60))
    with pytest.raises(RequestError, match="did you mean 'folds'"):
        inspect(source, fold=3)
    assert main(["inspect", source, "--rare-classes", "many"]) == 2
    assert main(["inspect", source, "--task", "text-classifying"]) == 2
