"""Trainings over two real workers, in both modes: the curve of one, every CPU free after a stop, a death survived."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from automl.api import run
from automl.config import make_request
from automl.leaderboard.store import RunFolder
from automl.search.rungs import Rungs
from automl.search.session import _own_token
from automl.search.sweep import Sweep
from automl.tracking.base import Tracker
from automl.types import TrialResult, TrialSpec
from tests.search.test_sweep import Killer
from tests.toys import messages, tiny_bert, write_csv

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_ray")]


def request_for(directory: Path, out: str, **changes: Any) -> Any:
    if not (directory / "bert").exists():
        tiny_bert(directory / "bert")
        write_csv(directory / "messages.csv", messages(120))
    values: dict[str, Any] = {
        "source": str(directory / "messages.csv"),
        "target": "label",
        "models": str(directory / "bert"),
        "trials": 2,
        "max_epochs": 3,
        "seeds": 1,
        "slots": 1,
        "out": str(directory / out),
    }
    return make_request(values | changes)


class Watching(Tracker):
    """Collects what is told of workers, by training."""

    def __init__(self) -> None:
        self.told: dict[str, list[Mapping[str, float]]] = defaultdict(list)

    def resources_reported(self, spec: TrialSpec, rows: Sequence[Mapping[str, float]]) -> None:
        self.told[spec.id] += rows

    def assert_told(self, trial: TrialResult, workers: int) -> None:
        """That each worker's CPU and memory were told at every evaluation, over samples seen, and no others'."""
        rows = {row["samples_seen"]: row for row in self.told[trial.id]}
        for evaluation in trial.curve:
            row = rows[evaluation["samples_seen"]]
            assert set(row) == {"samples_seen"} | {
                f"system/worker{worker}/{name}"
                for worker in range(workers)
                for name in ("cpu_percent", "memory_bytes")
            }
            for worker in range(workers):
                assert row[f"system/worker{worker}/cpu_percent"] > 0
                assert row[f"system/worker{worker}/memory_bytes"] > 50e6, "a process that has imported torch"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> TrialResult:
    """The first trial, over one worker."""
    directory, watching = tmp_path_factory.mktemp("alone"), Watching()
    run(request_for(directory, "one", workers=1, trials=1), trackers=(watching,))
    (trial,) = (t for t in RunFolder(directory / "one").trials() if t.kind == "trial")
    watching.assert_told(trial, 1)
    return trial


@pytest.mark.parametrize(
    ("mode", "title", "shard"), [("train", b"ray::RayTrainWorker", True), ("group", b"ray::_Rank", False)]
)
def test_a_worker_killed_and_a_trial_stopped_leave_the_curve_of_one_worker_and_every_cpu_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: TrialResult, mode: str, title: bytes, shard: bool
) -> None:
    """The first trial loses a worker and is run again, the second is stopped.

    Dropout draws differ between one process and two, so the curves agree, but not to the last digit. In one of the
    modes the two have half of the model each; what is shipped is whole all the same.
    """
    decide, work = Rungs.goes_on, Sweep.run
    free: list[float] = []

    def stop_all_but_the_first(self: Rungs, number: int, rung: int, value: float, error: float) -> bool:
        return decide(self, number, rung, value, error) and number == 0

    def run_and_count(self: Sweep) -> None:
        import ray

        work(self)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            free.append(ray.available_resources().get("CPU", 0.0) - ray.cluster_resources()["CPU"])
            if free[-1] == 0:
                return
            time.sleep(0.5)

    monkeypatch.setattr(Rungs, "goes_on", stop_all_but_the_first)
    monkeypatch.setattr(Sweep, "run", run_and_count)
    killer, watching = Killer(title, number=0), Watching()
    board = run(request_for(tmp_path, "two", workers=2, workers_mode=mode, shard=shard), trackers=(killer, watching))
    trials = RunFolder(tmp_path / "two").trials()
    assert [t.status for t in trials if t.kind == "trial"] == ["completed", "pruned"]
    assert free[-1] == 0
    for trial in trials:
        watching.assert_told(trial, 2)
    assert all(t.status == "completed" for t in trials if t.kind != "trial")
    assert killer.killed == [alone.id]
    assert [t.id for t in trials if "retry" in t.spent] == [alone.id]
    (together,) = (t for t in trials if t.id == alone.id)
    assert together.spent["retry"] > 0
    assert [row["samples_seen"] for row in together.curve] == [row["samples_seen"] for row in alone.curve]
    for one, other in zip(alone.curve, together.curve, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=0.05)
    deviation = RunFolder(tmp_path / "two").read_contest()["deviations"][0]
    assert deviation == "every training ran on 2 workers" + (", which shared its model" if shard else "")
    assert len(board.best.predict(["my parcel is late"])) == 1


def test_trials_share_a_gpu_once_one_of_every_contender_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray is told of a GPU that is not there, and the records of its memory: the rest is real."""
    import ray

    from automl.search import sweep

    planned: list[Any] = []
    run_tune = Sweep._run_tune

    def note_and_run(self: Sweep) -> None:
        planned.append(self._slots)
        run_tune(self)

    def as_on_a_gpu(results: Any) -> dict[str, tuple[int, int]]:
        return {result.contender: (1 << 30, 4 << 30) for result in results}

    monkeypatch.setattr(sweep, "measured_memory", as_on_a_gpu)
    monkeypatch.setattr(Sweep, "_run_tune", note_and_run)
    ray.shutdown()  # the one that files share has no GPU; the next that asks for it starts another
    with _own_token():
        ray.init("local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
        try:
            run(request_for(tmp_path, "run", slots=None, trials_per_gpu="auto", max_epochs=1))
        finally:
            ray.shutdown()
    assert [(slots.count, slots.gpus) for slots in planned] == [(1, 1.0), (2, 0.5)]
    trials = RunFolder(tmp_path / "run").trials()
    assert {trial.status for trial in trials} <= {"completed", "pruned"}
    assert len([trial for trial in trials if trial.kind == "trial"]) == 2
