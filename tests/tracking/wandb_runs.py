"""The runs that W&B's SDK wrote below a directory, once its service has done so."""

from __future__ import annotations

from pathlib import Path

from automl.tracking.wandb_files import WandbRun, read_run, run_files, wait_for_ends

_PATIENCE_SECONDS = 2.0


def read_runs(directory: Path) -> list[WandbRun]:
    """Every run, in order of their names; W&B's service may still be writing the last ones."""
    files = [file for place in directory.rglob("wandb") for file in run_files(place)]
    wait_for_ends(files, _PATIENCE_SECONDS)
    return sorted((read_run(file) for file in files), key=lambda run: run.name)
