"""One contender's Optuna study: what to try next, and what came of it.

The study lives in memory and is rebuilt from trials.jsonl; finished trials are mirrored, append-only, into a
journal that optuna-dashboard opens. Pruned trials are told as PRUNED with their intermediate values.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from automl.search.grid import GridOrder, size
from automl.search.space import SearchSpace
from automl.types import TrialResult

STARTUP_TRIALS = 5
SamplerName = Literal["tpe", "gp", "random", "grid"]
Direction = Literal["maximize", "minimize"]

optuna.logging.set_verbosity(optuna.logging.ERROR)  # its warnings are for who writes samplers


def choose_sampler(asked: str, spaces: Sequence[SearchSpace], trials: int | None) -> tuple[SamplerName, str]:
    """The sampler that `--sampler` means, one for all contenders, and why.

    `auto` is the grid where every recipe of every space can be tried within the trials, and TPE elsewhere: it learns
    from trials that were stopped early, which a Gaussian process leaves out, and it knows conditions.
    """
    if asked != "auto":
        return asked, "asked for"  # type: ignore[return-value]
    sizes = [size(space) for space in spaces]
    if trials is not None and all(count is not None and count <= trials for count in sizes):
        return "grid", f"chosen because {trials} trials can try every recipe"
    return "tpe", "chosen because not every recipe can be tried"


def make_sampler(name: SamplerName, seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's sampler of a name. `grid` proposes by itself (grid.py), so what stands here is never asked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # group: needed for `when`
        if name == "tpe":
            return optuna.samplers.TPESampler(
                multivariate=True, group=True, constant_liar=True, n_startup_trials=STARTUP_TRIALS, seed=seed
            )
        if name == "gp":  # loads torch when it first proposes; parameters under a condition are drawn at random
            return optuna.samplers.GPSampler(
                seed=seed, n_startup_trials=STARTUP_TRIALS, warn_independent_sampling=False
            )
    return optuna.samplers.RandomSampler(seed=seed)


def open_journal(directory: Path) -> BaseStorage:
    """The journal storage of a run: `optuna-dashboard` opens it.

    It is a copy of trials.jsonl, so one that a crash damaged is thrown away and written anew by whoever resumes:
    Optuna would append to half a line and read nothing from there on, and wait for the lock of the dead.
    """
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "journal.log"
    for left in directory.glob(f"{file.name}.lock*"):  # ours: one driver at a time owns the run folder
        left.unlink(missing_ok=True)
    if not _ends_whole(file):
        file.unlink()
    try:
        return JournalStorage(JournalFileBackend(str(file)))
    except (ValueError, KeyError):
        file.unlink()
        return JournalStorage(JournalFileBackend(str(file)))


def _ends_whole(file: Path) -> bool:
    if not file.exists() or file.stat().st_size == 0:
        return True
    with open(file, "rb") as content:
        content.seek(-1, 2)
        return content.read(1) == b"\n"


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
        self._grid = GridOrder(space, seed) if sampler == "grid" else None
        self._worst = -math.inf if higher_is_better else math.inf
        self._study = optuna.create_study(direction=direction)
        self._running: dict[int, Trial] = {}
        self._distributions: dict[BaseDistribution, BaseDistribution] = {}
        self._mirror: optuna.Study | None = None
        self._mirrored: set[int] = set()
        if journal is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._mirror = optuna.create_study(
                    study_name=name, storage=journal, direction=direction, load_if_exists=True
                )
            self._mirrored = {t.user_attrs["number"] for t in self._mirror.get_trials(deepcopy=False)}

    def ask(self, number: int) -> dict[str, Any] | None:
        """The full recipe of trial `number`; the first ones are the space's first trials.

        None when a grid has no recipe left that was not tried.
        """
        first = self._space.first_trials
        given: dict[str, Any] | None = None
        if number < len(first):
            given = self._space.complete(first[number])
        elif self._grid is not None:
            given = self._grid.recipe(number - len(first))
            if given is None:
                return None
        if given is not None:
            self._study.enqueue_trial(self._space.to_params(given))
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
        if result.status == "completed" and result.validation is not None and math.isfinite(result.validation):
            self._study.tell(trial, result.validation)
        else:
            if result.status != "pruned" and not self._intermediate(trial):
                trial.report(self._worst, rungs[0])
            self._study.tell(trial, state=TrialState.PRUNED)
        told = self._study.get_trials(deepcopy=False)[trial.number]
        self._lighten(told)
        if self._mirror is not None and result.number not in self._mirrored:
            self._mirrored.add(result.number)
            self._mirror.add_trial(told)
            self._lighten(self._mirror.get_trials(deepcopy=False)[-1])

    def _lighten(self, trial: FrozenTrial) -> None:
        """Let trials share what says how a parameter is drawn: Optuna keeps a copy for each, here and in its journal.

        Of what a driver remembers of a trial that would be the largest part.
        """
        for name, found in trial.distributions.items():
            trial.distributions[name] = self._distributions.setdefault(found, found)

    def _intermediate(self, trial: Trial) -> dict[int, float]:
        return self._study.get_trials(deepcopy=False)[trial.number].intermediate_values

    @property
    def trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)
