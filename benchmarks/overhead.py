"""What does the machinery cost around the training? Short trials of a small real model in a real sweep.

    python benchmarks/overhead.py --out overhead.json                  # all of it
    python benchmarks/overhead.py --only one --seconds 6               # 16 trials of some 6 s, two at a time

    one    one worker a trial, two trials at a time: each trains in the process that Ray Tune keeps
    group  two workers a trial, one trial at a time, in processes that stay (--workers-mode group)
    train  the same with workers that Ray Train starts for every trial (--workers-mode train); a fourth of the trials

busy   seconds of gradient steps and validation over slots x wall, from when the first process was ready to the last
       trial's end; once more from the sweep's start, which adds what processes take to start and to import torch
gap    from one trial's end to the first step of the next in the same slot: the search's decision, its records on
       disk, the way through Ray, and loading the model
Models have random weights, rows are random words; a probe finds the horizon that takes the asked seconds here.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from made_up import CLASSES, SIZES, make_model

from automl.config import make_request
from automl.data.prepare import prepare
from automl.data.prepared import load_prepared
from automl.leaderboard.store import RunFolder
from automl.search.agenda import Agenda
from automl.search.contest import draw_up, find_contenders, find_spaces, trial_templates
from automl.search.ledger import Ledger
from automl.search.rungs import milestones
from automl.search.session import ray_session
from automl.search.slots import Slots
from automl.search.sweep import Sweep
from automl.tasks.text_classification import TextClassification
from automl.tracking.base import Tracker
from automl.training.clock import SlotClock
from automl.training.evaluation import Alone
from automl.training.fit import Training
from automl.training.groups import trainable
from automl.training.process import set_threads, trial_device
from automl.training.workers import TrialContext, train_spec
from automl.types import Budget, PreparedData, TrialResult, TrialSpec

ROWS, WORDS_A_ROW = 2_000, 12
PROBED_SAMPLES = 3_200
SLOTS = {
    "one": Slots(count=2, cpus=1, gpus=0.0),
    "group": Slots(count=1, cpus=1, gpus=0.0, workers=2, mode="group"),
    "train": Slots(count=1, cpus=1, gpus=0.0, workers=2, mode="train"),
}


def timed(
    spec: TrialSpec,
    workers: int,
    send: Callable[[dict[str, Any]], None],
    make_context: Callable[..., TrialContext] = TrialContext,
) -> None:
    """`train_spec`, whose messages tell when this process began, took its first step, and sent them."""
    began, learn = time.time(), Training._learn
    place: dict[str, Any] = {"process": os.getpid(), "began_at": began}

    def noting(training: Training) -> None:
        place["first_step_at"] = time.time()
        learn(training)

    def telling(message: dict[str, Any]) -> None:
        message["environment"] |= place | {"sent_at": time.time()}
        send(message)

    Training._learn = noting  # type: ignore[method-assign]
    try:
        train_spec(spec, workers, telling, make_context)
    finally:
        Training._learn = learn  # type: ignore[method-assign]


def _write_rows(file: Path) -> None:
    draw, lines = np.random.default_rng(0), ["text,label"]
    for row in range(ROWS):
        words = draw.integers(SIZES["tiny"].words, size=WORDS_A_ROW)
        lines.append(" ".join(f"w{w}" for w in words) + f",class{row % CLASSES}")
    file.write_text("\n".join(lines) + "\n")


class Job:
    """A model and its rows, ready for one sweep after the other."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        make_model("tiny", directory / "model")
        _write_rows(directory / "rows.csv")
        self.request = make_request({
            "source": str(directory / "rows.csv"), "target": "label", "text": "text",
            "models": str(directory / "model"), "out": str(directory / "run"),
        })  # fmt: skip
        self.task = TextClassification()
        self.contenders, _ = find_contenders(self.request, self.task)

    def folder(self, name: str, trials: int, horizon: int) -> tuple[RunFolder, dict[str, Any], PreparedData]:
        """A run folder as `automl run` makes it, for a search without finals."""
        folder = RunFolder(self.directory / name)
        folder.create(self.request.resolved(out=str(folder.path), trials=trials))
        prepare(self.request, folder.data)
        prepared = load_prepared(folder.data)
        spaces = find_spaces(self.request, self.contenders, {})
        contest = draw_up(self.request, prepared, self.task, self.contenders, spaces, "")
        contest |= {
            "budget": Budget(trials=trials).to_json(), "seeds": [], "horizon_samples": horizon,
            "rungs": list(milestones(horizon)),
        }  # fmt: skip
        folder.write_contest(contest)
        folder.keep_spare()
        return folder, contest, prepared

    def samples_a_second(self) -> float:
        """How fast one thread trains the default recipe here."""
        folder, contest, prepared = self.folder("probe", 1, PROBED_SAMPLES)
        (template,) = trial_templates(folder, contest, prepared)
        agenda = Agenda(folder, contest, [template], Ledger(folder, Budget(trials=1)), "tpe")
        spec = agenda.next()
        assert spec is not None
        set_threads()
        training = Training(spec, Alone(trial_device()), SlotClock(None))
        training._set_up()
        with training._while_learning:
            began = time.perf_counter()
            training._learn()
        return PROBED_SAMPLES / (time.perf_counter() - began)

    def sweep(self, mode: str, trials: int, horizon: int) -> dict[str, Any]:
        folder, contest, prepared = self.folder(f"{mode}-{horizon}", trials, horizon)
        slots = SLOTS[mode]
        templates = trial_templates(folder, contest, prepared)
        agenda = Agenda(folder, contest, templates, Ledger(folder, Budget(trials=trials)), contest["sampler"])
        function = trainable(slots.workers, slots.per_worker, slots.mode, timed)
        sweep = Sweep(agenda, folder, Tracker(), slots, function)
        load = os.getloadavg()[0]
        began = time.time()
        sweep.run()
        return {"mode": mode, "load_before": load} | measured(folder.trials(), slots, began)


def measured(results: list[TrialResult], slots: Slots, began: float) -> dict[str, Any]:
    """What a sweep's records say. began: when it was started."""
    places = [result.environment for result in results]
    ready, ended = min(p["began_at"] for p in places), max(p["sent_at"] for p in places)
    steps = sum(
        result.cost.device_seconds / slots.workers - (place["first_step_at"] - place["began_at"])
        for result, place in zip(results, places, strict=True)
    )
    charged = sum(result.cost.device_seconds for result in results) / slots.workers
    gaps = gaps_between(places, slots)
    last = [max(p["sent_at"] for p in slot) for slot in by_slot(places, slots)]
    statuses: dict[str, int] = defaultdict(int)
    for result in results:
        statuses[result.status] += 1
    return {
        "slots": slots.count, "workers": slots.workers, "trials": dict(statuses),
        "trial_seconds": {
            "median": statistics.median(r.cost.device_seconds / slots.workers for r in results),
            "mean": statistics.fmean(r.cost.device_seconds / slots.workers for r in results),
        },
        "busy": steps / (slots.count * (ended - ready)),
        "busy_from_start": steps / (slots.count * (ended - began)),
        "busy_with_loading": charged / (slots.count * (ended - ready)),
        "idle_at_the_end_seconds": sum(ended - at for at in last),
        "wall_seconds": ended - ready, "start_seconds": ready - began,
        "gap_seconds": {
            "median": statistics.median(gaps) if gaps else None,
            "p90": sorted(gaps)[int(len(gaps) * 0.9)] if gaps else None, "most": max(gaps, default=None),
        },
        "loading_seconds_median": statistics.median(p["first_step_at"] - p["began_at"] for p in places),
    }  # fmt: skip


def by_slot(places: Iterable[dict[str, Any]], slots: Slots) -> list[list[dict[str, Any]]]:
    """Trainings slot by slot, in their order. A slot is a process; where there is one slot, processes come and go."""
    found: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for place in sorted(places, key=lambda place: place["began_at"]):
        found[place["process"] if slots.count > 1 else 0].append(place)
    return list(found.values())


def gaps_between(places: Iterable[dict[str, Any]], slots: Slots) -> list[float]:
    """Seconds from one training's last message to the next one's first step, slot by slot."""
    return [
        after["first_step_at"] - before["sent_at"]
        for slot in by_slot(places, slots)
        for before, after in pairwise(slot)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=tuple(SLOTS), action="append", help="default: all, one after the other")
    parser.add_argument("--seconds", default="6,2", help="of a whole trial, about; several, comma-separated")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--out", metavar="FILE", help="write what was measured as JSON")
    arguments = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1"}
    logging.getLogger("transformers").setLevel(logging.ERROR)
    found = []
    with tempfile.TemporaryDirectory() as directory:
        job = Job(Path(directory))
        rate = job.samples_a_second()
        print(f"one thread trains {rate:.0f} samples a second", flush=True)
        began = time.time()
        with ray_session(None):
            print(f"Ray started in {time.time() - began:.1f} s\n", flush=True)
            for mode in arguments.only or SLOTS:
                for seconds in map(float, arguments.seconds.split(",")):
                    trials = arguments.trials if mode != "train" else max(2, arguments.trials // 4)
                    found.append({"asked_seconds": seconds} | job.sweep(mode, trials, round(rate * seconds)))
                    show(found[-1])
    if arguments.out:
        Path(arguments.out).write_text(json.dumps(found, indent=1))


def show(one: dict[str, Any]) -> None:
    gap, statuses = one["gap_seconds"], ", ".join(f"{n} {status}" for status, n in one["trials"].items())
    print(
        f"{one['mode']}: {one['slots']} x {one['workers']} workers, trials of {one['asked_seconds']:g} s, {statuses}"
    )
    print(f"  trial    median {one['trial_seconds']['median']:.2f} s, mean {one['trial_seconds']['mean']:.2f} s")
    print(
        f"  busy     {one['busy']:.3f}; loading counted as busy {one['busy_with_loading']:.3f}; "
        f"from the sweep's start {one['busy_from_start']:.3f}"
    )
    print(
        f"  wall     {one['wall_seconds']:.1f} s after {one['start_seconds']:.1f} s of starting; "
        f"idle at the end {one['idle_at_the_end_seconds']:.1f} s of slots"
    )
    if gap["median"] is not None:
        print(
            f"  gap      median {gap['median']:.3f} s, p90 {gap['p90']:.3f} s, most {gap['most']:.3f} s; "
            f"of it loading {one['loading_seconds_median']:.3f} s"
        )
    print(f"  load     {one['load_before']:.1f} before\n", flush=True)


if __name__ == "__main__":
    main()
