"""Weights & Biases: one run per training, one for the benchmark, all from the driver.

From the driver, because a worker that is killed loses up to 32 KiB of its run, and because Tune's own
callback starts two actors per trial and delays the sweep. trials.jsonl stays the truth; W&B is a copy of it.
"""

from __future__ import annotations

import math
import netrc
import os
import re
import secrets
from collections.abc import Callable, Mapping
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from automl.errors import MissingExtra
from automl.tracking.background import BackgroundCalls
from automl.tracking.base import RunInfo, Tracker
from automl.types import Contender, TrialResult, TrialSpec, slug

Mode = Literal["online", "offline", "disabled"]
STEP = "samples_seen"
_EXCEPTION = re.compile(r"([A-Za-z_][\w.]*): ")
WITHOUT_ROWS = '<meta name="automl-data-rows" content="none">'
"""What a report says of itself when it quotes no row of the data and may leave the machine."""
SECONDS_TO_SEND_THE_REST = {"online": 120.0, "offline": 60.0}
_HOSTS = ("api.wandb.ai", "api.forge.coreweave.com")  # where `wandb login` puts keys, by its version
_LONGEST_ID, _LONGEST_TAG = 128, 64
_TABLE_COLUMNS = (
    "rank", "tie_group", "contender", "kind", "status", "test_mean", "test_low", "test_high",
    "validation_mean", "search_validation", "default_test_mean", "device_seconds", "device_seconds_allowed",
    "latency_ms_p50", "parameters", "error",
)  # fmt: skip
_SETTINGS: dict[str, Any] = {
    "console": "off", "silent": True, "save_code": False, "disable_code": True, "disable_git": True,
    "init_timeout": 15.0, "finish_timeout": 60.0, "x_save_requirements": False,
}  # fmt: skip


class WandbTracker(Tracker):
    """Follows a run in W&B. Nothing is written before `start`; nothing that goes wrong in W&B is raised.

    directory: the folder named wandb that W&B fills; the run folder's when None.
    share_examples: whether a report that quotes data rows may leave this machine.
    note: gets one line about the mode, and one where W&B fails.
    Raises MissingExtra at once where the package is not installed.
    """

    def __init__(
        self,
        project: str,
        mode: Mode | None = None,
        directory: Path | None = None,
        share_examples: bool = False,
        entity: str | None = None,
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        if mode != "disabled" and find_spec("wandb") is None:
            raise MissingExtra.of("wandb", "wandb", "--wandb")
        self._project, self._entity, self._directory = project, entity, directory
        self._share_examples, self._tell = share_examples, note
        self._asked_mode: Mode | None = mode
        self._mode: Mode = "disabled"
        self._calls = BackgroundCalls("wandb")
        self._runs: dict[str, Any] = {}
        self._seen: dict[str, float] = {}
        self._info: RunInfo | None = None
        self._token = ""
        self._failed = False

    # -- the tracker's events, on the driver's thread ------------------------------------------------------

    def start(self, info: RunInfo) -> None:
        self._mode, reason = choose_mode(self._asked_mode)
        if reason:
            self._tell(reason)
        if self._mode == "disabled":
            return
        self._info = info
        self._directory = self._directory or info.run_directory / "wandb"
        if self._directory.name != "wandb":
            self._directory /= "wandb"  # W&B would make it itself, and only there
        self._directory.mkdir(parents=True, exist_ok=True)
        self._token = _benchmark_token(self._directory, info.name)
        self._later(lambda: self._start_benchmark(info))

    def trial_started(self, spec: TrialSpec) -> None:
        self._later(lambda: self._open(spec))

    def trial_reported(self, spec: TrialSpec, row: Mapping[str, Any]) -> None:
        copy = dict(row)
        self._later(lambda: self._log(spec, copy))

    def trial_ended(self, spec: TrialSpec, result: TrialResult) -> None:
        self._later(lambda: self._end(spec, result))

    def board(self, leaderboard: Mapping[str, Any], files: Mapping[str, Path]) -> None:
        board, paths = dict(leaderboard), dict(files)
        self._later(lambda: self._publish(board, paths))

    def close(self, status: str) -> None:
        if self._info is None:
            return
        self._later(lambda: self._close(status))
        done = self._calls.finish(SECONDS_TO_SEND_THE_REST[self._mode])
        self._pass_on_lines()
        if not done and not self._failed:
            self._tell(f"W&B is still sending; the rest later with: {self._sync_command}")
        self._info = None

    def _later(self, function: Callable[[], None]) -> None:
        if self._info is not None:
            self._calls.call(function)
            self._pass_on_lines()

    def _pass_on_lines(self) -> None:
        for line in self._calls.take_lines():
            self._tell(line)
        if self._calls.error is not None and not self._failed:
            self._failed = True
            error = self._calls.error
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            self._tell(f"W&B tracking stopped ({reason}); the run goes on, its records are in the run folder")

    @property
    def _sync_command(self) -> str:
        return f"wandb sync {self._directory}/*-run-*"

    # -- what happens in W&B, on the thread of its own -----------------------------------------------------

    def _start_benchmark(self, info: RunInfo) -> None:
        config = {
            "task": info.task,
            "metric": info.metric,
            "higher_is_better": info.higher_is_better,
            "contenders": [_contender(contender) for contender in info.contenders],
            "budget": info.budget.to_json(),
            "seeds": list(info.seeds),
            "rows": dict(info.counts),
            "split_fingerprint": info.split_fingerprint,
            "request": dict(info.request),
            "environment": dict(info.environment),
        }
        self._runs[""] = self._init("", info.name, "benchmark", [info.task, info.name], config)

    def _open(self, spec: TrialSpec) -> Any:
        """The W&B run of a training; opened once, also where the training is retried or resumed."""
        if spec.id in self._runs:
            return self._runs[spec.id]
        assert self._info is not None
        contender = spec.contender
        job_type = {"trial": "trial", "baseline": "baseline"}.get(spec.kind, "final")
        tags = [spec.task, self._info.name, contender.name, contender.adaptation]
        config = {
            **spec.recipe,
            "seed": spec.seed,
            "trial": spec.id,
            "kind": spec.kind,
            "contender": _contender(contender),
            "protocol": {
                "metric": spec.metric,
                "horizon_samples": spec.horizon_samples,
                "rungs": list(spec.rungs),
                "split_fingerprint": spec.split_fingerprint,
            },
            "environment": dict(self._info.environment),
        }
        run = self._init(spec.id, readable_name(spec), job_type, tags, config)
        run.define_metric(STEP, hidden=True)
        run.define_metric("*", step_metric=STEP)
        self._runs[spec.id] = run
        return run

    def _log(self, spec: TrialSpec, row: Mapping[str, Any]) -> None:
        run = self._open(spec)
        samples = row.get(STEP)
        if not isinstance(samples, int | float) or samples <= self._seen.get(spec.id, -1):
            return  # a retried training tells again what is logged already
        self._seen[spec.id] = samples
        run.log({key: value for key, value in row.items() if _finite(value)})

    def _end(self, spec: TrialSpec, result: TrialResult) -> None:
        for row in result.curve:
            self._log(spec, row)
        run = self._open(spec)
        run.summary.update(self._summary(spec, result))
        run.notes = ending(result, self._share_examples)
        run.tags = (*run.tags, result.status)
        run.finish(exit_code=0 if result.status in ("completed", "pruned") else 1)
        del self._runs[spec.id]
        self._seen.pop(spec.id, None)

    def _summary(self, spec: TrialSpec, result: TrialResult) -> dict[str, Any]:
        assert self._info is not None
        values = [row[spec.metric] for row in result.curve if _finite(row.get(spec.metric))]
        best = (max if self._info.higher_is_better else min)(values) if values else result.validation
        cost = result.cost.to_json()
        summary = {
            "status": result.status,
            "reason": ending(result, self._share_examples),
            "validation": result.validation,
            "best_validation": best,
            "latency_ms_p50": result.latency_ms_p50,
            "parameters": result.parameters,
            **cost,
            **{f"final/{name}": value for name, value in result.metrics.items()},
        }
        return {key: value for key, value in summary.items() if isinstance(value, str) or _finite(value)}

    def _publish(self, board: Mapping[str, Any], files: Mapping[str, Path]) -> None:
        import wandb

        run = self._runs[""]
        rows: list[Any] = [[row.get(column) for column in _TABLE_COLUMNS] for row in board["rows"]]
        run.log({"leaderboard": wandb.Table(columns=list(_TABLE_COLUMNS), data=rows)})
        summary = {key: board.get(key) for key in ("verdict", "winner", "comparable", "metric")}
        for row in board["rows"]:
            if row.get("test_mean") is not None:
                summary[f"test/{row['contender']}"] = row["test_mean"]
        summary["wall_seconds"] = (board.get("wall_seconds") or {}).get("total")
        run.summary.update({key: value for key, value in summary.items() if value is not None})
        run.notes = str(board.get("verdict") or "")
        report = files.get("report")
        if report is None or not report.exists():
            return
        page = report.read_text(encoding="utf-8")
        if self._share_examples or WITHOUT_ROWS in page:
            run.log({"report": wandb.Html(page, inject=False)})
        else:
            self._calls.say("W&B: report.html stays here: it quotes data rows; --share-examples sends it")

    def _close(self, status: str) -> None:
        benchmark = self._runs.pop("", None)
        for run in self._runs.values():
            run.summary.update({"status": "interrupted", "reason": f"the benchmark ended: {status}"})
            run.finish(exit_code=1)
        self._runs.clear()
        if benchmark is not None:
            benchmark.summary.update({"status": status})
            benchmark.finish(exit_code=0 if status == "done" else 1)

    def _init(self, id: str, name: str, job_type: str, tags: list[str], config: Mapping[str, Any]) -> Any:
        whole_id = run_id(self._token, id)
        try:
            return self._init_in(self._mode, whole_id, name, job_type, tags, config)
        except Exception as error:  # a wrong key, no network, a refused project: each has its own type
            if self._mode != "online":
                raise
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
            self._calls.say(f"W&B cannot be reached ({reason}); offline now, later: {self._sync_command}")
            self._mode = "offline"
        # W&B's service holds the id of the run that could not begin. Without other runs it can be ended, and
        # the id is free; else the run takes an id of its own, which is as good: no server knows the first.
        if self._runs:
            whole_id = run_id(self._token, f"{id}-offline")
        else:
            import wandb

            wandb.teardown()
        return self._init_in("offline", whole_id, name, job_type, tags, config)

    def _init_in(
        self, mode: Mode, id: str, name: str, job_type: str, tags: list[str], config: Mapping[str, Any]
    ) -> Any:
        import wandb

        assert self._info is not None
        assert self._directory is not None
        known = {key: value for key, value in _SETTINGS.items() if key in wandb.Settings.model_fields}
        extra = [tag for tag in os.environ.get("WANDB_TAGS", "").split(",") if tag]
        return wandb.init(
            project=self._project,
            entity=self._entity,
            dir=str(self._directory.parent),
            id=id,
            name=name,
            group=self._info.name,
            job_type=job_type,
            tags=[tag[:_LONGEST_TAG] for tag in dict.fromkeys([*tags, *extra])],
            config=dict(config),
            mode=mode,
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(**known),
        )


def choose_mode(asked: Mode | None) -> tuple[Mode, str]:
    """The mode to use, and a line for the user where it is not the one that was to be expected.

    WANDB_MODE is obeyed; online without a key would ask on the terminal, so it becomes offline.
    """
    environment = os.environ.get("WANDB_MODE", "").lower()
    named: dict[str, Mode] = {"online": "online", "run": "online", "offline": "offline", "dryrun": "offline"}
    mode: Mode = asked or ("disabled" if environment == "disabled" else named.get(environment, "online"))
    if mode == "online" and not has_key():
        return "offline", (
            "W&B has no key: logging offline; after `wandb login`, `wandb sync` sends it "
            "(--wandb-mode offline says nothing)"
        )
    return mode, ""


def readable_name(spec: TrialSpec) -> str:
    """Such as 'all-minilm-l6-v2/full/012', '.../final-seed-7', '.../default-seed-7', 'baseline/constant'."""
    if spec.kind == "baseline":
        return f"baseline/{spec.contender.name}"
    if spec.kind == "trial":
        return f"{spec.contender.name}/{spec.number:03d}"
    return f"{spec.contender.name}/{spec.kind}-seed-{spec.seed}"


def run_id(token: str, trial: str) -> str:
    """An id that is the same whenever the run is resumed, and no other benchmark's; '' is the benchmark's."""
    whole = f"{token}-{slug(trial)}" if trial else token
    if len(whole) <= _LONGEST_ID:
        return whole
    return f"{whole[: _LONGEST_ID - 13]}-{sha256(whole.encode()).hexdigest()[:12]}"


def ending(result: TrialResult, whole: bool = False) -> str:
    """How a training ended, in a sentence.

    whole: whether an exception's message is told too. It may quote the data row that it failed on, which
    leaves the machine only where that is allowed; without it, the exception's name stands alone.
    """
    seen, horizon = result.cost.samples_seen, result.horizon_samples
    if result.status == "completed":
        return f"completed after {seen} samples"
    if result.status == "pruned":
        return f"pruned at {seen} of {horizon} samples: behind the other trials of its contender at that rung"
    what = "ran out of memory" if result.status == "out_of_memory" else "failed"
    lines = (result.error or "no reason given").strip().splitlines()
    told = lines[-1][:300]
    if not whole and (name := _EXCEPTION.match(told)):
        told = f"{name[1]} (its message stays in trials.jsonl)"
    return f"{what} at {seen} of {horizon} samples: {told}"


def _benchmark_token(directory: Path, name: str) -> str:
    """What all ids of this benchmark begin with; kept in a file, so that a resumed run finds its own."""
    file = directory / "benchmark-id"
    if file.exists() and (token := file.read_text(encoding="utf-8").strip()):
        return token
    token = f"{slug(name)[:40]}-{secrets.token_hex(4)}"
    file.write_text(token + "\n", encoding="utf-8")
    return token


def _contender(contender: Contender) -> dict[str, Any]:
    """Without the checkpoint's path, which says nothing elsewhere."""
    checkpoint = contender.checkpoint
    return {
        "name": contender.name,
        "family": contender.family,
        "adaptation": contender.adaptation,
        "checkpoint": checkpoint.name,
        "revision": checkpoint.revision,
        "architecture": checkpoint.architecture,
        "parameters": checkpoint.parameters,
    }


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def has_key() -> bool:
    """Whether W&B would find a key: in its variables, or beside the machine's other logins."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    file = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    own = os.environ.get("WANDB_BASE_URL", "").rpartition("//")[2].strip("/")
    try:
        hosts = netrc.netrc(file).hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return any(host in hosts for host in ([own] if own else _HOSTS))
