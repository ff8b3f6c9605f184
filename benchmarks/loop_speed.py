"""What does the training loop cost over the model itself? Samples a second of three loops on the same model and rows.

    python benchmarks/loop_speed.py --size bert-base          # on a GPU where there is one
    python benchmarks/loop_speed.py --size minilm --steps 30  # what two CPU cores can do

The loops are those of made_up.py: a plain one, automl's, and the Trainer's. Rows are random words of a vocabulary of
30,000, nearly all of it, so that no loop can leave out a part of the embeddings. Loops run in turn, --repeats times;
ratios are of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path

import torch
from made_up import SIZES, Loops, make_spec

LOOPS = ("bare", "automl", "Trainer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=tuple(SIZES), default="bert-base")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1"}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        spec = make_spec(
            arguments.size, place / "run", place / "models", arguments.batch, arguments.steps,
            rows=max(arguments.batch * arguments.steps, 2_000),
        )  # fmt: skip
        loops, rates = Loops(spec, device), {name: list[float]() for name in LOOPS}
        for _ in range(arguments.repeats):
            for name in LOOPS:
                rates[name].append(loops.rate(name))
                print(f"{name:<8}{rates[name][-1]:>10.1f} samples/s", flush=True)
    median = {name: statistics.median(values) for name, values in rates.items()}
    print(json.dumps({
        "size": arguments.size, "device": str(device), "precision": str(loops.autocast), "batch": arguments.batch,
        "threads": torch.get_num_threads(), "load": os.getloadavg(), "samples_per_second": median,
        "automl_over_bare": median["automl"] / median["bare"],
        "automl_over_trainer": median["automl"] / median["Trainer"],
    }))  # fmt: skip


if __name__ == "__main__":
    main()
