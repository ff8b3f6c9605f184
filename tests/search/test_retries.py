"""What a training leaves to those after it: how often it may be started again, and how many rows fit at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from automl.leaderboard.store import RunFolder
from automl.search.cluster import Outlook
from automl.search.slots import Slots
from automl.search.sweep import RETRIES, Sweep
from automl.tracking.base import Tracker
from automl.training.workers import DISK_FULL
from tests.search.contests import HORIZON, RUNGS, Contest
from tests.search.test_disk import evaluation

pytestmark = pytest.mark.usefixtures("quick_disk")


def driver(path: Path) -> Sweep:
    """A new driver on a run folder, as after `automl resume`."""
    contest = Contest(path, names=("one",))
    contest.folder.keep_spare()
    return Sweep(contest.agenda, contest.folder, Tracker(), Slots(count=1, cpus=1, gpus=0))


def beat(path: Path, training: str, seconds: float) -> None:
    (RunFolder(path).heartbeats / f"{training}.json").write_text(json.dumps({"train": seconds}))


def test_a_training_that_takes_its_driver_along_is_not_started_for_ever(tmp_path: Path) -> None:
    for _ in range(1 + RETRIES):
        spec = driver(tmp_path).start("a")
        assert spec is not None
        assert spec.id == "one-full-000"
        beat(tmp_path, spec.id, 7.0)  # and then kill -9 of everything
    spec = driver(tmp_path).start("a")
    assert spec is not None
    assert spec.id == "one-full-001"
    (given_up,) = RunFolder(tmp_path).trials()
    assert (given_up.id, given_up.status) == ("one-full-000", "failed")
    assert given_up.error == "its process, or the whole run with it, died 3 times while it trained"
    charged = sum(spend.device_seconds for spend in RunFolder(tmp_path).ledger() if spend.trial == given_up.id)
    assert charged == given_up.cost.device_seconds == 7.0


def test_deaths_of_the_process_and_of_the_driver_count_together(tmp_path: Path) -> None:
    first = driver(tmp_path)
    spec = first.start("a")
    assert spec is not None
    assert first.retries("a") == RETRIES
    first.lost("a", 1)  # its process dies, Tune starts it again; then the driver dies
    second = driver(tmp_path)
    assert second.start("a") == spec
    assert second.retries("a") == RETRIES - 2
    second.end("a", died=True)  # its process dies once more, and Tune gives up
    (trial,) = RunFolder(tmp_path).trials()
    assert (trial.id, trial.status) == (spec.id, "failed")


def test_a_node_that_was_taken_away_with_notice_is_no_death(tmp_path: Path) -> None:
    """Ray starts the training again and counts nothing."""
    sweep = driver(tmp_path)
    spec = sweep.start("a")
    assert spec is not None
    sweep.lost("a", 0)
    assert RunFolder(tmp_path).attempts() == {spec.id: 1}


@pytest.mark.parametrize("pauses", [1, 5])
def test_a_pause_for_a_full_disk_is_no_death(tmp_path: Path, pauses: int) -> None:
    for _ in range(pauses):
        sweep = driver(tmp_path)
        assert sweep.start("a") is not None
        sweep.message("a", {"event": "end", "status": DISK_FULL, "error": "OSError: No space left", "spent": {}})
        sweep.end("a", died=False)
    sweep = driver(tmp_path)
    spec = sweep.start("a")
    assert spec is not None
    assert spec.id == "one-full-000"
    assert sweep.retries("a") == RETRIES
    assert RunFolder(tmp_path).trials() == []


def test_what_only_a_dead_driver_was_told_comes_with_the_next_report(tmp_path: Path) -> None:
    """A checkpoint lies behind the first rung: the rung would be missing in the curve, the study and the next cut."""
    first = driver(tmp_path)
    spec = first.start("a")
    assert spec is not None
    assert first.message("a", evaluation(RUNGS[0], 0.7))
    contest = Contest(tmp_path, names=("one",))
    second = Sweep(contest.agenda, contest.folder, Tracker(), Slots(count=1, cpus=1, gpus=0))
    assert second.start("a") == spec
    assert second.message("a", evaluation(HORIZON, 0.7))
    entry = contest.agenda.entries["one/full"]
    assert entry.rungs.values(RUNGS[0]) == {spec.number: 0.7}
    assert entry.study.trials[0].intermediate_values == {RUNGS[0]: 0.7, HORIZON: 0.7}
    second.message("a", {"event": "end", "status": "completed", "spent": {"train": 9.0}})
    second.end("a", died=False)
    (trial,) = contest.folder.trials()
    assert [row["samples_seen"] for row in trial.curve] == list(RUNGS)


@pytest.mark.parametrize(("status", "rows"), [("completed", 4), ("failed", 4), ("out_of_memory", None)])
def test_trainings_start_with_the_rows_that_went_on_fitting_and_not_with_those_of_one_that_never_fitted(
    tmp_path: Path, status: str, rows: int | None
) -> None:
    sweep = driver(tmp_path)
    assert sweep.start("a") is not None
    sweep.message("a", {"event": "end", "status": status, "spent": {"train": 1.0}, "micro_batch": 4})
    sweep.end("a", died=False)
    for later in (sweep, driver(tmp_path)):  # under the same driver, and as another one reads it from the records
        spec = later.start("b")
        assert spec is not None
        assert spec.micro_batch == rows


def test_the_end_of_a_node_is_no_fault_of_its_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = driver(tmp_path)
    spec = sweep.start("a")
    assert spec is not None
    monkeypatch.setattr(Outlook, "ids", lambda self: frozenset({"head"}))
    for times in (1, 2, 3, 4):
        sweep.has_process("a", "spot")  # it has told nothing yet
        sweep.lost("a", times)
    assert sweep.retries("a") == RETRIES + 4  # Tune counts them, and is allowed as many more
    assert RunFolder(tmp_path).attempts()[spec.id] == 1
    sweep.has_process("a", "head")
    sweep.lost("a", 5)
    assert sweep.retries("a") == RETRIES + 4
    assert RunFolder(tmp_path).attempts()[spec.id] == 2


def test_a_node_whose_end_is_told_after_that_of_its_process_is_no_fault_of_the_training_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = driver(tmp_path)
    spec = sweep.start("a")
    assert spec is not None
    monkeypatch.setattr(Outlook, "slots", lambda self, slots, waiting: slots)
    monkeypatch.setattr(Outlook, "ids", lambda self: frozenset({"head", "spot"}))
    sweep.has_process("a", "spot")
    sweep.lost("a", 1)
    sweep.has_process("a", "head")  # it has begun again before anything is heard of the node
    sweep.look_around()
    assert RunFolder(tmp_path).attempts()[spec.id] == 2
    for left in ({"head", "spot"}, {"head"}, {"head"}, set()):
        monkeypatch.setattr(Outlook, "misses", lambda self, nodes, left=left: not nodes <= left)
        sweep.look_around()
    assert RunFolder(tmp_path).attempts()[spec.id] == 1
    assert sweep.retries("a") == RETRIES + 1
