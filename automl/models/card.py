"""The model card of a shipped model: how it was trained, how well it did, what it was not tried on."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from automl.leaderboard.busy import latency_text
from automl.models.base import ADAPTER_FOLDER
from automl.types import LeaderboardRow

_MARKDOWN = re.compile(r"([\\`*_\[\]|~])")
_PIPELINES = {name: name for name in ("text-classification", "image-classification")}
_AUTO_CLASSES = {
    "text-classification": "AutoModelForSequenceClassification",
    "image-classification": "AutoModelForImageClassification",
}
_SHOWN_VERSIONS = ("torch", "transformers", "ray", "optuna")


def write_card(
    directory: Path,
    row: LeaderboardRow,
    contest: Mapping[str, Any],
    split: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> Path:
    """README.md in a model folder, with the front matter that Hugging Face reads.

    It holds no data row; names that come from the data (classes, files) are escaped.
    """
    contender = next((c for c in contest["contenders"] if c["name"] == row.contender), None)
    checkpoint = dict(contender["checkpoint"]) if contender else {}
    text = "\n".join(
        [
            "---",
            yaml.safe_dump(_front_matter(row, contest, checkpoint), sort_keys=False, allow_unicode=True).strip(),
            "---",
            "",
            f"# {plain(row.contender)} on {plain(contest['name'])}",
            "",
            *_summary(row, contest, checkpoint),
            *_use(directory, row, contest),
            *_adapter(directory, row, contest, checkpoint),
            *_scores(row, contest),
            *_training(row, contest, checkpoint),
            *_data(contest, split),
            *_limits(row, contest, split),
            *_made_with(environment),
        ]
    )
    path = directory / "README.md"
    path.write_text(text.rstrip() + "\n", encoding="utf-8")
    return path


def plain(value: object) -> str:
    """Text from outside as Markdown that shows it and does nothing else: one line, no markup, no HTML."""
    line = " ".join(str(value).split())
    return _MARKDOWN.sub(r"\\\1", html.escape(line, quote=False))


def _front_matter(row: LeaderboardRow, contest: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    task = contest["task"]
    matter: dict[str, Any] = {"library_name": "transformers"}
    if task in _PIPELINES:
        matter["pipeline_tag"] = _PIPELINES[task]
    if checkpoint.get("kind") == "hub":
        matter["base_model"] = checkpoint["name"]  # a folder or a package means nothing to the hub
    matter["metrics"] = list(contest["metrics"])
    matter["tags"] = ["automl", task]
    scores = {contest["metric"]: row.test_mean, **row.metrics}
    measured = [
        {"type": name, "value": round(float(value), 6), "name": f"{name}, mean of {len(row.seeds)} seeds"}
        for name, value in scores.items()
        if value is not None
    ]
    if measured:
        dataset = {"name": contest["name"], "type": "private"}
        result = {"task": {"type": task}, "dataset": dataset, "metrics": measured}
        matter["model-index"] = [{"name": row.contender, "results": [result]}]
    return matter


def _summary(row: LeaderboardRow, contest: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> list[str]:
    schema = contest["schema"]
    inputs = " and ".join(f"**{plain(name)}**" for name in schema["inputs"])
    lines = [f"Predicts **{plain(schema['target'])}** from {inputs} ({plain(contest['task'])})."]
    if checkpoint:
        revision = str(checkpoint["revision"])[:12]
        lines[0] += f" Made from {plain(checkpoint['name'])} (revision {plain(revision)})."
    if row.rank:
        place = f"rank {row.rank} of its board"
        lines[0] += f" It took {place}, in tie group {row.tie_group}: models of one group are not separable."
    return [*lines, ""]


def _use(directory: Path, row: LeaderboardRow, contest: Mapping[str, Any]) -> list[str]:
    if contest["task"] not in _PIPELINES:
        return []
    two = len(contest["schema"]["inputs"]) == 2
    one = '"picture.png"' if contest["task"] == "image-classification" else '"a text"'
    example = '{"text": "the first text", "text_pair": "the second text"}' if two else one
    lines = ["## Use", "", "```python", "from transformers import pipeline", ""]
    # pipelines cut no text that is too long for the model unless they are told
    longest = ", truncation=True" if contest["task"] == "text-classification" else ""
    place = str(row.model_dir or directory.name)
    lines += [f"classify = pipeline({_PIPELINES[contest['task']]!r}, {place!r}{longest})"]
    lines += [f"classify({example})", "```", ""]
    if two:
        first, second = (plain(name) for name in contest["schema"]["inputs"])
        lines += [f"`text` is {first}, `text_pair` is {second}.", ""]
    return lines + _shown_first(contest["schema"])


def _shown_first(schema: Mapping[str, Any]) -> list[str]:
    """What images need before a pipeline of transformers reads them as the model learnt them."""
    lines = []
    if schema.get("levels"):
        black, beyond = schema["levels"]
        lines.append(
            f"Images of more than 8 bits a channel were learnt from with {black:g} as black and {beyond:g} as just "
            f"beyond white: `floor((values - {black:g}) * 256 / {beyond - black:g})`, kept within 0 and 255."
        )
    if schema.get("shaped"):
        lines.append(
            "Images of one colour with their shape in the alpha channel were laid on white, or on black where that "
            "colour is light."
        )
    if lines:
        lines.append("`automl predict` does so by itself; a pipeline does not: bring images into this form first.")
    return [" ".join(lines), ""] if lines else []


def _adapter(
    directory: Path, row: LeaderboardRow, contest: Mapping[str, Any], checkpoint: Mapping[str, Any]
) -> list[str]:
    """How to put the adapters on the pretrained weights, where the model was trained with LoRA."""
    loader = _AUTO_CLASSES.get(contest["task"])
    if loader is None or not (directory / ADAPTER_FOLDER).is_dir():
        return []
    name = str(checkpoint["name"]) if checkpoint.get("kind") == "hub" else "the pretrained weights"
    classes = len(contest["schema"]["classes"])
    lines = ["## Adapter", ""]
    lines += ["Trained with LoRA and merged: the weights here work as they are, without peft. The adapters"]
    lines[-1] += f" and the head alone are in `{ADAPTER_FOLDER}/`; with peft they go on the pretrained weights:"
    lines += [
        "",
        "```python",
        "from peft import PeftModel",
        f"from transformers import {loader}",
    ]
    lines += ["", f"base = {loader}.from_pretrained({name!r}, num_labels={classes})"]
    folder = f"{row.model_dir or directory.name}/{ADAPTER_FOLDER}"
    return [*lines, f"model = PeftModel.from_pretrained(base, {folder!r})", "```", ""]


def _scores(row: LeaderboardRow, contest: Mapping[str, Any]) -> list[str]:
    metric = plain(contest["metric"])
    lines = ["## Scores", "", "| score | value |", "|---|---|"]
    if row.test_mean is not None:
        interval = ""
        if row.test_low is not None and row.test_high is not None:
            interval = f" (95% interval {row.test_low:.4f} to {row.test_high:.4f})"
        lines.append(f"| test {metric}, mean of {len(row.seeds)} seeds | **{row.test_mean:.4f}**{interval} |")
    if row.test_per_seed:
        each = ", ".join(f"{seed}: {score:.4f}" for seed, score in zip(row.seeds, row.test_per_seed, strict=False))
        lines.append(f"| test {metric} by seed | {each} |")
    if row.validation_mean is not None:
        lines.append(f"| validation {metric}, mean of the same trainings | {row.validation_mean:.4f} |")
    if row.default_test_mean is not None:
        lines.append(f"| test {metric} of the untuned recipe | {row.default_test_mean:.4f} |")
    for name, value in row.metrics.items():
        if name != contest["metric"]:
            interval = ""
            if name in row.metric_intervals:
                low, high = row.metric_intervals[name]
                interval = f" (95% interval {low:.4f} to {high:.4f})"
            lines.append(f"| test {plain(name)} | {value:.4f}{interval} |")
    if row.latency_ms_p50 is not None:
        latency = latency_text(row.latency_ms_p50, row.latency_busy)
        lines.append(f"| median latency, one input at a time | {latency} |")
    if row.parameters is not None:
        lines.append(f"| parameters | {row.parameters:,} |")
    better = "higher" if contest["higher_is_better"] else "lower"
    shipped = "The weights here are those of the training with the median validation score, not the best one."
    return [*lines, "", f"For {metric}, {better} is better. {shipped}", ""]


def _training(row: LeaderboardRow, contest: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> list[str]:
    budget = contest["budget"]
    if budget.get("trials"):
        allowed = f"{budget['trials']} trials"
    else:
        allowed = f"{budget.get('device_seconds') or 0:.0f} device-seconds"
    trials = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in row.trials.items() if count)
    lines = ["## Training", ""]
    lines.append(
        f"The recipe was searched on validation data with a budget of {allowed}, the same for every "
        f"contender ({trials or 'no trials'}; {row.device_seconds:.0f} device-seconds in all), and trained "
        f"again on {len(row.seeds)} fresh seeds ({', '.join(map(str, row.seeds))}) over "
        f"{contest['horizon_samples']:,} samples (at most {contest['max_epochs']} epochs)."
    )
    if folds := (contest.get("folds") or {}).get("count"):
        lines[-1] += (
            f" Trials were judged on the first of {folds} folds, the recipes that led on the others too; each of "
            "those last trainings had a cut of its own into training and validation rows."
        )
    lines += ["", "| hyperparameter | value |", "|---|---|"]
    lines += [f"| `{name}` | {plain(_number(value))} |" for name, value in row.recipe.items()]
    if checkpoint:
        lines.append(f"| architecture | {plain(checkpoint['architecture'])} |")
    return [*lines, ""]


def _data(contest: Mapping[str, Any], split: Mapping[str, Any]) -> list[str]:
    of = dict.fromkeys(("train", "validation"), " in the first cut") if contest.get("folds") else {}
    counts = ", ".join(f"{count:,} {part}{of.get(part, '')}" for part, count in contest["counts"].items())
    lines = ["## Data", "", f"Rows: {counts}. Split: {plain(split.get('strategy', 'given'))},"]
    lines[-1] += f" fingerprint `{contest['split_fingerprint']}`."
    if contest["class_counts"]:
        lines += ["", "| class | training rows |", "|---|---|"]
        lines += [f"| {plain(name)} | {count:,} |" for name, count in contest["class_counts"].items()]
    return [*lines, ""]


def _limits(row: LeaderboardRow, contest: Mapping[str, Any], split: Mapping[str, Any]) -> list[str]:
    rows = contest["counts"].get("test", 0)
    lines = ["## Limits", ""]
    lines.append(f"- The scores hold for data like the {rows:,} test rows; other sources were not tried.")
    lines.append("- It knows the classes above and no others, and always answers with one of them.")
    if len(row.seeds) < 5:
        lines.append(f"- {len(row.seeds)} seeds tell little about how much the score varies.")
    lines.append("- What the pretrained weights learnt before, biases included, is still in them.")
    lines.append("- The licence of the pretrained weights holds for these weights too.")
    lines += [f"- Deviation: {plain(deviation)}" for deviation in contest.get("deviations", ())]
    return [*lines, ""]


def _made_with(environment: Mapping[str, Any]) -> list[str]:
    versions = {"automl": environment.get("automl"), "Python": environment.get("python")}
    versions |= {name: (environment.get("versions") or {}).get(name) for name in _SHOWN_VERSIONS}
    shown = ", ".join(f"{name} {plain(version)}" for name, version in versions.items() if version)
    return ["## Made with", "", f"{shown}.", ""] if shown else []


def _number(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value
