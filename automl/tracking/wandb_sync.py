"""Sending what W&B did not get: each run's file in the run folder, and a mark beside it once it was sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.errors import RunFolderError
from automl.tracking.describe import RESOURCES, STEP
from automl.tracking.wandb_files import Artifact, WandbRun, merged, read_run, run_files

_KINDS = ("benchmark", "trial", "playoff", "final", "baseline")
_SENT = ".synced"  # W&B's own mark: `wandb sync` writes it and passes over what has it


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What a sync did. `problems`: W&B's own words where a run was refused."""

    sent: int
    left: int
    problems: tuple[str, ...]


def files_of_runs(directory: Path) -> list[Path]:
    """The files of all runs there. Raises RunFolderError where W&B wrote none."""
    if not (files := run_files(directory)):
        raise RunFolderError(
            f"{directory} holds no runs of W&B", "a run with --wandb PROJECT", "See automl run --help"
        )
    return files


def unsent(directory: Path) -> list[Path]:
    """The files of runs that W&B does not have whole, the oldest first."""
    return [file for file in run_files(directory) if not file.with_name(file.name + _SENT).exists()]


def sync(directory: Path, tell: Callable[[str], None] = lambda line: None) -> Sent:
    """Send every run that W&B does not have whole. Raises RunFolderError where there is nothing to send from.

    One process of `wandb sync` for all: what it refuses, or leaves at an interruption, is sent by the next one.
    """
    files_of_runs(directory)
    waiting = unsent(directory)
    if not waiting:
        return Sent(sent=0, left=0, problems=())
    tell(f"sending {len(waiting)} runs to W&B")
    command = [sys.executable, "-m", "wandb", "sync", "--include-online", *(str(file) for file in waiting)]
    environment = {key: value for key, value in os.environ.items() if key not in ("WANDB_MODE", "WANDB_SILENT")}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    left = len(unsent(directory))
    problems = [line.partition("ERROR")[2].strip() for line in done.stdout.splitlines() if "ERROR" in line]
    if left and not problems:
        problems = done.stdout.strip().splitlines()[-1:]
    return Sent(sent=len(waiting) - left, left=left, problems=tuple(dict.fromkeys(problems)))


def describe(directory: Path) -> list[str]:
    """What lies there for W&B, as a tree in lines: projects, groups, kinds of runs, runs, with counts.

    Raises RunFolderError where there is nothing.
    """
    files = files_of_runs(directory)
    waiting = {file.parent for file in unsent(directory)}
    parts = [read_run(file) for file in files]
    left = {run.id for run in parts if run.path.parent in waiting}
    runs = sorted(merged([run for run in parts if run.id]), key=lambda run: (_place(run.job_type), run.name))
    lines = []
    for project, of_project in _grouped(runs, lambda run: run.project):
        lines.append(f"{project}: {_counts(of_project)}")
        for group, of_group in _grouped(of_project, lambda run: run.group):
            lines.append(f"  {group}")
            for kind, of_kind in _grouped(of_group, lambda run: run.job_type):
                lines.append(f"    {kind}: {_counts(of_kind)}")
                lines += [f"      {_told(run)}{', not sent yet' if run.id in left else ''}" for run in of_kind]
    if unreadable := len(parts) - sum(bool(run.id) for run in parts):
        lines.append(f"{unreadable} files without a beginning: W&B was ended before it had written one")
    return lines


def _place(job_type: str) -> int:
    """Where runs of a kind stand in the tree; those that no automl wrote stand last."""
    return _KINDS.index(job_type) if job_type in _KINDS else len(_KINDS)


def _grouped(runs: list[WandbRun], of: Callable[[WandbRun], str]) -> list[tuple[str, list[WandbRun]]]:
    found: dict[str, list[WandbRun]] = {}
    for run in runs:
        found.setdefault(of(run), []).append(run)
    return list(found.items())


def _counts(runs: list[WandbRun]) -> str:
    lines = sum(len(run.history) for run in runs)
    made = sum(not one.uses for run in runs for one in _artifacts(run))
    used = sum(len(_artifacts(run)) for run in runs) - made
    told = [f"{len(runs)} run{'s' * (len(runs) != 1)}", f"{lines} lines of history"]
    return ", ".join([*told, *([f"artifacts: {made} made, {used} used"] if made or used else [])])


def _artifacts(run: WandbRun) -> list[Artifact]:
    """Those that were asked for, once each: W&B keeps tables as some too, and a run in two files tells them twice."""
    return list({(one.name, one.uses): one for one in run.artifacts if one.type != "run_table"}.values())


def _told(run: WandbRun) -> str:
    steps = [row[STEP] for row in run.history if is_evaluation(row)]
    state = str(run.summary.get("status") or ("ended" if run.exit_code is not None else "cut off"))
    told = [run.name, state, *([f"{len(steps)} points to {max(steps)} samples"] if steps else [])]
    if tables := sum(str(value) == "table-file" for key, value in run.summary.items() if key.endswith("_type")):
        told.append(f"{tables} tables and charts")
    for one in _artifacts(run):
        aliases = f" ({', '.join(one.aliases)})" if one.aliases and not one.uses else ""
        told.append(f"{'uses' if one.uses else 'made'} {one.type} {one.name}{aliases}")
    return ", ".join(told)


def is_evaluation(row: Mapping[str, Any]) -> bool:
    """Whether a line of history is one: what was seen of the workers in between has lines of its own."""
    own = [name for name in row if not name.startswith((RESOURCES, "_"))]
    return STEP in row and len(own) > 1


def is_whole(settings: Any) -> bool:
    """Whether an online run that has ended was sent without any trouble: its log tells of no error."""
    return not any(True for _ in _errors(Path(settings.log_internal)))


def stopped_sending(settings: Any) -> str:
    """Why W&B's service gave up sending a run; '' where it did not."""
    given_up = (line for line in _errors(Path(settings.log_internal)) if "fatal error" in line.get("msg", ""))
    return " ".join(str(next(given_up, {}).get("msg", "")).split())[:160]


def mark_sent(settings: Any) -> None:
    Path(settings.sync_file + _SENT).touch()


def _errors(log: Path) -> Iterator[dict[str, Any]]:
    if not log.exists():
        yield {"msg": f"{log.name} is missing"}
        return
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            told = json.loads(line)
        except json.JSONDecodeError:
            continue
        if str(told.get("level", "")).startswith("ERROR"):
            yield told
