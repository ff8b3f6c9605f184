"""How good is what a search finds for its seconds? Recorded learning curves are replayed: hours of search in minutes.

    python benchmarks/search_quality.py                     # every way to search, one and two slots, 50 repeats
    python benchmarks/search_quality.py --repeats 3 --slots 1

    random        random recipes, each to the end
    grid          a grid in random order, each recipe to the end
    ASHA random   random recipes under Ray's AsyncHyperBandScheduler at its defaults, reports once an epoch
    ASHA TPE      the same with the proposals of Optuna's TPE at its defaults, told what Ray's OptunaSearch tells it
    automl        the agenda, study, rungs and space of `automl run --budget`
    automl N      the same of `automl run --trials N`, which searches fewer dimensions below 12 trials

Only trainings and the clock are simulated: a proposal is answered with the nearest recorded recipe that the search
has not had yet, and takes the CPU seconds that it took when `record_curves.py` trained it, evaluations of once an
epoch included. A budget is so many mean trainings of device-seconds. The rivals choose as Ray's `get_best_result`
does, by the last value of each trial; automl among its whole trials. Regret: the best recorded validation value less
the final one of the chosen recipe, in points; the same for the test. Intervals are bootstraps over repeats.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
import optuna
from numpy.typing import NDArray
from record_curves import Curves

from automl.config import make_request
from automl.leaderboard.store import RunFolder
from automl.search.agenda import Agenda
from automl.search.grid import GridOrder
from automl.search.ledger import Ledger
from automl.search.rungs import milestones
from automl.types import Budget, Checkpoint, Contender, Cost, Schema, TrialResult, TrialSpec

CURVES = Path(__file__).with_name("trec_minilm_curves.json")
BUDGETS = (4, 8, 12, 24)
RESAMPLES = 2_000
Recipe = Mapping[str, Any]


# -- the ways to search ------------------------------------------------------------------------------------


class Search(Protocol):
    """A way to search. Trainings are known by the number in which they began."""

    def propose(self, number: int) -> Recipe | None:
        """The next recipe; None when nothing can start now."""

    def report(self, number: int, epoch: int, value: float, error: float, seconds: float) -> bool:
        """Take an evaluation after so many epochs; whether the training goes on."""

    def end(self, number: int) -> None: ...

    def chosen(self) -> int | None:
        """The number of the training whose recipe it would use; None for the untuned default."""


class Rival:
    """What Ray Tune does: a sampler, and ASHA where it is asked for."""

    def __init__(self, curves: Curves, seed: int, sampler: str, asha: bool) -> None:
        self._space = curves.space
        self._grid = GridOrder(curves.space, seed) if sampler == "grid" else None
        draws = (
            optuna.samplers.TPESampler(seed=seed) if sampler == "tpe" else optuna.samplers.RandomSampler(seed=seed)
        )
        self._study = optuna.create_study(direction="maximize", sampler=draws)
        self._trials: dict[int, optuna.Trial] = {}
        self._last: dict[int, float] = {}
        self._asha: Any = None
        if asha:
            from ray.tune.schedulers import AsyncHyperBandScheduler

            self._asha = AsyncHyperBandScheduler(metric="value", mode="max", max_t=len(curves.rungs))

    def propose(self, number: int) -> Recipe | None:
        if self._asha is not None:
            self._asha.on_trial_add(None, SimpleNamespace(trial_id=str(number)))
        if self._grid is not None:
            return self._grid.recipe(number)
        self._trials[number] = self._study.ask()
        return self._space.suggest(self._trials[number])

    def report(self, number: int, epoch: int, value: float, error: float, seconds: float) -> bool:
        self._last[number] = value
        if self._asha is None:
            return True
        told = {"training_iteration": epoch, "value": value}
        return bool(self._asha.on_trial_result(None, SimpleNamespace(trial_id=str(number)), told) == "CONTINUE")

    def end(self, number: int) -> None:
        if number in self._trials:  # OptunaSearch tells a stopped trial as a complete one
            self._study.tell(self._trials.pop(number), self._last[number])

    def chosen(self) -> int | None:
        return max(self._last, key=lambda number: (self._last[number], -number), default=None)


class Automl:
    """The search of a contest with one contender, as `automl run` conducts it."""

    def __init__(self, curves: Curves, folder: Path, seed: int, budget: Budget, without: str = "") -> None:
        """without: the part of PARTS that is left out."""
        checkpoint = Checkpoint(
            name="recorded", path="", revision="", kind="folder", architecture="", model_type="", parameters=1
        )
        contender = Contender(name="recorded/full", checkpoint=checkpoint, family="text_encoder", adaptation="full")
        template = TrialSpec(
            id="", kind="trial", contender=contender, recipe={}, seed=seed, horizon_samples=curves.horizon,
            rungs=curves.rungs, split_fingerprint="", data_directory="", run_directory="",
            task="text-classification", metric=curves.metric,
            schema=Schema(task="text-classification", inputs=("text",), target="label"),
        )  # fmt: skip
        space = curves.space.for_trials(budget.trials)
        if without == "other first trials":
            space = replace(space, first_trials=space.first_trials[:1])
        contest: dict[str, Any] = {
            "metric": curves.metric, "budget": budget.to_json(), "seeds": [],
            "spaces": {contender.name: space.to_json()},
        }  # fmt: skip
        store = RunFolder(folder)
        store.create(make_request({"source": "recorded.csv"}))
        self._agenda = Agenda(
            store, contest, [template], Ledger(store, budget), "random" if without == "TPE" else "tpe"
        )
        self._entry = self._agenda.entries[contender.name]
        self._metric, self._without = curves.metric, without
        self._specs: dict[int, TrialSpec] = {}
        self._rows: dict[int, list[dict[str, Any]]] = {}

    def propose(self, number: int) -> Recipe | None:
        spec = self._agenda.next()
        if spec is None:
            return None
        self._specs[number], self._rows[number] = spec, []
        return spec.recipe

    def report(self, number: int, epoch: int, value: float, error: float, seconds: float) -> bool:
        spec = self._specs[number]
        samples = milestones(spec.horizon_samples)[epoch - 1]
        row = {"samples_seen": samples, self._metric: value, "device_seconds": seconds}
        rung = samples if samples in spec.rungs else None
        self._rows[number].append(row if rung is None else row | {"rung": rung})
        if self._without == "rungs":
            rung = None
        return self._agenda.goes_on(spec, row, rung, value, 0.0 if self._without == "ties" else error)

    def end(self, number: int) -> None:
        spec, rows = self._specs[number], self._rows[number]
        seconds, samples = rows[-1]["device_seconds"], rows[-1]["samples_seen"]
        self._agenda.end(TrialResult(
            id=spec.id, kind=spec.kind, contender=spec.contender.name,
            status="completed" if samples == spec.horizon_samples else "pruned", recipe=spec.recipe, seed=spec.seed,
            horizon_samples=spec.horizon_samples, curve=tuple(rows), validation=rows[-1][self._metric],
            cost=Cost(device_seconds=seconds, wall_seconds=seconds, samples_seen=samples), error=None,
            predictions_file=None, split_fingerprint="", environment={}, started_at="", ended_at="",
            number=spec.number, spent={"train": seconds},
        ))  # fmt: skip

    def chosen(self) -> int | None:
        winner = self._entry.winner
        assert winner is not None, "asked before the search was over"
        return next((number for number, spec in self._specs.items() if spec.id == winner.trial), None)


# -- the machine -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """What a search had come to. seconds: device-seconds spent. distance: mean of its answers to its proposals."""

    index: int
    trials: int
    whole: int
    seconds: float
    distance: float


def simulate(search: Search, curves: Curves, slots: int, moments: Sequence[float]) -> Iterator[Found]:
    """What it had come to at each of these seconds on the clock, ascending; where it ends before, its end."""
    running: list[tuple[float, int, int]] = []  # seconds on the clock of its next evaluation, number, epochs by then
    answers: dict[int, int] = {}
    began: dict[int, float] = {}
    distances: list[float] = []
    whole, spent, now = 0, 0.0, 0.0  # now: seconds on the clock
    left = list(moments)

    def found(moment: float) -> Found:
        number = search.chosen()
        index = 0 if number is None else answers[number]  # recipe 0 is the untuned default
        partly = sum(moment - began[one] for _, one, _ in running)
        return Found(index, len(answers), whole, spent + partly, float(np.mean(distances)))

    while left:
        while len(running) < slots and len(answers) < len(curves.trainings):
            number = len(answers)
            recipe = search.propose(number)
            if recipe is None:
                break
            answers[number], distance = curves.nearest(recipe, set(answers.values()))
            distances.append(distance)
            began[number] = now
            heapq.heappush(running, (now + curves.trainings[answers[number]].seconds[0], number, 1))
        while left and (not running or running[0][0] > left[0]):
            yield found(left.pop(0))
        if not running:
            return
        now, number, epochs = heapq.heappop(running)
        one = curves.trainings[answers[number]]
        at = epochs - 1
        goes_on = search.report(number, epochs, one.values[at], one.errors[at], one.seconds[at])
        if goes_on and epochs < len(one.seconds):
            heapq.heappush(running, (began[number] + one.seconds[epochs], number, epochs + 1))
            continue
        whole += epochs == len(one.seconds)
        spent += one.seconds[at]
        search.end(number)


# -- the comparison ----------------------------------------------------------------------------------------

RIVALS: Mapping[str, tuple[str, bool]] = {
    "random": ("random", False),
    "grid": ("grid", False),
    "ASHA random": ("random", True),
    "ASHA TPE": ("tpe", True),
}
OURS = "automl"
DRAWN = "document.documentElement.dataset.drawn = 'yes'"  # what tests/leaderboard/browser.py waits for
PARTS = ("other first trials", "TPE", "ties", "rungs")
COLOURS = ("#999999", "#b8860b", "#4c9f70", "#c0504d", "#1f4e9c", "#6fa8dc")


def replay(
    curves: Curves, slots: int, budgets: Sequence[int], repeat: int, parts: Sequence[str] = ()
) -> dict[str, dict[int, Found]]:
    """What every way to search had come to at each budget, one repeat. parts: automl is asked without each, too."""
    came: dict[str, dict[int, Found]] = {}
    for name, (sampler, asha) in RIVALS.items():
        moments = [budget * curves.one_training / slots for budget in budgets]
        rival = Rival(curves, repeat, sampler, asha)
        came[name] = dict(zip(budgets, simulate(rival, curves, slots, moments), strict=True))
    for budget in budgets:
        seconds = Budget(device_seconds=budget * curves.one_training, search_share=1.0)
        asked = {OURS: (seconds, ""), f"{OURS} N": (Budget(trials=budget), "")}
        asked |= {f"- {part}": (seconds, part) for part in parts}
        for name, (given, without) in asked.items():
            with tempfile.TemporaryDirectory() as folder:
                ours = Automl(curves, Path(folder) / "run", repeat, given, without)
                (came.setdefault(name, {})[budget],) = simulate(ours, curves, slots, [math.inf])
    return came


def interval(values: NDArray[np.float64]) -> list[float]:
    """The mean and its 95% bootstrap interval over repeats."""
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), (2.5, 97.5))
    return [round(float(number), 4) for number in (values.mean(), low, high)]


def summary(curves: Curves, slots: int, repeats: Sequence[dict[str, dict[int, Found]]]) -> list[dict[str, Any]]:
    """A row for every way to search and budget. regret_over_ours: its regret less automl's, paired by repeat."""
    best = int(np.argmax(curves.finals))
    tied = curves.finals >= curves.finals[best] - curves.trainings[best].errors[-1]
    rows = []
    for name in repeats[0]:
        for budget in repeats[0][name]:
            found = [repeat[name][budget] for repeat in repeats]
            index = np.array([one.index for one in found])
            ours = np.array([repeat[OURS][budget].index for repeat in repeats])
            regret = 100 * (curves.finals[best] - curves.finals)
            test_regret = 100 * (curves.tests.max() - curves.tests)
            rows.append({
                "search": name, "slots": slots, "budget": budget,
                "regret": interval(regret[index]), "test_regret": interval(test_regret[index]),
                "regret_over_ours": interval(regret[index] - regret[ours]),
                "test_regret_over_ours": interval(test_regret[index] - test_regret[ours]),
                "within_an_error_of_the_best": round(float(tied[index].mean()), 3),
                **{
                    what: round(float(np.mean([getattr(one, what) for one in found])), 3)
                    for what in ("trials", "whole", "seconds", "distance")
                },
            })  # fmt: skip
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        f"{'search':<20}{'slots':>6}{'budget':>7}  {'regret, points':<22}{'less automl':<24}{'test regret':<22}"
        f"{'tied with best':>14}{'trials':>8}{'whole':>7}{'seconds':>9}{'distance':>9}"
    ]
    for row in rows:
        columns = ("regret", "regret_over_ours", "test_regret")
        told = ["{:.2f} ({:.2f} to {:.2f})".format(*row[what]) for what in columns]
        lines.append(
            f"{row['search']:<20}{row['slots']:>6}{row['budget']:>7}  {told[0]:<22}{told[1]:<24}{told[2]:<22}"
            f"{row['within_an_error_of_the_best']:>14.0%}{row['trials']:>8.1f}{row['whole']:>7.1f}"
            f"{row['seconds']:>9.0f}{row['distance']:>9.2f}"
        )
    return "\n".join(lines)


def chart(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Regret against the budget with its intervals, a panel for every number of slots; the page needs no net."""
    from plotly.subplots import make_subplots

    slots = sorted({row["slots"] for row in rows})
    titles = [f"{count} at a time" for count in slots]
    figure = make_subplots(cols=len(slots), shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.03)
    for column, count in enumerate(slots, start=1):
        for place, name in enumerate((*RIVALS, OURS, f"{OURS} N")):
            own = [row for row in rows if row["search"] == name and row["slots"] == count]
            mean, low, high = np.array([row["regret"] for row in own]).T
            figure.add_scatter(
                x=[row["budget"] * (1 + 0.012 * (place - 2)) for row in own], y=mean, name=name, row=1, col=column,
                error_y={"array": high - mean, "arrayminus": mean - low, "width": 2, "thickness": 1},
                line={"color": COLOURS[place], "width": 3 if name.startswith(OURS) else 1.5}, showlegend=column == 1,
            )  # fmt: skip
    figure.update_xaxes(type="log", title="budget, mean trainings", tickvals=sorted({row["budget"] for row in rows}))
    figure.update_yaxes(title="regret on validation, points", rangemode="tozero", col=1)
    figure.update_layout(template="plotly_white", width=1000, height=420, margin={"t": 40, "b": 50, "l": 60, "r": 10})
    figure.write_html(file, config={"displayModeBar": False}, post_script=DRAWN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=Path, default=CURVES)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--slots", type=int, nargs="+", default=(1, 2))
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS, help="mean trainings of device-seconds")
    parser.add_argument("--parts", action="store_true", help=f"also automl without: {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, help="write the rows as JSON here too")
    parser.add_argument("--chart", type=Path, help="draw the regrets into this HTML file")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    curves = Curves(arguments.curves)
    print(
        f"{len(curves.trainings)} recipes, {curves.one_training:.1f} CPU seconds each; validation "
        f"{curves.finals.min():.4f} to {curves.finals.max():.4f}, test {curves.tests.min():.3f} to "
        f"{curves.tests.max():.3f}\ntwo recipes are {curves.mean_distance:.2f} apart; final values of nearest "
        f"neighbours correlate by {curves.neighbours_agree:.2f} (Spearman); order at the rungs and at the end: "
        f"Kendall tau {', '.join(f'{tau:.2f}' for tau in curves.foresight)}"
    )
    rows = []
    for slots in arguments.slots:
        budgets, parts = sorted(arguments.budgets), PARTS if arguments.parts else ()
        repeats = [replay(curves, slots, budgets, repeat, parts) for repeat in range(arguments.repeats)]
        rows += summary(curves, slots, repeats)
    print(table(rows))
    if arguments.chart:
        chart(rows, arguments.chart)
    if arguments.out:
        terms = {**curves.terms, "recipes": len(curves.trainings), "seconds_of_one": curves.one_training}
        arguments.out.write_text(json.dumps({**terms, "repeats": arguments.repeats, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
