"""What runs next, for every contender alike: trials, then the finals of its winner.

Pure decisions without Ray or a clock of its own, so that a test can run hours of search in milliseconds. It is
rebuilt from the run folder after a crash: ended trainings are told again, started ones go first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from automl.leaderboard.store import RunFolder
from automl.metrics import get_metric
from automl.search.finals import Winner, choose_winner, final_specs
from automl.search.ledger import Ledger
from automl.search.rungs import Rungs, rungs_of
from automl.search.space import SearchSpace
from automl.search.study import ContenderStudy, SamplerName, open_journal
from automl.types import Budget, Contender, TrialResult, TrialSpec


@dataclass
class Entry:
    """One contender's place in the contest."""

    contender: Contender
    study: ContenderStudy
    rungs: Rungs
    template: TrialSpec
    default_recipe: dict[str, Any]
    started: int = 0
    running: dict[str, TrialSpec] = field(default_factory=dict)
    trials: list[TrialResult] = field(default_factory=list)
    finals: deque[TrialSpec] = field(default_factory=deque)
    finals_done: list[TrialResult] = field(default_factory=list)
    searching: bool = True
    winner: Winner | None = None
    cut_by_time: bool = False


class Agenda:
    """Hands out specs, takes reports and results. Every method is called from the driver's one thread.

    seconds_left: seconds until the run's time limit, None without one.
    """

    def __init__(
        self,
        folder: RunFolder,
        contest: dict[str, Any],
        templates: Sequence[TrialSpec],
        ledger: Ledger,
        sampler: SamplerName,
        seconds_left: Callable[[], float | None] = lambda: None,
    ) -> None:
        """templates: one spec a contender, with everything but id, recipe and number filled in."""
        self._folder, self._ledger, self._seconds_left = folder, ledger, seconds_left
        self._metric = get_metric(contest["metric"])
        self._budget = Budget.from_json(contest["budget"])
        self._seeds: list[int] = contest["seeds"]
        self._limit: float | None = contest.get("time_limit_seconds")
        self._retry: deque[TrialSpec] = deque()
        self._winners = folder.read_winners()
        journal = open_journal(folder.studies)
        self.entries: dict[str, Entry] = {}
        for template in templates:
            name = template.contender.name
            space = SearchSpace.from_json(contest["spaces"][name])
            higher = self._metric.higher_is_better
            self.entries[name] = Entry(
                contender=template.contender,
                study=ContenderStudy(name, space, higher, template.seed, sampler, journal),
                rungs=Rungs(template.rungs, higher, protected=len(space.first_trials)),
                template=template,
                default_recipe=space.complete(space.first_trials[0]),
            )

    # -- after a crash -----------------------------------------------------------------------------------

    def recall(self, started: Iterable[TrialSpec], ended: Iterable[TrialResult]) -> None:
        """Take up what an interrupted run had done. Started trainings that never ended will run first."""
        results = {result.id: result for result in ended}
        for spec in started:
            entry = self.entries[spec.contender.name]
            if spec.kind == "trial":
                entry.started = max(entry.started, spec.number + 1)
                entry.study.adopt(spec.number, spec.recipe)
            result = results.get(spec.id)
            if result is None:
                self._retry.append(spec)
                continue
            entry.running[spec.id] = spec
            if spec.kind == "trial":
                for row in result.curve:
                    if row.get("rung") is not None:
                        entry.rungs.record(spec.number, row["rung"], row[self._metric.name])
                        entry.study.report(spec.number, row["rung"], row[self._metric.name])
            self._take(entry, result)
        for entry in self.entries.values():
            self._close_search(entry)

    # -- what runs next ------------------------------------------------------------------------------------

    def next(self) -> TrialSpec | None:
        """The next training, or None when nothing can start now (see `finished`)."""
        if self._retry:
            spec = self._retry.popleft()
            self.entries[spec.contender.name].running[spec.id] = spec
            return spec
        for entry in sorted(self.entries.values(), key=self._turn):
            self._close_search(entry)
            found = self._next_trial(entry) if entry.searching else self._next_final(entry)
            if found is not None:
                entry.running[found.id] = found
                return found
        return None

    @property
    def searching(self) -> bool:
        """Whether some contender's winner is not fixed yet."""
        return any(entry.searching for entry in self.entries.values())

    @property
    def finished(self) -> bool:
        """Whether nothing runs and nothing is left to run."""
        return not self._retry and all(
            not entry.running and not entry.searching and not entry.finals for entry in self.entries.values()
        )

    def _turn(self, entry: Entry) -> float:
        """Who has had least goes first, so that all meet the same load on the machine."""
        if self._budget.device_seconds is None:
            return entry.started + len(entry.finals_done) + sum(s.kind != "trial" for s in entry.running.values())
        return self._ledger.spent(entry.contender.name)

    def _may_search(self, entry: Entry) -> bool:
        if entry.contender.name in self._winners:
            return False
        if self._out_of_time(1 - self._budget.search_share):
            entry.cut_by_time = True
            return False
        if self._budget.trials is not None:
            return entry.started < self._budget.trials
        left = self._ledger.left_for_search(entry.contender.name)
        running = sum(spec.kind == "trial" for spec in entry.running.values())
        return left is not None and left - running * self._typical_seconds(entry) > 0

    def _next_trial(self, entry: Entry) -> TrialSpec | None:
        if not self._may_search(entry):
            return None
        number = entry.started
        entry.started += 1
        recipe = entry.study.ask(number)
        values = entry.template.to_json() | {
            "id": f"{entry.contender.slug}-{number:03d}",
            "recipe": recipe,
            "rungs": rungs_of(recipe, entry.template.rungs),
            "number": number,
        }
        return TrialSpec.from_json(values)

    def _next_final(self, entry: Entry) -> TrialSpec | None:
        if not entry.finals:
            return None
        begun = len(entry.finals_done) + len(entry.running)
        left = self._ledger.left_for_finals(entry.contender.name)
        cost = self._typical_seconds(entry)
        over_budget = left is not None and left - cost * (1 + len(entry.running)) < 0
        if begun and (over_budget or self._out_of_time(0.05, cost)):
            entry.finals.clear()  # one final a contender always runs: there is a board and a model at the limit
            return None
        return entry.finals.popleft()

    def _typical_seconds(self, entry: Entry) -> float:
        """Device-seconds of one whole training of this contender, from what was seen so far."""
        seen = [r.cost.device_seconds for r in [*entry.trials, *entry.finals_done] if r.status == "completed"]
        return sum(seen) / len(seen) if seen else 0.0

    def _out_of_time(self, reserved_share: float, needed_seconds: float = 0.0) -> bool:
        left = self._seconds_left()
        if left is None or self._limit is None:
            return False
        return left - needed_seconds < self._limit * reserved_share

    def _close_search(self, entry: Entry) -> None:
        """Fix the winner once the contender's search is over."""
        name = entry.contender.name
        waiting = [spec for spec in self._retry if spec.contender.name == name]
        searching = any(spec.kind == "trial" for spec in [*entry.running.values(), *waiting])
        if not entry.searching or searching or self._may_search(entry):
            return
        entry.searching = False
        entry.winner = choose_winner(entry.trials, entry.default_recipe, self._metric, entry.cut_by_time)
        if entry.winner is None:
            reasons = [t.error for t in entry.trials if t.error]
            self._winners[name] = {
                "trial": None, "recipe": None, "search_validation": None,
                "default_recipe": entry.default_recipe, "reason": reasons[-1] if reasons else "no trial ended",
            }  # fmt: skip
        else:
            self._winners[name] = entry.winner.to_json()
            begun = {r.id for r in entry.finals_done} | {s.id for s in waiting} | set(entry.running)
            finals = final_specs(entry.winner, self._seeds, entry.template)
            entry.finals = deque(spec for spec in finals if spec.id not in begun)
        self._folder.write_winners(self._winners)

    # -- what came of it -----------------------------------------------------------------------------------

    def goes_on(self, spec: TrialSpec, rung: int | None, value: float, error: float) -> bool:
        """Whether a training continues after an evaluation."""
        if spec.kind != "trial":
            return True
        entry = self.entries[spec.contender.name]
        if rung is not None:
            entry.study.report(spec.number, rung, value)
            if not entry.rungs.goes_on(spec.number, rung, value, error):
                return False
        if self._out_of_time(1 - self._budget.search_share):
            entry.cut_by_time = True
            return False
        return True

    def end(self, result: TrialResult) -> None:
        """Record how a training ended: trials.jsonl, ledger, study."""
        entry = self.entries[result.contender]
        self._folder.append_trial(result)
        self._ledger.charge(result)
        self._take(entry, result)
        self._close_search(entry)

    def _take(self, entry: Entry, result: TrialResult) -> None:
        entry.running.pop(result.id, None)
        if result.kind == "trial":
            entry.trials.append(result)
            entry.study.tell(result, entry.template.rungs)
        else:
            entry.finals_done.append(result)
