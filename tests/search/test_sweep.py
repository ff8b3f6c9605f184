"""The Ray Tune run with processes that die, on a toy model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from automl.api import run
from automl.config import make_request
from automl.leaderboard.store import RunFolder
from automl.tracking.base import Tracker
from automl.types import TrialSpec
from tests.toys import messages, tiny_bert, write_csv


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RAY_memory_monitor_refresh_ms", "0"),  # one trial that Ray kills for memory ends the whole fit()
        ("TUNE_FUNCTION_THREAD_TIMEOUT_S", "60"),  # 2 s: a trial that is slow to unwind makes the next one an error
        ("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2"),  # 2: one report in 2 s, whatever a worker does
        ("TUNE_GLOBAL_CHECKPOINT_S", "3600"),  # snapshots cost, and a restored one has lost its scheduler
        ("RAY_CHDIR_TO_TRIAL_DIR", "0"),  # relative paths of a request would lead elsewhere in a trial
    ],
)
def test_rays_settings_that_hang_or_end_a_sweep_are_changed_before_ray_is_imported(name: str, value: str) -> None:
    program = (
        f"import os, sys; os.environ.pop({name!r}, None); import automl.search.sweep as s; "
        f"assert 'ray' in sys.modules; print(os.environ[{name!r}])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == value


def test_a_setting_that_the_user_made_is_kept() -> None:
    program = "import automl.search.sweep, os; print(os.environ['RAY_memory_monitor_refresh_ms'])"
    environment = os.environ | {"RAY_memory_monitor_refresh_ms": "250"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "250"


class Killer(Tracker):
    """Kills the first process of a title when the trial of a number first reports."""

    def __init__(self, title: bytes = b"ray::ImplicitFunc", number: int = 1) -> None:
        self.killed: list[str] = []
        self._title, self._number = title, number

    def trial_reported(self, spec: TrialSpec, row: Mapping[str, Any]) -> None:
        if spec.number == self._number and spec.kind == "trial" and len(self.killed) < 1:
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    name = (process / "cmdline").read_bytes()
                except OSError:
                    continue
                if self.killed:
                    return
                if name.startswith(self._title) and _descends_from(int(process.name), os.getpid()):
                    os.kill(int(process.name), signal.SIGKILL)
                    self.killed.append(spec.id)


def _descends_from(process: int, ancestor: int) -> bool:
    while process > 1:
        if process == ancestor:
            return True
        process = int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return False


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_a_killed_process_is_retried_and_its_seconds_are_charged(tmp_path: Path) -> None:
    tiny_bert(tmp_path / "bert")
    write_csv(tmp_path / "messages.csv", messages(120))
    killer = Killer()
    request = make_request(
        {
            "source": str(tmp_path / "messages.csv"),
            "target": "label",
            "models": str(tmp_path / "bert"),
            "trials": 2,
            "max_epochs": 6,
            "seeds": 1,
            "slots": 1,
            "out": str(tmp_path / "run"),
        }
    )
    board = run(request, trackers=(killer,))
    folder = RunFolder(tmp_path / "run")
    assert killer.killed == ["bert-full-001"]
    (trial,) = (t for t in folder.trials() if t.id == "bert-full-001")
    assert trial.status == "completed"
    assert trial.spent["retry"] > 0
    assert folder.attempts()["bert-full-001"] == 2
    assert trial.cost.device_seconds == pytest.approx(sum(trial.spent.values()))
    samples = [row["samples_seen"] for row in trial.curve]
    assert samples == sorted(set(samples))
    kinds = {s.kind for s in folder.ledger() if s.trial == "bert-full-001"}
    assert "retry" in kinds
    assert board.rows[0].status == "ok"
