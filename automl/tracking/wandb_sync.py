"""Sending what W&B did not get: each run's file in the run folder, and a mark beside it once it was sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.errors import RunFolderError

_SENT = ".synced"  # W&B's own mark: `wandb sync` writes it and passes over what has it


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What a sync did. `problems`: W&B's own words where a run was refused."""

    sent: int
    left: int
    problems: tuple[str, ...]


def unsent(directory: Path) -> list[Path]:
    """The files of runs that W&B does not have whole, the oldest first."""
    files = [file for file in directory.glob("*run-*/*.wandb") if file.parent.name != "latest-run"]
    return sorted(file for file in files if not file.with_name(file.name + _SENT).exists())


def sync(directory: Path, tell: Callable[[str], None] = lambda line: None) -> Sent:
    """Send every run that W&B does not have whole. Raises RunFolderError where there is nothing to send from.

    One process of `wandb sync` for all: what it refuses, or leaves at an interruption, is sent by the next one.
    """
    waiting = unsent(directory)
    if not any(directory.glob("*run-*/*.wandb")):
        raise RunFolderError(
            f"{directory} holds no runs of W&B", "a run with --wandb PROJECT", "See automl run --help"
        )
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
