from pathlib import Path

import pytest

from automl.config import DEFAULT_TRIALS, RunRequest, make_request, parse_duration, read_yaml
from automl.errors import RequestError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("20m", 1200),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("2d", 172_800),
        (7, 7),
        (" 5M ", 300),
    ],
)
def test_a_duration_is_a_number_with_units(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5x", "m", "-3", "0", "1h oops", "inf", True])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def test_names_are_split_at_commas_and_stripped() -> None:
    request = make_request({"source": "a.csv", "models": "one, two ,", "text": "title,body"})
    assert request.models == ("one", "two")
    assert request.text == ("title", "body")


def test_every_contender_gets_twelve_trials_unless_something_is_said() -> None:
    assert make_request({"source": "a.csv"}).contender_budget.trials == DEFAULT_TRIALS
    budget = make_request({"source": "a.csv", "budget": "20m"}).contender_budget
    assert (budget.trials, budget.device_seconds) == (None, 1200)


def test_all_problems_of_a_request_are_told_at_once() -> None:
    with pytest.raises(RequestError) as caught:
        make_request({"source": "a.csv", "trials": "many", "seeds": 0, "sampler": "tpa", "budgte": "5m"})
    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 4
    for part in ("'trials'", "'seeds'", "'sampler'", "did you mean 'budget'"):
        assert part in problems
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"trials": 4, "budget": "5m"}, "--trials and --budget"),
        ({"text": ","}, "names no column"),
        ({"models": "one,one"}, "only once"),
        ({"adapt": ","}, "no adaptation"),
    ],
)
def test_options_that_contradict_are_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        make_request({"source": "a.csv", **values})


def test_explicit_values_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "options.yaml"
    file.write_text("source: a.csv\ntrials: 3\nmax-epochs: 2\nmodels: [one, two]\n", encoding="utf-8")
    request = make_request({"trials": 5, "seeds": None}, file)
    assert (request.trials, request.max_epochs, request.models) == (5, 2, ("one", "two"))


def test_an_unknown_option_in_the_file_names_the_near_miss(tmp_path: Path) -> None:
    file = tmp_path / "options.yaml"
    file.write_text("source: a.csv\nmax-epoch: 2\n", encoding="utf-8")
    with pytest.raises(RequestError, match="did you mean 'max-epochs'"):
        make_request({}, file)


@pytest.mark.parametrize("content", ["- a\n- b\n", "just words", "a: [1", ""])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "options.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(RequestError):
        read_yaml(file)


def test_a_missing_source_is_said_plainly() -> None:
    with pytest.raises(RequestError, match="'source' is missing"):
        make_request({})


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("reviews.csv", "reviews"), ("data/trec/train.csv", "trec"), ("/x/sms spam/data.csv", "sms-spam"),
        ("user/imdb", "imdb"), ("a/b.v2.jsonl.gz", "b"), ("folder/", "folder"),
        ("отзывы.csv", "отзывы"), ("レビュー 2.csv", "レビュー-2"), ("???.csv", "run"),
    ],
)  # fmt: skip
def test_the_run_folder_is_named_after_the_source(source: str, name: str) -> None:
    assert make_request({"source": source}).run_name == name


def test_a_request_survives_yaml(tmp_path: Path) -> None:
    request = make_request({"source": "é.csv", "models": "one", "budget": "1m30s", "text": "a,b"})
    file = tmp_path / "request.yaml"
    file.write_text(request.to_yaml(), encoding="utf-8")
    assert RunRequest.model_validate(read_yaml(file)) == request


def test_every_option_is_described() -> None:
    assert all(field.description for field in RunRequest.model_fields.values())


def test_a_storage_with_a_secret_in_its_url_is_refused_before_it_is_written_down() -> None:
    with pytest.raises(RequestError, match="AWS_ACCESS_KEY_ID"):
        make_request({"source": "data.csv", "storage": "s3://KEY:secret@bucket/runs"})
    assert make_request({"source": "data.csv", "storage": "s3://bucket/runs@home"}).storage == "s3://bucket/runs@home"


def test_a_path_may_begin_in_the_home_folder_and_be_a_path_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    request = make_request({"source": Path("~/rows.csv"), "out": "~/runs/one", "models": [Path("bert"), "hub/name"]})
    assert (request.source, request.out) == ("/home/someone/rows.csv", "/home/someone/runs/one")
    assert request.models == ("bert", "hub/name")


def test_a_name_that_holds_a_comma_stands_in_quotation_marks_or_is_a_folder(tmp_path: Path) -> None:
    request = make_request({"source": "a.csv", "slice": '"place, country", age', "text": ["Review, text"]})
    assert (request.slice, request.text) == (("place, country", "age"), ("Review, text",))
    (tmp_path / "a, b").mkdir()
    for models, expected in ((str(tmp_path / "a, b"), (str(tmp_path / "a, b"),)), ("one, two", ("one", "two"))):
        assert make_request({"source": "a.csv", "models": models}).models == expected
    assert make_request({"source": "a.csv", "text": 'the "best, one'}).text == ('the "best', "one")
