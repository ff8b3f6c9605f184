"""What a run is going to do, told before anything is spent."""

from __future__ import annotations

from typing import Any

from automl.config import RunRequest
from automl.search.space import SearchSpace
from automl.types import PreparedData


def describe_plan(request: RunRequest, contest: dict[str, Any], prepared: PreparedData) -> str:
    """Plain text: data, contenders, budget, horizon, finals."""
    counts = prepared.counts
    budget = contest["budget"]
    share = (
        f"{budget['trials']} trials"
        if budget["trials"] is not None
        else f"{budget['device_seconds']:.0f} device-seconds ({budget['search_share']:.0%} search, the rest finals)"
    )
    lines = [
        *prepared.assumptions,
        *(f"{line}" for line in prepared.cleaned),
        f"task: {contest['task']}",
        f"metric: {contest['metric']} ({contest['reasons']['metric']})",
        f"rows: {counts['train']:,} train, {counts['validation']:,} validation, {counts['test']:,} test (sealed)",
        f"models: {contest['reasons']['models']}",
        f"each contender gets {share}; every trial sees {contest['horizon_samples']:,} samples "
        f"({contest['max_epochs']} epochs) unless it is stopped at {contest['rungs'][0]:,}"
        + (f" or has not improved for {patience:,}" if (patience := contest.get("patience_samples")) else ""),
        f"sampler: {contest['sampler']} ({contest['reasons']['sampler']})",
        f"finals: each winner and its untuned default on seeds {', '.join(map(str, contest['seeds']))}",
        "contenders:",
    ]
    for contender in contest["contenders"]:
        checkpoint = contender["checkpoint"]
        space = SearchSpace.from_json(contest["spaces"][contender["name"]])
        searched = ", ".join(parameter.name for parameter in space.parameters)
        lines.append(
            f"  {contender['name']}: {checkpoint['parameters'] / 1e6:.1f}M parameters, {checkpoint['kind']} "
            f"{checkpoint['name']}; searched: {searched}"
        )
    lines.append(f"yardsticks: {', '.join(contest['baselines'])}")
    return "\n".join(lines)
