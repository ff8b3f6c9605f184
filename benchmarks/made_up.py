"""Models from configs with random weights, rows of random words or pixels, and three loops that train them.

    bare     a plain PyTorch loop: batches made beforehand, autocast, clipping, fused AdamW, a linear schedule
    automl   the loop that every trial runs, evaluations apart
    Trainer  transformers' own

Nothing is read from a network, and of automl only what a training needs: neither Ray nor pydantic has to be there.
By itself it makes a model's folder:

    PYTHONPATH=. python benchmarks/made_up.py bert-base FOLDER
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from transformers import BertConfig, LlamaConfig, ViTConfig

from automl.data.write import write_arrow
from automl.models.blocks import autocast_dtype
from automl.models.checkpoints import find_checkpoint
from automl.training.clock import SlotClock
from automl.training.evaluation import Alone
from automl.training.fit import Training
from automl.training.stream import batch_stream
from automl.types import Contender, Schema, TrialSpec

CLASSES = 4
IMAGE_FILES = 32
VALIDATION_ROWS = 64
RECIPE: dict[str, Any] = {
    "learning_rate": 1e-4, "batch_size": 16, "weight_decay": 0.01, "dropout": 0.1, "head_dropout": 0.1,
    "frozen_share": 0.0, "head_only_share": 0.0, "release_share": 0.0, "bottom_lr_ratio": 1.0,
    "release_lr_scale": 1.0, "warmup_share": 0.1, "label_smoothing": 0.0, "gradient_clip": 1.0,
}  # fmt: skip
LORA = {"lora_rank": 8, "lora_alpha": 16.0, "lora_dropout": 0.0}


@dataclass(frozen=True)
class Size:
    """A model that is made up. words: of its vocabulary, 0 for images; length: words a row, or pixels a side."""

    family: str
    config: Callable[[], Any]
    words: int
    length: int


def _small_vit() -> ViTConfig:
    return ViTConfig(
        image_size=32, patch_size=8, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )


def _small_llama() -> LlamaConfig:
    return LlamaConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=5_122
    )


def _bert(width: int, layers: int, heads: int, vocabulary: int = 30_522) -> Callable[[], BertConfig]:
    return lambda: BertConfig(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=4 * width,
        vocab_size=vocabulary,
    )  # fmt: skip


SIZES = {
    "tiny": Size("text_encoder", _bert(128, 2, 2), 30_000, 128),
    "minilm": Size("text_encoder", _bert(384, 6, 12), 30_000, 128),
    "bert-small": Size("text_encoder", _bert(512, 4, 8), 30_000, 128),
    "bert-base": Size("text_encoder", _bert(768, 12, 12), 30_000, 128),
    "llama-300m": Size(
        "causal_lm",
        lambda: LlamaConfig(
            hidden_size=1024, num_hidden_layers=18, num_attention_heads=16, intermediate_size=3072, vocab_size=30_522
        ),
        30_000,
        128,
    ),
    "vit-base": Size("image_classifier", ViTConfig, 0, 224),
    "toy-bert": Size("text_encoder", _bert(32, 2, 2, vocabulary=5_122), 5_000, 16),
    "toy-llama": Size("causal_lm", _small_llama, 5_000, 16),
    "toy-vit": Size("image_classifier", _small_vit, 0, 32),
}


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def make_model(name: str, directory: Path) -> Path:
    """A folder with that model and what makes its inputs; the one that is there already."""
    if (directory / "config.json").exists():
        return directory
    from transformers import AutoModel, AutoModelForImageClassification

    size = SIZES[name]
    torch.manual_seed(0)
    if size.words:
        AutoModel.from_config(size.config()).save_pretrained(directory)
        _make_tokenizer(size.words, directory)
        return directory
    AutoModelForImageClassification.from_config(size.config()).save_pretrained(directory)
    processor = {"image_processor_type": "ViTImageProcessor", "size": {"height": size.length, "width": size.length}}
    (directory / "preprocessor_config.json").write_text(json.dumps(processor))
    return directory


def _make_tokenizer(words: int, directory: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: n for n, word in enumerate(["[PAD]", "[UNK]", *(f"w{i}" for i in range(words))])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=512
    ).save_pretrained(directory)


def make_data(name: str, directory: Path, rows: int, uneven: bool = False) -> Schema:
    """Prepared data of random rows in a folder; the schema. uneven: texts between half as long and full length."""
    size, draw = SIZES[name], np.random.default_rng(0)
    directory.mkdir(parents=True, exist_ok=True)
    column = "text" if size.words else "image"
    files = [] if size.words else _make_images(directory / "images", size.length)
    for part, count in {"train": rows, "validation": VALIDATION_ROWS, "test": VALIDATION_ROWS}.items():
        if size.words:
            lengths = draw.integers(size.length // 2, size.length, count) if uneven else [size.length] * count
            inputs = [" ".join(f"w{w}" for w in draw.integers(size.words, size=length)) for length in lengths]
        else:
            inputs = [files[row % len(files)] for row in range(count)]
        table = pa.table({"row": np.arange(count), column: inputs})
        if part != "test":
            table = table.append_column("label", pa.array([f"class{row % CLASSES}" for row in range(count)]))
        write_arrow(directory / f"{part}.arrow", [table])
    task = "text-classification" if size.words else "image-classification"
    classes = tuple(f"class{number}" for number in range(CLASSES))
    return Schema(task=task, inputs=(column,), target="label", classes=classes)


def _make_images(folder: Path, side: int) -> list[str]:
    from PIL import Image

    folder.mkdir()
    draw, files = np.random.default_rng(0), [str(folder / f"{number}.png") for number in range(IMAGE_FILES)]
    for file in files:
        Image.fromarray(draw.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(file, compress_level=1)
    return files


def make_spec(
    name: str, directory: Path, models: Path, batch: int, steps: int, *,
    rows: int = 0, uneven: bool = False, adaptation: str = "full", recipe: dict[str, Any] | None = None,
    **changes: Any,
) -> TrialSpec:  # fmt: skip
    """A trial of so many steps on made-up data in a run folder of its own.

    models: where models are kept for the next one who asks. rows: of training; as many as are seen by default.
    """
    schema = make_data(name, directory / "data", rows or batch * steps, uneven)
    checkpoint = find_checkpoint(str(make_model(name, models / name)))
    values: dict[str, Any] = {"batch_size": batch, **(LORA if adaptation == "lora" else {}), **(recipe or {})}
    (directory / "logs" / "heartbeats").mkdir(parents=True)
    spec = TrialSpec(
        id="made-up-000",
        kind="trial",
        contender=Contender(name=name, checkpoint=checkpoint, family=SIZES[name].family, adaptation=adaptation),
        recipe=RECIPE | values,
        seed=1,
        horizon_samples=batch * steps,
        rungs=(batch * steps,),
        split_fingerprint=f"made-up-{name}",
        data_directory=str(directory / "data"),
        run_directory=str(directory),
        task=schema.task,
        metric="accuracy",
        schema=schema,
    )
    return replace(spec, **changes)


class Loops:
    """The three loops on one model, one batch size and the same rows, each with weights of its own.

    A loop is set up at its first call, which is its warm-up; every call trains over the whole horizon.
    """

    def __init__(self, spec: TrialSpec, device: torch.device) -> None:
        self.spec, self.device = spec, device
        self.autocast = autocast_dtype(device)
        self._ready: dict[str, Callable[[], None]] = {}

    def rate(self, name: str) -> float:
        """Rows a second of one pass of a loop."""
        if name not in self._ready:
            self._ready[name] = getattr(self, f"_{name.lower()}")()
            self._ready[name]()
        synchronise(self.device)
        started = time.perf_counter()
        self._ready[name]()
        synchronise(self.device)
        return self.spec.horizon_samples / (time.perf_counter() - started)

    def _automl(self) -> Callable[[], None]:
        training = set_up(self.spec, self.device)
        training._evaluate = lambda *_: None  # type: ignore[method-assign]
        return training._learn

    def _bare(self) -> Callable[[], None]:
        training = set_up(self.spec, self.device)
        training._while_learning.close()
        model, recipe = training.model.train(), training.recipe
        stream = batch_stream(training.train.lengths, recipe.batch_size, self.spec.seed, self.spec.horizon_samples)
        batches = [training._make_batch(training.train, rows) for rows in stream]

        def learn() -> None:
            optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.step_learning_rate, fused=True)
            schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=len(batches))
            for batch in batches:
                inputs = {name: value for name, value in batch.items() if name != "labels"}
                with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
                    logits = model(**inputs).logits
                    loss = torch.nn.functional.cross_entropy(logits.float(), batch["labels"])
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad(set_to_none=True)

        return learn

    def _trainer(self) -> Callable[[], None]:
        from transformers import Trainer, TrainingArguments

        training = set_up(self.spec, self.device)
        training._while_learning.close()
        part = training.train
        rows = [_Row(training, row) for row in range(min(len(part), self.spec.horizon_samples))]
        trainer = Trainer(
            model=training.model,
            args=TrainingArguments(
                output_dir=self.spec.run_directory + "/trainer", save_strategy="no", logging_strategy="no",
                report_to=[], disable_tqdm=True, per_device_train_batch_size=training.recipe.batch_size,
                max_steps=-(-self.spec.horizon_samples // training.recipe.batch_size),
                bf16=self.autocast == torch.bfloat16, use_cpu=self.device.type == "cpu", remove_unused_columns=False,
            ),
            train_dataset=rows,
            data_collator=_collate,
        )  # fmt: skip

        def learn() -> None:
            with redirect_stdout(io.StringIO()):  # it prints what it measured, whatever it is told
                trainer.train()

        return learn


class _Row:
    """A row that the Trainer's collator turns into a batch as our loop would, on the host."""

    def __init__(self, training: Training, number: int) -> None:
        self.training, self.number = training, number


def _collate(rows: list[_Row]) -> dict[str, torch.Tensor]:
    training, numbers = rows[0].training, np.asarray([row.number for row in rows])
    part = training.train
    assert part.labels is not None
    return training.task.unpack(training.task.collate(part.rows(numbers), part.labels[numbers], training.padding))


def set_up(spec: TrialSpec, device: torch.device) -> Training:
    training = Training(spec, Alone(device), SlotClock(None))
    training._set_up()
    return training


def rate_of(training: Training) -> float:
    """Rows a second of a pass over the whole horizon, without evaluations."""
    training._evaluate = lambda *_: None  # type: ignore[method-assign]
    synchronise(training.device)
    began = time.perf_counter()
    training._learn()
    synchronise(training.device)
    return training.spec.horizon_samples / (time.perf_counter() - began)


def losses(training: Training, steps: int) -> list[float]:
    """The loss of each of the first steps of a training that is set up."""
    size = training.recipe.batch_size
    stream = batch_stream(training.train.lengths, size, training.spec.seed, steps * size)
    return [training.take_step(rows, number * size) for number, rows in enumerate(stream)]


@contextmanager
def learning(spec: TrialSpec, device: torch.device) -> Iterator[Training]:
    """A training that is set up, its model put together again afterwards."""
    training = Training(spec, Alone(device), SlotClock(None))
    with training.ready():
        yield training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=tuple(SIZES))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    print(make_model(arguments.size, arguments.folder))


if __name__ == "__main__":
    main()
