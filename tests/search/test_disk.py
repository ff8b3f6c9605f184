"""A disk that is full pauses a run and loses nothing that was paid for; only what the search needs is kept on it."""

from __future__ import annotations

import errno
import io
import shutil
from pathlib import Path
from typing import Any

import pytest

from automl import api
from automl.cli import main
from automl.data import prepare
from automl.errors import DiskFull, is_full_disk
from automl.leaderboard import store
from automl.leaderboard.store import RunFolder, append_line, read_lines
from automl.search.slots import Slots
from automl.search.sweep import Sweep
from automl.tracking.base import Tracker
from automl.training import checkpoint
from automl.training.workers import DISK_FULL, how_it_failed
from tests.search.contests import HORIZON, RUNGS, Contest
from tests.toys import messages, write_csv

pytestmark = pytest.mark.usefixtures("quick_disk")


class Disk:
    """A disk that takes half of a record, and then no more, until something is removed from it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: RunFolder) -> None:
        self.full, self._folder = False, folder
        self._write = store._write_whole
        monkeypatch.setattr(store, "_write_whole", self.write)

    def write(self, file: io.FileIO, data: bytes) -> None:
        if self.full and not self._folder.spare_is_used:
            self._refuse(file, data)
        if self.full and self._folder.spare_is_used and self.after_spare <= 0:
            self._refuse(file, data)
        self.after_spare -= 1
        self._write(file, data)

    after_spare = 100

    def _refuse(self, file: io.FileIO, data: bytes) -> None:
        file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")


def sweep_of(contest: Contest) -> Sweep:
    return Sweep(contest.agenda, contest.folder, Tracker(), Slots(count=2, cpus=1, gpus=0))


def evaluation(samples: int, value: float = 0.5) -> dict[str, Any]:
    *earlier, row = (
        {"samples_seen": rung, "rung": rung, "accuracy": value, "device_seconds": rung / 100}
        for rung in RUNGS
        if rung <= samples
    )
    told = {"row": row, "earlier": earlier, "rung": samples, "value": value, "error_of_value": 0.0}
    return {"event": "evaluation", **told, "spent": {"train": samples / 100 - 1, "validate": 1.0}}


def end(**changes: Any) -> dict[str, Any]:
    return {"event": "end", "status": "completed", "spent": {"train": 8.0, "validate": 1.0}, **changes}


def test_a_record_that_finds_no_room_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path)
    append_line(folder.timings_file, {"phase": "search", "wall_seconds": 1.0})
    before = folder.timings_file.read_bytes()
    Disk(monkeypatch, folder).full = True
    monkeypatch.setattr(Disk, "after_spare", 0)
    with pytest.raises(DiskFull, match=r"is full.*room for its records.*automl resume"):
        append_line(folder.timings_file, {"phase": "finals", "wall_seconds": 2.0})
    assert folder.timings_file.read_bytes() == before


def test_the_spare_takes_the_last_record_of_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path)
    folder.keep_spare()
    assert not folder.spare_is_used
    Disk(monkeypatch, folder).full = True
    append_line(folder.timings_file, {"phase": "search", "wall_seconds": 1.0})
    assert folder.spare_is_used
    assert [line["phase"] for line in read_lines(folder.timings_file)] == ["search"]


@pytest.mark.parametrize("records_after_the_spare", [1, 0, 100])
def test_a_full_disk_pauses_the_run_and_a_resumed_one_goes_on_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records_after_the_spare: int
) -> None:
    contest = Contest(tmp_path, names=("one",))
    contest.folder.keep_spare()
    disk = Disk(monkeypatch, contest.folder)
    sweep = sweep_of(contest)
    first, second = sweep.start("a"), sweep.start("b")
    assert first is not None
    assert second is not None
    for trial, samples in (("a", RUNGS[0]), ("b", RUNGS[0]), ("a", HORIZON)):
        assert sweep.message(trial, evaluation(samples))
    disk.full, disk.after_spare = True, records_after_the_spare
    sweep.message("a", end())
    sweep.end("a", died=False)
    assert not sweep.message("b", evaluation(HORIZON))  # is stopped, to go on later
    sweep.end("b", died=False)
    assert sweep.start("c") is None
    assert sweep.finished
    with pytest.raises(DiskFull):
        sweep.raise_pause()

    disk.full = False
    contest.folder.keep_spare()
    resumed = Contest(tmp_path, names=("one",))
    recorded = {t.id for t in contest.folder.trials()}
    assert recorded == ({first.id} if records_after_the_spare else set())
    charged = sum(s.device_seconds for s in contest.folder.ledger() if s.trial == first.id)
    assert charged == pytest.approx(9.0 if recorded else 0.0)
    resumed.run()
    ids = [t.id for t in contest.folder.trials()]
    assert len(ids) == len(set(ids))
    assert {first.id, second.id} <= set(ids)
    assert resumed.folder.read_winners()["one/full"]["trial"] is not None


def test_a_training_that_finds_no_room_for_its_model_is_not_failed_but_paused(tmp_path: Path) -> None:
    contest = Contest(tmp_path, names=("one",))
    contest.folder.keep_spare()
    sweep = sweep_of(contest)
    assert sweep.start("a") is not None
    sweep.message("a", end(status=DISK_FULL, error="OSError: No space left on device"))
    sweep.end("a", died=False)
    assert contest.folder.trials() == []
    with pytest.raises(DiskFull):
        sweep.raise_pause()


@pytest.mark.parametrize(
    ("problem", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (RuntimeError("I/O error: No space left on device (os error 28)"), True),  # safetensors
        (OSError(errno.EIO, "Input/output error"), False),
        (ValueError("no such layer"), False),
    ],
)
def test_a_full_disk_is_known_by_its_number_or_its_words(problem: Exception, full: bool) -> None:
    assert is_full_disk(problem) is full
    assert (how_it_failed(problem)[0] == DISK_FULL) is full


def test_only_unfinished_trainings_keep_a_checkpoint(tmp_path: Path) -> None:
    contest = Contest(tmp_path, names=("one",))
    contest.folder.keep_spare()
    sweep = sweep_of(contest)
    specs = {trial: sweep.start(trial) for trial in ("a", "b")}
    for spec in specs.values():
        assert spec is not None
        for ending in ("", ".4711"):  # the second one is what a killed process was writing
            (contest.folder.checkpoints / f"{spec.id}.resume.pt{ending}").write_bytes(b"state")
    sweep.message("a", end(status="failed", error="boom"))
    sweep.end("a", died=False)
    left = {file.name.split(".")[0] for file in contest.folder.checkpoints.iterdir()}
    assert left == {specs["b"].id if specs["b"] else ""}


def test_checkpoints_take_at_most_their_share_of_the_free_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.resume.pt").write_bytes(bytes(400))
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 600}))
    assert checkpoint.has_room(tmp_path, 100)
    assert not checkpoint.has_room(tmp_path, 101)


def no_room_for_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    write = prepare.write_arrow

    def refuse(path: Path, rows: Any) -> None:
        write(path, next(iter(rows)).slice(0, 1))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(prepare, "write_arrow", refuse)


def no_room_for_the_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was prepared beside the run folder does not fit into it a second time."""

    def refuse(source: Path, target: Path, **_: Any) -> None:
        target.mkdir()
        (target / "train.arrow").write_bytes(b"half")
        raise shutil.Error([(str(source), str(target), "[Errno 28] No space left on device")])

    monkeypatch.setattr(api, "_prepare", lambda *_: ({}, None))
    monkeypatch.setattr(shutil, "copytree", refuse)


@pytest.mark.parametrize("no_room", [no_room_for_arrow, no_room_for_the_copy])
def test_a_disk_that_is_full_before_a_run_has_begun_is_told_as_such_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], no_room: Any
) -> None:
    source = write_csv(tmp_path / "messages.csv", messages(60))
    no_room(monkeypatch)
    assert main(["run", str(source), "--target", "label", "--out", str(tmp_path / "runs" / "one")]) == 2
    told = capsys.readouterr().err
    assert "runs is full; nothing was begun, and nothing is left there; room for the prepared data. Free some" in told
    assert "resume" not in told
    assert list(tmp_path.iterdir()) == [source]
