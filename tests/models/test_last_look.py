"""Checkpoints with quirks are seen before anything is spent: understood and said, or refused with names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from automl.errors import CheckpointError
from automl.models.last_look import checkpoint_sentences, look_at_checkpoints
from automl.models.text_encoder import TextEncoder
from automl.types import Contender, Finding, Schema
from tests.toys import FILLER, RECIPE, messages, table, tiny_bert, tiny_contender, tiny_tokenizer

SCHEMA = Schema(task="text-classification", inputs=("text",), target="label", classes=("delivery", "login", "refund"))
ROWS = table(messages(60))
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("look") / "tiny")


@pytest.fixture
def changed(bert: Path, tmp_path: Path) -> Callable[[Callable[[Tensors], Tensors]], Contender]:
    """A copy of the toy with its weights changed."""

    def change(change: Callable[[Tensors], Tensors]) -> Contender:
        folder = tmp_path / "changed"
        shutil.copytree(bert, folder)
        save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors", {"format": "pt"})
        return tiny_contender(folder)

    return change


def look(contender: Contender, rows: pa.Table = ROWS) -> list[Finding]:
    return look_at_checkpoints([contender], rows, SCHEMA)


def kinds(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.kind, finding.severity) for finding in findings]


def load(contender: Contender) -> torch.nn.Module:
    return TextEncoder().load(contender.checkpoint, "sequence-classification", SCHEMA, RECIPE)


def test_a_good_checkpoint_raises_nothing(bert: Path) -> None:
    both = [tiny_contender(bert), tiny_contender(bert, "frozen")]
    assert look_at_checkpoints(both, ROWS, SCHEMA) == []
    assert checkpoint_sentences(both, SCHEMA) == []


def test_missing_layers_are_refused_by_name_before_and_at_loading(changed: Callable[..., Contender]) -> None:
    half = changed(lambda weights: {name: value for name, value in weights.items() if "layer.1." not in name})
    (finding,) = look(half)
    assert finding.severity == "refuse"
    assert "16 of the 37 weights of the model's body are in none of its files" in finding.what
    assert "bert.encoder.layer.1." in finding.what
    with pytest.raises(CheckpointError, match="16 of the 37 weights"):
        load(half)


def test_a_file_without_any_fitting_name_is_refused_with_how_its_names_begin(
    changed: Callable[..., Contender],
) -> None:
    other = changed(lambda weights: {f"tower.a.{number}": value for number, value in enumerate(weights.values())})
    (finding,) = look(other)
    assert "the files' names begin with 'tower.a.'" in finding.what


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module.backbone.", "model.bert."])
def test_a_wrapper_of_every_name_is_taken_off_and_said(
    changed: Callable[..., Contender], bert: Path, wrapper: str
) -> None:
    wrapped = changed(lambda weights: {wrapper + name: value for name, value in weights.items()})
    assert look(wrapped) == []
    (told,) = checkpoint_sentences([wrapped], SCHEMA)
    taken = wrapper.removesuffix("bert.")
    assert told.endswith(f"{taken!r} before the name of every weight is taken off")
    body, plain = (dict(load(one).base_model.named_parameters()) for one in (wrapped, tiny_contender(bert)))
    assert all(torch.equal(value, plain[name]) for name, value in body.items())


def test_two_wrapped_models_in_one_file_are_refused(changed: Callable[..., Contender]) -> None:
    """A student and its teacher: which of the two is meant cannot be known."""
    both = changed(
        lambda weights: {f"{who}.{n}": v.clone() for n, v in weights.items() for who in ("student", "teacher")}
    )
    (finding,) = look(both)
    assert "the files hold such a model 2 times, behind 'student.', 'teacher.'; every weight" in finding.what


def test_layers_that_the_config_does_not_have_are_warned_of(changed: Callable[..., Contender]) -> None:
    deep = changed(
        lambda w: w | {name.replace("layer.1.", "layer.2."): v.clone() for name, v in w.items() if "layer.1." in name}
    )
    (finding,) = look(deep)
    assert (finding.kind, finding.severity) == ("unused_weights", "warn")
    assert "8 weights in its files have no place" in finding.what
    assert "(encoder.layer.2.attention.output.LayerNorm.weight, " in finding.what


def test_weights_of_another_width_are_refused_with_both_shapes(changed: Callable[..., Contender]) -> None:
    cut = changed(lambda weights: weights | {"embeddings.word_embeddings.weight": torch.zeros(200, 32)})
    (finding,) = look(cut)
    assert "word_embeddings.weight: (200, 32) and not (300, 32)" in finding.what
    with pytest.raises(CheckpointError, match="another shape"):
        load(cut)


def test_a_model_without_its_pooler_is_whole(changed: Callable[..., Contender]) -> None:
    bare = changed(lambda weights: {name: value for name, value in weights.items() if "pooler" not in name})
    assert look(bare) == []
    assert load(bare) is not None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(changed: Callable[..., Contender], value: float) -> None:
    def spoil(weights: Tensors) -> Tensors:
        weights["encoder.layer.0.output.dense.weight"][3, 4] = value
        return weights

    (finding,) = look(changed(spoil))
    assert (finding.kind, finding.severity) == ("not_finite", "refuse")
    assert finding.what.endswith("1 of its weights hold NaN or infinite values (encoder.layer.0.output.dense.weight)")


def test_nan_in_a_head_that_is_not_used_is_no_matter(changed: Callable[..., Contender]) -> None:
    spare = changed(lambda weights: weights | {"cls.predictions.bias": torch.full((300,), float("nan"))})
    assert look(spare) == []


def test_pickled_weights_are_looked_at_too(changed: Callable[..., Contender]) -> None:
    half = changed(lambda weights: {name: value for name, value in weights.items() if "layer.1." not in name})
    folder = Path(half.checkpoint.path)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    (finding,) = look(half)
    assert "16 of the 37 weights" in finding.what


def test_shards_are_looked_at_together(bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sharded"
    shutil.copytree(bert, folder)
    (folder / "model.safetensors").unlink()
    transformers.AutoModel.from_pretrained(bert).save_pretrained(folder, max_shard_size="50KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    assert look(tiny_contender(folder)) == []
    index = folder / "model.safetensors.index.json"
    places = json.loads(index.read_text())
    last = sorted(set(places["weight_map"].values()))[-1]
    kept = {name: file for name, file in places["weight_map"].items() if file != last}
    index.write_text(json.dumps(places | {"weight_map": kept}))
    (finding,) = look(tiny_contender(folder))
    assert "weights of the model's body are in none of its files" in finding.what


@pytest.mark.parametrize("classes", [3, 5])
def test_the_head_of_a_fine_tuned_model_is_fresh_and_that_is_said(tmp_path: Path, classes: int) -> None:
    """With as many classes as now and with others; the body is kept."""
    folder = tiny_bert(tmp_path / "tuned")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=classes)
    torch.nn.init.constant_(model.classifier.bias, 9.0)
    model.save_pretrained(folder)
    tuned = tiny_contender(folder)
    assert look(tuned) == []
    (told,) = checkpoint_sentences([tuned], SCHEMA)
    assert told.endswith(f"the checkpoint's own head for {classes} classes is not used, a fresh one learns")
    heads = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        loaded = load(tuned)
        heads.append(loaded.classifier.weight.detach().clone())
        assert loaded.classifier.bias.tolist() == [0.0, 0.0, 0.0]
    assert torch.equal(heads[0], heads[1]), "the seed decides"
    assert not torch.equal(heads[0], heads[2])
    assert not torch.equal(heads[0], model.classifier.weight[:3])


def test_a_tokenizer_of_more_words_than_embeddings_is_refused(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    tiny_tokenizer(tmp_path)
    (finding,) = look(tiny_contender(tmp_path))
    assert (finding.kind, finding.severity) == ("no_embedding", "refuse")
    assert "tokens that its 20 embeddings do not" in finding.what


def test_an_added_token_without_embedding_is_warned_of_unless_a_row_holds_it(bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "added"
    shutil.copytree(bert, folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"filling{number}" for number in range(300 - len(tokenizer))] + ["<image>"])
    tokenizer.save_pretrained(folder)
    (finding,) = look(tiny_contender(folder))
    assert (finding.kind, finding.severity) == ("no_embedding", "warn")
    assert "('<image>')" in finding.what
    held = table([*messages(9), ("please see <image> now", "login")])
    assert kinds(look(tiny_contender(folder), held)) == [("no_embedding", "refuse")]


def test_texts_of_another_alphabet_are_warned_of_and_refused_where_nothing_is_known(bert: Path) -> None:
    known = [(f"{text} {' '.join(FILLER)}", label) for text, label in messages(30)]
    foreign = [(f"ничего здесь не известно {number}", label) for number, (_, label) in enumerate(known)]
    some = [(f"{text} однако", label) for text, label in known]
    assert look(tiny_contender(bert), table(known)) == []
    assert ("unknown_tokens", "refuse") in kinds(look(tiny_contender(bert), table(foreign)))
    rare = [(f"{text} однако здесь", label) for text, label in known]
    assert kinds(look(tiny_contender(bert), table(some))) == []
    assert kinds(look(tiny_contender(bert), table(rare))) == [("unknown_tokens", "warn")]


def test_classes_that_differ_in_what_the_tokenizer_drops_are_warned_of(bert: Path) -> None:
    """Here in an unknown word; in case, where a tokenizer lowers it."""
    twins = [
        (f"{text} {word}", label)
        for text, _ in messages(60)
        for word, label in (("ОДИН", "login"), ("ДВА", "refund"))
    ]
    assert ("read_alike", "refuse") in kinds(look(tiny_contender(bert), table(twins)))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"hidden_size": 33}, "cannot be loaded: ValueError"),
        ({"hidden_act": "no such thing"}, "cannot be loaded"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, "cannot be loaded"),
    ],
)
def test_what_transformers_cannot_build_is_refused_in_a_sentence(
    bert: Path, tmp_path: Path, broken: dict[str, object], words: str
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(bert, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | broken))
    (finding,) = look(tiny_contender(folder))
    assert finding.severity == "refuse"
    assert words in finding.what


def test_an_adapter_that_was_never_merged_is_refused_with_how_its_names_begin(
    changed: Callable[..., Contender],
) -> None:
    def wrap(weights: Tensors) -> Tensors:
        names = {name: name.replace("query.weight", "query.base_layer.weight") for name in weights}
        return {f"base_model.model.bert.{names[name]}": value for name, value in weights.items()}

    (finding,) = look(changed(wrap))
    assert "the files' names begin with 'base_model.model.bert.'" in finding.what


def test_a_limit_that_special_tokens_fill_is_refused(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "short", layers=1)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": 2}))
    (finding,) = look(tiny_contender(folder))
    assert finding.what.endswith("reads 2 tokens, and 2 of them are special ones")
