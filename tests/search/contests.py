"""A contest without training: recipes are answered from a formula, time is a number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from automl.config import RunRequest
from automl.leaderboard.store import RunFolder
from automl.search.agenda import Agenda
from automl.search.ledger import Ledger
from automl.search.space import SearchSpace, load_space
from automl.search.study import SamplerName
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
        evaluations: tuple[int, ...] = (),
        space: SearchSpace | None = None,
        sampler: SamplerName = "tpe",
        folds: int | None = None,
    ) -> None:
        """seconds: of a whole training. evaluations: samples at which trainings report, beside the rungs."""
        self.folder = RunFolder(path)
        self.budget = budget or Budget(trials=6)
        if not self.folder.request_file.exists():
            self.folder.create(RunRequest(source="data.csv"))
        space = space or load_space("text_encoder_small", "full").for_trials(self.budget.trials)
        self.contenders = [contender(name) for name in names]
        contest: dict[str, Any] = {
            "metric": "accuracy",
            "budget": self.budget.to_json(),
            "seeds": list(seeds),
            "spaces": {c.name: space.to_json() for c in self.contenders},
            "time_limit_seconds": time_limit,
            "folds": None if folds is None else {"count": folds},
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
                fold=None if folds is None else 1,
            )
            for c in self.contenders
        ]
        self.now = 0.0
        self._limit = time_limit
        self.ledger = Ledger(self.folder, self.budget, clock=lambda: "2026-01-01T00:00:00+00:00")
        self.ledger.reconcile(self.folder.trials())
        self.evaluations, self.most_running = evaluations, 0
        self.notes: list[str] = []
        self.agenda = Agenda(self.folder, contest, templates, self.ledger, sampler, self._left, self.notes.append)
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

    def steps(self, spec: TrialSpec) -> Iterator[float]:
        """A training, evaluation by evaluation: yields the seconds to its next one, and ends with its result."""
        curve: list[dict[str, Any]] = []
        status, error, spent = "completed", self._fails(spec), 0.0
        points = sorted({*self.evaluations, *spec.rungs}) if error is None else ()
        if error is not None:
            yield self._seconds(spec) / 2
            status, spent = "failed", self._seconds(spec) / 2
        for before, samples in pairwise([0, *points]):
            part = self._seconds(spec) * (samples - before) / HORIZON
            yield part
            spent += part
            value, rung = self._score(spec, samples), samples if samples in spec.rungs else None
            row = {"samples_seen": samples, "accuracy": value, "device_seconds": spent}
            curve.append(row | ({"rung": rung} if rung else {}))
            if not self.agenda.goes_on(spec, curve[-1], rung, value, 0.001):
                status = "pruned"
                break
        seen = curve[-1]["samples_seen"] if curve else 0
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
            cost=Cost(device_seconds=spent, wall_seconds=spent, samples_seen=seen),
            error=error,
            predictions_file=None,
            split_fingerprint="f",
            environment={},
            started_at="",
            ended_at="",
            number=spec.number,
            spent={"train": spent},
            fold=spec.fold,
        )
        self.agenda.end(result)

    def run(self, slots: int = 1, most: int = 10_000) -> None:
        """Run until nothing is left, or until `most` trainings have ended; what else runs then is killed."""
        self.agenda.slots = slots
        running: list[tuple[float, int, Iterator[float]]] = []
        ended = begun = 0
        while ended < most:
            while len(running) < slots and (spec := self.start()) is not None:
                steps = self.steps(spec)
                begun += 1
                running.append((self.now + next(steps), begun, steps))
            self.most_running = max(self.most_running, len(running))
            if not running:
                assert self.agenda.finished
                return
            running.sort(key=lambda one: one[:2])
            self.now, order, steps = running.pop(0)
            wait = next(steps, None)
            if wait is None:
                ended += 1
            else:
                running.append((self.now + wait, order, steps))


def good_learning_rate(spec: TrialSpec) -> float:
    import math

    return 0.9 - 0.1 * abs(math.log10(spec.recipe["learning_rate"] / 2e-4))
