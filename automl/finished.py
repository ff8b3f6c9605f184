"""A finished run as a program holds it: the board, its report, its models; short where it is printed."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from automl.errors import RunFolderError
from automl.leaderboard.board import Leaderboard
from automl.leaderboard.quantities import seconds
from automl.leaderboard.store import RunFolder
from automl.leaderboard.verdict import score
from automl.metrics import get_metric
from automl.predict import FineTunedModel, model_of
from automl.types import LeaderboardRow

_HEAD = ("", "contender", "{metric}", "95% interval", "trials", "device time")


@dataclass(frozen=True, kw_only=True, repr=False)
class Board(Leaderboard):
    """A finished run: the content of its leaderboard.json, and the folder with its report and models."""

    directory: Path

    @classmethod
    def of(cls, found: Leaderboard, directory: Path) -> Self:
        values = {field.name: getattr(found, field.name) for field in fields(Leaderboard)}
        return cls(**values, directory=directory)

    @classmethod
    def read(cls, folder: RunFolder) -> Self:
        """The board as it was published. Raises RunFolderError where there is none yet."""
        if not folder.leaderboard_json.exists():
            raise RunFolderError(
                f"{folder.path} has no board yet", "a finished run", f"Go on with: automl resume {folder.path}"
            )
        values = json.loads(folder.leaderboard_json.read_text(encoding="utf-8"))
        return cls.of(Leaderboard.from_json(values), folder.path)

    @property
    def report(self) -> Path:
        return RunFolder(self.directory).report_html

    @property
    def best(self) -> FineTunedModel:
        """The model of the first row that has one."""
        return model_of(self.directory)

    def model(self, contender: str) -> FineTunedModel:
        return model_of(self.directory, contender)

    def to_json(self) -> dict[str, Any]:
        """What leaderboard.json holds."""
        values = super().to_json()
        del values["directory"]
        return values

    def __repr__(self) -> str:
        lines = [f"{row.rank}  {row.contender}  {self._shown(row)}" for row in self.rows]
        return "\n".join([f"{self.metric} on the test rows of {self.directory}", *lines, self.verdict])

    def _repr_html_(self) -> str:
        """The same as a table, as notebooks show it."""
        metric = get_metric(self.metric)
        head = [name.format(metric=metric.title or metric.name) for name in _HEAD]
        lines = [_line(head, "th"), *(_line(self._cells(row), "td") for row in self.rows)]
        link = html.escape(str(self.report))
        stamps = "".join(f"<p><b>Not comparable:</b> {html.escape(why)}</p>" for why in self.not_comparable_because)
        return (
            f"<table>{''.join(lines)}</table><p>{html.escape(self.verdict)}</p>{stamps}"
            f"<p>Report: <code>{link}</code></p>"
        )

    def _shown(self, row: LeaderboardRow) -> str:
        if row.test_mean is None:
            return f"failed: {row.error}"
        metric = get_metric(self.metric)
        shown = score(row.test_mean, metric)
        if row.test_low is None or row.test_high is None:
            return shown
        return f"{shown} ({score(row.test_low, metric)} to {score(row.test_high, metric)})"

    def _cells(self, row: LeaderboardRow) -> list[str]:
        shown, _, interval = self._shown(row).partition(" (")
        if row.test_mean is None:
            shown, interval = self._shown(row), ""
        trials = str(sum(row.trials.values())) if row.kind == "contender" else ""
        return [str(row.rank), row.contender, shown, interval.rstrip(")"), trials, seconds(row.device_seconds)]


def _line(cells: list[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"
