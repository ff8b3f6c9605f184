"""A whole run through a real head: sent, followed, fetched and verified; and no secret of this machine anywhere."""

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from automl.cli import main
from automl.leaderboard.store import RunFolder
from benchmarks.submitted import Head
from tests.toys import messages, tiny_bert, write_csv

pytest.importorskip("aiohttp", reason="a head's dashboard and its client need the extra cluster")
pytestmark = pytest.mark.slow

SECRETS = {name: f"secret-of-{name.lower()}" for name in ("WANDB_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY")}
IN_A_FILE = "secret-of-dot-env"


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    with Head(tmp_path_factory.mktemp("head")) as found:
        yield found


@contextmanager
def watched_command_lines(words: set[str]) -> Iterator[set[str]]:
    """Those of the words that stand in the command line of any process meanwhile."""
    seen, over = set[str](), threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            for process in psutil.process_iter(["cmdline"]):
                line = " ".join(process.info["cmdline"] or ())
                seen.update(word for word in words if word in line)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def holding(word: str, folder: Path) -> list[Path]:
    """The files below a folder in which a word stands."""
    files = (Path(place) / name for place, _, names in os.walk(folder) for name in names)
    return [file for file in files if file.is_file() and not file.is_symlink() and word.encode() in file.read_bytes()]


def test_a_submitted_run_comes_back_verified_and_no_secret_travelled(
    head: Head, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    Path("data").mkdir()
    write_csv(Path("data/train.csv"), messages(90))
    tiny_bert(tmp_path / "bert")
    for name in (".env", "data/.env", "runs/old/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"KEY={IN_A_FILE}", encoding="utf-8")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # Ray would prefer it to --address
    there = ["--address", head.address]

    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-another-cluster")
    assert main(["status", "job-1", *there]) == 2
    assert "this machine's token is another one" in capsys.readouterr().err
    monkeypatch.setenv("RAY_AUTH_TOKEN", head.token)
    assert main(["fetch", "job-1", *there]) == 2
    assert f"{head.address} knows no job 'job-1'" in capsys.readouterr().err

    words = ["submit", "data/train.csv", "--target", "label", "--text", "text", "--models", "bert", "--slots", "1"]
    words += ["--trials", "1", "--max-epochs", "1", "--seeds", "1", "--out", "runs/new", *there]
    with watched_command_lines({*SECRETS.values(), IN_A_FILE, head.token}) as seen:
        code = main(words)
    shown = capsys.readouterr()
    assert code == 0, shown.out + shown.err
    job = next(line.split()[-1] for line in shown.err.splitlines() if line.startswith("job "))
    assert "bert/full" in shown.out
    assert f"automl fetch {job} --address {head.address}" in shown.err

    assert main(["status", job, "--json", *there]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["run"], told["exit_code"]) == ("SUCCEEDED", "runs/new", 0)
    assert main(["logs", job, *there]) == 0
    assert "bert/full" in capsys.readouterr().out
    assert main(["stop", job, *there]) == 0
    assert f"{job} had succeeded before" in capsys.readouterr().out

    assert main(["fetch", job, *there]) == 0
    assert "runs/new: verified: the board follows from its records" in capsys.readouterr().out
    fetched = RunFolder("runs/new")
    assert fetched.leaderboard_json.read_bytes() == (head.jobs / job / "runs/new/leaderboard.json").read_bytes()
    assert list(fetched.models.glob("*/model.safetensors"))
    shutil.rmtree(fetched.predictions)
    assert main(["fetch", job, *there]) == 0  # what is gone comes again, and the opening that verify logged stays
    assert len(fetched.test_accesses()) > 1

    listed = requests.get(f"{head.address}/api/jobs/", headers={"Authorization": f"Bearer {head.token}"}, timeout=30)
    assert job in listed.text
    for secret in (*SECRETS.values(), IN_A_FILE, head.token):
        assert secret not in listed.text
        for folder in (head.session, head.jobs, fetched.path):
            assert not holding(secret, folder), secret
    assert not seen


def test_a_stopped_run_is_fetched_as_it_stands_and_goes_on_as_another_job(
    head: Head, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_csv(Path("messages.csv"), messages(90))
    tiny_bert(tmp_path / "bert")
    monkeypatch.setenv("RAY_AUTH_TOKEN", head.token)
    there = ["--address", head.address]
    words = ["submit", "messages.csv", "--target", "label", "--text", "text", "--models", "bert", "--slots", "1"]
    words += ["--trials", "1", "--max-epochs", "60", "--seeds", "1", "--out", "runs/long", *there]
    assert main([*words, "--json"]) == 0  # and nothing is followed
    job = json.loads(capsys.readouterr().out)["job"]
    on_the_head = RunFolder(head.jobs / job / "runs/long")
    deadline = time.monotonic() + 300
    while not on_the_head.started():
        assert time.monotonic() < deadline, (head.jobs / job).exists()
        time.sleep(0.1)

    assert main(["status", job, *there]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{job}  running\nrun      runs/long\nstarted  ")
    assert main(["submit", "--resume", job, *there]) == 2
    assert f"{job} is running; a job that has ended. Follow it: automl logs {job}" in capsys.readouterr().err
    assert main(["stop", job, *there]) == 0
    assert f"automl submit --resume {job} --address {head.address}" in capsys.readouterr().out
    assert main(["fetch", job, *there]) == 0
    assert "its run has ended without a board; nothing to verify yet" in capsys.readouterr().out

    assert main(["submit", "--resume", job, "--trials", "9", *there]) == 2
    assert "--resume goes with no other option of a run (--trials)" in capsys.readouterr().err
    assert main(["submit", "--resume", job, *there]) == 0
    shown = capsys.readouterr()
    assert "bert/full" in shown.out
    resumed = next(line.split()[-1] for line in shown.err.splitlines() if line.startswith("job "))
    assert main(["logs", resumed, "--follow", *there]) == 0
    assert capsys.readouterr().out == shown.out
    assert main(["fetch", resumed, *there]) == 0
    assert "runs/long: verified: the board follows from its records" in capsys.readouterr().out
    assert RunFolder("runs/long").attempts()["bert-full-000"] == 1  # to be stopped is no fault of a training
