"""How long a run waits for its probes."""

from __future__ import annotations

from automl.search.probe import LONGEST_SECONDS, patience_seconds


def test_without_a_time_limit_every_wave_of_probes_has_its_two_minutes() -> None:
    assert patience_seconds(1, None) == LONGEST_SECONDS
    assert patience_seconds(3, None) == 3 * LONGEST_SECONDS


def test_probes_leave_nine_tenths_of_a_time_limit_to_the_run() -> None:
    assert patience_seconds(3, 120.0) == 12.0
    assert patience_seconds(1, 36_000.0) == LONGEST_SECONDS
