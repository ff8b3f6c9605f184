"""What runs next, for every contender alike: trials, then the finals of its winner.

Pure decisions without Ray or a clock of its own, so that a test can run hours of search in milliseconds. It is
rebuilt from the run folder after a crash: ended trainings are told again, started ones go first.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from automl.leaderboard.folds import candidates, final_fold, folds_of
from automl.leaderboard.store import RunFolder
from automl.metrics import get_metric
from automl.search.edges import edges
from automl.search.entry import Entry
from automl.search.finals import Round, choose_winner, final_specs, round_of, rounds
from automl.search.ledger import Ledger
from automl.search.pace import Pace
from automl.search.playoff import SHARE as PLAYOFF_SHARE
from automl.search.playoff import playoff_specs
from automl.search.rungs import Foresight, Rungs, rungs_of
from automl.search.space import SearchSpace
from automl.search.study import ContenderStudy, SamplerName, open_journal
from automl.types import Budget, TrialResult, TrialSpec

REPORT_SHARE = 0.05
"""This share of a time limit is kept for scoring, measuring and writing the board."""


class Agenda:
    """Hands out specs, takes reports and results. Every method is called from the driver's one thread.

    seconds_left: seconds until the run's time limit, None without one. note: told what people should know.
    slots: how many trainings run at a time, for what still fits into the time.
    """

    def __init__(
        self,
        folder: RunFolder,
        contest: dict[str, Any],
        templates: Sequence[TrialSpec],
        ledger: Ledger,
        sampler: SamplerName,
        seconds_left: Callable[[], float | None] = lambda: None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """templates: one spec a contender, with everything but id, recipe and number filled in."""
        self._folder, self._ledger, self._seconds_left, self._note = folder, ledger, seconds_left, note
        self._metric = get_metric(contest["metric"])
        self._budget = Budget.from_json(contest["budget"])
        self._folds = folds_of(contest)
        self._contest, self._seeds = contest, list(contest["seeds"])
        self._rounds = rounds(self._seeds)
        self._opened: set[Round] = set(self._rounds[:1])
        self._limit: float | None = contest.get("time_limit_seconds")
        self._retry: deque[TrialSpec] = deque()
        self._winners = folder.read_winners()
        self.slots = 1
        journal = open_journal(folder.studies)
        self.entries: dict[str, Entry] = {}
        for template in templates:
            name = template.contender.name
            space = SearchSpace.from_json(contest["spaces"][name])
            higher = self._metric.higher_is_better
            self.entries[name] = Entry(
                contender=template.contender,
                space=space,
                study=ContenderStudy(name, space, higher, template.seed, sampler, journal),
                rungs=Rungs(template.rungs, higher, protected=len(space.first_trials)),
                pace=Pace(template.horizon_samples),
                template=template,
                default_recipe=space.complete(space.first_trials[0]),
            )

    def expect(self, whole_seconds: Mapping[str, float], workers: int = 1) -> None:
        """What a whole training of each contender is foretold to cost in device-seconds, 0 where that is not known.

        So time for the finals is kept back, and no more trials start than a share can pay, before any has reported.
        """
        for name, seconds in whole_seconds.items():
            self.entries[name].pace.expect(seconds, workers)

    # -- after a crash -----------------------------------------------------------------------------------

    def recall(self, started: Iterable[TrialSpec], ended: Iterable[TrialResult]) -> None:
        """Take up what an interrupted run had done. Started trainings that never ended will run first."""
        results = {result.id: result for result in ended}
        for spec in started:
            entry = self.entries[spec.contender.name]
            if spec.kind == "trial":
                entry.started = max(entry.started, spec.number + 1)
                entry.study.adopt(spec.number, spec.recipe)
            elif spec.kind != "playoff":
                self._opened.add(round_of(spec))
            if spec.id in results:
                entry.running[spec.id] = spec
            else:
                self._retry.append(_placed_like(entry.template, spec))
        for result in results.values():  # as they ended: what a rung has learnt depends on the order
            entry = self.entries[result.contender]
            if result.kind == "trial":
                for row in result.curve:
                    self._record(entry, result.number, row)
            self._take(entry, result)
        for entry in self.entries.values():
            self._close_search(entry)

    def catch_up(self, spec: TrialSpec, row: Mapping[str, Any]) -> None:
        """Take up an evaluation of a running training that only an interrupted driver was told."""
        if spec.kind == "trial":
            self._record(self.entries[spec.contender.name], spec.number, row)

    def _record(self, entry: Entry, number: int, row: Mapping[str, Any]) -> None:
        """Enter a row of a trial's curve on which no decision hangs any more."""
        if row.get("rung") is not None:
            entry.rungs.record(number, row["rung"], row[self._metric.name])
            entry.study.report(number, row["rung"], row[self._metric.name])

    # -- what runs next ------------------------------------------------------------------------------------

    def next(self) -> TrialSpec | None:
        """The next training, or None when nothing can start now (see `finished`)."""
        if self._retry:
            spec = self._retry.popleft()
            self.entries[spec.contender.name].running[spec.id] = spec
            return spec
        while True:
            searching = self.searching
            for entry in sorted(self.entries.values(), key=self._turn):
                found = self._next_trial(entry) if entry.searching else None
                if found is None and entry.searching:
                    found = next(iter(self._playoff(entry)), None)
                if found is None:
                    self._close_search(entry)
                    found = None if entry.searching else self._next_final(entry)
                if found is not None:
                    entry.running[found.id] = found
                    return found
            if self.searching == searching:
                return None  # where the last search has just closed, finals that waited for it may start

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

    def _turn(self, entry: Entry) -> tuple[float, int]:
        """Who has had least goes first, running trainings counted, so that all meet the same load on the machine."""
        if self._budget.device_seconds is None:
            ended = len(entry.playoffs) + len(entry.finals_done)
            had = entry.started + ended + sum(s.kind != "trial" for s in entry.running.values())
            return had, len(entry.running)
        return self._ledger.spent(entry.contender.name) + self._committed(entry), len(entry.running)

    def _committed(self, entry: Entry) -> float:
        """Device-seconds that running trainings have spent, and those that they will need."""
        return entry.pace.running_seconds + sum(map(entry.pace.still_needed, entry.running))

    # -- trials --------------------------------------------------------------------------------------------

    def _may_search(self, entry: Entry) -> bool:
        name = entry.contender.name
        if name in self._winners or entry.exhausted:
            return False
        if self._budget.trials is not None and entry.started >= self._budget.trials:
            return False
        if self._search_seconds_left(self._kept_for_playoff(entry)) < 0:
            entry.cut_by = "the time"
            return False
        if self._budget.trials is not None:
            return True
        left = self._left_for_trials(entry)
        assert left is not None
        # A trial that the share cannot pay to its end could not win: what is left helps the finals more. The first
        # one starts in any case: that it cannot be paid is only foretold.
        free = left - self._committed(entry)
        return free > 0 and (entry.started == 0 or free >= entry.pace.whole_seconds)

    def _next_trial(self, entry: Entry) -> TrialSpec | None:
        if not self._may_search(entry):
            return None
        number = entry.started
        recipe = entry.study.ask(number)
        if recipe is None:
            entry.exhausted = True
            return None
        entry.started += 1
        values = entry.template.to_json() | {
            "id": f"{entry.contender.slug}-{number:03d}",
            "recipe": recipe,
            "rungs": rungs_of(recipe, entry.template.rungs),
            "number": number,
        }
        return TrialSpec.from_json(values)

    def _kept_for_playoff(self, entry: Entry) -> float:
        """The share of a budget or limit that trials leave to the play-off, once two recipes could play it."""
        several = sum(trial.status == "completed" for trial in entry.trials) > 1
        return PLAYOFF_SHARE * self._budget.search_share if several and self._folds is not None else 0.0

    def _left_for_trials(self, entry: Entry) -> float | None:
        """Device-seconds that a contender's trials may still use; None where the budget is in trials."""
        left = self._ledger.left_for_search(entry.contender.name)
        return left if left is None else left - self._kept_for_playoff(entry) * (self._budget.device_seconds or 0.0)

    def _search_seconds_left(self, kept_for_playoff: float = 0.0) -> float:
        """Wall seconds before the time belongs to the finals: their share of the limit, or what one of each needs."""
        left = self._seconds_left()
        if left is None or self._limit is None:
            return math.inf
        kept = 1 - self._budget.search_share + kept_for_playoff
        one_each = self._wall_seconds(list(self.entries.values()))
        return left - max(self._limit * kept, one_each + self._limit * REPORT_SHARE)

    def _wall_seconds(self, trainings: Sequence[Entry]) -> float:
        """Wall seconds until one whole training of each has run on the slots."""
        longest = max((entry.pace.longest_wall_seconds for entry in trainings), default=0.0)
        return math.ceil(len(trainings) / self.slots) * longest

    # -- the play-off --------------------------------------------------------------------------------------

    def _playoff(self, entry: Entry) -> list[TrialSpec]:
        """What of the play-off may start now: no trial goes on, and a limit foresees all of a fold or none."""
        name = entry.contender.name
        started = {spec.id for spec in [*entry.running.values(), *self._retry]}
        trials_go_on = self._may_search(entry) or any(spec.kind == "trial" for spec in self._unended(entry))
        if self._folds is None or name in self._winners or trials_go_on:
            return []
        leading = candidates(entry.trials, self._metric.higher_is_better)
        due = playoff_specs(leading, entry.playoffs, entry.template, self._folds)
        waiting = [spec for spec in due if spec.id not in started]
        together = sum(spec.fold == waiting[0].fold for spec in waiting)
        if waiting and together == len({spec.number for spec in due}):  # nothing of this fold has begun
            left = self._ledger.left_for_search(name)
            if left is not None and left < self._committed(entry) + together * entry.pace.whole_seconds:
                return []
            trainings = [one for one in self.entries.values() if one.searching] * together
            trainings += [one for one in self.entries.values() for _ in one.running]
            if self._search_seconds_left() < self._wall_seconds(trainings):
                return []
        return waiting

    def _unended(self, entry: Entry) -> list[TrialSpec]:
        """Trainings of a contender that run, or will again."""
        waiting = [spec for spec in self._retry if spec.contender.name == entry.contender.name]
        return [*entry.running.values(), *waiting]

    def _close_search(self, entry: Entry) -> None:
        """Fix the winner once the contender's search is over."""
        name = entry.contender.name
        searching = any(spec.kind in ("trial", "playoff") for spec in self._unended(entry))
        if not entry.searching or searching or self._may_search(entry) or self._playoff(entry):
            return
        entry.searching = False
        trainings = [*entry.trials, *entry.playoffs]
        entry.winner = choose_winner(trainings, entry.default_recipe, self._metric, entry.cut_by)
        told: dict[str, Any] = {
            "foresight": [one.to_json() for one in entry.rungs.foresights],
            "edges": edges(entry.space, entry.winner.recipe) if entry.winner else [],
        }
        if entry.winner is None:
            reasons = [t.error for t in entry.trials if t.error]
            told |= {
                "trial": None, "recipe": None, "search_validation": None,
                "default_recipe": entry.default_recipe, "reason": reasons[-1] if reasons else "no trial ended",
            }  # fmt: skip
        else:
            told |= entry.winner.to_json()
            begun = {spec.id for spec in self._unended(entry)}
            fold_of = partial(final_fold, self._contest)
            finals = final_specs(entry.winner, self._seeds, entry.template, entry.finals_done, fold_of)
            entry.finals = deque(spec for spec in finals if spec.id not in begun)
        if name not in self._winners:
            self._winners[name] = told
            self._folder.write_winners(self._winners)
            for one in entry.rungs.foresights:
                self._note(f"{name}: {foresight_told(one)}")

    # -- finals --------------------------------------------------------------------------------------------

    def _next_final(self, entry: Entry) -> TrialSpec | None:
        """The contender's next final.

        Where budget or time limit can end the finals, they go in rounds that all train or none does: rows with
        different numbers of finals could not be compared.
        """
        if not entry.finals:
            return None
        limited = self._budget.device_seconds is not None or self._limit is not None
        found = round_of(entry.finals[0])
        if limited and found not in self._opened:
            if self.searching:
                return None  # what the others can pay for is not known yet
            if not self._round_fits(found):
                for other in self.entries.values():
                    other.finals = deque(spec for spec in other.finals if round_of(spec) in self._opened)
                return None
            self._opened.add(found)
        return entry.finals.popleft()

    def _round_fits(self, wanted: Round) -> bool:
        """Whether every contender can pay for the round, and for what it still has to train before it."""
        last = self._rounds.index(wanted)
        trainings: list[Entry] = []
        for entry in self.entries.values():
            due = sum(self._rounds.index(round_of(spec)) <= last for spec in entry.finals)
            left = self._ledger.left_for_finals(entry.contender.name)
            if due and left is not None and left < self._committed(entry) + due * entry.pace.whole_seconds:
                return False
            trainings += [entry] * (due + len(entry.running))
        left = self._seconds_left()
        if left is None or self._limit is None:
            return True
        return self._wall_seconds(trainings) <= left - self._limit * REPORT_SHARE

    # -- what came of it -----------------------------------------------------------------------------------

    def goes_on(self, spec: TrialSpec, row: Mapping[str, Any], rung: int | None, value: float, error: float) -> bool:
        """Whether a training continues after an evaluation, which is one row of its curve."""
        entry = self.entries[spec.contender.name]
        entry.pace.report(spec.id, row)
        if spec.kind != "trial":
            return True
        if rung is not None:
            if math.isfinite(value):
                entry.study.report(spec.number, rung, value)
            if not entry.rungs.goes_on(spec.number, rung, value, error):
                return False
        if row["samples_seen"] >= spec.horizon_samples:
            return True  # it has only to end
        left = self._left_for_trials(entry)
        # The others cannot be stopped before they tell of themselves, and what they spend until then is spent.
        others = sum(entry.pace.until_next(name) for name in entry.running if name != spec.id)
        if left is not None and left - entry.pace.running_seconds - others <= 0:
            entry.cut_by = "its share of the budget"
        elif self._search_seconds_left(self._kept_for_playoff(entry)) < 0:
            entry.cut_by = "the time"
        return entry.cut_by is None

    def end(self, result: TrialResult) -> None:
        """Record how a training ended: trials.jsonl, ledger, study."""
        entry = self.entries[result.contender]
        self._folder.append_trial(result)
        self._ledger.charge(result)
        for one in self._take(entry, result):
            self._note(f"{result.contender}: {foresight_told(one)}")
        self._close_search(entry)

    def _take(self, entry: Entry, result: TrialResult) -> tuple[Foresight, ...]:
        entry.running.pop(result.id, None)
        entry.pace.end(result)
        if result.kind != "trial":
            (entry.playoffs if result.kind == "playoff" else entry.finals_done).append(result)
            return ()
        entry.trials.append(result)
        entry.study.tell(result, entry.template.rungs)
        if result.status != "completed" or result.validation is None:
            return ()
        return entry.rungs.settle(result.number, result.validation)


def _placed_like(template: TrialSpec, spec: TrialSpec) -> TrialSpec:
    """The spec with today's paths: the run may have been moved since it was begun."""
    return replace(
        spec,
        contender=template.contender,
        data_directory=template.data_directory,
        run_directory=template.run_directory,
        away=template.away,
    )


def foresight_told(one: Foresight) -> str:
    """What people read of a rung's foresight."""
    if one.kendall_tau is None:
        return f"{one.trials} whole trials cannot tell how well {one.rung:,} samples foretell the end"
    told = (
        f"order after {one.rung:,} samples and at the end: Kendall tau {one.kendall_tau:.2f} over {one.trials} trials"
    )
    return told if one.stops else f"{told}; that is too little, so no trial is stopped there any more"
