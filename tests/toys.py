"""Small real things: a two-layer BERT built from a config, a tokenizer of its words, a labelled table."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa

from automl.config import make_request
from automl.data.prepare import prepare
from automl.data.prepared import load_prepared
from automl.types import Checkpoint, Contender, PreparedData, TrialSpec

WORDS = {
    "refund": "money back refund charged twice invoice payment card return".split(),
    "delivery": "parcel late courier address arrived shipping box tracking".split(),
    "login": "password account locked sign reset email code username".split(),
}
FILLER = "please my the a for today again why is it can you help with not and this".split()
RECIPE = {
    "learning_rate": 2e-3,
    "batch_size": 8,
    "weight_decay": 0.01,
    "dropout": 0.1,
    "head_dropout": 0.1,
    "frozen_share": 0.0,
    "head_only_share": 0.0,
    "release_share": 0.0,
    "bottom_lr_ratio": 0.5,
    "release_lr_scale": 1.0,
    "warmup_share": 0.1,
    "label_smoothing": 0.0,
    "gradient_clip": 1.0,
}


def messages(rows: int = 90, seed: int = 0) -> list[tuple[str, str]]:
    """Distinct (text, label) rows whose class shows in some of their words."""
    generator = random.Random(seed)
    found: dict[str, str] = {}
    while len(found) < rows:
        label = list(WORDS)[len(found) % len(WORDS)]
        words = generator.choices(WORDS[label], k=3) + generator.choices(FILLER, k=generator.randint(2, 9))
        generator.shuffle(words)
        found.setdefault(" ".join(words), label)
    return list(found.items())


def write_csv(path: Path, rows: list[tuple[str, str]]) -> Path:
    lines = ["text,label", *(f"{text},{label}" for text, label in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def tiny_tokenizer(directory: Path) -> None:
    """A tokenizer of the toy messages' words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = sorted({word for words in [*WORDS.values(), FILLER] for word in words})
    # a fixed list, not a trained one: training breaks ties by chance, and a test would not see the same toy twice
    vocabulary = {word: number for number, word in enumerate([*special, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    ).save_pretrained(directory)


def tiny_bert(directory: Path, layers: int = 2, seed: int = 0) -> Path:
    """A BERT of some thousand parameters in Hugging Face layout, with its tokenizer."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=300,
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(directory)
    tiny_tokenizer(directory)
    return directory


def tiny_contender(directory: Path, adaptation: str = "full") -> Contender:
    checkpoint = Checkpoint(
        name=str(directory),
        path=str(directory),
        revision="toy",
        kind="folder",
        architecture="BertModel",
        model_type="bert",
        parameters=30_000,
    )
    return Contender(name=f"tiny/{adaptation}", checkpoint=checkpoint, family="text_encoder", adaptation=adaptation)


def prepared_messages(directory: Path, rows: int = 90) -> PreparedData:
    """Prepared data of toy messages, in directory/data."""
    directory.mkdir(parents=True, exist_ok=True)
    source = write_csv(directory / "messages.csv", messages(rows))
    (directory / "data").mkdir()
    prepare(make_request({"source": str(source), "target": "label", "text": "text"}), directory / "data")
    return load_prepared(directory / "data")


def trial_spec(
    directory: Path, contender: Contender, prepared: PreparedData, epochs: int = 3, **changes: object
) -> TrialSpec:
    """A trial of the toy recipe; `recipe` among the changes is merged into it."""
    horizon = epochs * prepared.counts["train"]
    values: dict[str, object] = {
        "id": "tiny-full-000",
        "kind": "trial",
        "contender": contender,
        "recipe": RECIPE,
        "seed": 1,
        "horizon_samples": horizon,
        "rungs": (horizon // 3, horizon),
        "split_fingerprint": prepared.split.fingerprint,
        "data_directory": str(prepared.directory),
        "run_directory": str(directory),
        "task": prepared.schema.task,
        "metric": "accuracy",
        "schema": prepared.schema,
    }
    recipe = RECIPE | dict(changes.pop("recipe", {}))  # type: ignore[call-overload]
    return TrialSpec(**{**values, **changes, "recipe": recipe})  # type: ignore[arg-type]


def table(rows: list[tuple[str, str]]) -> pa.Table:
    texts, labels = zip(*rows, strict=True)
    return pa.table({"row": np.arange(len(rows)), "text": list(texts), "label": list(labels)})
