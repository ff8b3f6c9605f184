"""How far does one driver carry? Ten thousand trials on 800 simulated slots, from what real toy actors cost here.

    python benchmarks/scale.py --out scale.json       # both, one after the other
    python benchmarks/scale.py --calibration a.json   # the simulation alone, with what `toy_actors.py` had measured

Sweep, agenda, rungs, Optuna studies, ledger and run folder are those of a run, under a clock that is a number. Each
question and message takes the one driver as long as it really took just now, and what Ray Tune took for one with the
toy actors; what comes meanwhile waits. A slot is busy while its trial trains: not while a process starts, while it
waits for the driver, or where it has nothing to do.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from toy_actors import (
    HORIZON,
    Timed,
    Weighed,
    counted,
    ending,
    evaluation,
    make_contest,
    show,
    toy_curve,
    toy_seconds,
)

from automl.search.slots import Slots
from automl.search.sweep import Sweep
from automl.types import Budget

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class SimulatedClock:
    """Seconds since the start, as a number; and as the text that records hold."""

    now: float = 0.0

    def __call__(self) -> str:
        return (BEGINNING + timedelta(seconds=self.now)).isoformat(timespec="milliseconds")


@dataclass
class Simulation:
    """A sweep on slots that are only numbers, with one driver that serves them one after the other.

    mean: seconds of a whole training. visit: seconds that Ray Tune takes for a question or message, beside ours.
    process: seconds until a new process can train. hand_over: until a used one trains the next trial.
    """

    sweep: Sweep
    clock: SimulatedClock
    slots: int
    mean: float
    visit: float
    process: float
    hand_over: float
    due: float = 0.0
    free_at: float = 0.0
    driver_seconds: float = 0.0
    trained: list[tuple[float, float]] = field(default_factory=list)
    last_start: float = 0.0
    _parked: list[Iterator[float | None]] = field(default_factory=list)
    _events: list[tuple[float, int, Iterator[float | None]]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=itertools.count)

    def run(self) -> None:
        for _ in range(self.slots):
            self._at(0.0, self._slot())
        while self._events:
            self.due, _, slot = heapq.heappop(self._events)
            self.clock.now = max(self.due, self.free_at)
            wait = next(slot, math.inf)
            if wait is None:
                self._parked.append(slot)
            elif wait < math.inf:
                self._at(self.free_at + wait, slot)

    def trained_until(self, moment: float) -> float:
        """Seconds of training on all slots before a moment."""
        return sum(max(0.0, min(at, moment) - (at - part)) for at, part in self.trained)

    def _at(self, due: float, slot: Iterator[float | None]) -> None:
        heapq.heappush(self._events, (due, next(self._order), slot))

    def _drive(self, action: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Let the driver do something, for as long as it really takes."""
        began = time.perf_counter()
        answer = action(*arguments, **named)
        took = time.perf_counter() - began + self.visit
        self.driver_seconds += took
        self.free_at = self.clock.now = self.clock.now + took
        return answer

    def _wake_one(self) -> None:
        if self._parked:
            self._at(self.free_at, self._parked.pop())

    def _slot(self) -> Iterator[float | None]:
        """The life of a slot: yields seconds until it next speaks to the driver, None where it waits for work."""
        wait = self.process
        while True:
            trial = f"{next(self._order):08x}"
            spec = self._drive(self.sweep.start, trial)
            while spec is None:
                if self.sweep.finished:
                    return
                yield None
                spec = self._drive(self.sweep.start, trial)
            self._wake_one()  # where there was work for one that waited, there may be more
            if spec.kind == "trial":
                self.last_start = self.clock.now
            seconds, seen, spent, goes_on = toy_seconds(spec, self.mean), 0, {"train": 0.0, "validate": 0.0}, True
            told = None
            for samples, rung, value in toy_curve(spec):
                part = seconds * (samples - seen) / HORIZON
                yield wait + part
                wait, seen = 0.0, samples
                self.trained.append((self.due, part))
                spent["train"] += part * 0.9
                spent["validate"] += part * 0.1
                told = evaluation(samples, rung, value, spent, told)
                if not (goes_on := self._drive(self.sweep.message, trial, told)):
                    break
            if goes_on:
                self._drive(self.sweep.message, trial, ending(told))
            self._drive(self.sweep.end, trial, died=False)
            self._wake_one()
            wait = self.hand_over


def run_slots(arguments: argparse.Namespace, directory: Path, actors: dict[str, Any]) -> dict[str, Any]:
    """The simulation, and how long a resumed driver reads what it left. actors: what toy_actors.py had measured."""
    visit, hand_over = actors["ray_tune_cpu_ms_a_visit"] / 1e3, actors["gap_seconds"]["median"]
    share = max(1, round(arguments.trials / arguments.contenders))
    budget = Budget(trials=share)
    if arguments.budget_in_seconds:
        budget = Budget(device_seconds=share * arguments.seconds / Budget().search_share)
    clock = SimulatedClock()
    folder, agenda = make_contest(directory / "run", arguments.contenders, budget, clock)
    timed = Timed(agenda)
    weighed = Weighed(folder, share * arguments.contenders)
    sweep = Sweep(agenda, folder, weighed, Slots(count=arguments.slots, cpus=1, gpus=0.0), clock=clock)
    simulation = Simulation(
        sweep, clock, arguments.slots, arguments.seconds, visit, arguments.process_seconds, hand_over
    )
    began, cpu = time.perf_counter(), time.process_time()
    simulation.run()
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    results = folder.trials()
    last = max(one.ended_at for one in results if one.kind == "trial")
    ended = (datetime.fromisoformat(last) - BEGINNING).total_seconds()
    busy, full = simulation.trained_until(ended), simulation.trained_until(simulation.last_start)
    trials = [one for one in results if one.kind == "trial"]
    again = time.perf_counter()
    make_contest(directory / "run", arguments.contenders, budget, clock)[1].recall(folder.started(), folder.trials())
    resumed = time.perf_counter() - again
    return {
        "trials": len(trials), "finals": len(results) - len(trials), "contenders": arguments.contenders,
        "slots": arguments.slots, "statuses": counted(one.status for one in results),
        "seconds_a_trial": arguments.seconds, "assumed_process_seconds": arguments.process_seconds,
        "ray_tune_ms_a_visit": visit * 1e3, "hand_over_seconds": hand_over,
        "search_seconds": ended, "slots_busy": busy / (arguments.slots * ended),
        "slots_busy_while_trials_wait": full / (arguments.slots * simulation.last_start),
        "driver_busy": simulation.driver_seconds / clock.now, "driver_cpu_seconds_ours": cpu,
        "simulated_in_seconds": took, "resume_reads_in_seconds": resumed,
        "decisions": timed.told(), "weights": weighed.weights, "load": os.getloadavg(),
    }  # fmt: skip


# -- the command -----------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--contenders", type=int, default=20)
    parser.add_argument("--slots", type=int, default=800)
    parser.add_argument("--seconds", type=float, default=600.0, help="of a whole trial")
    parser.add_argument("--process-seconds", type=float, default=15.0, help="until a new process can train")
    parser.add_argument("--budget-in-seconds", action="store_true", help="a budget in device-seconds, not in trials")
    parser.add_argument("--calibration", metavar="FILE", help="the JSON of toy_actors.py, which is run otherwise")
    parser.add_argument("--out", metavar="FILE", help="write what was measured as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        calibration = Path(arguments.calibration or Path(directory) / "actors.json")
        if arguments.calibration is None:  # in a process of its own, so that its memory is not counted here
            actors = [sys.executable, str(Path(__file__).with_name("toy_actors.py")), "--out", str(calibration)]
            subprocess.run(actors, check=True)
        found = {"actors": json.loads(calibration.read_text())}
        found["slots"] = run_slots(arguments, Path(directory), found["actors"])
    show("simulated slots", found["slots"])
    if arguments.out:
        Path(arguments.out).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
