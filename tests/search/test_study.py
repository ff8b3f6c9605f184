from __future__ import annotations

import json
import math
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from automl.search.space import Parameter, SearchSpace, load_space
from automl.search.study import ContenderStudy, SamplerName, choose_sampler, open_journal
from automl.types import Cost, TrialResult

SPACE = load_space("text_encoder_small", "full").for_trials(24)
RUNGS = (300, 900)


def result(
    number: int, recipe: dict[str, object], status: str = "completed", value: float | None = 0.5
) -> TrialResult:
    return TrialResult(
        id=f"x-{number:03d}", kind="trial", contender="x", status=status, recipe=recipe, seed=1,  # type: ignore[arg-type]
        horizon_samples=900, curve=(), validation=value, cost=Cost(), error=None, predictions_file=None,
        split_fingerprint="", environment={}, started_at="", ended_at="", number=number,
    )  # fmt: skip


def study(journal: object = None, seed: int = 0, sampler: SamplerName = "tpe") -> ContenderStudy:
    return ContenderStudy("x", SPACE, True, seed, sampler, journal=journal)  # type: ignore[arg-type]


def test_the_first_recipes_are_the_spaces_first_trials() -> None:
    one = study()
    for number, first in enumerate(SPACE.first_trials):
        asked = one.ask(number)
        assert asked == SPACE.complete(first)
        one.tell(result(number, asked), RUNGS)


def test_a_stopped_trial_is_told_as_pruned_with_its_values_at_the_rungs() -> None:
    one = study()
    recipe = one.ask(0)
    one.report(0, 300, 0.4)
    one.tell(result(0, recipe, "pruned", 0.4), RUNGS)
    (trial,) = one.trials
    assert trial.state is TrialState.PRUNED
    assert trial.intermediate_values == {300: 0.4}


@pytest.mark.parametrize("status", ["failed", "out_of_memory"])
def test_a_failed_trial_leaves_no_running_one_behind_and_ranks_last(status: str) -> None:
    one = study()
    recipe = one.ask(0)
    one.tell(result(0, recipe, status, None), RUNGS)
    (trial,) = one.trials
    assert trial.state is TrialState.PRUNED
    assert trial.intermediate_values == {300: -math.inf}


SAMPLERS: tuple[SamplerName, ...] = ("tpe", "gp", "random", "grid")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_proposes_the_same_after_a_rebuild(sampler: SamplerName) -> None:
    def told(count: int) -> ContenderStudy:
        one = study(seed=3, sampler=sampler)
        for number in range(count):
            recipe = one.ask(number)
            one.tell(result(number, recipe, value=0.5 + 0.01 * number), RUNGS)
        return one

    whole = told(8)
    rebuilt = study(seed=3, sampler=sampler)
    for number in range(8):
        recipe = SPACE.complete(SPACE.suggest(optuna.trial.FixedTrial(whole.trials[number].params)))
        rebuilt.adopt(number, recipe)
        rebuilt.tell(result(number, recipe, value=0.5 + 0.01 * number), RUNGS)
    assert rebuilt.ask(8) == whole.ask(8)


def test_the_journal_holds_every_ended_trial_once_and_no_running_one(tmp_path: Path) -> None:
    first = study(open_journal(tmp_path))
    recipes = [first.ask(number) for number in range(3)]
    for number in (0, 1):
        first.tell(result(number, recipes[number]), RUNGS)
    again = study(open_journal(tmp_path))
    for number in range(3):
        again.adopt(number, recipes[number])
        again.tell(result(number, recipes[number]), RUNGS)
    stored = optuna.load_study(study_name="x", storage=open_journal(tmp_path))
    assert [t.state for t in stored.trials] == [TrialState.COMPLETE] * 3


def test_the_best_is_learnt_from() -> None:
    """TPE fed with its own results does better than the first random draws on a smooth valley."""
    one = study(seed=1)
    values = []
    for number in range(40):
        recipe = one.ask(number)
        value = 1 - abs(math.log10(recipe["learning_rate"] / 3e-4))
        one.tell(replace(result(number, recipe), validation=value), RUNGS)
        values.append(value)
    assert sum(values[-10:]) / 10 > sum(values[3:13]) / 10


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_starts_with_the_first_trials_and_then_proposes_recipes_of_the_space(
    sampler: SamplerName,
) -> None:
    one = study(sampler=sampler)
    seen = []
    for number in range(12):
        recipe = one.ask(number)
        assert recipe is not None
        assert set(recipe) == set(SPACE.complete({}))
        one.tell(result(number, recipe, "pruned" if number % 4 == 3 else "completed", 0.5 + 0.01 * number), RUNGS)
        seen.append(recipe)
    assert seen[: len(SPACE.first_trials)] == [SPACE.complete(first) for first in SPACE.first_trials]
    assert len({str(recipe) for recipe in seen}) == 12
    assert not [trial for trial in one.trials if trial.state is TrialState.RUNNING]


def test_a_gaussian_process_proposes_without_a_word_to_the_user() -> None:
    program = (
        "from tests.search.test_study import *; one = study(sampler='gp')\n"
        "for number in range(9): one.tell(result(number, one.ask(number), 'completed', 0.5 + 0.01 * number), RUNGS)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout + done.stderr == ""


def test_a_grid_of_choices_ends_when_every_recipe_was_tried() -> None:
    batch = Parameter(name="batch_size", choices=(16, 32, 64))
    fixed = SPACE.complete({})
    space = SearchSpace(
        name="s", adaptation="full", parameters=(batch,), fixed=fixed, first_trials=({"batch_size": 32},)
    )
    one = ContenderStudy("x", space, True, 0, "grid")
    asked = [one.ask(number) for number in range(4)]
    assert [recipe["batch_size"] if recipe else None for recipe in asked][0] == 32
    assert {recipe["batch_size"] for recipe in asked if recipe} == {16, 32, 64}
    assert asked[3] is None


def test_auto_is_the_grid_where_every_recipe_can_be_tried_and_tpe_elsewhere() -> None:
    batch = Parameter(name="batch_size", choices=(16, 32, 64))
    small = SearchSpace(
        name="s", adaptation="full", parameters=(batch,), fixed=SPACE.complete({}), first_trials=({},)
    )
    assert choose_sampler("auto", [small], 3)[0] == "grid"
    assert choose_sampler("auto", [small], 2)[0] == "tpe"
    assert choose_sampler("auto", [small], None)[0] == "tpe"
    assert choose_sampler("auto", [small, SPACE], 500)[0] == "tpe"  # one engine for all: it may favour some models
    assert choose_sampler("gp", [small], 3) == ("gp", "asked for")


def test_a_result_that_is_no_number_leaves_no_running_trial_behind() -> None:
    """Telling NaN to Optuna raises and leaves a RUNNING trial for ever, which the liar of TPE then avoids."""
    one = study()
    recipe = one.ask(0)
    assert recipe is not None
    one.tell(result(0, recipe, "completed", math.nan), RUNGS)
    assert [trial.state for trial in one.trials] == [TrialState.PRUNED]


def test_a_study_is_maximised_or_minimised_as_its_metric_says() -> None:
    """OptunaSearch with mode=None makes a maximizing study whatever the metric is."""
    for higher, expected in ((True, "MAXIMIZE"), (False, "MINIMIZE")):
        one = ContenderStudy("x", SPACE, higher, 0)
        assert one._study.direction.name == expected


def mirrored(directory: Path) -> list[TrialState]:
    stored = optuna.load_study(study_name="x", storage=open_journal(directory))
    return [trial.state for trial in stored.trials]


@pytest.mark.parametrize("damage", ["half a line", "no line", "nonsense in the middle", "the lock of the dead"])
def test_a_journal_that_a_crash_damaged_is_written_anew(tmp_path: Path, damage: str) -> None:
    """Optuna appends to half a line, and reads nothing from there on; a lock that was left is waited for."""
    recipes = []
    first = study(open_journal(tmp_path))
    for number in range(3):
        recipe = first.ask(number)
        assert recipe is not None
        recipes.append(recipe)
        first.tell(result(number, recipe), RUNGS)
    file = tmp_path / "journal.log"
    content = file.read_bytes()
    if damage == "half a line":
        file.write_bytes(content[:-20])
    elif damage == "no line":
        file.write_bytes(b"")
    elif damage == "nonsense in the middle":
        lines = content.splitlines(keepends=True)
        file.write_bytes(b"".join([*lines[:2], b"nonsense\n", *lines[2:]]))
    else:
        (tmp_path / "journal.log.lock").symlink_to(file)
    started = time.monotonic()
    again = study(open_journal(tmp_path))
    for number, recipe in enumerate(recipes):
        again.adopt(number, recipe)
        again.tell(result(number, recipe), RUNGS)
    assert mirrored(tmp_path) == [TrialState.COMPLETE] * 3
    assert time.monotonic() - started < 25  # Optuna's grace for a lock is 30 s


def test_optuna_dashboard_opens_the_journal_and_lists_every_contender(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    for name in ("minilm/full", "minilm/frozen"):
        one = ContenderStudy(name, SPACE, True, 0, journal=journal)
        for number in range(3):
            recipe = one.ask(number)
            assert recipe is not None
            one.report(number, 300, 0.4)
            one.tell(result(number, recipe, "pruned" if number == 2 else "completed"), RUNGS)
    with dashboard(tmp_path / "journal.log") as address:
        listed = get_json(f"{address}/api/studies")["study_summaries"]
        assert {one["study_name"] for one in listed} == {"minilm/full", "minilm/frozen"}
        trials = get_json(f"{address}/api/studies/{listed[0]['study_id']}")["trials"]
    assert [trial["state"] for trial in trials] == ["Complete", "Complete", "Pruned"]


@contextmanager
def dashboard(journal: Path) -> Iterator[str]:
    """The real optuna-dashboard on a free loopback port, ended with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from optuna_dashboard._cli import main; main()", str(journal)]
    log = journal.with_suffix(".dashboard")
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], stdout=output, stderr=output
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            with suppress(OSError):
                get_json(f"{address}/api/studies")
                break
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def get_json(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=20) as answer:
        return json.load(answer)


def test_trials_share_what_says_how_a_parameter_is_drawn_here_and_in_the_journal(tmp_path: Path) -> None:
    one = study(open_journal(tmp_path))
    for number in range(8):
        one.tell(result(number, one.ask(number) or {}, value=0.5 + 0.01 * number), RUNGS)
    mirror = one._mirror
    assert mirror is not None
    drawn = [
        kept for trial in (*one.trials, *mirror.get_trials(deepcopy=False)) for kept in trial.distributions.values()
    ]
    assert len(drawn) > 2 * 8
    assert len({id(kept) for kept in drawn}) == len(set(drawn))
