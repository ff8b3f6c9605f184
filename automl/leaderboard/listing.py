"""The runs of a folder: what became of each, its best score and its cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from automl.errors import RunFolderError
from automl.leaderboard.driver import is_driven
from automl.leaderboard.store import RunFolder


def list_runs(place: Path) -> list[dict[str, Any]]:
    """{"run", "state", "verdict", "metric", "best", "contender", "device_seconds"} of each, in order of names.

    state: "done", "running" or "interrupted". Raises RunFolderError where there is none.
    """
    folders = [RunFolder(path.parent) for path in sorted(place.glob("*/request.yaml"))]
    if not folders:
        raise RunFolderError(f"no runs in {place}", "a folder of run folders", "Start one with: automl run DATA")
    return [_listed(folder) for folder in folders]


def _listed(folder: RunFolder) -> dict[str, Any]:
    told: dict[str, Any] = {"run": str(folder.path), "state": "interrupted", "verdict": None, "metric": None}
    told |= {"best": None, "contender": None, "device_seconds": sum(one.device_seconds for one in folder.ledger())}
    if is_driven(folder.path):
        return told | {"state": "running"}
    if not folder.leaderboard_json.exists():
        return told
    board = json.loads(folder.leaderboard_json.read_text(encoding="utf-8"))
    first: dict[str, Any] = next((row for row in board.get("rows", ()) if row.get("test_mean") is not None), {})
    told |= {"state": "done", "verdict": board["verdict"], "metric": board.get("metric")}
    return told | {"best": first.get("test_mean"), "contender": first.get("contender")}
