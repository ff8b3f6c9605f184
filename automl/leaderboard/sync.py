"""`automl sync`: what W&B has not got of a run, sent from W&B's files and, where these are not whole, the records."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from automl.leaderboard.board import Leaderboard
from automl.leaderboard.driver import is_driven
from automl.leaderboard.insights import insights_of
from automl.leaderboard.run_info import baseline_spec, run_info
from automl.leaderboard.store import RunFolder
from automl.tracking.wandb_files import run_files
from automl.tracking.wandb_rebuild import Records, missing, rebuild
from automl.tracking.wandb_sync import Sent, describe, sync
from automl.types import Contender, TrialResult, TrialSpec


def sync_run(folder: RunFolder, tell: Callable[[str], None] = lambda line: None) -> Sent:
    """Send all of a run that W&B does not have whole. Raises RunFolderError where nothing of it was for W&B.

    What W&B's files lack of trainings that have ended, and of the board, is written into new ones first.
    """
    if (records := _records(folder)) is not None:
        request = folder.read_request()
        with folder.telling_full_disk():
            found = missing(folder.wandb, records).count
            if found:
                tell(f"{_runs(found)} not in W&B's files, or not whole: written from the run's records")
            rebuild(folder.wandb, records, str(request.wandb), request.wandb_entity, request.share_examples, tell)
    return sync(folder.wandb, tell)


def describe_run(folder: RunFolder) -> list[str]:
    """What a sync would send, as a tree in lines. Raises RunFolderError where there is nothing."""
    records = _records(folder)
    found = missing(folder.wandb, records).count if records is not None else 0
    lines = describe(folder.wandb) if run_files(folder.wandb) or not found else []
    return [*lines, *([f"{_runs(found)} not there, or not whole: written from the run's records"] if found else [])]


def _runs(count: int) -> str:
    return "1 run is" if count == 1 else f"{count} runs are"


def _records(folder: RunFolder) -> Records | None:
    """What the run folder knows for W&B; None where W&B was not asked for, or its driver still tells it."""
    request = folder.read_request()
    if request.wandb is None or request.wandb_mode == "disabled" or not folder.contest_file.exists():
        return None
    if is_driven(folder.path) is not False:
        return None
    contest = folder.read_contest()
    specs = {spec.id: spec for spec in folder.started()}
    ended = [(specs[result.id], result) for result in folder.trials() if result.id in specs]
    ended += [(_baseline(folder, contest, result), result) for result in folder.baselines()]
    records = Records(info=run_info(folder, request, contest), trainings=ended)
    if not folder.leaderboard_json.exists():
        return records
    board = json.loads(folder.leaderboard_json.read_text(encoding="utf-8"))
    return replace(
        records,
        board=board,
        files={"report": folder.report_html, "leaderboard": folder.leaderboard_md},
        insights=insights_of(folder, Leaderboard.from_json(board)),
    )


def _baseline(folder: RunFolder, contest: Mapping[str, Any], result: TrialResult) -> TrialSpec:
    """The baseline with the contender whose features it used: its name begins with that one's; else the first."""
    contenders = [Contender.from_json(value) for value in contest["contenders"]]
    named = (one for one in contenders if result.contender.startswith(f"{one.name.split('/')[0]} "))
    return baseline_spec(contest, result.contender, next(named, contenders[0]), folder.data, folder.path)
