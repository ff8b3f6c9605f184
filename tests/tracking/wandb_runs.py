"""The runs that W&B's SDK wrote below a directory, once its service has done so."""

from __future__ import annotations

import time
from pathlib import Path

from automl.tracking.wandb_files import WandbRun, read_run, run_files

_PATIENCE_SECONDS = 2.0


def read_runs(directory: Path) -> list[WandbRun]:
    """Every run, in order of their names; W&B's service may still be writing the last ones."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        runs = sorted(
            (read_run(path) for place in directory.rglob("wandb") for path in run_files(place)),
            key=lambda run: run.name,
        )
        if all(run.exit_code is not None for run in runs) or time.monotonic() > deadline:
            return runs
        time.sleep(0.05)
