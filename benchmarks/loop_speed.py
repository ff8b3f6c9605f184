"""What does the training loop cost over the model itself? Samples a second of three loops on the same model and rows.

    python benchmarks/loop_speed.py --size bert-base          # on a GPU where there is one
    python benchmarks/loop_speed.py --size minilm --steps 30  # what two CPU cores can do

    bare     a plain PyTorch loop: batches padded beforehand, autocast, clipping, fused AdamW, a linear schedule
    automl   the loop that every trial runs, evaluations apart
    Trainer  transformers' own

Models are built from configs, with random weights; rows are random words of a vocabulary of 30,000, nearly all of it,
so that no loop can leave out a part of the embeddings. Loops run in turn, --repeats times; ratios are of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, BertConfig, LlamaConfig

from automl.config import make_request
from automl.data.prepare import load_prepared, prepare
from automl.models.blocks import autocast_dtype
from automl.models.checkpoints import find_checkpoint
from automl.search.contest import find_contenders
from automl.search.space import load_space
from automl.tasks.text_classification import TextClassification
from automl.training.clock import SlotClock
from automl.training.evaluation import Alone
from automl.training.fit import Training
from automl.training.stream import batch_stream
from automl.types import TrialSpec

WORDS = 30_000
CLASSES = 4
CONFIGS: dict[str, Any] = {
    "tiny": lambda: BertConfig(hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512),
    "minilm": lambda: BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    ),
    "bert-base": BertConfig,
    "llama-300m": lambda: LlamaConfig(
        hidden_size=1024, num_hidden_layers=18, num_attention_heads=16, intermediate_size=3072, vocab_size=30_522
    ),
}


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def make_checkpoint(size: str, directory: Path) -> None:
    """A model of that size with random weights, and a tokenizer of made-up words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    torch.manual_seed(0)
    AutoModel.from_config(CONFIGS[size]()).save_pretrained(directory)
    vocabulary = {word: n for n, word in enumerate(["[PAD]", "[UNK]", *(f"w{i}" for i in range(WORDS))])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=512
    ).save_pretrained(directory)


def make_rows(file: Path, rows: int, length: int) -> None:
    draw = np.random.default_rng(0)
    lines = ["text,label"]
    for row in range(rows):
        words = draw.integers(WORDS, size=length)
        lines.append(" ".join(f"w{w}" for w in words) + f",class{row % CLASSES}")
    file.write_text("\n".join(lines) + "\n")


class Job:
    """One model, its encoded rows, and the batches that every loop gets."""

    def __init__(self, directory: Path, size: str, batch: int, steps: int, length: int) -> None:
        make_checkpoint(size, directory / "model")
        make_rows(directory / "rows.csv", rows=max(batch * steps, 2_000), length=length)
        (directory / "data").mkdir()
        request = make_request({
            "source": str(directory / "rows.csv"), "target": "label", "text": "text",
            "models": str(directory / "model"),
        })  # fmt: skip
        prepare(request, directory / "data")
        self.prepared = load_prepared(directory / "data")
        (contender,), _ = find_contenders(request, TextClassification())
        space = load_space("text_encoder_small", "full")
        self.spec = TrialSpec(
            id="loop",
            kind="trial",
            contender=contender,
            recipe=space.complete({"batch_size": batch}),
            seed=1,
            horizon_samples=batch * steps,
            rungs=(batch * steps,),
            split_fingerprint=self.prepared.split.fingerprint,
            data_directory=str(self.prepared.directory),
            run_directory=str(directory),
            task=self.prepared.schema.task,
            metric="accuracy",
            schema=self.prepared.schema,
        )
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.samples, self.batch = batch * steps, batch
        self.autocast = autocast_dtype(self.device)

    def training(self) -> Training:
        training = Training(self.spec, Alone(self.device), SlotClock(None))
        training._set_up()
        return training

    def automl(self) -> float:
        training = self.training()
        training._evaluate = lambda *_: None  # type: ignore[method-assign]
        with training._while_learning:
            synchronise(self.device)
            started = time.perf_counter()
            training._learn()
            synchronise(self.device)
        return time.perf_counter() - started

    def bare(self) -> float:
        training = self.training()
        training._while_learning.close()
        model, recipe = training.model.train(), training.recipe
        lengths = training.train.lengths
        batches = [
            training._make_batch(training.train, rows)
            for rows in batch_stream(lengths, self.batch, self.spec.seed, self.samples)
        ]
        optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.step_learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=len(batches))
        synchronise(self.device)
        started = time.perf_counter()
        for batch in batches:
            labels = batch.pop("labels")
            with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
                logits = model(**batch).logits
                loss = torch.nn.functional.cross_entropy(logits.float(), labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
        synchronise(self.device)
        return time.perf_counter() - started

    def trainer(self) -> float:
        from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

        training = self.training()
        training._while_learning.close()
        part, labels = training.train, training.train.labels
        assert labels is not None
        rows = [
            {"input_ids": row["input_ids"].tolist(), "labels": int(label)}
            for row, label in zip(part.rows(np.arange(self.samples)), labels, strict=False)
        ]
        model = AutoModelForSequenceClassification.from_pretrained(
            find_checkpoint(self.spec.contender.checkpoint.path).path, num_labels=CLASSES
        )
        model.config.pad_token_id = 0
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=self.spec.run_directory + "/trainer", num_train_epochs=1, save_strategy="no",
                logging_strategy="no", report_to=[], disable_tqdm=True, per_device_train_batch_size=self.batch,
                bf16=self.autocast == torch.bfloat16, use_cpu=self.device.type == "cpu",
            ),
            train_dataset=rows,
            data_collator=DataCollatorWithPadding(training.processor),
        )  # fmt: skip
        synchronise(self.device)
        started = time.perf_counter()
        trainer.train()
        synchronise(self.device)
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=tuple(CONFIGS), default="bert-base")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=128, help="words a row")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as directory:
        job = Job(Path(directory), arguments.size, arguments.batch, arguments.steps, arguments.length)
        loops: dict[str, Callable[[], float]] = {"bare": job.bare, "automl": job.automl, "Trainer": job.trainer}
        seconds: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(arguments.repeats):
            for name, loop in loops.items():
                seconds[name].append(loop())
                print(f"{name:<8}{job.samples / seconds[name][-1]:>10.1f} samples/s", flush=True)
    rates = {name: job.samples / statistics.median(values) for name, values in seconds.items()}
    print(json.dumps({
        "size": arguments.size, "device": str(job.device), "precision": str(job.autocast), "batch": arguments.batch,
        "threads": torch.get_num_threads(), "load": os.getloadavg(), "samples_per_second": rates,
        "automl_over_bare": rates["automl"] / rates["bare"],
        "automl_over_trainer": rates["automl"] / rates["Trainer"],
    }))  # fmt: skip


if __name__ == "__main__":
    main()
