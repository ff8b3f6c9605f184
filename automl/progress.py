"""The live view of a run: a moving table in a terminal, one line an event elsewhere; on standard error."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from automl.data.pieces import hush
from automl.leaderboard.folds import CANDIDATES
from automl.leaderboard.store import RunFolder
from automl.leaderboard.whereabouts import read_whereabouts
from automl.terminal import safe, seconds_text
from automl.tracking.base import RunInfo, Tracker
from automl.types import TrialKind, TrialResult, TrialSpec

NARROW = 90
"""Below this many characters the columns that can be read in the report are left out."""
_REFRESHES_PER_SECOND = 4


@dataclass
class Climb:
    """A trial that runs: the rungs at which it is compared, and those of them that it has reached."""

    rungs: tuple[int, ...]
    reached: set[int] = field(default_factory=set)


@dataclass
class AtRung:
    """Trials of a contender at a rung: that reached it, of them those that were stopped there, and still to come."""

    reached: int = 0
    stopped: int = 0
    to_come: int = 0

    def __str__(self) -> str:
        told = [str(self.reached)]
        told += [f"{self.stopped} stopped"] * bool(self.stopped) + [f"{self.to_come} to come"] * bool(self.to_come)
        return ", ".join(told)


@dataclass
class Standing:
    """How far one contender is. Results by trial id, so that one told twice counts once.

    folds: on how many the leaders of its search play off; None where they do not. kinds: of what runs.
    """

    trials_planned: int | None
    finals_planned: int
    seconds_allowed: float | None
    folds: int | None = None
    results: dict[str, TrialResult] = field(default_factory=dict)
    running: dict[str, float] = field(default_factory=dict)
    kinds: dict[str, TrialKind] = field(default_factory=dict)
    climbs: dict[str, Climb] = field(default_factory=dict)

    def at_rungs(self) -> dict[int, AtRung]:
        """By rung, in samples, where a trial has been or will be compared."""
        found: defaultdict[int, AtRung] = defaultdict(AtRung)
        for result in self.results.values():
            if result.kind == "trial":
                rungs = [row["rung"] for row in result.curve if row.get("rung") is not None]
                for rung in rungs:
                    found[rung].reached += 1
                if rungs and result.status == "pruned" and result.curve[-1].get("rung") is not None:
                    found[rungs[-1]].stopped += 1
        for climb in self.climbs.values():
            for rung in climb.rungs:
                found[rung].reached += rung in climb.reached
                found[rung].to_come += rung not in climb.reached
        return dict(sorted(found.items()))

    def count(self, *statuses: str) -> int:
        return sum(result.kind == "trial" and result.status in statuses for result in self.results.values())

    @property
    def trials_ended(self) -> int:
        return sum(result.kind == "trial" for result in self.results.values())

    @property
    def finals_ended(self) -> int:
        return sum(result.kind in ("final", "default") for result in self.results.values())

    @property
    def playoffs_ended(self) -> int:
        return sum(result.kind == "playoff" for result in self.results.values())

    @property
    def playoffs_planned(self) -> int | None:
        """Trainings of the play-off, if nothing fails or is cut; None while no number of trials is known."""
        if self.folds is None:
            return 0
        if self.trials_planned is None:
            return None
        whole = self.trials_planned - self.trials_ended + self.count("completed")
        leading = min(CANDIDATES, max(0, whole))
        return leading * (self.folds - 1) if leading > 1 else 0

    @property
    def search_is_over(self) -> bool:
        """Whether its finals have begun: where time was short, fewer trials than planned came before them."""
        return self.finals_ended > 0 or any(kind in ("final", "default") for kind in self.kinds.values())

    @property
    def spent(self) -> float:
        """Device-seconds of ended trainings, and of running ones as far as they have reported."""
        ended = sum(result.cost.device_seconds for result in self.results.values())
        return ended + sum(self.running.values())

    def best(self, higher_is_better: bool) -> float | None:
        """The best validation value of the search so far, pruned trials left out as at the end."""
        values = [
            result.validation
            for result in self.results.values()
            if result.kind == "trial" and result.status == "completed" and result.validation is not None
        ]
        if not values:
            return None
        return max(values) if higher_is_better else min(values)

    def seconds_left(self) -> float | None:
        """Device-seconds that are still to be spent, as far as the ended trainings tell; None before."""
        if self.seconds_allowed is not None:
            return max(0.0, self.seconds_allowed - self.spent)
        search = [r.cost.device_seconds for r in self.results.values() if r.kind == "trial"]
        whole = [r.cost.device_seconds for r in self.results.values() if r.status == "completed"]
        if not search or not whole:
            return None
        left, each_whole = 0.0, sum(whole) / len(whole)
        if not self.search_is_over:
            left += max(0, (self.trials_planned or 0) - len(search)) * sum(search) / len(search)
            left += max(0, (self.playoffs_planned or 0) - self.playoffs_ended) * each_whole
        left += max(0, self.finals_planned - self.finals_ended) * each_whole
        return max(0.0, left - sum(self.running.values()))


class LiveView(Tracker):
    """Shows a run while it goes on.

    console: where to; standard error by default, so that `--json` has standard output for itself.
    clock: seconds that only grow.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._began = clock()
        self._phase = ""
        self._info: RunInfo | None = None
        self._standings: dict[str, Standing] = {}
        self._before: Mapping[str, tuple[int, ...]] = {}
        self._spent_at_start, self._started_at = 0.0, self._began
        self._live: Live | None = None
        self._lock = threading.RLock()  # the table is drawn by a thread of its own

    @classmethod
    def of_records(cls, info: RunInfo, console: Console, elapsed: float, phase: str) -> Self:
        """The view of a run whose folder is read: nothing is printed, and its clock stands at `elapsed`."""
        view = cls(console, lambda: elapsed)
        view._began = view._started_at = 0.0
        view._phase = phase
        view._take(info)
        view._spent_at_start = 0.0
        return view

    # -- events -------------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        self._line(text)

    def phase(self, name: str) -> None:
        with self._lock:
            self._phase = name
        if self._live is None and name != "prepare":  # a request that is refused shows its reason alone
            self._line(name, style="bold")

    def start(self, info: RunInfo) -> None:
        budget = info.budget
        with self._lock:
            self._started_at = self._clock()
            self._take(info)
            self._spent_at_start = self._spent()
        each = f"{budget.trials} trials" if budget.trials else f"{seconds_text(budget.device_seconds)} of device time"
        folds = f", the leaders of each on {info.folds} folds" if info.folds else ""
        self._line(f"{len(info.contenders)} contenders, {each} each{folds}, {len(info.seeds)} seeds in the finals")
        hush()  # the table tells of the run now; work on rows would write over it
        if self._console.is_terminal:
            self._live = Live(
                console=self._console,
                get_renderable=self.table,
                refresh_per_second=_REFRESHES_PER_SECOND,
                vertical_overflow="crop",
            )
            self._live.start()

    def _take(self, info: RunInfo) -> None:
        """A standing for every contender, with what its run folder holds already."""
        self._info = info
        for contender in info.contenders:
            self._standings[contender.name] = Standing(
                trials_planned=info.budget.trials,
                finals_planned=2 * len(info.seeds),  # the winner's and the untuned recipe's
                seconds_allowed=info.budget.device_seconds,
                folds=info.folds,
            )
        folder = RunFolder(info.run_directory)
        self._before = read_whereabouts(folder).reached
        for result in folder.trials():  # a resumed run has some already
            if result.contender in self._standings:
                self._standings[result.contender].results[result.id] = result

    def trial_started(self, spec: TrialSpec) -> None:
        with self._lock:
            if standing := self._standings.get(spec.contender.name):
                standing.running[spec.id], standing.kinds[spec.id] = 0.0, spec.kind
                self._climb(standing, spec)

    def trial_reported(self, spec: TrialSpec, row: Mapping[str, Any]) -> None:
        with self._lock:
            if standing := self._standings.get(spec.contender.name):
                standing.running[spec.id] = float(row.get("device_seconds") or 0.0)
                if row.get("rung") is not None:
                    self._climb(standing, spec).reached.add(row["rung"])

    def _climb(self, standing: Standing, spec: TrialSpec) -> Climb:
        """What is known of a training's rungs, and of a trial that goes on after a crash what it had reached."""
        if spec.kind != "trial":
            return Climb(())  # finals are compared at no rung
        return standing.climbs.setdefault(spec.id, Climb(spec.rungs, set(self._before.get(spec.id, ()))))

    def trial_ended(self, spec: TrialSpec, result: TrialResult) -> None:
        with self._lock:
            if standing := self._standings.get(result.contender):
                standing.running.pop(result.id, None)
                standing.kinds.pop(result.id, None)
                standing.climbs.pop(result.id, None)
                standing.results[result.id] = result
        failed = result.status in ("failed", "out_of_memory")
        if self._live is None or failed:  # in a terminal the table tells the rest
            self._line(self.sentence(result), style="red" if failed else "")

    def close(self, status: str) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        if status != "done":
            self._line(status, style="bold")

    # -- what is shown ------------------------------------------------------------------------------------

    def _line(self, text: str, style: str = "") -> None:
        elapsed = f"[{seconds_text(self._clock() - self._began)}] "
        # Not wrapped when it goes to a file: one event is one line there.
        line = Text(elapsed + safe(text), style=style)
        self._console.print(line, soft_wrap=not self._console.is_terminal)

    def sentence(self, result: TrialResult) -> str:
        names = {"trial": f"trial {result.number}", "final": "final", "default": "untuned final"}
        names["playoff"] = f"play-off of trial {result.number} on fold {result.fold}"
        what = names.get(result.kind, result.kind)
        seed = f", seed {result.seed}" if result.kind in ("final", "default") else ""
        value = f", validation {self._metric} {result.validation:.4f}" if result.validation is not None else ""
        status = result.status.replace("_", " ")
        reason = f": {result.error.strip().splitlines()[-1]}" if result.error and result.error.strip() else ""
        seconds = seconds_text(result.cost.device_seconds)
        return f"{result.contender} {what}{seed} {status}{value}, {seconds}{reason}"

    @property
    def _metric(self) -> str:
        return self._info.metric if self._info else "metric"

    @property
    def _phase_told(self) -> str:
        """The phase; the last part of the search, in which no trial runs and leaders play off, by its own name."""
        standings = self._standings.values()
        running = [kind for standing in standings for kind in standing.kinds.values()]
        played = "playoff" in running or any(standing.playoffs_ended for standing in standings)
        return "play-off" if self._phase == "search" and played and "trial" not in running else self._phase

    def _spent(self) -> float:
        return sum(standing.spent for standing in self._standings.values())

    def seconds_left(self) -> float | None:
        """Wall seconds until the finals are done, at the pace so far; None before there is a pace."""
        if self._info is None:
            return None
        lefts = [standing.seconds_left() for standing in self._standings.values()]
        known = [left for left in lefts if left is not None]
        elapsed, spent = self._clock() - self._started_at, self._spent() - self._spent_at_start
        if not known or elapsed <= 0 or spent <= 0:
            return None
        # A contender that has not ended a trial yet is taken to be like the mean of the others.
        left = sum(known) / len(known) * len(lefts) / (spent / elapsed)
        limit = self._info.time_limit_seconds
        return left if limit is None else min(left, max(0.0, limit - (self._clock() - self._began)))

    def table(self) -> RenderableType:
        with self._lock:
            wide = self._console.width >= NARROW
            played = ("play-off",) if self._info and self._info.folds else ()
            table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
            table.add_column("contender", overflow="ellipsis", no_wrap=True)
            for title in ("trials", "pruned", "failed") if wide else ("trials",):
                table.add_column(title, justify="right", no_wrap=True)
            table.add_column(Text(f"best {self._metric}" if wide else "best"), justify="right", no_wrap=True)
            for title in (*played, "finals", "spent", "running") if wide else ("spent",):
                table.add_column(title, justify="right", no_wrap=True)
            for name, standing in self._standings.items():
                table.add_row(*(Text(cell) for cell in self._cells(name, standing, wide)))
            left = self.seconds_left()
            head = f"{self._phase_told}  {seconds_text(self._clock() - self._began)}"
            if left is not None and self._phase in ("search", "finals"):
                head += f", about {seconds_text(left)} left"
            return Group(Text(head, style="bold"), table, *(self._rungs() if wide else []))

    def _rungs(self) -> list[RenderableType]:
        """How the trials of each contender stand at the rungs; nothing where there is no trial."""
        found = {name: standing.at_rungs() for name, standing in self._standings.items()}
        rungs = sorted({rung for of_contender in found.values() for rung in of_contender})
        if not rungs:
            return []
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("trials at the rungs", overflow="ellipsis", no_wrap=True)
        for rung in rungs:
            table.add_column(f"{rung:,} samples", no_wrap=True)
        for name, of_contender in found.items():
            table.add_row(Text(safe(name)), *(Text(str(of_contender.get(rung, ""))) for rung in rungs))
        return ["", table]

    def _cells(self, name: str, standing: Standing, wide: bool) -> list[str]:
        higher = self._info.higher_is_better if self._info else True
        best = standing.best(higher)
        trials = _of(standing.trials_ended, standing.trials_planned)
        spent = seconds_text(standing.spent)
        if standing.seconds_allowed is not None:
            spent += f" of {seconds_text(standing.seconds_allowed)}"
        value = "" if best is None else f"{best:.4f}"
        if not wide:
            return [safe(name), trials, value, spent]
        # Without their planned number: it is half where the untuned recipe wins.
        finals = str(standing.finals_ended or "")
        pruned, failed = standing.count("pruned"), standing.count("failed", "out_of_memory")
        running = str(len(standing.running) or "")
        played = [_of(standing.playoffs_ended, standing.playoffs_planned)] if standing.folds else []
        return [safe(name), trials, str(pruned or ""), str(failed or ""), value, *played, finals, spent, running]


def _of(ended: int, planned: int | None) -> str:
    return str(ended) if planned is None else f"{ended}/{planned}"
