"""W&B's own files read back: each is a 7-byte header and records framed as LevelDB logs are."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automl.errors import RunFolderError

FILE_HEADER = struct.Struct("<4sHB")
RECORD_HEADER = struct.Struct("<IHB")
BLOCK_BYTES = 32_768
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass(frozen=True)
class Artifact:
    """One that a run made, or (uses) took as its input."""

    name: str
    type: str
    aliases: tuple[str, ...]
    files: tuple[str, ...]
    metadata: dict[str, Any]
    uses: bool


@dataclass
class WandbRun:
    """What one .wandb file says; later records win."""

    id: str = ""
    name: str = ""
    group: str = ""
    project: str = ""
    job_type: str = ""
    notes: str = ""
    tags: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    step_metrics: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)
    exit_code: int | None = None
    path: Path = Path()


def run_files(directory: Path) -> list[Path]:
    """The files of all runs that W&B wrote there, the oldest first."""
    files = (file for file in directory.glob("*run-*/*.wandb") if file.parent.name != "latest-run")
    return sorted(files, key=_age)


def _age(file: Path) -> tuple[str, int]:
    """What sorts files by when they were written: W&B's folders tell their second, what follows it is chance."""
    return file.parent.name.partition("run-")[2][:15], file.stat().st_mtime_ns


def merged(runs: list[WandbRun]) -> list[WandbRun]:
    """Runs that were written in several files as W&B puts them together: by id, the oldest file first."""
    whole: dict[str, WandbRun] = {}
    for run in sorted(runs, key=lambda one: _age(one.path)):
        if (first := whole.setdefault(run.id, run)) is not run:
            first.history += run.history
            first.artifacts += run.artifacts
            first.summary |= run.summary
            first.notes, first.tags = run.notes or first.notes, tuple(dict.fromkeys((*first.tags, *run.tags)))
            first.exit_code = first.exit_code if run.exit_code is None else run.exit_code
    return sorted(whole.values(), key=lambda run: run.name)


def wait_for_ends(files: Iterable[Path], seconds: float) -> None:
    """Wait, so long at most, until every run's end is in its file: W&B's service writes on after a run was ended."""
    waiting, deadline = list(files), time.monotonic() + seconds
    while (waiting := [file for file in waiting if read_run(file).exit_code is None]) and time.monotonic() < deadline:
        time.sleep(0.05)


def read_run(path: Path) -> WandbRun:
    """What a file says, as far as it goes: a writer that was cut off leaves the beginning."""
    from google.protobuf.message import DecodeError
    from wandb.proto import wandb_internal_pb2

    run = WandbRun(path=path)
    for body in _records(path):
        record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
        try:
            record.ParseFromString(body)
        except DecodeError:  # what follows is not what was written
            break
        _apply(run, record)
    return run


def _records(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    if not any(data[: FILE_HEADER.size]) or len(data) < FILE_HEADER.size:  # as a disk leaves what it never wrote
        return
    magic, number, _ = FILE_HEADER.unpack_from(data)
    if (magic, number) != (b":W&B", 0xBEE1):
        raise RunFolderError(f"{path} is no file of W&B", "one that W&B wrote", "Move it elsewhere")
    position, parts = FILE_HEADER.size, []
    while position + RECORD_HEADER.size <= len(data):
        left_in_block = BLOCK_BYTES - position % BLOCK_BYTES
        if left_in_block < RECORD_HEADER.size:  # a block's tail is padding
            position += left_in_block
            continue
        _, length, kind = RECORD_HEADER.unpack_from(data, position)
        position += RECORD_HEADER.size
        if kind not in (FULL, FIRST, MIDDLE, LAST) or position + length > len(data):
            return  # the writer was cut off here
        parts.append(data[position : position + length])
        position += length
        if kind in (FULL, LAST):
            yield b"".join(parts)
            parts = []


def _apply(run: WandbRun, record: Any) -> None:
    kind = record.WhichOneof("record_type")
    if kind == "run":
        run.id, run.name, run.group = record.run.run_id, record.run.display_name, record.run.run_group
        run.project, run.job_type = record.run.project, record.run.job_type
        run.notes, run.tags = record.run.notes or run.notes, tuple(record.run.tags) or run.tags
        run.config |= _values(record.run.config.update)
    elif kind == "config":
        run.config |= _values(record.config.update)
    elif kind == "summary":
        run.summary |= _values(record.summary.update)
    elif kind == "history":
        run.history.append(_values(record.history.item))
    elif kind == "metric":
        run.step_metrics[record.metric.name or record.metric.glob_name] = record.metric.step_metric
    elif kind == "files":
        run.files += [file.path for file in record.files.files]
    elif kind == "artifact":
        made = record.artifact
        run.artifacts.append(
            Artifact(
                name=made.name,
                type=made.type,
                aliases=tuple(made.aliases),
                files=tuple(entry.path for entry in made.manifest.contents),
                metadata=json.loads(made.metadata or "{}"),
                uses=made.use_after_commit,
            )
        )
    elif kind == "exit":
        run.exit_code = record.exit.exit_code


def _values(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
