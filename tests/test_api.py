"""Whole runs on toy models, with real Ray, real files and real processes that die."""

from __future__ import annotations

import copy
import html
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import automl
from automl import api
from automl.config import RunRequest, make_request
from automl.errors import DataError, RunFolderError
from automl.leaderboard.planned import read_plan
from automl.leaderboard.store import RunFolder
from automl.storage import lease
from automl.storage.bundle import NODE_CACHE
from automl.storage.place import Storage
from tests.toys import messages, tiny_bert, write_csv

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_ray")]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with messages.csv and the checkpoints `bert` and `other`."""
    directory = tmp_path_factory.mktemp("ground")
    write_csv(directory / "messages.csv", messages(150))
    tiny_bert(directory / "bert")
    tiny_bert(directory / "other", layers=3, seed=1)
    return directory


def request_for(ground: Path, out: Path, **changes: Any) -> RunRequest:
    values: dict[str, Any] = {
        "source": str(ground / "messages.csv"),
        "target": "label",
        "text": "text",
        "models": str(ground / "bert"),
        "trials": 4,
        "max_epochs": 3,
        "seeds": 2,
        "out": str(out),
    }
    return make_request(values | changes)


@pytest.fixture(scope="module")
def finished(ground: Path, tmp_path_factory: pytest.TempPathFactory) -> api.Board:
    """Two checkpoints, each fully fine-tuned and frozen."""
    out = tmp_path_factory.mktemp("runs") / "toy"
    models = f"{ground / 'bert'},{ground / 'other'}"
    return api.run(request_for(ground, out, models=models, adapt="full,frozen"))


def test_every_contender_and_yardstick_has_a_row(finished: api.Board) -> None:
    rows = {row.contender: row for row in finished.rows}
    contenders = {"bert/full", "bert/frozen", "other/full", "other/frozen"}
    assert {name for name, row in rows.items() if row.kind == "contender"} == contenders
    assert {"constant", "tf-idf + logistic regression"} <= set(rows)
    assert all(row.status == "ok" for row in finished.rows)
    assert finished.comparable


def test_every_contender_got_the_same(finished: api.Board) -> None:
    trials = RunFolder(finished.directory).trials()
    for name in ("bert/full", "bert/frozen", "other/full", "other/frozen"):
        kinds = Counter(t.kind for t in trials if t.contender == name)
        assert kinds["trial"] == 4
        assert kinds["final"] == 2
    assert len({t.split_fingerprint for t in trials}) == 1
    assert len({t.horizon_samples for t in trials}) == 1


def test_every_row_was_timed_at_one_row_and_at_32_and_tells_its_classes(finished: api.Board) -> None:
    for row in finished.rows:
        assert 0 < (row.latency_ms_p50 or 0) <= (row.latency_ms_p95 or 0), row.contender
        assert 0 < (row.latency_ms_p50_batch_32 or 0) <= (row.latency_ms_p95_batch_32 or 0), row.contender
        assert (row.rows_per_second or 0) > 0
        assert {one.name for one in row.classes} == {"refund", "delivery", "login"}
        assert (row.size_bytes is not None) == (row.kind == "contender")
        assert (row.peak_memory_bytes is not None) == (row.kind == "contender")
    assert any(row.pareto for row in finished.rows)


def test_the_board_compares_the_plan_with_what_happened(finished: api.Board) -> None:
    told = json.loads((finished.directory / "leaderboard.json").read_text(encoding="utf-8"))["plan"]
    found = {(one["contender"], one["what"]): one for one in told}
    for name in ("bert/full", "bert/frozen", "other/full", "other/frozen"):
        assert found[name, "device time"]["actual"] > 0
        assert 0 < found[name, "one whole trial"]["actual"] < 100 * found[name, "one whole trial"]["high"]
    # toys may all score alike, and then nothing tells what would have shown
    assert all(one["actual"] is not None and one["high"] > 0 for one in told if one["unit"] != "share"), told
    assert found[None, "memory of one training"]["actual"] > 2**20


def test_what_was_probed_is_on_record_and_charged_to_nobody(finished: api.Board) -> None:
    folder = RunFolder(finished.directory)
    probes = read_plan(folder)["probes"]
    assert set(probes) == {"bert/full", "bert/frozen", "other/full", "other/frozen"}
    assert all(probe["error"] is None and probe["steps"] > 0 for probe in probes.values()), probes
    assert not [spend for spend in folder.ledger() if "probe" in spend.trial]


def test_the_ledger_adds_up_to_the_rows(finished: api.Board) -> None:
    ledger = RunFolder(finished.directory).ledger()
    for row in finished.rows:
        spent = sum(s.device_seconds for s in ledger if s.contender == row.contender)
        assert row.device_seconds == pytest.approx(spent, abs=1e-3)
        assert spent > 0


def test_the_test_labels_were_opened_once_and_after_the_winners_were_fixed(finished: api.Board) -> None:
    folder = RunFolder(finished.directory)
    (opening,) = folder.test_accesses()
    fixed = json.loads(folder.winners_file.read_text())["at"]
    assert opening["at"] >= fixed


def test_no_worker_ever_had_the_test_labels(finished: api.Board) -> None:
    import pyarrow as pa

    data = RunFolder(finished.directory).data
    with pa.memory_map(str(data / "test.arrow")) as file:
        assert "label" not in pa.ipc.open_file(file).schema.names
    assert not list(RunFolder(finished.directory).cache.rglob("encoded-test/labels.npy"))


def test_the_shipped_model_predicts_and_loads_as_a_pipeline(finished: api.Board) -> None:
    from transformers import pipeline

    assert set(finished.best.predict(["refund my payment please", "parcel late courier"])) <= {
        "refund",
        "delivery",
        "login",
    }
    directory = RunFolder(finished.directory).models / "bert-full"
    assert (directory / "model.safetensors").exists()
    served = pipeline("text-classification", str(directory))
    ours = finished.model("bert/full")
    texts = [text for text, _ in messages(150)[:12]]
    assert [answer["label"] for answer in served(texts)] == ours.predict(texts)
    probabilities = ours.predict_proba(texts)
    assert probabilities.shape == (12, 3)


def test_a_finished_run_is_loaded_without_opening_its_test_again(finished: api.Board) -> None:
    before = len(RunFolder(finished.directory).test_accesses())
    loaded = automl.load(finished.directory)
    assert loaded == finished
    assert loaded.best.directory == finished.best.directory
    assert len(RunFolder(finished.directory).test_accesses()) == before
    with pytest.raises(RunFolderError, match="does not exist"):
        automl.load(finished.directory / "nothing")


def test_a_board_is_short_where_it_is_printed_and_can_be_copied(finished: api.Board) -> None:
    assert len(repr(finished)) < 2_000
    page = finished._repr_html_()
    assert page.count("<tr>") == len(finished.rows) + 1
    assert html.escape(finished.verdict) in page
    assert pickle.loads(pickle.dumps(finished)) == copy.deepcopy(finished) == finished
    assert "directory" not in finished.to_json()


def test_every_kind_of_table_gets_the_answers_of_its_texts(finished: api.Board) -> None:
    texts = [text for text, _ in messages(150)[:6]]
    model = pickle.loads(pickle.dumps(finished.best))
    wanted = model.predict(texts)
    frame = pd.DataFrame({"other": range(6), "text": texts})
    for told in (frame, frame.to_dict("records"), frame.to_dict("list"), frame["text"], frame["text"].to_numpy()):
        assert model.predict(told) == wanted
    assert model.predict({"text": texts[0]}) == model.predict(texts[0]) == wanted[:1]
    for wrong in (None, 5, [texts[0], None], [texts[0], 5], [(texts[0], "b")], frame[["other"]], {"text": 5}):
        with pytest.raises(DataError) as problem:
            model.predict(wrong)
        assert problem.value.expected


def test_predictions_are_not_begun_where_they_could_not_be_written(finished: api.Board, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ends in '\.xlsx'"):
        api.predict(finished.directory, "nothing.csv", tmp_path / "out.xlsx")


def test_predictions_are_written_for_a_file(finished: api.Board, tmp_path: Path) -> None:
    new = write_csv(tmp_path / "new.csv", messages(20, seed=5))
    out = api.predict(finished.directory, str(new), tmp_path / "predictions.csv")
    lines = out.read_text().splitlines()
    assert lines[0].replace('"', "") == "text,label,prediction,probability"
    assert len(lines) == 21


def test_the_board_is_recomputed_without_torch_and_says_the_same(finished: api.Board, tmp_path: Path) -> None:
    code = (
        "import sys, json; from automl import api;"
        f"board = api.board({str(finished.directory)!r});"
        "assert not {'torch', 'ray', 'transformers'} & set(sys.modules), 'heavy';"
        "print(json.dumps(board.to_json()))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    again = json.loads(told.stdout)
    assert steady(again) == steady(finished.to_json())


def test_a_folder_that_holds_a_run_is_refused(finished: api.Board, ground: Path) -> None:
    with pytest.raises(RunFolderError, match="already holds a run"):
        api.run(request_for(ground, finished.directory))


def test_resuming_a_finished_run_trains_nothing(finished: api.Board) -> None:
    folder = RunFolder(finished.directory)
    before = folder.trials_file.read_bytes(), folder.ledger_file.read_bytes()
    again = api.resume(finished.directory)
    assert (folder.trials_file.read_bytes(), folder.ledger_file.read_bytes()) == before
    assert again.winner == finished.winner


CHANGING = {"device_seconds", "latency_ms_p50", "latency_ms_p95", "wall_seconds", "at", "protocol"}
CHANGING |= {"latency_ms_p50_batch_32", "latency_ms_p95_batch_32", "rows_per_second", "peak_memory_bytes", "pareto"}
CHANGING |= {"latency_busy"}
CHANGING |= {"plan"}


def steady(value: Any) -> Any:
    """A board without what may differ between two equal runs: seconds, memory and dates."""
    if isinstance(value, dict):
        return {key: steady(inner) for key, inner in value.items() if key not in CHANGING}
    return [steady(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def whole(ground: Path, tmp_path_factory: pytest.TempPathFactory) -> api.Board:
    """An uninterrupted run of rows held in memory, asked for in plain arguments."""
    return automl.run(
        pd.read_csv(ground / "messages.csv"), target="label", text="text", models=ground / "bert", trials=6,
        max_epochs=6, seeds=2, slots=1, out=tmp_path_factory.mktemp("whole") / "run",
    )  # fmt: skip


def test_the_python_entry_takes_plain_arguments(whole: api.Board) -> None:
    assert list(whole.to_pandas()["contender"])
    assert whole.report.exists()


def start_run(ground: Path, out: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "automl", "run", str(ground / "messages.csv"), "--target", "label", "--text", "text",
        *(() if "--models" in arguments else ("--models", str(ground / "bert"))),
        "--trials", "6", "--max-epochs", "6", "--seeds", "2", "--slots", "1",
        "--out", str(out), *arguments,
    ]  # fmt: skip
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for_trials(folder: RunFolder, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 600
    while len(folder.trials()) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "too few trials ended in ten minutes"
        time.sleep(0.05)


def removed(folder: Path) -> None:
    """Remove a folder into which processes of a killed driver may write for some moments yet."""
    deadline = time.monotonic() + 60
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=time.monotonic() < deadline)


# within a sweep SIGTERM comes as the SIGINT of Ctrl-C; alone it would end the driver as SIGKILL does
def test_an_interrupted_run_is_resumed_to_the_board_of_an_uninterrupted_one(
    ground: Path, whole: api.Board, tmp_path: Path
) -> None:
    """So the same request also gives the same board. The next test kills its driver."""
    folder = RunFolder(tmp_path / "run")
    process = start_run(ground, folder.path)
    wait_for_trials(folder, 3, process)
    os.kill(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    before = {t.id: t.ended_at for t in folder.trials()}
    deaths = {training: folder.attempts()[training] for training in folder.attempts() if training not in before}
    assert set(deaths.values()) <= {0}  # to be interrupted is no fault of a training
    spent = sum(s.device_seconds for s in folder.ledger())
    resumed = api.resume(folder.path)
    after = {t.id: t.ended_at for t in folder.trials()}
    assert before.items() <= after.items()
    assert len(after) == 6 + sum(k in ("final", "default") for k in (t.kind for t in folder.trials()))
    assert sum(s.device_seconds for s in folder.ledger()) > spent
    assert api.verify(folder.path).problems == []
    assert steady(resumed.to_json()) == steady(whole.to_json())


def test_a_kept_run_goes_on_where_nothing_of_its_machine_is_left(
    ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NODE_CACHE, str(tmp_path / "old" / "cache"))
    folder, place = RunFolder(tmp_path / "old" / "run"), tmp_path / "storage" / "run"
    shutil.copytree(ground / "bert", tmp_path / "old" / "bert")
    process = start_run(
        ground, folder.path, "--storage", f"file://{place.parent}", "--models", str(tmp_path / "old" / "bert")
    )
    wait_for_trials(RunFolder(place), 2, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    before = {t.id: t.ended_at for t in RunFolder(place).trials()}
    deaths = {training: n for training, n in RunFolder(place).attempts().items() if training not in before}
    assert set(deaths.values()) <= {1}
    removed(tmp_path / "old")
    monkeypatch.setattr(lease, "LEASE_SECONDS", 5.0)  # its driver was killed, and is not waited for any longer
    monkeypatch.setenv(NODE_CACHE, str(tmp_path / "new" / "cache"))
    monkeypatch.chdir(tmp_path)
    resumed = api.resume(str(place))
    here = RunFolder(tmp_path / "runs" / "run")
    assert before.items() <= {t.id: t.ended_at for t in here.trials()}.items()
    assert {trial.status for trial in here.trials()} <= {"completed", "pruned"}
    assert all(row.status == "ok" for row in resumed.rows)
    assert api.verify(here.path).problems == []
    assert (here.models / "bert-full" / "model.safetensors").exists()
    kept = Storage(str(place)).names()
    for name in ("leaderboard.json", "report.html", "models/bert-full/model.safetensors", "ledger.jsonl"):
        assert kept[name] == (here.path / name).stat().st_size


def test_a_model_that_breaks_fails_its_row_and_nothing_else(ground: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    broken = shutil.copytree(ground / "bert", tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["embeddings.LayerNorm.weight"].fill_(3e38)  # a number, but no product of two of it is one
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    models = f"{ground / 'bert'},{broken}"
    board = api.run(request_for(ground, tmp_path / "run", models=models, trials=2, seeds=1))
    rows = {row.contender: row for row in board.rows}
    assert rows["bert/full"].status == "ok"
    assert rows["broken/full"].status == "failed"
    assert rows["broken/full"].error
    assert rows["broken/full"].device_seconds > 0
