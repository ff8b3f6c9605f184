"""Is transfer between pictures real? A pre-trained net against the same net from scratch, where labels are few.

    python benchmarks/picture_transfer.py --data DIR --pretrained half
    python benchmarks/picture_transfer.py --data DIR --pretrained imagenet --pictures 10,40

DIR holds fashion_mnist_small/{train,test}/CLASS/*.png, 90 pictures of each of ten classes. `half` pre-trains a small
ResNet on five classes, varied at random, and asks about the other five; `imagenet` takes EfficientNet-Lite0 with
ImageNet's weights (imagenet_weights.py) to all ten. Two answers, each for so many training pictures of each class:

1. Frozen features: logistic regression on what the net makes of the pictures, over ten draws of training pictures;
   all pictures that were not drawn are the test. Seconds, and no luck of one draw.
2. Fine-tuning (--tune 10,40): automl benchmarks both nets under one budget on the first of these draws. Minutes.

Prints two tables; --keep FOLDER keeps the nets and the runs.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from imagenet_weights import lite0, processor
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, ResNetConfig, ResNetForImageClassification

import automl
from automl.data.images import read_rgb
from automl.models.image_classifier import ImageClassifier
from automl.tasks.picture_variation import vary

PRETRAINING = ("ankle_boot", "coat", "dress", "sneaker", "trouser")
SIDE = 64
"""A ResNet's stem halves twice: of 28 pixels it would leave 7."""
DRAWS = 10
FEWEST_SAMPLES = 1_500
"""Epochs are at least ten, and as many as show the net this many pictures: a net from scratch needs steps."""


def small_resnet(classes: int) -> ResNetForImageClassification:
    widths = [32, 64, 128, 256]
    return ResNetForImageClassification(
        ResNetConfig(
            embedding_size=32, hidden_sizes=widths, depths=[1, 1, 1, 1], layer_type="basic", num_labels=classes
        )
    )


def pretrain(model: ResNetForImageClassification, folder: Path, epochs: int) -> float:
    """Train on every picture of the pre-training classes, varied and mirrored; the last epoch's training accuracy."""
    files = pictures_of(folder, PRETRAINING)
    pictures = [read_rgb(str(file)) for file, _ in files]
    pixels = np.asarray(processor(SIDE)(images=pictures, return_tensors="np")["pixel_values"], dtype=np.float32)
    images, labels = torch.from_numpy(pixels), torch.tensor([k for _, k in files])
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, epochs * -(-len(files) // 32))
    hits = 0
    for _ in range(epochs):
        hits = 0
        model.train()
        for rows in torch.randperm(len(files), generator=generator).split(32):
            mirrored = torch.rand(len(rows), generator=generator) < 0.5
            batch = torch.where(mirrored[:, None, None, None], images[rows].flip(-1), images[rows])
            logits = model(vary(batch, generator)).logits
            hits += int((logits.argmax(1) == labels[rows]).sum())
            cross_entropy(logits, labels[rows]).backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    return hits / len(files)


def make_nets(kind: str, source: Path, epochs: int, directory: Path) -> tuple[str, ...]:
    """Writes the folders `pretrained` and `scratch`; the classes that are left to fine-tune on."""
    torch.manual_seed(0)
    nets: dict[str, PreTrainedModel]
    if kind == "imagenet":
        nets, left = {"pretrained": lite0(pretrained=True), "scratch": lite0(pretrained=False)}, ()
    else:
        nets = {"scratch": small_resnet(len(PRETRAINING)), "pretrained": small_resnet(len(PRETRAINING))}
        nets["pretrained"].load_state_dict(nets["scratch"].state_dict())
        accuracy = pretrain(nets["pretrained"], source, epochs)
        print(f"pre-trained on {', '.join(PRETRAINING)}: accuracy on varied training pictures {accuracy:.3f}")
        left = PRETRAINING
    for name, net in nets.items():
        net.save_pretrained(directory / name)
        processor(SIDE).save_pretrained(directory / name)
    return tuple(sorted(f.name for f in (source / "train").iterdir() if f.name not in left))


def pictures_of(source: Path, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    return [(file, k) for k, name in enumerate(classes) for file in sorted(source.glob(f"*/{name}/*.png"))]


def features(net: Path, files: list[Path]) -> np.ndarray:
    """What the head of a net sees, shape (pictures, width)."""
    family = ImageClassifier()
    model, processor = family.open(net)
    rows = []
    with torch.no_grad():
        for start in range(0, len(files), 64):
            pictures = [read_rgb(str(file)) for file in files[start : start + 64]]
            rows.append(family.pooled(model.eval(), processor(images=pictures, return_tensors="pt")).numpy())
    return np.concatenate(rows)


def accuracy(inputs: np.ndarray, labels: np.ndarray, pictures: int, seed: int) -> float:
    """Of logistic regression on one draw, on all that was not drawn."""
    generator = np.random.default_rng(seed)
    drawn = np.concatenate([generator.permutation(np.flatnonzero(labels == k))[:pictures] for k in np.unique(labels)])
    rest = np.setdiff1d(np.arange(len(labels)), drawn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # such a strength is judged by its folds like any other
        strengths = GridSearchCV(LogisticRegression(max_iter=200), {"C": [0.001, 0.01, 0.1, 1.0]}, cv=3)
        fitted = make_pipeline(StandardScaler(), strengths).fit(inputs[drawn], labels[drawn])
    return float(fitted.score(inputs[rest], labels[rest]))


def feature_table(directory: Path, source: Path, classes: tuple[str, ...], counts: list[int]) -> list[str]:
    """Mean accuracies; and pre-trained minus fresh, paired by draw, with its 95% interval over draws."""
    files, numbers = zip(*pictures_of(source, classes), strict=True)
    labels = np.asarray(numbers)
    seen = {name: features(directory / name, list(files)) for name in ("pretrained", "scratch")}
    seen["pixels"] = np.stack([np.asarray(read_rgb(str(file)).convert("L")).ravel() for file in files])
    lines = [
        "| pictures a class | features pre-trained | features fresh | pixels alone | pre-trained - fresh, points |"
    ]
    lines.append("|---|---|---|---|---|")
    for count in counts:
        scores = {
            n: np.array([accuracy(one, labels, count, seed) for seed in range(DRAWS)]) for n, one in seen.items()
        }
        gap = 100 * (scores["pretrained"] - scores["scratch"])
        half = stats.t.ppf(0.975, DRAWS - 1) * gap.std(ddof=1) / np.sqrt(DRAWS)
        means = " | ".join(f"{values.mean():.3f}" for values in scores.values())
        lines.append(f"| {count} | {means} | {gap.mean():.1f} ({gap.mean() - half:.1f} to {gap.mean() + half:.1f}) |")
    return lines


def draw(source: Path, classes: tuple[str, ...], pictures: int, target: Path) -> None:
    """Of each class so many pictures for train, all others for test, from both parts of the source."""
    for name in classes:
        files = sorted(source.glob(f"*/{name}/*.png"))
        random.Random(0).shuffle(files)
        for part, chosen in (("train", files[:pictures]), ("test", files[pictures:])):
            (target / part / name).mkdir(parents=True)
            for file in chosen:
                shutil.copy(file, target / part / name / f"{file.parent.parent.name}-{file.name}")


def row(pictures: int, board: automl.Board) -> str:
    rows = {each.contender: each for each in board.rows}
    cells = [str(pictures)]
    for net in ("pretrained/full", "scratch/full"):
        cells.append(f"{rows[net].test_mean:.3f} ({rows[net].test_low:.3f} to {rows[net].test_high:.3f})")
    return f"| {' | '.join(cells)} | {board.verdict} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pretrained", choices=["half", "imagenet"], default="half")
    parser.add_argument(
        "--pictures", default="10,20,40,72", help="training pictures of each class, validation included"
    )
    parser.add_argument("--epochs", type=int, default=40, help="epochs of pre-training")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    source = arguments.data / "fashion_mnist_small"
    table = ["| pictures a class | fine-tuned from its weights | from scratch | verdict |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as scratch:
        directory = arguments.keep or Path(scratch)
        classes = make_nets(arguments.pretrained, source, arguments.epochs, directory)
        counts = [int(count) for count in arguments.pictures.split(",")]
        print("\n".join(feature_table(directory, source, classes, counts)), flush=True)
        for pictures in map(int, filter(None, arguments.tune.split(","))):
            draw(source, classes, pictures, directory / f"pictures-{pictures}")
            board = automl.run(
                str(directory / f"pictures-{pictures}"),
                models=[str(directory / "pretrained"), str(directory / "scratch")],
                trials=arguments.trials,
                seeds=arguments.seeds,
                max_epochs=max(10, FEWEST_SAMPLES // (pictures * len(classes))),
                out=str(directory / f"run-{pictures}"),
            )
            table.append(row(pictures, board))
    if arguments.tune:
        print("\n".join(table))


if __name__ == "__main__":
    main()
