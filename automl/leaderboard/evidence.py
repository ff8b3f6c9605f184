"""What `automl verify` looks at, read once: records with their line numbers, the contest, the stored board."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from automl.leaderboard.chain import Chain, read_chain
from automl.leaderboard.score import OpenedTest, open_test
from automl.leaderboard.store import RunFolder
from automl.types import TrialResult

WHY = "verify"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a check saw. wrong: a fault; else worth knowing. file: relative to the run folder."""

    what: str
    file: str | None = None
    line: int | None = None
    id: str | None = None
    wrong: bool = True

    def sentence(self) -> str:
        """'trials.jsonl, line 3 (bert-full-002): what is wrong'."""
        place = ", ".join(part for part in (self.file, f"line {self.line}" if self.line else None) if part)
        place += f" ({self.id})" if self.id else ""
        return f"{place.strip()}: {self.what}" if place else self.what


def note(what: str, file: str | None = None, line: int | None = None) -> Finding:
    return Finding(what=what, file=file, line=line, wrong=False)


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A training as a line of trials.jsonl or baselines.jsonl tells it."""

    result: TrialResult
    file: str
    line: int

    def wrong(self, what: str) -> Finding:
        return Finding(what=what, file=self.file, line=self.line, id=self.result.id)


class Evidence:
    """A run folder, each of its files read when first asked for."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._chains: dict[Path, Chain] = {}

    def chain(self, file: Path) -> Chain:
        if file not in self._chains:
            self._chains[file] = read_chain(file)
        return self._chains[file]

    def lines(self, file: Path) -> tuple[tuple[int, dict[str, Any]], ...]:
        return self.chain(file).lines

    @cached_property
    def contest(self) -> dict[str, Any]:
        return self.folder.read_contest()

    @cached_property
    def winners(self) -> dict[str, Any]:
        return self.folder.read_winners()

    @cached_property
    def board(self) -> Mapping[str, Any] | None:
        """leaderboard.json as it stands; None before there is one."""
        path = self.folder.leaderboard_json
        if not path.exists():
            return None
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return value

    @cached_property
    def trainings(self) -> list[Recorded]:
        """Trials, finals, defaults and baselines; where a crash wrote one twice, the first."""
        found: dict[str, Recorded] = {}
        for file in (self.folder.trials_file, self.folder.baselines_file):
            for line, value in self.lines(file):
                result = TrialResult.from_json(value)
                found.setdefault(result.id, Recorded(result=result, file=file.name, line=line))
        return list(found.values())

    @cached_property
    def contenders(self) -> list[str]:
        return [value["name"] for value in self.contest["contenders"]]

    @cached_property
    def winners_are_fixed(self) -> bool:
        return all(name in self.winners for name in self.contenders)

    @cached_property
    def opened(self) -> OpenedTest:
        """The test labels: opened once for all checks, and logged."""
        return open_test(self.folder, WHY)
