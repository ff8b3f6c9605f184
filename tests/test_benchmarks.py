"""Benchmarks are programs too: each one starts, says what it asks, and is told of in their README."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from automl.leaderboard.store import RunFolder

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


def test_simulated_slots_train_every_trial_and_charge_what_they_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)  # simulated records need not outlive a power cut
    scale = load(BENCHMARKS / "scale.py", monkeypatch)
    asked = argparse.Namespace(
        trials=12, contenders=2, slots=3, seconds=600.0, process_seconds=15.0, budget_in_seconds=False
    )
    found = scale.run_slots(asked, tmp_path, {"ray_tune_cpu_ms_a_visit": 5.0, "gap_seconds": {"median": 0.1}})
    assert found["trials"] == 12
    assert found["decisions"]["next"]["count"] == 12 + found["finals"]
    assert 0.5 < found["slots_busy"] < 1
    assert 0.9 < found["slots_busy_while_trials_wait"] < 1
    folder = RunFolder(tmp_path / "run")
    charged = sum(spend.device_seconds for spend in folder.ledger())
    assert charged == pytest.approx(sum(result.cost.device_seconds for result in folder.trials()))
    wall = [result.cost.wall_seconds - result.cost.device_seconds for result in folder.trials()]
    assert min(wall) >= 0
    assert max(wall) < 60  # a start of a process, and waiting for the driver


def test_a_slots_gap_lasts_from_a_trials_last_word_to_the_next_ones_first_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    overhead = load(BENCHMARKS / "overhead.py", monkeypatch)
    places = [
        {"process": process, "began_at": begin, "first_step_at": begin + 0.25, "sent_at": end}
        for process, begin, end in ((1, 0.0, 5.0), (2, 0.0, 8.0), (1, 5.5, 9.0), (2, 8.25, 9.5))
    ]
    assert overhead.gaps_between(places, overhead.SLOTS["one"]) == [0.75, 0.5]
    one_after_the_other = [places[0], places[2] | {"process": 3}]
    assert overhead.gaps_between(one_after_the_other, overhead.SLOTS["train"]) == [0.75]


def test_rows_are_as_long_as_asked_for_and_else_as_long_as_real_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    data = load(BENCHMARKS / "data.py", monkeypatch)
    texts = [f"what is word{n} of the lot {'really ' * (n % 3)}?".split() for n in range(50)]
    corpus = data.Corpus(
        words=[word for text in texts for word in text],
        offsets=np.cumsum([0, *map(len, texts)]),
        labels=["ab"[n % 2] for n in range(50)],
    )
    for asked, expected in ((None, corpus.text_bytes), (300, 300)):
        (table,) = data.blocks(corpus, 2_000, text_bytes=asked)
        assert table.num_rows == 2_000
        lengths = [len(text) for text in table["text"].to_pylist()]
        assert sum(lengths) / len(lengths) == pytest.approx(expected, rel=0.15)
        assert set(table["label"].to_pylist()) == {"a", "b"}
