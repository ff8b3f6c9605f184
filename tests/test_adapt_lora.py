"""A whole run with LoRA beside full fine-tuning: two contenders like any others, and a model that anyone can load."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from automl import api
from automl.config import make_request
from automl.leaderboard.store import RunFolder
from tests.toys import messages, tiny_bert, write_csv

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_ray")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> api.Board:
    directory = tmp_path_factory.mktemp("lora")
    source = write_csv(directory / "messages.csv", messages(150))
    request = {
        "source": str(source), "target": "label", "text": "text", "models": str(tiny_bert(directory / "bert")),
        "adapt": "full,lora", "trials": 3, "max_epochs": 3, "seeds": 2, "out": str(directory / "run"),
    }  # fmt: skip
    return api.run(make_request(request))


def test_both_have_a_row_and_got_the_same(finished: api.Board) -> None:
    rows = {row.contender: row for row in finished.rows if row.kind == "contender"}
    assert set(rows) == {"bert/full", "bert/lora"}
    assert all(row.status == "ok" for row in rows.values()), [row.error for row in rows.values()]
    assert finished.comparable
    trials = RunFolder(finished.directory).trials()
    for name in rows:
        kinds = Counter(t.kind for t in trials if t.contender == name)
        assert (kinds["trial"], kinds["final"]) == (3, 2)
    assert {"lora_rank", "lora_dropout"} <= set(rows["bert/lora"].recipe)
    assert "lora_rank" not in rows["bert/full"].recipe
    assert rows["bert/lora"].parameters == rows["bert/full"].parameters, "merged it is as large as it was"
    assert rows["bert/lora"].latency_ms_p50


def test_lora_trained_far_fewer_parameters(finished: api.Board) -> None:
    finals = [t for t in RunFolder(finished.directory).trials() if t.kind == "final"]
    full = {t.trainable_parameters for t in finals if t.contender == "bert/full"}
    assert full == {t.parameters for t in finals}
    for final in finals:
        if final.contender == "bert/lora":
            assert final.trainable_parameters
            assert final.parameters
            assert final.trainable_parameters < final.parameters


def test_the_shipped_model_is_plain_and_loads_where_peft_is_not(finished: api.Board) -> None:
    directory = RunFolder(finished.directory).models / "bert-lora"
    texts = [text for text, _ in messages(150)[:8]]
    code = (
        "import sys, json; sys.modules['peft'] = None\n"
        "from transformers import pipeline\n"
        f"served = pipeline('text-classification', {str(directory)!r}, top_k=None)\n"
        f"print(json.dumps(served({texts!r})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    ours = finished.model("bert/lora")
    served = [[{a["label"]: a["score"] for a in row}[name] for name in ours.schema.classes] for row in answers]
    np.testing.assert_allclose(served, ours.predict_proba(texts), atol=2e-2)  # ours may compute in bfloat16


def test_the_adapter_is_kept_beside_it_and_the_card_says_how_to_use_it(finished: api.Board) -> None:
    models = RunFolder(finished.directory).models
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {
        p.name for p in (models / "bert-lora" / "adapter").iterdir()
    }
    assert not (models / "bert-full" / "adapter").exists()
    assert "PeftModel.from_pretrained" in (models / "bert-lora" / "README.md").read_text()
    assert "peft" not in (models / "bert-full" / "README.md").read_text()


def test_resuming_the_finished_run_trains_nothing(finished: api.Board) -> None:
    before = RunFolder(finished.directory).trials_file.read_bytes()
    again = api.resume(finished.directory)
    assert RunFolder(finished.directory).trials_file.read_bytes() == before
    assert again.winner == finished.winner
