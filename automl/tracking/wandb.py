"""Weights & Biases: one run per training, one for the benchmark, all from the driver.

From the driver, because a worker that is killed loses up to 32 KiB of its run, and because Tune's own
callback starts two actors per trial and delays the sweep; with several workers it is rank 0 that reports.
W&B's own system metrics are then the driver's; those of the workers come with their evaluations (resources.py).
trials.jsonl stays the truth; W&B is a copy of it. What could not be sent lies in the run folder (wandb_sync.py).
"""

from __future__ import annotations

import errno
import netrc
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from automl.errors import MissingExtra, one_line
from automl.tracking import wandb_board
from automl.tracking.background import BackgroundTracker
from automl.tracking.base import Insights, RunInfo, ShippedModel
from automl.tracking.describe import (
    STEP,
    benchmark_config,
    benchmark_token,
    ending,
    job_type,
    may_leave,
    readable_name,
    run_id,
    summary,
    training_config,
)
from automl.tracking.wandb_sync import is_whole, mark_sent, stopped_sending
from automl.types import TrialResult, TrialSpec

Mode = Literal["online", "offline", "disabled"]
SECONDS_TO_SEND_THE_REST = {"online": 120.0, "offline": 60.0}
SECONDS_TO_SEND_A_MODEL = 900.0
LEAST_FREE_BYTES = 8 << 20
"""Below this much free space nothing more is told to W&B. A training takes a tenth of a megabyte there."""
_HOSTS = ("api.wandb.ai", "api.forge.coreweave.com")  # where `wandb login` puts keys, by its version
_LONGEST_TAG = 64
_LONGEST_NAME = 128
_SETTINGS: dict[str, Any] = {
    "console": "off", "silent": True, "save_code": False, "disable_code": True, "disable_git": True,
    "init_timeout": 15.0, "finish_timeout": 15.0, "finish_timeout_raises": True, "x_save_requirements": False,
}  # fmt: skip


class WandbTracker(BackgroundTracker):
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
        super().__init__("W&B", note)
        self._project, self._entity, self._directory = project, entity, directory
        self._share_examples = share_examples
        self._asked_mode: Mode | None = mode
        self._mode: Mode = "disabled"
        self._runs: dict[str, Any] = {}
        self._ids: dict[str, str] = {}
        self._token = ""

    # -- the tracker's events, on the driver's thread ------------------------------------------------------

    def start(self, info: RunInfo) -> None:
        self._mode, reason = choose_mode(self._asked_mode)
        if reason:
            self._tell(reason)
        if self._mode != "disabled":
            self._settle(info)
            self._begin(info, lambda: self._start_benchmark(info))

    def _settle(self, info: RunInfo) -> None:
        """Fix where W&B writes, and what the ids of its runs begin with."""
        self._directory = self._directory or info.run_directory / "wandb"
        if self._directory.name != "wandb":
            self._directory /= "wandb"  # W&B would make it itself, and only there
        self._token = benchmark_token(self._directory, info.name, info.fingerprint)

    def close(self, status: str) -> None:
        self._wind_up(
            status,
            SECONDS_TO_SEND_THE_REST.get(self._mode, 0.0),
            lambda: f"W&B is still sending; the rest later with: {self._sync_command}",
        )

    @property
    def _sync_command(self) -> str:
        assert self._directory is not None
        return f"automl sync {self._directory.parent}"

    def _later(self, call: Callable[[], object]) -> None:
        def with_room() -> None:
            self._require_room()
            call()

        super()._later(with_room)

    # -- what happens in W&B, on the thread of its own -----------------------------------------------------

    def _require_room(self) -> None:
        """Raises OSError before the disk is full: W&B's service breaks of that, and its log fills the terminal.

        What is open is ended before, for which there is room, so that it can be sent.
        """
        assert self._directory is not None
        if shutil.disk_usage(self._directory).free < LEAST_FREE_BYTES:
            self._close("the disk is full")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._directory))

    def _init_benchmark(self, info: RunInfo) -> Any:
        tags = [info.task, self._dataset, info.name]
        self._runs[""] = self._init("", info.name, "benchmark", tags, benchmark_config(info))
        return self._runs[""]

    def _start_benchmark(self, info: RunInfo) -> None:
        run = self._init_benchmark(info)
        self._artifact(lambda: run.log_artifact(wandb_board.dataset_artifact(info)))

    @property
    def _dataset(self) -> str:
        assert self._info is not None
        return str(self._info.data.get("name") or self._info.name)

    def _open(self, spec: TrialSpec) -> Any:
        """The W&B run of a training; opened once, also where the training is retried or resumed."""
        if spec.id not in self._runs:
            run = self._reopen(spec)
            run.define_metric(STEP, hidden=True)
            run.define_metric("*", step_metric=STEP)
            self._runs[spec.id] = run
        return self._runs[spec.id]

    def _reopen(self, spec: TrialSpec, **settings: Any) -> Any:
        assert self._info is not None
        info, contender = self._info, spec.contender
        tags = [spec.task, self._dataset, info.name, contender.name, contender.adaptation]
        run = self._init(spec.id, readable_name(spec), job_type(spec), tags, training_config(spec, info), settings)
        # W&B's own use_artifact refuses to work offline; this is what it does online
        uses = {"is_user_created": True, "use_after_commit": True}
        self._artifact(lambda: run._log_artifact(wandb_board.dataset_artifact(info), **uses))
        return run

    def _write(self, spec: TrialSpec, points: Mapping[int, Mapping[str, float]]) -> None:
        run = self._open(spec)
        for samples, values in points.items():
            # W&B's own step is the samples too: a resumed run goes on where it was, and passes over what it has
            run.log(dict(values), step=samples)

    def _end(self, spec: TrialSpec, result: TrialResult) -> None:
        assert self._info is not None
        for row in result.curve:
            self._log(spec, [row])
        run = self._open(spec)
        reason = ending(result, self._share_examples)
        run.summary.update(
            {"status": result.status, "reason": reason, **summary(spec, result, self._info.higher_is_better)}
        )
        run.notes = reason
        run.tags = (*run.tags, result.status)
        self._finish(run, 0 if result.status in ("completed", "pruned") else 1)
        del self._runs[spec.id]
        self._seen.pop(spec.id, None)

    def _publish(self, board: Mapping[str, Any], files: Mapping[str, Path], insights: Insights) -> None:
        run = self._runs[""]
        if self._mode == "offline" and not run.offline:
            # it began online, and would wait for the server at every table: it goes on in a file
            assert self._info is not None
            self._finish(run, 0)
            run = self._init_benchmark(self._info)
        run.log(wandb_board.charts(board, insights))
        run.summary.update(wandb_board.board_summary(board))
        run.notes = str(board.get("verdict") or "")
        report = files.get("report")
        if report is not None and report.exists():
            if may_leave(report, self._share_examples):
                run.log({"report": wandb_board.page(report)})
            else:
                self._calls.say("W&B: report.html stays here: it quotes data rows; --share-examples sends it")
        for model in reversed(insights.models):  # where ranks are tied, the board's first row keeps the alias
            self._send_model(model, best=model is insights.models[0])

    def _send_model(self, model: ShippedModel, best: bool) -> None:
        """Log a shipped model from the run of the final that trained it, so that its lineage is right."""
        assert self._info is not None
        aliases = [*(["best"] if best else []), f"rank-{model.rank}", model.final.contender.slug]
        artifact = wandb_board.model_artifact(self._info, model)
        run = self._reopen(model.final, finish_timeout=SECONDS_TO_SEND_A_MODEL)
        run.tags = tuple(dict.fromkeys((*run.tags, "completed")))  # W&B keeps the tags that it was told last
        self._artifact(lambda: run.log_artifact(artifact, aliases=aliases))
        self._finish(run, 0)

    def _close(self, status: str) -> None:
        benchmark = self._runs.pop("", None)
        for run in self._runs.values():
            run.summary.update({"status": "interrupted", "reason": f"the benchmark ended: {status}"})
            self._finish(run, 1)
        self._runs.clear()
        if benchmark is not None:
            benchmark.summary.update({"status": status})
            self._finish(benchmark, 0 if status == "done" else 1)

    def _init(
        self,
        id: str,
        name: str,
        job_type: str,
        tags: list[str],
        config: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
    ) -> Any:
        whole_id = self._ids.setdefault(id, run_id(self._token, id))
        more = dict(settings or {})
        try:
            return self._init_in(self._mode, whole_id, name, job_type, tags, config, more)
        except Exception as error:  # a wrong key, no network, a refused project: each has its own type
            if self._mode != "online":
                raise
            self._go_offline(f"cannot be reached ({one_line(error)})")
        # W&B's service holds the id of the run that could not begin. Without other runs it can be ended, and
        # the id is free; else the run takes an id of its own, which is as good: no server knows the first.
        if self._runs:
            whole_id = self._ids[id] = run_id(self._token, f"{id}-offline")
        else:
            import wandb

            wandb.teardown()
        return self._init_in("offline", whole_id, name, job_type, tags, config, more)

    def _init_in(
        self,
        mode: Mode,
        id: str,
        name: str,
        job_type: str,
        tags: list[str],
        config: Mapping[str, Any],
        more: Mapping[str, Any],
    ) -> Any:
        import wandb

        assert self._info is not None
        assert self._directory is not None
        wandb.setup(settings=wandb.Settings(silent=True))  # else its retries are told over the live view
        # W&B names folders by the second: a run that goes on at once must not write into its first half
        wanted = {**_SETTINGS, **more, "x_sync_dir_suffix": secrets.token_hex(2)}
        known = {key: value for key, value in wanted.items() if key in wandb.Settings.model_fields}
        extra = [tag for tag in os.environ.get("WANDB_TAGS", "").split(",") if tag]
        return wandb.init(
            project=self._project,
            entity=self._entity,
            dir=str(self._directory.parent),
            id=id,
            name=_within(name, _LONGEST_NAME),
            group=_within(self._info.name, _LONGEST_NAME),
            job_type=job_type,
            tags=[_within(tag, _LONGEST_TAG) for tag in dict.fromkeys([*tags, *extra])],
            config=dict(config),
            mode=mode,
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(**known),
        )

    def _artifact(self, log: Callable[[], Any]) -> None:
        """Log an artifact. W&B asks the server about it first and waits: one that does not answer is asked once."""
        try:
            log()
        except Exception as error:
            if self._mode == "online":
                self._go_offline(f"does not take artifacts ({one_line(error)})")
            else:
                self._calls.say(f"W&B: an artifact was not logged ({one_line(error)})")

    def _finish(self, run: Any, exit_code: int) -> None:
        """End a run. What was not sent within its patience stays in its file, which the run's end makes whole."""
        try:
            run.finish(exit_code=exit_code)
        except TimeoutError:
            self._go_offline("does not take what it is sent")
            return
        if run.offline:
            return
        if is_whole(run.settings):
            mark_sent(run.settings)
        elif reason := stopped_sending(run.settings):
            self._go_offline(f"refuses what it is sent ({reason})")

    def _go_offline(self, reason: str) -> None:
        if self._mode == "online":
            self._mode = "offline"
            self._calls.say(f"W&B {reason}; offline now, later: {self._sync_command}")


def choose_mode(asked: Mode | None) -> tuple[Mode, str]:
    """The mode to use, and a line for the user where it is not the one that was to be expected.

    WANDB_MODE is obeyed; online without a key would ask on the terminal, so it becomes offline.
    """
    environment = os.environ.get("WANDB_MODE", "").lower()
    named: dict[str, Mode] = {"online": "online", "run": "online", "offline": "offline", "dryrun": "offline"}
    mode: Mode = asked or ("disabled" if environment == "disabled" else named.get(environment, "online"))
    if mode == "online" and not has_key():
        return "offline", (
            "W&B has no key: logging offline; after `wandb login`, `automl sync RUN` sends it "
            "(--wandb-mode offline says nothing)"
        )
    return mode, ""


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


def _within(name: str, most: int) -> str:
    """A name as long as W&B takes it: one that is longer loses its middle, for its end tells it from others."""
    if len(name) <= most:
        return name
    kept = (most - 1) // 2
    return f"{name[:kept]}…{name[-kept:]}"
