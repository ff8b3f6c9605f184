"""A run that gets more: the terms stay, the winners are open again, and what the test has shown stays on record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from automl.api import extend, run, verify
from automl.config import make_request
from automl.errors import RequestError
from automl.leaderboard.store import RunFolder
from automl.search.extend import extend_contest
from automl.search.space import load_space
from automl.types import Budget, TrialSpec
from tests.leaderboard.run_folder import Contest as Records
from tests.leaderboard.run_folder import Plan
from tests.search.contests import Contest
from tests.toys import messages, prepared_messages, tiny_bert, write_csv

pytestmark = pytest.mark.usefixtures("quick_disk")
SPACE = load_space("text_encoder_small", "full").for_trials(6)


def contest(path: Path, trials: int, score: Any) -> Contest:
    return Contest(path, names=("one",), budget=Budget(trials=trials), space=SPACE, score=score)


def late_bloomer(spec: TrialSpec, samples: int) -> float:
    return 0.9 if spec.number == 7 else 0.5 + 0.01 * (spec.number % 5)


def test_an_extended_search_goes_on_where_it_stood_and_trains_the_finals_of_a_new_winner(tmp_path: Path) -> None:
    first = contest(tmp_path, 6, late_bloomer)
    first.run()
    old = first.folder.read_winners()["one/full"]
    before = {t.id for t in first.folder.trials()}
    first.folder.reopen_winners()
    assert first.folder.read_winners() == {}

    second = contest(tmp_path, 10, late_bloomer)
    second.run()
    winner = second.folder.read_winners()["one/full"]
    assert winner["trial"] == "one-full-007"
    assert winner["recipe"] != old["recipe"]
    trials = second.folder.trials()
    assert [t.number for t in trials if t.kind == "trial"] == list(range(10))
    new = {t.id for t in trials} - before
    assert {i for i in new if "-final-" in i} == {"one-full-final-101-2", "one-full-final-102-2"}
    assert second.folder.superseded() == {"one-full-final-101", "one-full-final-102"}
    counting = [t for t in second.folder.counting_trials() if t.kind == "final"]
    assert all(t.recipe == winner["recipe"] for t in counting)
    assert len(counting) == 2


def test_a_winner_that_stays_keeps_its_finals(tmp_path: Path) -> None:
    def early(spec: TrialSpec, samples: int) -> float:
        return 0.9 if spec.number == 1 else 0.5

    first = contest(tmp_path, 6, early)
    first.run()
    finals = [t.id for t in first.folder.trials() if t.kind != "trial"]
    first.folder.reopen_winners()
    second = contest(tmp_path, 10, early)
    second.run()
    assert [t.id for t in second.folder.trials() if t.kind != "trial"] == finals
    assert second.folder.superseded() == frozenset()


def test_an_extension_that_died_goes_on_and_keeps_the_winners_of_before(tmp_path: Path) -> None:
    first = contest(tmp_path, 6, late_bloomer)
    first.run()
    old = first.folder.read_winners()
    first.folder.reopen_winners()
    contest(tmp_path, 10, late_bloomer).run(most=2)
    resumed = contest(tmp_path, 10, late_bloomer)
    resumed.run()
    assert resumed.folder.read_winners()["one/full"]["trial"] == "one-full-007"
    assert json.loads(resumed.folder.winners_file.read_text())["before"][0]["winners"] == old


def records(path: Path, **changes: Any) -> RunFolder:
    return Records(path=path, plans=[Plan(name="a/full", accuracy=0.9)], **changes).build()


@pytest.mark.parametrize(
    ("budget", "given", "told"),
    [
        ({"trials": 4, "device_seconds": None}, {}, r"nothing to add; --trials \+8, --budget \+10m or --models"),
        ({"trials": 4, "device_seconds": None}, {"device_seconds": 60.0}, "--budget does not fit.*in trials"),
        ({"trials": None, "device_seconds": 90.0}, {"trials": 8}, "--trials does not fit.*in device time"),
    ],
)
def test_what_does_not_fit_a_run_is_refused_and_changes_nothing(
    tmp_path: Path, budget: dict[str, Any], given: dict[str, Any], told: str
) -> None:
    folder = records(tmp_path, budget=budget)
    before = {file: file.read_bytes() for file in (folder.contest_file, folder.winners_file)}
    request = make_request({"source": "data.csv"})
    with pytest.raises(RequestError, match=told):
        extend_contest(folder, request, None, **given)  # type: ignore[arg-type]
    assert {file: file.read_bytes() for file in before} == before


def test_a_run_under_a_time_limit_is_not_extended(tmp_path: Path) -> None:
    folder = records(tmp_path)
    folder.write_contest(folder.read_contest() | {"time_limit_seconds": 60.0})
    with pytest.raises(RequestError, match="under a time limit, which all contenders have shared"):
        extend_contest(folder, make_request({"source": "data.csv"}), None, trials=2)  # type: ignore[arg-type]


def test_a_further_model_is_looked_at_before_the_contest_changes(tmp_path: Path) -> None:
    prepared = prepared_messages(tmp_path / "data")
    folder = records(tmp_path / "run")
    before = folder.contest_file.read_bytes()
    broken = tiny_bert(tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    kept = {name: value for name, value in weights.items() if ".layer.1." not in name}
    save_file(kept, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(RequestError, match="broken"):
        extend_contest(folder, make_request({"source": "data.csv"}), prepared, models=[str(broken)])
    assert folder.contest_file.read_bytes() == before


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_a_finished_run_is_extended_by_trials_and_a_model_and_says_so(tmp_path: Path) -> None:
    for name in ("one", "two"):
        tiny_bert(tmp_path / name)
    write_csv(tmp_path / "messages.csv", messages(120))
    request = make_request({
        "source": str(tmp_path / "messages.csv"),
        "target": "label",
        "models": str(tmp_path / "one"),
        "trials": 1,
        "max_epochs": 1,
        "seeds": 1,
        "slots": 1,
        "out": str(tmp_path / "run"),
    })  # fmt: skip
    run(request)
    with pytest.raises(RequestError, match="one/full stands in .* already"):
        extend(tmp_path / "run", models=[str(tmp_path / "one")])
    board = extend(tmp_path / "run", trials=1, models=[str(tmp_path / "two")])
    rows = {row.contender: row for row in board.rows if row.kind == "contender"}
    assert set(rows) == {"one/full", "two/full"}
    assert all(sum(row.trials.values()) == 2 for row in rows.values())
    assert all(row.seeds == (101,) for row in rows.values())
    assert not board.comparable
    assert any(reason.startswith("adaptive") for reason in board.not_comparable_because)
    assert any("adaptive: the test had been opened before" in note for note in board.protocol["notes"])
    assert (tmp_path / "run" / "leaderboard-before-1.json").exists()
    found = verify(tmp_path / "run")
    assert found.ok, found.to_text()
