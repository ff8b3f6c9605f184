"""Runs of W&B written anew from a run's records, where W&B's own files of them are missing or were cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automl.errors import RunFolderError
from automl.tracking.base import Insights, RunInfo
from automl.tracking.describe import RESOURCES, STEP, benchmark_token, run_id
from automl.tracking.wandb import WandbTracker
from automl.tracking.wandb_files import WandbRun, read_run, run_files, wait_for_ends
from automl.types import TrialResult, TrialSpec

SUPERSEDED = ".superseded"
"""Put behind the name of a file whose run was written anew: it is neither read nor sent any more."""

SECONDS_TO_WRITE = 60.0


@dataclass(frozen=True, kw_only=True)
class Records:
    """All that a run folder knows for W&B. board: leaderboard.json's content; None before there is one."""

    info: RunInfo
    trainings: Sequence[tuple[TrialSpec, TrialResult]]
    board: Mapping[str, Any] | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    insights: Insights = field(default_factory=Insights)


@dataclass(frozen=True, kw_only=True)
class Missing:
    """What W&B's files do not tell as the records do, with the files that tell a part of it."""

    trainings: tuple[tuple[TrialSpec, TrialResult], ...]
    benchmark: bool
    parts: Mapping[str, Sequence[WandbRun]]
    """By the id of a run in W&B: all that there is of it."""

    @property
    def count(self) -> int:
        return len(self.trainings) + self.benchmark


def missing(directory: Path, records: Records) -> Missing:
    """What is to be written anew. Nothing is written to find out."""
    file = directory / "benchmark-id"
    parts = _parts(directory) if file.exists() else {}
    token = file.read_text(encoding="utf-8").strip() if file.exists() else ""
    trainings = [
        (spec, result)
        for spec, result in records.trainings
        if not _is_told(parts.get(own_id(parts, token, spec.id), ()), result)
    ]
    benchmark = not _benchmark_is_told(parts.get(own_id(parts, token, ""), ()), records.board)
    return Missing(trainings=tuple(trainings), benchmark=benchmark, parts=parts)


def own_id(parts: Iterable[str], token: str, trial: str) -> str:
    """A run's id in W&B: as a rule the first, and another where its server could not be reached when it began."""
    usual, offline = run_id(token, trial), run_id(token, f"{trial}-offline")
    return offline if offline in parts and usual not in parts else usual


def rebuild(
    directory: Path,
    records: Records,
    project: str,
    entity: str | None = None,
    share_examples: bool = False,
    note: Callable[[str], None] = lambda line: None,
) -> int:
    """Write what is missing as offline runs, whole, under the ids that they have or would have had; how many.

    What a part of a file says of the workers is taken over, and the file set aside. The runs that are there whole
    are left as they are. Raises OSError where the disk has no room.
    """
    found = missing(directory, records)
    if not found.count:
        return 0
    tracker = _Rebuilding(project, "offline", directory, share_examples, entity, note)
    before = set(run_files(directory))
    tracker.begin(records.info, found)
    for spec, result in found.trainings:
        tracker.tell(spec, result)
    if found.benchmark:
        tracker.tell_board(records)
    tracker.close("done" if records.board is not None else "interrupted")
    wait_for_ends(set(run_files(directory)) - before, SECONDS_TO_WRITE)
    for run in tracker.superseded:
        run.path.rename(run.path.with_name(run.path.name + SUPERSEDED))
    return found.count


class _Rebuilding(WandbTracker):
    """The tracker of a run, told everything afterwards; what goes wrong is raised."""

    superseded: list[WandbRun]

    def begin(self, info: RunInfo, found: Missing) -> None:
        assert self._directory is not None
        self._mode, self._found, self.superseded = "offline", found, []
        self._token = benchmark_token(self._directory, info.name, info.fingerprint)
        self._info = info
        if found.benchmark:
            self.superseded += self._parts("")
            self._start_benchmark(info)

    def tell(self, spec: TrialSpec, result: TrialResult) -> None:
        parts = self._parts(spec.id)
        self.superseded += [part for part in parts if not _makes(part)]
        seen = [row for part in parts for row in _resources(part)]
        for row in result.curve:
            self._log(spec, [*(one for one in seen if one[STEP] <= row[STEP]), row])
        self.trial_ended(spec, result)

    def tell_board(self, records: Records) -> None:
        """The board, and the models that no file of their finals holds."""
        if records.board is not None:
            self.board(records.board, records.files, records.insights)

    def _send_model(self, model: Any, best: bool) -> None:
        if not any(_makes(part) for part in self._parts(model.final.id)):
            super()._send_model(model, best)

    def _parts(self, trial: str) -> Sequence[WandbRun]:
        id = self._ids.setdefault(trial, own_id(self._found.parts, self._token, trial))
        return self._found.parts.get(id, ())

    def _later(self, call: Callable[[], object]) -> None:
        self._require_room()
        call()
        self._pass_on_lines()


def _parts(directory: Path) -> dict[str, list[WandbRun]]:
    """By run id, what its files say, the oldest first. The name of a file without a beginning tells its id."""
    found: dict[str, list[WandbRun]] = {}
    for file in run_files(directory):
        try:
            run = read_run(file)
        except RunFolderError:  # its first bytes are another's: as good as none
            run = WandbRun(path=file)
        found.setdefault(run.id or file.stem.removeprefix("run-"), []).append(run)
    return found


def _is_told(parts: Sequence[WandbRun], result: TrialResult) -> bool:
    """Whether an ended training is there as it ended, with all its evaluations."""
    steps = {row.get(STEP) for part in parts for row in part.history}
    ended = any(part.summary.get("status") == result.status and part.exit_code is not None for part in parts)
    return ended and all(row[STEP] in steps for row in result.curve)


def _benchmark_is_told(parts: Sequence[WandbRun], board: Mapping[str, Any] | None) -> bool:
    ended = [part for part in parts if part.exit_code is not None]
    if board is None:
        return bool(ended)
    # in the order of writing: a run that was extended has another verdict
    told = {key: value for part in ended for key, value in part.summary.items()}
    return told.get("status") == "done" and told.get("verdict") == board.get("verdict")


def _makes(part: WandbRun) -> bool:
    """Whether a training's file holds a model, which is in no record."""
    return any(one.type == "model" and not one.uses for one in part.artifacts)


def _resources(part: WandbRun) -> Iterator[dict[str, Any]]:
    """What a file says of the workers, which is in no record."""
    for row in part.history:
        told = {name: value for name, value in row.items() if name.startswith(RESOURCES)}
        if told and STEP in row:
            yield {STEP: row[STEP], **told}
