"""What every tracker keeps: its tests inherit these."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from automl.tracking.base import Tracker, Trackers
from tests.tracking.followed import RESOURCES, follow_a_run, info, result, row, spec

TRIAL = "all-minilm-l6-v2/full/000"
PLAYOFF = "all-minilm-l6-v2/full/000-fold-2"
"""The recipe of TRIAL again, on another fold: a training of its own."""


@dataclass
class Seen:
    """A training as a tracker's own reader finds it. curve: (samples seen, accuracy)."""

    curve: list[tuple[int, float]]
    learning_rate: float | None
    told: str
    system: dict[tuple[int, str], float]
    """What was seen of its workers: by samples seen and name."""


class TrackerContract:
    """Subclasses make a tracker and read back what it kept."""

    def make(self, directory: Path, lines: list[str]) -> Tracker:
        raise NotImplementedError

    def read(self, directory: Path) -> dict[str, Seen]:
        """By the training's readable name; `told`: everything that it says of how it ended."""
        raise NotImplementedError

    def places(self, directory: Path) -> list[Path]:
        """Where the tracker writes."""
        return [directory]

    @pytest.fixture(scope="class")
    def followed(self, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Seen], Path]:
        directory, lines = tmp_path_factory.mktemp("followed"), list[str]()
        follow_a_run(directory, self.make(directory, lines))
        assert not any("stopped" in line for line in lines), lines
        return self.read(directory), directory

    def test_every_training_is_told_apart_under_a_name_that_people_read(self, followed) -> None:  # type: ignore[no-untyped-def]
        seen, _ = followed
        trials = {f"all-minilm-l6-v2/full/{number:03d}" for number in range(3)}
        assert trials | {"baseline/constant", "all-minilm-l6-v2/full/final-seed-11", PLAYOFF} <= set(seen)

    def test_a_curve_stands_over_samples_seen_and_each_point_once(self, followed) -> None:  # type: ignore[no-untyped-def]
        seen, _ = followed
        assert seen[TRIAL].curve == [(80, pytest.approx(0.6)), (160, pytest.approx(0.8))]
        assert seen["all-minilm-l6-v2/full/final-seed-11"].curve == [(160, pytest.approx(0.85))]
        assert seen[PLAYOFF].curve == [(160, pytest.approx(0.7))]

    def test_the_recipe_and_the_end_are_told(self, followed) -> None:  # type: ignore[no-untyped-def]
        seen, _ = followed
        assert seen[TRIAL].learning_rate == pytest.approx(1e-4)
        assert "completed" in seen[TRIAL].told
        assert "pruned" in seen["all-minilm-l6-v2/full/001"].told
        assert "failed" in seen["all-minilm-l6-v2/full/002"].told

    def test_each_workers_machine_is_told_over_samples_seen_and_not_twice_after_a_retry(self, followed) -> None:  # type: ignore[no-untyped-def]
        seen, _ = followed
        told = {(row["samples_seen"], name): value for row in RESOURCES for name, value in row.items()}
        wanted = {key: pytest.approx(value) for key, value in told.items() if key[1] != "samples_seen"}
        assert len(wanted) == 6, "two workers"
        assert seen[TRIAL].system == wanted
        assert seen["all-minilm-l6-v2/full/001"].system == {}

    def test_no_data_row_is_sent(self, followed) -> None:  # type: ignore[no-untyped-def]
        _, directory = followed
        files = [path for place in self.places(directory) for path in place.rglob("*") if path.is_file()]
        assert files
        assert not any(b"secret row" in path.read_bytes() for path in files if path.name != "report.html")

    def test_a_resumed_benchmark_goes_on_with_its_trial(self, tmp_path: Path) -> None:
        trial = spec("all-minilm-l6-v2-full-000")
        for status in ("interrupted", "done"):
            tracker = self.make(tmp_path, [])
            tracker.start(info(tmp_path))
            tracker.trial_started(trial)
            if status == "interrupted":
                tracker.trial_reported(trial, row(80, 0.6))
            else:
                tracker.trial_ended(trial, result(trial, "completed", row(80, 0.6), row(160, 0.8)))
            tracker.close(status)
        seen = self.read(tmp_path)[TRIAL]
        assert sorted(set(seen.curve)) == [(80, pytest.approx(0.6)), (160, pytest.approx(0.8))]
        assert "completed" in seen.told

    def test_nothing_is_written_before_the_search_and_closing_is_always_right(self, tmp_path: Path) -> None:
        tracker = Trackers(self.make(tmp_path / "run", []))
        tracker.note("reading")
        tracker.phase("prepare")
        tracker.close("failed")
        assert not (tmp_path / "run").exists()
