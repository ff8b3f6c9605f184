"""Causal language models of every kind that is claimed keep the contract of every family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import ByteLevel

from automl.errors import CheckpointError
from automl.models.causal_lm import MODEL_TYPES, CausalLM
from automl.types import Checkpoint, Schema
from tests.models.contract import FamilyContract
from tests.toys import RECIPE, tiny_tokenizer

SCHEMA = Schema(task="text-classification", inputs=("text",), target="label", classes=("a", "b", "c"))
SMALL = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}
WINDOW = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
GPT2 = {"n_embd": 32, "n_layer": 3, "n_head": 2, "n_positions": 40}
CONFIGS = {
    "bloom": ("BloomConfig", {"n_layer": 3, "n_head": 2}),
    "gemma": ("GemmaConfig", {"head_dim": 16}),
    "gemma2": ("Gemma2Config", WINDOW | {"head_dim": 16}),
    "gemma3_text": ("Gemma3TextConfig", WINDOW | {"head_dim": 16}),
    "gpt2": ("GPT2Config", GPT2),
    "gpt_neox": ("GPTNeoXConfig", {}),
    "llama": ("LlamaConfig", {}),
    "ministral": ("MinistralConfig", WINDOW | {"head_dim": 16}),
    "mistral": ("MistralConfig", {"sliding_window": 4}),
    "olmo": ("OlmoConfig", {}),
    "olmo2": ("Olmo2Config", {}),
    "olmo3": ("Olmo3Config", WINDOW),
    "phi": ("PhiConfig", {}),
    "phi3": ("Phi3Config", {}),
    "qwen2": ("Qwen2Config", WINDOW | {"use_sliding_window": True}),
    "qwen3": ("Qwen3Config", WINDOW | {"use_sliding_window": True, "head_dim": 16}),
    "smollm3": ("SmolLM3Config", WINDOW | {"use_sliding_window": True}),
    "stablelm": ("StableLmConfig", {}),
    "starcoder2": ("Starcoder2Config", {}),
}


def checkpoint_of(kind: str, directory: Path, **changes: int) -> Checkpoint:
    name, extra = CONFIGS[kind]
    torch.manual_seed(0)
    config = getattr(transformers, name)(**SMALL | extra | changes)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(directory)
    tiny_tokenizer(directory)
    return Checkpoint(
        name=kind,
        path=str(directory),
        revision="toy",
        kind="folder",
        architecture=name,
        model_type=config.model_type,
        parameters=1,
    )


@pytest.fixture(params=sorted(CONFIGS))
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoint:
    return checkpoint_of(request.param, tmp_path)


class TestCausalLM(FamilyContract):
    family = CausalLM()
    head = "sequence-classification"

    def batch(self) -> dict[str, torch.Tensor]:
        ids = torch.randint(5, 50, (4, 9), generator=torch.Generator().manual_seed(0))
        mask = torch.ones_like(ids)
        ids[0, 5:] = mask[0, 5:] = 0
        return {"input_ids": ids, "attention_mask": mask}


def byte_tokenizer(kind: str, directory: Path) -> None:
    """A real GPT-2 or Qwen tokenizer of single bytes: no mark at the start of a text, GPT-2's no padding either."""
    letters = sorted(ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate([*letters, "<|endoftext|>"])}
    tokenizer_class = {"gpt2": transformers.GPT2Tokenizer, "qwen2": transformers.Qwen2Tokenizer}[kind]
    tokenizer_class(vocab=vocabulary, merges=[]).save_pretrained(directory)


@pytest.fixture(params=["gpt2", "qwen2"])
def without_marks(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoint:
    """A checkpoint whose config names no token for padding."""
    found = checkpoint_of(request.param, tmp_path, vocab_size=300, bos_token_id=256, eos_token_id=256)
    for file in tmp_path.glob("tokenizer*"):
        file.unlink()
    byte_tokenizer(request.param, tmp_path)
    return found


def encoded(tokenizer: Any, *texts: list[str]) -> dict[str, torch.Tensor]:
    return dict(tokenizer(*texts, padding=True, return_tensors="pt"))


def test_padding_changes_no_answer_though_the_checkpoint_had_none(without_marks: Checkpoint) -> None:
    family = CausalLM()
    model = family.load(without_marks, "sequence-classification", SCHEMA, RECIPE).eval()
    tokenizer = family.load_processor(without_marks)
    texts = ["short", "a longer text", "", "odd <|endoftext|>"]
    with torch.no_grad():
        together = model(**encoded(tokenizer, texts)).logits
        alone = torch.cat([model(**encoded(tokenizer, [text])).logits for text in texts])
    torch.testing.assert_close(together, alone)
    assert torch.isfinite(together).all()


def test_a_pair_of_texts_is_not_the_same_as_the_two_run_together(without_marks: Checkpoint) -> None:
    tokenizer = CausalLM().load_processor(without_marks)
    assert tokenizer("ab", "c")["input_ids"] != tokenizer("a", "bc")["input_ids"]
    assert tokenizer("ab")["input_ids"] == [256, *tokenizer("ab", add_special_tokens=False)["input_ids"]]
    assert len(tokenizer("a" * 20, truncation=True, max_length=8)["input_ids"]) == 8


def test_the_shipped_model_answers_in_a_pipeline_as_it_did_in_training(
    without_marks: Checkpoint, tmp_path: Path
) -> None:
    family = CausalLM()
    model = family.load(without_marks, "sequence-classification", SCHEMA, RECIPE).eval()
    tokenizer = family.load_processor(without_marks)
    family.save(model, tokenizer, tmp_path / "shipped")
    texts = ["short", "a longer text"]
    with torch.no_grad():
        expected = model(**encoded(tokenizer, texts)).logits.softmax(-1)
    answers = transformers.pipeline("text-classification", str(tmp_path / "shipped"), top_k=None, batch_size=2)(texts)
    for row, answer in zip(expected, answers, strict=True):
        scores = {each["label"]: each["score"] for each in answer}
        torch.testing.assert_close(torch.tensor([scores[name] for name in SCHEMA.classes]), row)


def test_a_tokenizer_that_cannot_pad_is_told_in_three_parts(tmp_path: Path) -> None:
    bare = transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"a": 0}, unk_token="a")))
    with pytest.raises(CheckpointError, match="no token to fill short texts.*; a pad_token.*Name one"):
        CausalLM().prepare_tokenizer(bare)


def test_a_padding_token_that_the_model_does_not_know_is_told_in_three_parts(without_marks: Checkpoint) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(without_marks.path)
    tokenizer.add_tokens([f"new{number}" for number in range(50)])
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(without_marks.path)
    with pytest.raises(CheckpointError, match="with token 307, but knows 300 tokens.*; a pad_token among them"):
        CausalLM().load(without_marks, "sequence-classification", SCHEMA, RECIPE)


def test_the_last_norm_belongs_to_the_last_block_and_the_score_alone_to_the_head(checkpoint: Checkpoint) -> None:
    model = CausalLM().load(checkpoint, "sequence-classification", SCHEMA, RECIPE)
    assert [name for name, _ in CausalLM().blocks(model).parameters()[-1]] == ["score.weight"]


def test_every_kind_that_is_claimed_is_tested() -> None:
    assert set(CONFIGS) == MODEL_TYPES
