"""A baseline that breaks is a failed row with a sentence of ours."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from automl.leaderboard.store import RunFolder
from automl.search.baselines import BaselineRunner
from automl.search.ledger import Ledger
from automl.tracking.base import Tracker
from automl.types import Budget
from tests.toys import prepared_messages, tiny_bert, tiny_contender


def test_features_that_are_no_numbers_fail_in_a_sentence_of_ours(tmp_path: Path) -> None:
    model = tiny_bert(tmp_path / "bert", layers=1)
    weights = load_file(model / "model.safetensors")
    weights["encoder.layer.0.output.dense.weight"][0, 0] = torch.nan
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    prepared, contender, folder = (
        prepared_messages(tmp_path / "data"),
        tiny_contender(model),
        RunFolder(tmp_path / "run"),
    )
    for place in (folder.predictions, folder.cache):
        place.mkdir(parents=True)
    contest = {
        "task": "text-classification", "contenders": [contender.to_json()], "trial_seed": 1, "horizon_samples": 1,
        "split_fingerprint": prepared.split.fingerprint, "metric": "accuracy", "schema": prepared.schema.to_json(),
    }  # fmt: skip
    folder.write_contest(contest)
    BaselineRunner(folder, contest, prepared, Ledger(folder, Budget(trials=1)), Tracker()).run()
    failed = {result.contender: result.error for result in folder.baselines() if result.status == "failed"}
    rows = prepared.counts["train"]
    said = failed.pop("tiny features + logistic regression")
    assert said is not None
    assert said.startswith(f"the model's features are NaN or infinite in {rows} of {rows} rows; numbers. Look at")
    assert not failed
