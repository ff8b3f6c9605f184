"""One contender's Optuna study: what to try next, and what came of it.

The study lives in memory and is rebuilt from trials.jsonl; finished trials are mirrored, append-only, into a
journal that optuna-dashboard opens. Pruned trials are told as PRUNED with their intermediate values.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from automl.search.space import SearchSpace
from automl.types import TrialResult

STARTUP_TRIALS = 5
SamplerName = Literal["tpe", "random"]
Direction = Literal["maximize", "minimize"]

optuna.logging.set_verbosity(optuna.logging.WARNING)


def make_sampler(name: SamplerName, seed: int) -> optuna.samplers.BaseSampler:
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # group: needed for `when`
        return optuna.samplers.TPESampler(
            multivariate=True, group=True, constant_liar=True, n_startup_trials=STARTUP_TRIALS, seed=seed
        )


def open_journal(directory: Path) -> BaseStorage:
    """The journal storage of a run: `optuna-dashboard` opens it."""
    directory.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(directory / "journal.log")))


class ContenderStudy:
    """Asks for recipes and tells results, by trial number.

    The sampler is seeded anew for every trial number, so that a resumed search proposes what an
    uninterrupted one would have.
    """

    def __init__(
        self,
        name: str,
        space: SearchSpace,
        higher_is_better: bool,
        seed: int,
        sampler: SamplerName = "tpe",
        journal: BaseStorage | None = None,
    ) -> None:
        direction: Direction = "maximize" if higher_is_better else "minimize"
        self._space, self._seed, self._sampler = space, seed, sampler
        self._worst = -math.inf if higher_is_better else math.inf
        self._study = optuna.create_study(direction=direction)
        self._running: dict[int, Trial] = {}
        self._mirror: Callable[[FrozenTrial], None] = lambda trial: None
        self._mirrored: set[int] = set()
        if journal is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                mirror = optuna.create_study(
                    study_name=name, storage=journal, direction=direction, load_if_exists=True
                )
            self._mirrored = {t.user_attrs["number"] for t in mirror.get_trials(deepcopy=False)}
            self._mirror = mirror.add_trial

    def ask(self, number: int) -> dict[str, Any]:
        """The full recipe of trial `number`; the first ones are the space's first trials."""
        if number < len(self._space.first_trials):
            first = self._space.complete(self._space.first_trials[number])
            self._study.enqueue_trial(self._space.to_params(first))
        self._study.sampler = make_sampler(self._sampler, self._seed * 100_003 + number)
        trial = self._study.ask()
        trial.set_user_attr("number", number)
        recipe = self._space.complete(self._space.suggest(trial))
        self._running[number] = trial
        return recipe

    def adopt(self, number: int, recipe: Mapping[str, Any]) -> None:
        """Take up a trial that an interrupted run had started, so that it can be told."""
        self._study.enqueue_trial(self._space.to_params(recipe))
        trial = self._study.ask()
        trial.set_user_attr("number", number)
        self._space.suggest(trial)
        self._running[number] = trial

    def report(self, number: int, rung: int, value: float) -> None:
        trial = self._running[number]
        if rung not in self._study.get_trials(deepcopy=False)[trial.number].intermediate_values:
            trial.report(value, rung)

    def tell(self, result: TrialResult, rungs: tuple[int, ...]) -> None:
        """How a trial ended. A failed one counts as pruned with the worst value, so that it is not proposed again."""
        trial = self._running.pop(result.number)
        if result.status == "completed" and result.validation is not None:
            self._study.tell(trial, result.validation)
        else:
            if result.status != "pruned" and not self._intermediate(trial):
                trial.report(self._worst, rungs[0])
            self._study.tell(trial, state=TrialState.PRUNED)
        if result.number not in self._mirrored:
            self._mirrored.add(result.number)
            self._mirror(self._study.get_trials(deepcopy=False)[trial.number])

    def _intermediate(self, trial: Trial) -> dict[int, float]:
        return self._study.get_trials(deepcopy=False)[trial.number].intermediate_values

    @property
    def trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)
