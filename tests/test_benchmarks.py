"""Benchmarks are programs too: each one starts, says what it asks, and is told of in their README."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
FILES = sorted(BENCHMARKS.glob("*.py"))


def load(file: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A benchmark as a module; benchmarks import their neighbours as scripts do."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    specification = importlib.util.spec_from_file_location(file.stem, file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, file.stem, module)  # where dataclasses look their annotations up
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_benchmark_starts_and_tells_its_options(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [file.name, "--help"])
    module = load(file, monkeypatch)
    with pytest.raises(SystemExit) as end:
        module.main()
    assert end.value.code == 0
    assert module.__doc__
    assert module.__doc__.splitlines()[0] in capsys.readouterr().out


def test_the_readme_lists_every_benchmark() -> None:
    told = set(re.findall(r"`(\w+\.py)`", (BENCHMARKS / "README.md").read_text()))
    assert told == {file.name for file in FILES}


@pytest.fixture
def quality(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load(BENCHMARKS / "search_quality.py", monkeypatch)


def test_a_recorded_recipe_is_answered_with_its_own_training(quality: ModuleType) -> None:
    curves = quality.Curves(quality.CURVES)
    assert len(curves.trainings) >= 60
    for number, training in enumerate(curves.trainings):
        assert curves.nearest(training.recipe, set()) == (number, 0.0)
    second, distance = curves.nearest(curves.trainings[0].recipe, {0})
    assert second != 0
    assert distance > 0


def test_searches_spend_their_budget_and_use_no_training_twice(quality: ModuleType) -> None:
    curves = quality.Curves(quality.CURVES)
    came = quality.replay(curves, slots=2, budgets=[2, 6], repeat=1)
    assert set(came) == {"random", "grid", "ASHA random", "ASHA TPE", "automl", "automl N"}
    for name, found in came.items():
        for budget, one in found.items():
            assert 0 <= one.index < len(curves.trainings)
            assert one.whole <= one.trials
            if name in quality.RIVALS:
                assert one.seconds == pytest.approx(budget * curves.one_training)
        assert found[6].trials > found[2].trials
    assert came["automl N"][2].distance == 0, "the first trials were recorded as they are"
    assert came["automl N"][6].trials == 6
    assert came["automl"][6].seconds < 7 * curves.one_training
    assert came["ASHA random"][6].trials > came["random"][6].trials, "stopped trials leave time for others"


def test_a_replay_prints_every_search_and_repeats_exactly(
    quality: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told = []
    for number in range(2):
        arguments = ["--repeats", "2", "--slots", "1", "--budgets", "4", "--out", str(tmp_path / f"{number}.json")]
        monkeypatch.setattr(sys, "argv", ["search_quality.py", *arguments])
        quality.main()
        told.append(json.loads((tmp_path / f"{number}.json").read_text()))
    assert told[0] == told[1]
    rows, out = told[0]["rows"], capsys.readouterr().out
    assert [row["search"] for row in rows] == [*quality.RIVALS, "automl", "automl N"]
    for row in rows:
        mean, low, high = row["regret"]
        assert 0 <= low <= mean <= high
        assert row["search"] in out
