"""A thousand toy trials on real Ray actors: what do search and Ray Tune take of the driver, and when is a slot idle?

    python benchmarks/toy_actors.py --out actors.json     # 1,000 trials, 8 contenders, 32 processes

A toy trial learns nothing: it sleeps, and reports the curve that a formula gives its recipe, with a heartbeat and
the messages of a real one. All else is what a run uses: Ray Tune, sweep, agenda, rungs, Optuna studies, ledger and
run folder. The processes stand on CPUs that are there by name only. `scale.py` goes on from what this measures.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from automl.config import RunRequest
from automl.leaderboard.store import SPARE, RunFolder, now
from automl.search.agenda import Agenda
from automl.search.ledger import Ledger
from automl.search.rungs import milestones
from automl.search.slots import Slots
from automl.search.space import load_space
from automl.search.sweep import Sweep
from automl.tracking.base import Tracker
from automl.types import Budget, Checkpoint, Contender, Schema, TrialResult, TrialSpec

SPACES = (
    ("text_encoder_small", "full"), ("text_encoder_base", "full"), ("text_encoder_base", "lora"),
    ("causal_lm", "lora"), ("image_classifier_vit", "full"),
)  # fmt: skip
HORIZON, EVALUATIONS = 60_000, 6
SEEDS = (101, 102, 103, 104, 105)
MARKS = (0.1, 0.5, 1.0)
"""At these shares of the trials the driver is weighed."""


# -- the toy ---------------------------------------------------------------------------------------------------


def toy_seconds(spec: TrialSpec, mean: float) -> float:
    """Seconds of a whole toy training: recipes differ by a third, as batch sizes and frozen blocks make real ones."""
    return mean * math.exp(random.Random(f"seconds {spec.id}").gauss(-0.045, 0.3))


def toy_curve(spec: TrialSpec) -> Iterator[tuple[int, int | None, float]]:
    """(samples, rung or None, value): better near a rate of the contender's own, and noisy."""
    draw = random.Random(f"curve {spec.id}")
    best = 10 ** random.Random(spec.contender.name).uniform(-4.5, -3.5)
    height = 0.9 - 0.1 * abs(math.log10(spec.recipe["learning_rate"] / best)) - draw.random() * 0.02
    points = {round(HORIZON * part / EVALUATIONS) for part in range(1, EVALUATIONS + 1)} | set(spec.rungs)
    for samples in sorted(points):
        value = height * (1 - 0.5 * math.exp(-5 * samples / HORIZON)) + draw.gauss(0, 0.003)
        yield samples, samples if samples in spec.rungs else None, value


def evaluation(
    samples: int,
    rung: int | None,
    value: float,
    spent: Mapping[str, float],
    last: Mapping[str, Any] | None,
    **environment: Any,
) -> dict[str, Any]:
    """The message of one evaluation, as a real training sends it. last: the message before it."""
    row: dict[str, Any] = {
        "samples_seen": samples,
        "train_loss": 1 - value,
        "accuracy": value,
        "balanced_accuracy": value,
    }
    row |= {"macro_f1": value, "device_seconds": round(sum(spent.values()), 3)} | ({"rung": rung} if rung else {})
    earlier = [*last["earlier"], last["row"]] if last else []
    return {
        "event": "evaluation", "row": row, "earlier": earlier, "rung": rung, "value": value, "error_of_value": 0.004,
        "notes": [], "micro_batch": None, "spent": dict(spent), "peak_memory_bytes": 1 << 30,
        "environment": {"node_id": "0" * 56, "hostname": "toy", "device": "cpu", "threads": 1} | environment,
    }  # fmt: skip


def ending(last: Mapping[str, Any]) -> dict[str, Any]:
    """The last message of a training that went to its end."""
    kept = {key: last[key] for key in ("spent", "peak_memory_bytes", "environment", "notes", "micro_batch")}
    return kept | {"event": "end", "status": "completed", "error": None, "metrics": {"accuracy": last["value"]}}


def toy_trainable(mean: float) -> Callable[[dict[str, Any]], None]:
    """What Ray Tune calls for a toy trial. It imports neither torch nor transformers, so that 32 fit a laptop."""

    def train(config: dict[str, Any]) -> None:
        from ray import tune

        from automl.training.clock import SlotClock

        spec = TrialSpec.from_json(config["spec"])
        clock = SlotClock(RunFolder(spec.run_directory).heartbeats / f"{spec.id}.json")
        place = {"process": os.getpid(), "first_step_at": time.time()}
        seconds, seen, told = toy_seconds(spec, mean), 0, None
        for samples, rung, value in toy_curve(spec):
            time.sleep(seconds * (samples - seen) / HORIZON)
            clock.tick()
            seen = samples
            clock.beat()
            told = evaluation(samples, rung, value, clock.spent, told, sent_at=time.time(), **place)
            tune.report({"told": json.dumps(told)})
            clock.resume()
        tune.report({"told": json.dumps(ending(told))})

    return train


# -- the contest -----------------------------------------------------------------------------------------------


def make_contest(
    path: Path, contenders: int, budget: Budget, clock: Callable[[], str] = now
) -> tuple[RunFolder, Agenda]:
    """A run folder and the agenda over it, as `run_contest` makes them."""
    folder = RunFolder(path)
    if not folder.request_file.exists():
        folder.create(RunRequest(source="toy.csv"))
    folder.keep_spare()
    spaces, templates = {}, []
    schema = Schema(task="text-classification", inputs=("text",), target="label", classes=("a", "b"))
    for number in range(contenders):
        space_name, adaptation = SPACES[number % len(SPACES)]
        checkpoint = Checkpoint(
            name=f"toy-{number:02d}", path=f"/toy/{number}", revision="0" * 40, kind="folder",
            architecture="BertModel", model_type="bert", parameters=22_000_000,
        )  # fmt: skip
        name = f"{checkpoint.name}/{adaptation}"
        contender = Contender(name=name, checkpoint=checkpoint, family="text_encoder", adaptation=adaptation)
        spaces[name] = load_space(space_name, adaptation).for_data({}).for_trials(budget.trials).to_json()
        template = TrialSpec(
            id="", kind="trial", contender=contender, recipe={}, seed=1, horizon_samples=HORIZON,
            rungs=milestones(HORIZON), split_fingerprint="0" * 64, data_directory=str(path / "data"),
            run_directory=str(path.resolve()), task=schema.task, metric="accuracy", schema=schema,
        )  # fmt: skip
        templates.append(template)
    contest = {
        "metric": "accuracy", "budget": budget.to_json(), "seeds": list(SEEDS), "spaces": spaces,
        "contenders": [template.contender.to_json() for template in templates],
    }  # fmt: skip
    folder.write_contest(contest)
    return folder, Agenda(folder, contest, templates, Ledger(folder, budget, clock), "tpe")


class Weighed(Tracker):
    """Counts ended trials; weighs the driver and the run folder at MARKS."""

    def __init__(self, folder: RunFolder, trials: int) -> None:
        self._folder, self._marks = folder, [max(1, round(trials * share)) for share in MARKS]
        self.process = psutil.Process()
        self.before = self._memory()
        self.ended, self.weights = 0, []

    def _memory(self) -> int:
        gc.collect()
        return int(self.process.memory_info().rss)

    def trial_ended(self, spec: TrialSpec, result: TrialResult) -> None:
        self.ended += result.kind == "trial"
        if self._marks and self.ended >= self._marks[0]:
            self._marks.pop(0)
            files = [one for one in self._folder.path.rglob("*") if one.is_file() and one.name != SPARE]
            sizes = Counter[str]()
            for file in files:
                sizes[file.relative_to(self._folder.path).parts[0]] += file.stat().st_size
            self.weights.append({
                "trials": self.ended, "driver_bytes": self._memory(), "driver_bytes_at_start": self.before,
                "cpu_seconds": sum(self.process.cpu_times()[:2]), "folder_bytes": sum(sizes.values()),
                "files": len(files), "bytes_by_part": dict(sizes),
            })  # fmt: skip


class Timed:
    """How long the agenda's decisions took, in the order in which they were made; wall and this thread's CPU."""

    def __init__(self, agenda: Agenda) -> None:
        self.seconds: dict[str, list[float]] = {"next": [], "goes_on": [], "end": []}
        self.cpu_seconds = 0.0
        for name in self.seconds:
            setattr(agenda, name, self._timing(name, getattr(agenda, name)))

    def _timing(self, name: str, decide: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(decide)
        def timed(*arguments: Any) -> Any:
            began, cpu = time.perf_counter(), time.thread_time()
            answer = decide(*arguments)
            self.cpu_seconds += time.thread_time() - cpu
            if name != "next" or answer is not None:  # a question that finds nothing to start is no decision
                self.seconds[name].append(time.perf_counter() - began)
            return answer

        return timed

    def told(self) -> dict[str, Any]:
        """Microseconds by decision: median, p99, and the medians of the first and the last tenth."""
        told: dict[str, Any] = {}
        for name, seconds in self.seconds.items():
            tenth = max(1, len(seconds) // 10)
            told[name] = {
                "count": len(seconds), "median_us": round(statistics.median(seconds) * 1e6),
                "p99_us": round(quantile(seconds, 0.99) * 1e6),
                "median_us_first_tenth": round(statistics.median(seconds[:tenth]) * 1e6),
                "median_us_last_tenth": round(statistics.median(seconds[-tenth:]) * 1e6),
            }  # fmt: skip
        total = sum(map(sum, self.seconds.values()))
        decisions = sum(map(len, self.seconds.values()))
        return told | {"decisions": decisions, "seconds": total, "decisions_per_second": decisions / total}


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else math.nan


# -- real actors -----------------------------------------------------------------------------------------------


def run_actors(arguments: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """Every trial on a process that Ray Tune keeps; and what a visit to the driver costs, for the simulation."""
    import ray

    budget = Budget(trials=max(1, round(arguments.trials / arguments.contenders)))
    folder, agenda = make_contest(directory / "run", arguments.contenders, budget)
    timed = Timed(agenda)
    ray.init(
        num_cpus=arguments.slots, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}},
    )  # fmt: skip
    try:
        weighed = Weighed(folder, budget.trials * arguments.contenders)
        slots = Slots(count=arguments.slots, cpus=1, gpus=0.0)
        sweep = Sweep(agenda, folder, weighed, slots, function=toy_trainable(arguments.seconds))
        began, cpu = time.time(), sum(weighed.process.cpu_times()[:2])
        sweep.run()
        cpu = sum(weighed.process.cpu_times()[:2]) - cpu
    finally:
        ray.shutdown()
    results = folder.trials()
    trials = [one for one in results if one.kind == "trial"]
    visits = sum(len(one.curve) + 3 for one in results)  # its evaluations, its last word, its end, the next start
    first = {}
    for one in results:
        place = one.environment
        first[place["process"]] = min(place["first_step_at"], first.get(place["process"], math.inf))
    gaps = gaps_between(results)
    ended = max(one.environment["sent_at"] for one in trials)
    busy = sum(one.cost.device_seconds for one in results if one.environment["sent_at"] <= ended)
    return {
        "trials": len(trials), "finals": len(results) - len(trials), "slots": arguments.slots,
        "statuses": counted(one.status for one in results), "seconds_a_trial": arguments.seconds,
        "search_seconds": ended - began, "slots_busy": busy / (arguments.slots * (ended - began)),
        "all_slots_running_after_seconds": max(first.values()) - began, "processes": len(first),
        "gap_seconds": {"median": quantile(gaps, 0.5), "p90": quantile(gaps, 0.9), "count": len(gaps)},
        "driver_cpu_seconds": cpu, "driver_cpu_ms_a_visit": cpu / visits * 1e3,
        "ray_tune_cpu_ms_a_visit": (cpu - timed.cpu_seconds) / visits * 1e3,
        "decisions": timed.told(), "weights": weighed.weights, "load": os.getloadavg(),
    }  # fmt: skip


def gaps_between(results: Iterable[TrialResult]) -> list[float]:
    """Seconds from one training's last message to the next one's first step in the same process."""
    by_process: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        by_process[result.environment["process"]].append(result.environment)
    gaps = []
    for places in by_process.values():
        places.sort(key=lambda place: place["first_step_at"])
        gaps += [after["first_step_at"] - before["sent_at"] for before, after in pairwise(places)]
    return gaps


def counted(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names))


# -- the command -----------------------------------------------------------------------------------------------


def show(part: str, found: Mapping[str, Any]) -> None:
    print(f"\n{part}")
    for name, value in found.items():
        if isinstance(value, Mapping):
            for key, one in value.items():
                print(f"  {name + ' ' + key:<44}{_text(one)}")
        elif name == "weights":
            for one in value:
                grown = (one["driver_bytes"] - one["driver_bytes_at_start"]) / 2**20
                print(
                    f"  after {one['trials']:>6} trials: driver {one['driver_bytes'] / 2**20:.0f} MiB "
                    f"(+{grown:.0f}), run folder {one['folder_bytes'] / 2**20:.1f} MiB in {one['files']} files, "
                    f"{one['folder_bytes'] / one['trials']:.0f} bytes a trial"
                )
        else:
            print(f"  {name:<44}{_text(value)}")


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(one)}" for key, one in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--contenders", type=int, default=8)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=6.0, help="of a whole trial")
    parser.add_argument("--out", metavar="FILE", help="write what was measured as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        found = run_actors(arguments, Path(directory))
    show("real actors", found)
    if arguments.out:
        Path(arguments.out).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
