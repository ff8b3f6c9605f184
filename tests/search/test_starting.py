"""How many processes Ray Tune starts at a time."""

from __future__ import annotations

import pytest
from ray.tune.execution.tune_controller import _get_max_pending_trials
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import SearchGenerator

from automl.search.hooks import Asks, Decides
from automl.search.slots import starting_at_once

NAME = "TUNE_MAX_PENDING_TRIALS_PG"


def test_every_slot_gets_its_process_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One at a time, a short trial's process goes to the next trial and the process that this one waits for ends."""
    monkeypatch.delenv(NAME, raising=False)
    searcher = SearchGenerator(Asks(None))
    assert _get_max_pending_trials(searcher) == 1
    with starting_at_once(8):
        assert _get_max_pending_trials(searcher) == 8
    assert _get_max_pending_trials(searcher) == 1


def test_how_many_start_at_a_time_is_the_users_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "3")
    with starting_at_once(8):
        assert _get_max_pending_trials(SearchGenerator(Asks(None))) == 3


class Controller:
    """What a scheduler sees of Tune's controller: one trial, whose process is just starting."""

    def get_trials(self) -> list[Trial]:
        return [Trial("toy", stub=True)]


def test_a_free_process_is_not_given_to_a_trial_whose_own_is_starting() -> None:
    """FIFO's choice is such a trial: Tune then ends the process that starts, and the slot stays without one."""
    assert FIFOScheduler().choose_trial_to_run(Controller()) is not None
    assert Decides(None).choose_trial_to_run(Controller()) is None
