"""What Ray Tune asks of a searcher, a scheduler and a callback, answered by the sweep: they decide nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from automl.search.cluster import node_of

if TYPE_CHECKING:
    from automl.search.sweep import Sweep


class Asks(Searcher):
    """Tune's searcher: asks the sweep for the next spec."""

    def __init__(self, sweep: Sweep | None) -> None:
        super().__init__()
        self._sweep = sweep

    def __reduce__(self) -> Any:
        return Asks, (None,)  # Tune pickles it into its snapshot; ours is the run folder

    def set_search_properties(self, *_: Any, **__: Any) -> bool:
        return True

    def suggest(self, trial_id: str) -> Any:
        assert self._sweep is not None
        spec = self._sweep.start(trial_id)
        if spec is not None:
            return {"spec": spec.to_json()}
        return Searcher.FINISHED if self._sweep.tune_is_over else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        assert self._sweep is not None
        self._sweep.end(trial_id, died=error)

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).write_text("")

    def restore(self, checkpoint_path: str) -> None:
        raise AssertionError("a run is resumed from its folder")


class Decides(FIFOScheduler):
    """Tune's scheduler: hands every report to the sweep and passes the decision on."""

    def __init__(self, sweep: Sweep | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._sweep = sweep

    def __reduce__(self) -> Any:
        return Decides, (None,)

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """None: Tune goes through the trials that wait by itself, a new one taking the process that is free.

        FIFO's own choice looks at every trial that there ever was, at each event, and gives a free process to one
        whose process is just starting; that one is ended, and where trials are short no second slot ever starts.
        """

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        assert self._sweep is not None
        goes_on = self._sweep.message(trial.trial_id, json.loads(result["told"]))
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)


class Counts(tune.Callback):
    """Tune's callback: lets a training be started again as often as is left to it, and tells of each time."""

    def __init__(self, sweep: Sweep | None) -> None:
        self._sweep = sweep

    def __reduce__(self) -> Any:
        return Counts, (None,)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        assert self._sweep is not None
        self._sweep.has_process(trial.trial_id, node_of(trial.temporary_state.ray_actor))
        trial.max_failures = self._sweep.retries(trial.trial_id)

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        assert self._sweep is not None
        self._sweep.look_around()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        assert self._sweep is not None
        self._sweep.lost(trial.trial_id, trial.num_failures)
