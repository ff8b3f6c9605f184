"""The README's commands and its Python do what it says: each is run as it stands, on small data and with small nets.

Only what would take long is smaller: the number of trials, a budget in minutes, epochs and seeds.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from automl.cli import main
from tests.test_readme import README, commands
from tests.toys import messages, tiny_bert, write_csv

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_ray")]
NETS = ("distilbert-base-uncased", "roberta-base")
"""The README's models; here small nets in folders that are called so."""
QUICK = ["--max-epochs", "1", "--seeds", "2"]
ANSWERS = {"compare": {1}, "doctor": {0, 1}, "replay": {0, 1}}
"""Exit codes that are as good as 0: the two runs of the README have budgets of two kinds, so they are not merged."""

OF_A_CLUSTER = ("submit", "status", "stop", "fetch")
"""Run, one after the other, in tests/jobs/test_submitted_run.py, which starts a cluster."""

BLOCKS = README.split("```")[1::2]
(FIRST,) = (block for block in BLOCKS if block.startswith("sh\nautoml run reviews.csv --target"))
(COMMANDS,) = (block for block in BLOCKS if block.startswith("sh\nautoml inspect reviews.csv"))
(PYTHON,) = (block.removeprefix("python\n") for block in BLOCKS if block.startswith("python\nimport automl"))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the README's reader would have it: reviews.csv, new.csv, options.yaml, and models to be had."""
    monkeypatch.chdir(tmp_path)
    write_csv(Path("reviews.csv"), messages(60))
    write_csv(Path("new.csv"), messages(20, seed=1))
    for seed, name in enumerate(NETS):
        tiny_bert(Path(name), layers=1, seed=seed)
    options = f"source: reviews.csv\nmodels: [{NETS[0]}]\ntrials: 1\nmax_epochs: 1\nseeds: 2\nout: runs/third\n"
    Path("options.yaml").write_text(options)
    return tmp_path


def quick(line: str) -> list[str]:
    """The words of a command, with less to do and a contender that is there."""
    words = shlex.split(line.replace("--budget 20m", "--budget 6s").replace("CONTENDER", f"{NETS[0]}/full"))[1:]
    words = ["2" if before == "--trials" else word for before, word in zip(["", *words], words, strict=False)]
    if words[0] in ("run", "plan") and "--config" not in words:
        words += [] if "--models" in words else ["--models", NETS[0]]
        words += [] if {"--trials", "--budget"} & set(words) else ["--trials", "2"]
        words += QUICK
    return words


def test_the_first_command_makes_a_board_a_report_and_a_model_of_each_contender(
    desk: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, here = tmp_path_factory.mktemp("home"), {path.name for path in desk.iterdir()}
    monkeypatch.setenv("HOME", str(home))
    [line] = commands(f"```{FIRST}```")
    assert main(quick(line)) == 0
    assert {path.name for path in home.iterdir()} <= {".cache"}  # no settings, no identity, no token
    assert {path.name for path in desk.iterdir()} - here == {"runs"}
    run = desk / "runs" / "reviews"
    assert {"report.html", "leaderboard.md", "leaderboard.json"} <= {path.name for path in run.iterdir()}
    assert {path.name for path in (run / "models").iterdir()} == {f"{name}-full" for name in NETS}


def test_every_command_of_the_list_runs_one_after_the_other(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = commands(f"```{COMMANDS}```")
    assert len(lines) > 12
    for line in lines:
        words = quick(line)
        if words[0] in OF_A_CLUSTER:
            continue
        code = main(words)
        told = capsys.readouterr()
        assert code in ANSWERS.get(words[0], {0}), f"{line}: exit code {code}\n{told.out}\n{told.err}"
        assert told.out or told.err, f"{line} says nothing"
    assert sorted(path.name for path in (desk / "runs").iterdir()) == ["reviews", "second", "third"]
    assert len((desk / "predictions.csv").read_text().splitlines()) == 21


def test_the_python_lines_run_and_the_best_model_answers(desk: Path) -> None:
    names: dict[str, object] = {}
    exec(re.sub(r"trials=\d+", "trials=1, max_epochs=1, seeds=2", PYTHON), names)
    board = names["board"]
    assert len(board.to_pandas()) > len(NETS)  # type: ignore[attr-defined]
    assert board.best.predict(["a great film"])[0] in {label for _, label in messages(60)}  # type: ignore[attr-defined]
