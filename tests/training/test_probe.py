"""The probe on a toy BERT: real steps, real evaluations, nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from automl.training.probe import probe_training
from automl.types import Contender, PreparedData, TrialSpec
from tests.toys import RECIPE, prepared_messages, tiny_bert, tiny_contender, trial_spec


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Contender, PreparedData]:
    directory = tmp_path_factory.mktemp("probe")
    return tiny_contender(tiny_bert(directory / "bert")), prepared_messages(directory / "run")


def spec_of(world: tuple[Contender, PreparedData], directory: Path, **changes: Any) -> TrialSpec:
    contender, prepared = world
    return trial_spec(directory, contender, prepared, **changes)


def test_a_probe_measures_every_part_of_a_training(world: tuple[Contender, PreparedData], tmp_path: Path) -> None:
    spec = spec_of(world, tmp_path / "run")
    found = probe_training(spec, tmp_path / "scratch")
    assert found.error is None
    assert found.batch_size == RECIPE["batch_size"]
    assert found.steps >= 4
    measured = (
        found.ready_seconds, found.seconds_per_sample, found.predict_seconds_per_row, found.scoring_seconds,
        found.cache_seconds_per_row, found.cache_bytes_per_row,
    )  # fmt: skip
    assert all(value > 0 for value in measured), found
    assert found.seconds_per_sample > found.predict_seconds_per_row > 0
    assert found.learning_bytes == found.model_bytes > 4 * 10_000
    assert not found.stores_activations
    assert 0 < found.peak_memory_bytes < found.machine_bytes
    assert found.environment["threads"] >= 1
    assert not (tmp_path / "run").exists()  # the run's own folder is not touched


def test_a_frozen_body_is_probed_with_its_stored_activations(
    world: tuple[Contender, PreparedData], tmp_path: Path
) -> None:
    whole = probe_training(spec_of(world, tmp_path / "run"), tmp_path / "whole")
    frozen = probe_training(
        spec_of(world, tmp_path / "run", recipe={**RECIPE, "frozen_share": 1.0}), tmp_path / "frozen"
    )
    assert frozen.stores_activations
    assert frozen.learning_bytes < whole.learning_bytes
    assert frozen.cache_bytes_per_row > whole.cache_bytes_per_row
    assert frozen.model_bytes == whole.model_bytes


def test_blocks_that_a_recipe_releases_late_learn_in_the_probe(
    world: tuple[Contender, PreparedData], tmp_path: Path
) -> None:
    late = spec_of(world, tmp_path / "run", recipe={**RECIPE, "head_only_share": 0.5, "release_share": 0.2})
    found = probe_training(late, tmp_path / "late")
    assert found.learning_bytes == found.model_bytes


def test_a_model_that_cannot_be_loaded_is_told_with_its_reason(
    world: tuple[Contender, PreparedData], tmp_path: Path
) -> None:
    from dataclasses import replace

    contender, prepared = world
    gone = replace(contender, checkpoint=replace(contender.checkpoint, path=str(tmp_path / "nowhere")))
    found = probe_training(trial_spec(tmp_path / "run", gone, prepared), tmp_path / "scratch")
    assert found.error is not None
    assert "nowhere" in found.error
    assert found.steps == 0
