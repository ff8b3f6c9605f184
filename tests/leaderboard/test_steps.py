"""Every step of the protocol is told from the records: a run that did less says so."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from automl.leaderboard.board import make_board
from automl.leaderboard.report import write_report
from automl.leaderboard.store import RunFolder, append_line
from tests.leaderboard.run_folder import EARLY, Contest, Plan

GOOD, WORSE = Plan(name="good/full", accuracy=0.95, default_accuracy=0.9), Plan(name="worse/full", accuracy=0.8)
STATES = {"done", "partly", "not done", "not applicable"}


def folder_of(tmp_path: Path, *plans: Plan, **values: Any) -> RunFolder:
    return Contest(path=tmp_path / "run", plans=plans or (GOOD, WORSE), **values).build()


def steps(folder: RunFolder) -> dict[int, tuple[str, str]]:
    made = make_board(folder, "test").protocol["steps"]
    assert [one["step"] for one in made] == list(range(1, 19))
    assert {one["state"] for one in made} <= STATES
    assert all(one["name"] and one["told"] for one in made)
    return {one["step"]: (one["state"], one["told"]) for one in made}


def test_a_fair_run_tells_its_own_figures(tmp_path: Path) -> None:
    told = steps(folder_of(tmp_path, seeds=range(1, 8)))
    assert told[1][0] == "done"
    assert "ffffffffffff" in told[1][1]
    assert "exact duplicates 3" in told[2][1]
    assert told[3][0] == "done"
    assert "310 in all" in told[3][1], "7 finals twice and once, 8 trials, 2 baselines, at 10 seconds each"
    assert "1 parameter, 1 first trial, 2.0 decades" in told[4][1]
    assert told[6][0] == "partly", "300 validation rows"
    assert "300 validation rows" in told[6][1]
    assert told[7][0] == "done"
    assert "7 fresh seeds" in told[7][1]
    assert told[8][0] == "done"
    assert told[12] == ("done", "4 groups of 4 rows; equal within 0.5 points")
    assert told[13][0] == "done"
    assert told[17] == ("not applicable", "text-classification leaves no model that writes text")


def test_fewer_seeds_and_unequal_spaces_are_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    contest = folder.read_contest()
    contest["spaces"]["good/full"]["parameters"][0]["high"] = 1e-2
    contest["spaces"]["good/full"]["parameters"].append({"name": "dropout", "low": 0.0, "high": 0.2})
    folder.write_contest(contest)
    told = steps(folder)
    assert (told[4][0], told[7][0]) == ("partly", "partly")
    assert "searched parameters good/full 2, worse/full 1" in told[4][1]
    assert "decades of the rate good/full 3.0, worse/full 2.0" in told[4][1]


def test_folds_that_did_not_all_decide_are_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    folder.write_contest(folder.read_contest() | {"folds": {"count": 3, "train": [400] * 3, "validation": [200] * 3}})
    winners = folder.read_winners()
    for winner in winners.values():
        winner["playoff"] = [{"trial": winner["trial"], "values": {"1": 0.9}, "mean": 0.9, "folds": 3}]
    folder.write_winners(winners)
    state, told = steps(folder)[6]
    assert (state, told.endswith("and the best mean won")) == ("done", True)
    winners["good/full"]["playoff"][0]["folds"] = 2
    del winners["worse/full"]["playoff"]
    folder.write_winners(winners)
    state, told = steps(folder)[6]
    assert state == "partly"
    assert told.endswith("Folds that decided, where not all 3: good/full 2, worse/full 1")


def test_leaks_that_were_left_and_looks_that_were_not_taken_are_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    state, told = steps(folder)[2]
    assert told.startswith("repeated, on both sides or telling of the target: exact duplicates 3; 3 rows repaired")
    assert (state, "wrong labels were not looked for" in told) == ("partly", True)
    profile, like = folder.profile(), folder.profile()["findings"][0]
    left = {**like, "kind": "near_split_overlap", "count": 7}
    unlooked = {**like, "kind": "near_duplicates", "count": 0, "what": "not looked for"}
    (folder.data / "profile.json").write_text(json.dumps(profile | {"findings": [like, left, unlooked]}))
    state, told = steps(folder)[2]
    assert state == "partly"
    assert "left as they were: near split overlap; not looked for; wrong labels" in told
    cleaning = folder.cleaning()
    taken = {"kind": "near_split_overlap", "what": "rows removed", "count": 7, "rows": [], "part": "train"}
    (folder.data / "cleaning.json").write_text(json.dumps({"repairs": [*cleaning["repairs"], taken]}))
    assert "near split overlap 7; 10 rows repaired or taken out; not looked for" in steps(folder)[2][1]


def test_a_training_on_other_data_undoes_the_first_step(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    folder.append_trial(replace(folder.trials()[0], id="stranger", split_fingerprint="0" * 64))
    assert steps(folder)[1][0] == "not done"


def test_an_opening_before_the_winners_were_fixed_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    append_line(folder.access_file, {"at": EARLY, "who": "a", "why": "b", "split_fingerprint": "f"})
    state, told = steps(folder)[8]
    assert state == "not done"
    assert EARLY in told


def test_a_failed_contender_and_a_collapsed_one_are_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, Plan(name="broken", accuracy=0, failed=True), WORSE, shares=(0.999, 0.001), rows=200)
    for file in folder.predictions.glob("worse-full-final-*.npz"):
        with np.load(file) as arrays:
            told = dict(arrays)
        told["test"] = np.tile(np.array([[0.9, 0.1]], np.float32), (200, 1))
        np.savez_compressed(file, **told)
    state, sentence = steps(folder)[5]
    assert state == "partly"
    assert "broken failed" in sentence
    assert "3 of 3 finals name one class" in sentence
    notes = json.loads(folder.leaderboard_json.read_text())["protocol"]["notes"]
    assert any("worse/full: 3 of 3 finals call every test row the same" in note for note in notes)


def test_rows_that_were_not_timed_and_slices_that_were_not_asked_for_are_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    state, told = steps(folder)[16]
    assert (state, "no slice was asked for" in told, "Not timed: good/full" in told) == ("partly", True, True)
    names = ["good/full", "worse/full", "constant", "tf-idf + logistic regression"]
    folder.measurements_file.write_text(json.dumps({name: {"rows_per_second": 5.0} for name in names}))
    assert steps(folder)[16][0] == "done"


def test_one_seed_and_one_contender_are_told_as_such(tmp_path: Path) -> None:
    told = steps(folder_of(tmp_path, WORSE, seeds=(1,)))
    assert told[4] == ("not applicable", "one contender was searched")
    assert told[10][0] == "partly"
    assert "one seed" in told[10][1]
    assert "one contender searched" in told[3][1]


def test_finals_that_do_equally_well_on_every_row_show_no_smallest_difference(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, GOOD, replace(GOOD, name="same/full"))
    for file in folder.predictions.glob("good-full-*.npz"):
        shutil.copy(file, file.with_name(file.name.replace("good", "same")))
    assert steps(folder)[13][0] == "not applicable"


def test_a_run_without_finals_claims_none(tmp_path: Path) -> None:
    told = steps(folder_of(tmp_path, Plan(name="a", accuracy=0.9, finals=())))
    assert told[7] == ("not done", "no final was trained")
    assert told[9][0] == told[14][0] == "not done"


def test_the_report_holds_every_step(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    found = make_board(folder, "test")
    page = write_report(folder, found).read_text(encoding="utf-8")
    assert "Step by step" in page
    assert all(one["name"] in page for one in found.protocol["steps"])
