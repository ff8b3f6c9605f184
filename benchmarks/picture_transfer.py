"""Is transfer between pictures real? A ResNet pre-trained on half of the classes, against the same net from scratch.

    python benchmarks/picture_transfer.py --data DIR      # DIR holds fashion_mnist_small/{train,test}/CLASS/*.png

Five classes of Fashion-MNIST pre-train the net (train and test pictures of those classes); the other five are
benchmarked with automl, both nets as contenders under one budget. Prints the leaderboard; --out keeps the run folder.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import cross_entropy
from transformers import ResNetConfig, ResNetForImageClassification, ViTImageProcessorPil

import automl

PRETRAINING = ("ankle_boot", "coat", "dress", "sneaker", "trouser")
FINE_TUNING = ("bag", "pullover", "sandal", "shirt", "t-shirt_top")


def small_resnet(classes: int) -> ResNetForImageClassification:
    config = ResNetConfig(
        embedding_size=32,
        hidden_sizes=[32, 64, 128, 256],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        num_labels=classes,
    )
    return ResNetForImageClassification(config)


def pretrain(model: ResNetForImageClassification, folder: Path, epochs: int, seed: int) -> float:
    """Train on every picture of the pre-training classes; the training accuracy of the last epoch."""
    files = [(f, k) for k, name in enumerate(PRETRAINING) for f in sorted(folder.glob(f"*/{name}/*.png"))]
    pixels = np.stack([np.asarray(Image.open(f).convert("RGB").resize((32, 32))) for f, _ in files])
    images = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    labels = torch.tensor([k for _, k in files])
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, epochs * (len(files) // 32 + 1))
    hits = 0
    for _ in range(epochs):
        hits = 0
        model.train()
        for rows in torch.randperm(len(files), generator=generator).split(32):
            batch = images[rows]
            if torch.rand((), generator=generator) < 0.5:
                batch = batch.flip(-1)
            logits = model(batch).logits
            hits += int((logits.argmax(1) == labels[rows]).sum())
            cross_entropy(logits, labels[rows]).backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    return hits / len(files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="keep the run folder here")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of pre-training")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    source = arguments.data / "fashion_mnist_small"
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        for part in ("train", "test"):
            for name in FINE_TUNING:
                shutil.copytree(source / part / name, directory / "pictures" / part / name)
        processor = ViTImageProcessorPil(
            size={"height": 32, "width": 32}, image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5]
        )
        torch.manual_seed(0)
        model = small_resnet(len(PRETRAINING))
        for name in ("scratch", "pretrained"):
            if name == "pretrained":
                accuracy = pretrain(model, source, arguments.epochs, seed=0)
                print(f"pre-trained on {', '.join(PRETRAINING)}: training accuracy {accuracy:.3f}")
            model.save_pretrained(directory / name)
            processor.save_pretrained(directory / name)
        board = automl.run(
            str(directory / "pictures"),
            models=[str(directory / "pretrained"), str(directory / "scratch")],
            trials=arguments.trials,
            seeds=arguments.seeds,
            out=str(arguments.out or directory / "run"),
        )
        print(board.to_markdown())


if __name__ == "__main__":
    main()
