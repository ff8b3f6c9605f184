"""The command line's streams: not UTF-8, closed, full, or read by somebody who leaves early."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from automl.leaderboard.store import RunFolder
from automl.streams import _escaped, _plain
from tests.test_terminal import board, row

ROOT = Path(__file__).parents[1]
VERDICT = "größe/full is −2 points worse … 中文 😀"


def automl(words: str, redirect: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The command as a shell starts it."""
    command = f"exec {sys.executable} -m automl {words} {redirect}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(["bash", "-c", command], capture_output=True, check=False, env=environment)


@pytest.fixture
def run() -> Path:
    """A run folder of which `runs` tells the verdict."""
    folder = RunFolder("runs/a")
    folder.path.mkdir(parents=True)
    folder.leaderboard_json.write_text(json.dumps(board(row(), verdict=VERDICT)), encoding="utf-8")
    (folder.path / "request.yaml").write_text("source: a.csv\n", encoding="utf-8")
    return folder.path


NARROW = [
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "cp1252"},
    {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.mark.parametrize("environment", NARROW, ids=["ascii", "cp1252", "C"])
def test_a_terminal_that_is_not_utf_8_gets_readable_text_and_the_same_json(
    run: Path, environment: dict[str, str]
) -> None:
    shown = automl("runs", **environment)
    assert shown.returncode == 0, shown.stderr
    assert b"is -2 points worse " in shown.stdout
    assert rb"\u4e2d\u6587 \U0001f600" in shown.stdout
    [told] = json.loads(automl("runs --json", **environment).stdout.decode("cp1252"))
    assert told["verdict"] == VERDICT


def test_signs_are_spelt_for_people_and_escaped_in_json() -> None:
    lost = UnicodeEncodeError("ascii", "a−…\udcff😀", 1, 5, "")
    assert _plain(lost) == ("-..." + r"\udcff\U0001f600", 5)
    assert json.loads(f'"{_escaped(lost)[0]}"') == "−…\udcff😀"


@pytest.mark.parametrize("words", ["runs", "--help"])
def test_standard_output_on_a_full_disk_is_told_and_is_no_failure_of_ours(run: Path, words: str) -> None:
    shown = automl(words, "> /dev/full")
    assert shown.returncode == 2
    assert shown.stderr.decode().startswith("automl: standard output cannot be written: No space left on device.")
    assert shown.stderr.count(b"\n") == 1


@pytest.mark.parametrize("redirect", [">&-", ">&- 2>&- <&-", "2> /dev/full"])
def test_a_stream_that_is_closed_is_missed_by_nobody(run: Path, redirect: str) -> None:
    shown = automl("runs", redirect)
    assert (shown.returncode, shown.stderr) == (0, b"")


def test_a_reader_that_leaves_before_the_end_is_no_failure(run: Path) -> None:
    shown = automl("runs", "> >(exec true)")
    assert (shown.returncode, shown.stderr) == (0, b"")
