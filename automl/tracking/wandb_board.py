"""What the benchmark's own run shows in W&B: the board as a table, native charts, the data and the models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl.tracking.base import Insights, RunInfo, ShippedModel
from automl.tracking.describe import STEP, contender_facts, finite
from automl.types import slug

_TABLE_COLUMNS = (
    "rank", "tie_group", "contender", "kind", "status", "test_mean", "test_low", "test_high",
    "validation_mean", "search_validation", "default_test_mean", "device_seconds", "device_seconds_allowed",
    "latency_ms_p50", "parameters", "error",
)  # fmt: skip


def board_summary(board: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict, every row's test score and the wall clock, for the columns of W&B's table of runs."""
    told = {key: board.get(key) for key in ("verdict", "winner", "comparable", "metric")}
    told |= {f"test/{row['contender']}": row.get("test_mean") for row in board["rows"]}
    told["wall_seconds"] = (board.get("wall_seconds") or {}).get("total")
    return {key: value for key, value in told.items() if value is not None}


def charts(board: Mapping[str, Any], insights: Insights) -> dict[str, Any]:
    """The leaderboard, a confusion matrix and importance a contender, and the winning trials' curves."""
    import wandb

    rows: list[Any] = [[row.get(column) for column in _TABLE_COLUMNS] for row in board["rows"]]
    shown: dict[str, Any] = {"leaderboard": wandb.Table(columns=list(_TABLE_COLUMNS), data=rows)}
    for contender, matrix in insights.confusions.items():
        shown[f"confusion/{contender}"] = _confusion(contender, matrix, insights.classes)
    for contender, shares in insights.importance.items():
        table = wandb.Table(columns=["hyperparameter", "share"], data=[[*pair] for pair in shares.items()])
        title = f"Which hyperparameters of {contender} mattered"
        shown[f"importance/{contender}"] = wandb.plot.bar(table, "hyperparameter", "share", title=title)
    curves = _points(insights.curves, str(board.get("metric")))
    if curves:
        shown["curves"] = wandb.plot.line_series(
            xs=[[x for x, _ in points] for points in curves.values()],
            ys=[[y for _, y in points] for points in curves.values()],
            keys=list(curves),
            title=f"Validation {board.get('metric')} of the winning trials",
            xname=STEP,
        )
    return shown


def _points(curves: Mapping[str, Any], metric: str) -> dict[str, list[tuple[float, float]]]:
    found = {
        name: [(row[STEP], row[metric]) for row in rows if finite(row.get(metric))] for name, rows in curves.items()
    }
    return {name: points for name, points in found.items() if points}


def _confusion(contender: str, matrix: Any, classes: tuple[str, ...]) -> Any:
    """W&B's own confusion matrix, from counts: its function wants every row of the test."""
    import wandb

    columns: list[Any] = ["Actual", "Predicted", "nPredictions"]
    cells: list[Any] = [
        [actual, predicted, count]
        for actual, counts in zip(classes, matrix, strict=True)
        for predicted, count in zip(classes, counts, strict=True)
    ]
    return wandb.plot_table(
        vega_spec_name="wandb/confusion_matrix/v1",
        data_table=wandb.Table(columns=columns, data=cells),
        fields={column: column for column in columns},
        string_fields={"title": f"{contender} on the test rows"},
    )


def page(report: Path) -> Any:
    import wandb

    return wandb.Html(report.read_text(encoding="utf-8"), inject=False)


def dataset_artifact(info: RunInfo) -> Any:
    """What the data is and how it was split, by counts and hashes; the same split is the same version."""
    import wandb

    artifact = wandb.Artifact(
        slug(f"{info.data.get('name') or info.name}-data")[:128],
        type="dataset",
        description="Counts, classes, findings and the split's fingerprint; the rows stay where they are.",
        metadata={"split_fingerprint": info.split_fingerprint, "rows": dict(info.counts)},
    )
    facts = {"task": info.task, "split_fingerprint": info.split_fingerprint, "rows": dict(info.counts), **info.data}
    with artifact.new_file("data.json", encoding="utf-8") as file:
        json.dump(facts, file, indent=1, sort_keys=True)
    return artifact


def model_artifact(info: RunInfo, model: ShippedModel) -> Any:
    """A shipped model as a version of the benchmark's one collection of models."""
    import wandb

    metadata = {
        "contender": contender_facts(model.final.contender),
        "recipe": dict(model.final.recipe),
        "seed": model.final.seed,
        "rank": model.rank,
        "metric": info.metric,
        "test_mean": model.test_mean,
        "split_fingerprint": info.split_fingerprint,
    }
    artifact = wandb.Artifact(slug(f"{info.name}-model")[:128], type="model", metadata=metadata)
    # Read where they lie when they are sent: a copy would double what the run takes on disk.
    artifact.add_dir(str(model.directory), policy="immutable", skip_cache=True)
    return artifact
