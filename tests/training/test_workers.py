"""However a training ends, one last message tells it, with what it had spent."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from automl.errors import CheckpointError
from automl.training import process, workers
from automl.training.context import Outcome
from automl.training.fit import Diverged, Training
from automl.training.process import set_threads, threads_asked
from automl.training.workers import train_spec
from automl.types import TrialSpec
from tests.toys import prepared_messages, tiny_bert, tiny_contender, trial_spec


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> TrialSpec:
    directory = tmp_path_factory.mktemp("workers")
    prepared = prepared_messages(directory / "run", rows=60)
    (directory / "run" / "logs" / "heartbeats").mkdir(parents=True)
    return trial_spec(directory / "run", tiny_contender(tiny_bert(directory / "bert")), prepared, epochs=1)


def messages_of(spec: TrialSpec) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    train_spec(spec, 1, sent.append)
    return sent


def test_a_whole_training_tells_its_evaluations_and_its_end(spec: TrialSpec) -> None:
    *evaluations, end = messages_of(spec)
    assert [e["rung"] for e in evaluations if e["rung"] is not None] == list(spec.rungs)
    assert end["event"] == "end"
    assert end["status"] == "completed"
    assert end["error"] is None
    assert set(end["spent"]) >= {"train", "validate", "cache"}
    assert end["peak_memory_bytes"] > 10_000_000
    assert end["environment"]["threads"] >= 1


@pytest.mark.parametrize(
    ("value", "threads"),
    [("4", 4), (" 4 ", 4), ("2,1", 2), ("2, 1,1", 2), ("", None), ("abc", None), ("0", None), ("-1", None),
     (",2", None), ("1.5", None), ("auto", None)],
)  # fmt: skip
def test_a_training_takes_the_outermost_level_of_the_threads_that_openmp_allows(
    value: str, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert threads_asked(value) == threads
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    before = torch.get_num_threads()
    try:
        set_threads()
        assert torch.get_num_threads() == (threads or 1)  # without Ray one CPU is what a training has
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("problem", "status", "reason"),
    [
        (MemoryError("no more"), "out_of_memory", "no more"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory", "CUDA out of memory"),
        (Diverged("the loss was no number"), "failed", "the loss was no number"),
        (CheckpointError("weights are broken", "whole ones", "Copy again."), "failed", "weights are broken"),
        (ZeroDivisionError("division by zero"), "failed", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_training_that_breaks_tells_why_and_what_it_spent(
    spec: TrialSpec, monkeypatch: pytest.MonkeyPatch, problem: Exception, status: str, reason: str
) -> None:
    def broken(self: Training) -> Outcome:
        self._part("train")
        raise problem

    monkeypatch.setattr(Training, "run", broken)
    (end,) = messages_of(spec)
    assert end["status"] == status
    assert reason in end["error"]
    assert "\n" not in end["error"]
    assert sum(end["spent"].values()) > 0


def test_a_broken_training_leaves_a_heartbeat_for_its_next_attempt(spec: TrialSpec) -> None:
    first = messages_of(spec)[-1]["spent"]
    again = messages_of(spec)[-1]["spent"]
    assert again["retry"] == pytest.approx(sum(first.values()), rel=0.01)
    (Path(spec.run_directory) / "logs" / "heartbeats" / f"{spec.id}.json").unlink()


def test_what_a_training_prints_goes_into_its_own_log(spec: TrialSpec) -> None:
    with workers.own_log(spec):
        print("said during training")
    log = Path(spec.run_directory) / "logs" / "trials" / f"{spec.id}.log"
    assert log.read_text() == "said during training\n"
    log.unlink()
    with workers.own_log(spec):
        pass
    assert not log.exists()


def test_what_is_imported_is_left_out_of_collections_and_what_trainings_leave_is_not() -> None:
    class Left:
        """Garbage that only a collection frees: it holds itself."""

    process.warm_process("full")
    assert gc.get_freeze_count() > 10_000
    left = Left()
    left.itself = left  # type: ignore[attr-defined]
    gone = weakref.ref(left)
    del left
    process.warm_process("full")
    process.free_memory()
    assert gone() is None
