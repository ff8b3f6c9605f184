"""What a finished run's charts show, as numbers for trackers that draw their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from automl.leaderboard.board import Leaderboard
from automl.leaderboard.importance import importance
from automl.leaderboard.store import RunFolder
from automl.metrics import get_metric
from automl.tracking.base import Insights, ShippedModel

MODEL_FACTS = "automl.json"
"""Beside a shipped model's weights (search/ship.py); it names the final that trained it."""


def insights_of(folder: RunFolder, board: Leaderboard) -> Insights:
    """Confusions, importance, the winners' curves and the shipped models of a scored run."""
    contest, metric = folder.read_contest(), get_metric(board.metric)
    scores = json.loads(folder.scores_file.read_text(encoding="utf-8"))
    winners, trials = folder.read_winners(), folder.counting_trials()
    names = [row.contender for row in board.rows if row.kind == "contender"]
    curves = {trial.id: trial.curve for trial in trials}
    found = {name: importance(name, contest.get("spaces", {}).get(name, {}), trials, metric) for name in names}
    return Insights(
        classes=tuple(scores["classes"]),
        confusions={row["contender"]: row["confusion"] for row in scores["rows"] if row["kind"] == "contender"},
        importance={name: {key: share for key, share, *_ in one.shares} for name, one in found.items() if one.shares},
        curves={name: curve for name in names if (curve := curves.get((winners.get(name) or {}).get("trial") or ""))},
        models=_models(folder, board),
    )


def data_facts(folder: RunFolder, contest: Mapping[str, Any]) -> dict[str, Any]:
    """Which data this is and what was found in it; no row is quoted, and no finding's text."""
    split, schema = folder.split(), contest.get("schema", {})
    findings = folder.profile().get("findings", [])
    return {
        "name": folder.read_request().run_name,
        "inputs": list(schema.get("inputs", ())),
        "target": schema.get("target"),
        "classes": dict(contest.get("class_counts", {})),
        "rows": dict(contest.get("counts", {})),
        "strategy": split.get("strategy"),
        "split_fingerprint": contest.get("split_fingerprint"),
        "findings": [{key: one.get(key) for key in ("kind", "severity", "count")} for one in findings],
    }


def _models(folder: RunFolder, board: Leaderboard) -> tuple[ShippedModel, ...]:
    specs = {spec.id: spec for spec in folder.started()}
    found = []
    for row in board.rows:
        facts = folder.path / (row.model_dir or "") / MODEL_FACTS
        if row.model_dir and facts.exists():
            final = specs.get(json.loads(facts.read_text(encoding="utf-8"))["trained_as"])
            if final is None:
                continue
            found.append(ShippedModel(directory=facts.parent, final=final, rank=row.rank, test_mean=row.test_mean))
    return tuple(found)
