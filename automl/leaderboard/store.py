"""The run folder: the one class that knows its file names. Append-only records; no torch, no ray."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from automl.config import RunRequest
from automl.errors import AutoMLError, DiskFull, RunFolderError, is_full_disk
from automl.leaderboard import chain
from automl.leaderboard.driver import LOCK, driving
from automl.types import Contender, Spend, TrialResult, TrialSpec

SPARE = ".spare"
"""Space kept back in a run folder, so that a full disk loses no record of what was already paid for."""
_SPARE_BYTES = 1 << 20


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def write_atomically(path: Path, text: str) -> None:
    """Either the old file or the new one is there, never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def append_line(path: Path, value: Mapping[str, Any]) -> None:
    """Add one JSON line durably, chained to the last whole line before it (chain.py).

    A line cut off by a crash is ended first, so that it stays alone; the chain passes over it.
    """
    content = chain.plain(value)
    with open(path, "ab+", buffering=0) as file:  # a buffer would try again on closing what found no room
        last = chain.last_line(file)
        line = chain.chained(path.name, content, last)
        data = (json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n").encode()
        end = file.seek(0, os.SEEK_END)
        if end > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                data = b"\n" + data
        try:
            _write_whole(file, data)
        except OSError as error:
            file.truncate(end)
            if not is_full_disk(error):
                raise
            spare = path.with_name(SPARE)
            if not spare.exists():
                raise DiskFull.of(path.parent) from error
            spare.unlink()  # the last records fit into it; whoever runs the trainings sees that it is gone
            _write_whole(file, data)
    chain.note_end(path, last, line)


def _write_whole(file: io.FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
    os.fsync(file.fileno())


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole JSON line of a file, in order; nothing where it does not exist.

    A line that a crash cut off is passed over: its event is told again by whoever resumes.
    """
    if not path.exists():
        return
    with open(path, "rb") as file:  # bytes: a crash may cut a letter in two
        for line in file:
            value = chain.parse(line)
            if value is not None:
                yield value


class RunFolder:
    """Paths and records of one run. Opening it for writing takes the lock: one driver at a time."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(os.path.expanduser(path))
        self.request_file = self.path / "request.yaml"
        self.environment_file = self.path / "environment.json"
        self.contest_file = self.path / "contest.json"
        self.away_file = self.path / "away.json"
        self.plan_file = self.path / "plan.json"
        self.winners_file = self.path / "winners.json"
        self.measurements_file = self.path / "measurements.json"
        self.data = self.path / "data"
        self.varied_file = self.data / "varied.json"
        self.trials_file = self.path / "trials.jsonl"
        self.baselines_file = self.path / "baselines.jsonl"
        self.started_file = self.path / "started.jsonl"
        self.ledger_file = self.path / "ledger.jsonl"
        self.access_file = self.path / "test_access.jsonl"
        self.timings_file = self.path / "timings.jsonl"
        self.published_file = self.path / "published.jsonl"
        self.leaderboard_json = self.path / "leaderboard.json"
        self.leaderboard_md = self.path / "leaderboard.md"
        self.scores_file = self.path / "scores.json"
        self.report_html = self.path / "report.html"
        self.studies = self.path / "studies"
        self.predictions = self.path / "predictions"
        self.checkpoints = self.path / "checkpoints"
        self.cache = self.path / "cache"
        self.logs = self.path / "logs"
        self.heartbeats = self.logs / "heartbeats"
        self.whereabouts_file = self.logs / "whereabouts.json"
        self.wandb = self.path / "wandb"
        self.models = self.path / "models"
        self.weights_here: Mapping[str, str] = {}

    @classmethod
    def existing(cls, path: Path | str) -> RunFolder:
        """A folder that holds a run. Raises RunFolderError where there is none."""
        folder = cls(path)
        if not folder.request_file.exists():
            found = "does not exist" if not folder.path.exists() else "holds no request.yaml"
            raise RunFolderError(
                f"{folder.path} {found}", "a run folder", "Start one with: automl run DATA --out " + str(path)
            )
        return folder

    def refuse_other_run(self) -> None:
        """Raises RunFolderError unless the folder is new or empty."""
        present = [p.name for p in self.path.iterdir() if p.name != LOCK] if self.path.is_dir() else []
        if self.request_file.exists():
            raise RunFolderError(
                f"{self.path} already holds a run",
                "a new or empty folder",
                f"Go on with it: automl resume {self.path}; or choose another with --out",
            )
        if present:
            raise RunFolderError(f"{self.path} is not empty", "a new or empty folder", "Choose another with --out")

    def create(self, request: RunRequest) -> None:
        """Make the folder and write the request. Raises RunFolderError where another run lies there."""
        self.refuse_other_run()
        for directory in (
            self.data, self.studies, self.predictions, self.checkpoints, self.cache, self.heartbeats,
            self.models,
        ):  # fmt: skip
            directory.mkdir(parents=True, exist_ok=True)
        self.write_request(request)

    def write_request(self, request: RunRequest) -> None:
        write_atomically(self.request_file, request.to_yaml())

    def read_request(self) -> RunRequest:
        return RunRequest.model_validate(yaml.safe_load(self.request_file.read_text(encoding="utf-8")))

    def lock(self) -> AbstractContextManager[None]:
        """Hold the folder alone. Raises RunFolderError when another driver has it."""
        return driving(self.path)

    # -- the disk ------------------------------------------------------------------------------------

    @contextmanager
    def telling_full_disk(self) -> Iterator[None]:
        """Raises DiskFull for whatever failed inside for want of space."""
        try:
            yield
        except Exception as error:
            if isinstance(error, AutoMLError) or not is_full_disk(error):
                raise
            raise DiskFull.of(self.path) from error

    def keep_spare(self) -> None:
        """Keep some space back for the last records. Raises DiskFull where there is none."""
        spare = self.path / SPARE
        if not spare.exists():
            with self.telling_full_disk():
                temporary = spare.with_name(f"{SPARE}.{os.getpid()}")
                try:
                    temporary.write_bytes(bytes(_SPARE_BYTES))
                    temporary.replace(spare)
                finally:
                    temporary.unlink(missing_ok=True)

    @property
    def spare_is_used(self) -> bool:
        return not (self.path / SPARE).exists()

    def drop_spare(self) -> None:
        (self.path / SPARE).unlink(missing_ok=True)

    def drop_checkpoint(self, training: str) -> None:
        """Remove what a training had kept for its retry; nothing where it kept nothing."""
        for file in self.checkpoints.glob(f"{training}.resume.pt*"):
            file.unlink(missing_ok=True)

    # -- records -------------------------------------------------------------------------------------

    def append_trial(self, result: TrialResult) -> None:
        """Add a line, with the hash of the predictions that the training left."""
        file = self.baselines_file if result.kind == "baseline" else self.trials_file
        predictions = self.path / (result.predictions_file or "")
        if result.predictions_sha256 is None and predictions.is_file():
            result = replace(result, predictions_sha256=hashlib.sha256(predictions.read_bytes()).hexdigest())
        append_line(file, result.to_json())

    def trials(self) -> list[TrialResult]:
        """Every ended training of contenders; where a crash wrote one twice, the first counts."""
        return self._results(self.trials_file)

    def baselines(self) -> list[TrialResult]:
        return self._results(self.baselines_file)

    def _results(self, file: Path) -> list[TrialResult]:
        found: dict[str, TrialResult] = {}
        for line in read_lines(file):
            found.setdefault(line["id"], TrialResult.from_json(line))
        return list(found.values())

    def append_started(self, spec: TrialSpec) -> None:
        """Add a line: an attempt at a training begins."""
        append_line(self.started_file, {"at": now(), "spec": spec.to_json()})

    def append_interrupted(self, spec: TrialSpec) -> None:
        """Add a line: an attempt was ended by the user or a full disk, which is no fault of the training."""
        append_line(self.started_file, {"at": now(), "spec": spec.to_json(), "interrupted": True})

    def attempts(self) -> Counter[str]:
        """By training: how often it was begun, by whichever driver, interruptions apart."""
        found: Counter[str] = Counter()
        for line in read_lines(self.started_file):
            found[line["spec"]["id"]] += -1 if line.get("interrupted") else 1
        return found

    def started(self) -> list[TrialSpec]:
        """Every training that got a slot, in the order of its first start."""
        found: dict[str, TrialSpec] = {}
        for line in read_lines(self.started_file):
            found.setdefault(line["spec"]["id"], TrialSpec.from_json(line["spec"]))
        return list(found.values())

    def append_spend(self, spend: Spend) -> None:
        append_line(self.ledger_file, spend.to_json())

    def ledger(self) -> list[Spend]:
        return [Spend.from_json(line) for line in read_lines(self.ledger_file)]

    def test_accesses(self) -> list[dict[str, Any]]:
        return list(read_lines(self.access_file))

    def append_timing(self, phase: str, wall_seconds: float) -> None:
        """Wall seconds spent in a phase by one driver; a resumed run adds its own."""
        append_line(self.timings_file, {"at": now(), "phase": phase, "wall_seconds": wall_seconds})

    def timings(self) -> dict[str, float]:
        total: dict[str, float] = {}
        for line in read_lines(self.timings_file):
            total[line["phase"]] = total.get(line["phase"], 0.0) + line["wall_seconds"]
        return total

    @property
    def record_files(self) -> tuple[Path, ...]:
        """Every file that only grows, line by line."""
        return (
            self.trials_file, self.baselines_file, self.ledger_file, self.started_file, self.access_file,
            self.timings_file, self.published_file,
        )  # fmt: skip

    def seals(self) -> dict[str, Any]:
        """Where the records stand that a board is made from, and the hashes of what was fixed before it."""
        # the openings go on after the board, which holds them one by one; and the board is published last
        growing = (file for file in self.record_files if file not in (self.access_file, self.published_file))
        told = (self.data / f"{name}.json" for name in ("split", "profile", "cleaning"))
        facts = (self.request_file, self.environment_file, self.measurements_file)
        fixed = (self.contest_file, self.winners_file, *told, *facts)
        hashes = {
            file.relative_to(self.path).as_posix(): {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
            for file in fixed
            if file.exists()
        }
        return {**chain.seals(*growing), **hashes}

    def publish(self, *files: Path) -> None:
        """Keep the hashes of what readers get to see, as it was written."""
        hashes = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
        append_line(self.published_file, {"at": now(), "sha256": hashes})

    # -- the contest: what was fixed before the search ----------------------------------------------------

    def write_contest(self, contest: Mapping[str, Any]) -> None:
        write_atomically(self.contest_file, json.dumps(contest, indent=1, ensure_ascii=False))

    def read_contest(self) -> dict[str, Any]:
        """{"task", "metric", "metrics", "contenders", "budget", "seeds", "horizon_samples", "rungs", ...}."""
        if not self.contest_file.exists():
            raise RunFolderError(
                f"{self.path} has no contest.json",
                "a run that reached its search",
                f"automl resume {self.path}",
            )
        contest: dict[str, Any] = json.loads(self.contest_file.read_text(encoding="utf-8"))
        return contest

    def contenders(self) -> list[Contender]:
        """The contest's contenders; weights that lie elsewhere by now are looked for in `weights_here`."""
        found = [Contender.from_json(value) for value in self.read_contest()["contenders"]]
        places = ((one, self.weights_here.get(one.checkpoint.revision, one.checkpoint.path)) for one in found)
        return [replace(one, checkpoint=replace(one.checkpoint, path=path)) for one, path in places]

    def write_winners(self, winners: Mapping[str, Any]) -> None:
        """Fix the winners; from here on the test may be opened, and nothing may be chosen any more."""
        value = {"at": now(), "winners": winners, "before": self._json(self.winners_file).get("before", [])}
        write_atomically(self.winners_file, json.dumps(value, indent=1, ensure_ascii=False))

    def read_winners(self) -> dict[str, Any]:
        """By contender: {"trial", "recipe", "search_validation", "default_recipe", "reason"}; {} before."""
        winners: dict[str, Any] = self._json(self.winners_file).get("winners", {})
        return winners

    def winners_fixed_at(self) -> str | None:
        """When the last winner was fixed; None before the first is."""
        at: str | None = self._json(self.winners_file).get("at")
        return at

    def reopen_winners(self) -> None:
        """Let the search go on: no winner is fixed, those of before stay on record, and their board is put aside."""
        old = self._json(self.winners_file)
        before = [*old.get("before", []), {key: old[key] for key in ("at", "winners") if key in old}]
        value = {"at": now(), "winners": {}, "before": before}
        write_atomically(self.winners_file, json.dumps(value, indent=1, ensure_ascii=False))
        for file in (self.leaderboard_json, self.leaderboard_md, self.report_html):
            if file.exists():
                file.rename(file.with_stem(f"{file.stem}-before-{len(before)}"))

    def superseded(self) -> frozenset[str]:
        """Finals of recipes that had won before the run was extended, and do not any more: they count no longer."""
        earlier: list[dict[str, Any]] = [
            one.get("winners", {}) for one in self._json(self.winners_file).get("before", [])
        ]
        winners = self.read_winners()
        return frozenset(
            trial.id
            for trial in (self.trials() if earlier else ())
            if trial.kind == "final"
            and trial.recipe != (winners.get(trial.contender) or {}).get("recipe")
            and any(trial.recipe == (one.get(trial.contender) or {}).get("recipe") for one in earlier)
        )

    def counting_trials(self) -> list[TrialResult]:
        """Every ended training but superseded finals."""
        superseded = self.superseded()
        return [trial for trial in self.trials() if trial.id not in superseded]

    def measurements(self) -> dict[str, Any]:
        """By row what training/measure.py found: {"latency_ms_p50", "size_bytes", ...}; {} where not measured."""
        return self._json(self.measurements_file)

    def profile(self) -> dict[str, Any]:
        return self._json(self.data / "profile.json")

    def cleaning(self) -> dict[str, Any]:
        return self._json(self.data / "cleaning.json")

    def split(self) -> dict[str, Any]:
        return self._json(self.data / "split.json")

    def environment(self) -> dict[str, Any]:
        return self._json(self.environment_file)

    def _json(self, path: Path) -> dict[str, Any]:
        if not path.exists():
            return {}
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return value
