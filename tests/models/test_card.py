"""The model card: what people and the hub read, with nothing in it that the data could have smuggled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from automl.models.card import plain, write_card
from automl.types import LeaderboardRow

NASTY = "spam | <script>alert(1)</script> *bold* `code`\n## heading [link](http://x)"

ROW = LeaderboardRow(
    rank=1,
    tie_group=1,
    contender="all-minilm-l6-v2/full",
    kind="contender",
    status="ok",
    error=None,
    test_mean=0.9612,
    test_low=0.95,
    test_high=0.97,
    test_per_seed=(0.96, 0.9624),
    seeds=(101, 102),
    validation_mean=0.958,
    search_validation=0.97,
    default_test_mean=0.955,
    device_seconds=123.4,
    device_seconds_allowed=None,
    trials={"completed": 5, "pruned": 3, "failed": 0, "out_of_memory": 0},
    latency_ms_p50=7.25,
    parameters=22_713_216,
    recipe={"learning_rate": 1.234567e-4, "batch_size": 16},
    model_dir="models/all-minilm-l6-v2-full",
    metrics={"macro_f1": 0.9},
    metric_intervals={"macro_f1": (0.88, 0.92)},
)


def contest(**changes: Any) -> dict[str, Any]:
    checkpoint = {
        "name": "sentence-transformers/all-MiniLM-L6-v2",
        "path": "/home/someone/models",
        "revision": "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
        "kind": "hub",
        "architecture": "BertModel",
        "model_type": "bert",
        "parameters": 22_713_216,
        "family": "text_encoder",
    }
    values = {
        "name": "trec",
        "task": "text-classification",
        "metric": "accuracy",
        "metrics": ["accuracy", "macro_f1"],
        "higher_is_better": True,
        "schema": {
            "task": "text-classification",
            "inputs": ["text"],
            "target": "label",
            "classes": ["ham", NASTY],
        },
        "contenders": [
            {
                "name": "all-minilm-l6-v2/full",
                "checkpoint": checkpoint,
                "family": "text_encoder",
                "adaptation": "full",
            }
        ],
        "budget": {"trials": 8, "device_seconds": None, "search_share": 0.6},
        "horizon_samples": 16_000,
        "max_epochs": 3,
        "counts": {"train": 5_000, "validation": 452, "test": 500},
        "class_counts": {"ham": 4_000, NASTY: 1_000},
        "split_fingerprint": "ab" * 32,
        "deviations": [],
    }
    return {**values, **changes}


ENVIRONMENT = {"automl": "0.1.0", "python": "3.11.7", "versions": {"torch": "2.13.0", "ray": None}}


def card(directory: Path, **changes: Any) -> str:
    return write_card(directory, ROW, contest(**changes), {"strategy": "stratified"}, ENVIRONMENT).read_text()


def front_matter(text: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return values


def test_the_card_tells_scores_with_intervals_recipe_budget_and_seeds(tmp_path: Path) -> None:
    text = card(tmp_path)
    assert "| test accuracy, mean of 2 seeds | **0.9612** (95% interval 0.9500 to 0.9700) |" in text
    assert "| test macro\\_f1 | 0.9000 (95% interval 0.8800 to 0.9200) |" in text
    assert "101: 0.9600, 102: 0.9624" in text
    assert "| `learning_rate` | 0.0001235 |" in text
    assert "a budget of 8 trials" in text
    assert "5 completed, 3 pruned; 123 device-seconds" in text
    assert "16,000 samples (at most 3 epochs)" in text
    assert "2 seeds tell little" in text
    assert "ab" * 32 in text
    assert "automl 0.1.0, Python 3.11.7, torch 2.13.0." in text


def test_the_front_matter_is_what_the_hub_reads(tmp_path: Path) -> None:
    matter = front_matter(card(tmp_path))
    assert matter["pipeline_tag"] == "text-classification"
    assert matter["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert matter["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.9612
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard.load(tmp_path / "README.md").data
    assert data.eval_results[0].metric_type == "accuracy"
    assert data.library_name == "transformers"


def test_the_example_takes_a_text_of_any_length(tmp_path: Path) -> None:
    assert "'models/all-minilm-l6-v2-full', truncation=True)" in card(tmp_path)
    assert "truncation" not in card(tmp_path, task="image-classification")


def test_names_from_the_data_are_shown_and_do_nothing(tmp_path: Path) -> None:
    text = card(tmp_path, name=NASTY)
    assert "<script" not in text.split("---\n", 2)[2]
    assert "\n## heading" not in text
    assert front_matter(text)["model-index"][0]["results"][0]["dataset"]["name"] == NASTY
    row = next(line for line in text.splitlines() if line.endswith("| 1,000 |"))
    assert row.replace("\\|", "").count("|") == 3, "the name opens no cell of its own"


def test_a_path_of_this_machine_is_never_told(tmp_path: Path) -> None:
    assert "/home/someone" not in card(tmp_path)


def test_a_model_for_pairs_says_how_to_give_it_two_texts(tmp_path: Path) -> None:
    schema = {
        "task": "text-classification",
        "inputs": ["question", "answer"],
        "target": "label",
        "classes": [],
    }
    text = card(tmp_path, schema=schema)
    assert '{"text": "the first text", "text_pair": "the second text"}' in text
    assert "`text` is question, `text_pair` is answer." in text


def test_a_time_budget_and_an_unknown_row_are_told_too(tmp_path: Path) -> None:
    text = card(tmp_path, contenders=[], budget={"trials": None, "device_seconds": 1200.0})
    assert "a budget of 1200 device-seconds" in text
    assert "base_model" not in front_matter(text)


def test_plain_text_keeps_its_words() -> None:
    assert plain("  all-minilm-l6-v2/full \n two ") == "all-minilm-l6-v2/full two"
    assert plain("a|b") == r"a\|b"


def test_a_merged_model_says_where_its_adapter_is_and_how_to_use_it(tmp_path: Path) -> None:
    assert "## Adapter" not in card(tmp_path)
    (tmp_path / "adapter").mkdir()
    text = card(tmp_path)
    assert "without peft" in text
    assert "from_pretrained('sentence-transformers/all-MiniLM-L6-v2', num_labels=2)" in text
    assert "PeftModel.from_pretrained(base, 'models/all-minilm-l6-v2-full/adapter')" in text


def test_folds_are_told_of_the_recipe_and_of_the_rows(tmp_path: Path) -> None:
    assert "fold" not in card(tmp_path).replace("folder", "")
    text = card(tmp_path, folds={"count": 5, "train": [80], "validation": [20]})
    assert "judged on the first of 5 folds, the recipes that led on the others too" in text
    assert "train in the first cut, " in text
    assert "test in the first cut" not in text
