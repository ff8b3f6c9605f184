"""One contender's place in a contest: what has started, what has ended, and what is left to train."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from automl.search.finals import Winner
from automl.search.pace import Pace
from automl.search.rungs import Rungs
from automl.search.space import SearchSpace
from automl.search.study import ContenderStudy
from automl.types import Contender, TrialResult, TrialSpec


@dataclass
class Entry:
    """cut_by: what ended its search before its trials, None while nothing."""

    contender: Contender
    space: SearchSpace
    study: ContenderStudy
    rungs: Rungs
    pace: Pace
    template: TrialSpec
    default_recipe: dict[str, Any]
    started: int = 0
    running: dict[str, TrialSpec] = field(default_factory=dict)
    trials: list[TrialResult] = field(default_factory=list)
    playoffs: list[TrialResult] = field(default_factory=list)
    finals: deque[TrialSpec] = field(default_factory=deque)
    finals_done: list[TrialResult] = field(default_factory=list)
    searching: bool = True
    exhausted: bool = False
    winner: Winner | None = None
    cut_by: str | None = None
