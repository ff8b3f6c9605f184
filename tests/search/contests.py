"""A contest without training: recipes are answered from a formula, time is a number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from automl.config import RunRequest
from automl.leaderboard.store import RunFolder
from automl.search.agenda import Agenda
from automl.search.ledger import Ledger
from automl.search.space import load_space
from automl.types import Budget, Checkpoint, Contender, Cost, Schema, TrialResult, TrialSpec

HORIZON = 900
RUNGS = (300, 900)
SCHEMA = Schema(task="text-classification", inputs=("text",), target="label", classes=("a", "b"))


def contender(name: str) -> Contender:
    checkpoint = Checkpoint(
        name=name,
        path=f"/{name}",
        revision="1",
        kind="folder",
        architecture="BertModel",
        model_type="bert",
        parameters=1,
    )
    return Contender(name=f"{name}/full", checkpoint=checkpoint, family="text_encoder", adaptation="full")


class Contest:
    """A run folder, an agenda over it, and a machine that runs what the agenda hands out."""

    def __init__(
        self,
        path: Path,
        names: tuple[str, ...] = ("one", "two"),
        budget: Budget | None = None,
        seeds: tuple[int, ...] = (101, 102),
        seconds: Callable[[TrialSpec], float] = lambda spec: 10.0,
        score: Callable[[TrialSpec, int], float] | None = None,
        fails: Callable[[TrialSpec], str | None] = lambda spec: None,
        time_limit: float | None = None,
    ) -> None:
        self.folder = RunFolder(path)
        self.budget = budget or Budget(trials=6)
        if not self.folder.request_file.exists():
            self.folder.create(RunRequest(source="data.csv"))
        space = load_space("text_encoder_small", "full").for_trials(self.budget.trials)
        self.contenders = [contender(name) for name in names]
        contest: dict[str, Any] = {
            "metric": "accuracy",
            "budget": self.budget.to_json(),
            "seeds": list(seeds),
            "spaces": {c.name: space.to_json() for c in self.contenders},
            "time_limit_seconds": time_limit,
        }
        templates = [
            TrialSpec(
                id="",
                kind="trial",
                contender=c,
                recipe={},
                seed=1,
                horizon_samples=HORIZON,
                rungs=RUNGS,
                split_fingerprint="f",
                data_directory="data",
                run_directory=str(path),
                task=SCHEMA.task,
                metric="accuracy",
                schema=SCHEMA,
            )
            for c in self.contenders
        ]
        self.now = 0.0
        self._limit = time_limit
        self.ledger = Ledger(self.folder, self.budget, clock=lambda: "2026-01-01T00:00:00+00:00")
        self.ledger.reconcile(self.folder.trials())
        self.agenda = Agenda(self.folder, contest, templates, self.ledger, "tpe", self._left)
        self.agenda.recall(self.folder.started(), self.folder.trials())
        self._seconds, self._fails = seconds, fails
        self._score = score or (lambda spec, samples: good_learning_rate(spec) - 0.1 * (samples < HORIZON))
        self.log: list[str] = []

    def _left(self) -> float | None:
        return None if self._limit is None else self._limit - self.now

    def start(self) -> TrialSpec | None:
        spec = self.agenda.next()
        if spec is not None:
            self.folder.append_started(spec)
            self.log.append(spec.id)
        return spec

    def finish(self, spec: TrialSpec) -> TrialResult:
        """Run a spec to its end; time passes with every rung."""
        curve: list[dict[str, Any]] = []
        status, error, rungs = "completed", self._fails(spec), spec.rungs
        for rung in rungs if error is None else ():
            self.now += self._seconds(spec) / len(rungs)
            value = self._score(spec, rung)
            curve.append({"samples_seen": rung, "rung": rung, "accuracy": value})
            if not self.agenda.goes_on(spec, rung, value, 0.001) and rung < HORIZON:
                status = "pruned"
                break
        share = len(curve) / len(rungs) if error is None else 0.5
        if error is not None:
            status = "failed"
        result = TrialResult(
            id=spec.id,
            kind=spec.kind,
            contender=spec.contender.name,
            status=status,  # type: ignore[arg-type]
            recipe=spec.recipe,
            seed=spec.seed,
            horizon_samples=HORIZON,
            curve=tuple(curve),
            validation=curve[-1]["accuracy"] if curve else None,
            cost=Cost(device_seconds=self._seconds(spec) * share),
            error=error,
            predictions_file=None,
            split_fingerprint="f",
            environment={},
            started_at="",
            ended_at="",
            number=spec.number,
            spent={"train": self._seconds(spec) * share},
        )
        self.agenda.end(result)
        return result

    def run(self, slots: int = 1, most: int = 10_000) -> None:
        """Run until nothing is left, or until `most` trainings have ended."""
        running: list[TrialSpec] = []
        ended = 0
        while ended < most:
            while len(running) < slots and (spec := self.start()) is not None:
                running.append(spec)
            if not running:
                assert self.agenda.finished
                return
            self.finish(running.pop(0))
            ended += 1


def good_learning_rate(spec: TrialSpec) -> float:
    import math

    return 0.9 - 0.1 * abs(math.log10(spec.recipe["learning_rate"] / 2e-4))
