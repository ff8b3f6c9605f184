"""The board: who wins, who ties, who failed, and what may not be compared."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.errors import RunFolderError
from automl.leaderboard.board import Leaderboard, make_board
from automl.leaderboard.store import RunFolder, append_line
from automl.types import LeaderboardRow, Spend
from tests.leaderboard.run_folder import EARLY, LATE, RECIPE, Contest, Plan

GOOD = Plan(name="good/full", accuracy=0.95)
NEAR = Plan(name="near/full", accuracy=0.95)
WORSE = Plan(name="worse/frozen", accuracy=0.80)
TOP = [
    "comparable", "not_comparable_because", "verdict", "winner", "metric", "higher_is_better",
    "split_fingerprint", "protocol", "wall_seconds", "rows", "plan",
]  # fmt: skip


def board(tmp_path: Path, *plans: Plan, **values: Any) -> Leaderboard:
    return make_board(Contest(path=tmp_path / "run", plans=plans, **values).build(), "test")


def row(found: Leaderboard, name: str) -> LeaderboardRow:
    return next(one for one in found.rows if one.contender == name)


def test_a_clearly_better_contender_wins(tmp_path: Path) -> None:
    found = board(tmp_path, GOOD, WORSE, rows=1_000)
    assert found.comparable
    assert found.winner == "good/full"
    assert [one.rank for one in found.rows] == [1, 2, 3, 4]
    assert found.verdict.startswith("good/full wins with accuracy 9")
    assert "worse/frozen is worse by 1" in found.verdict
    assert "95% CI" in found.verdict


def test_two_alike_tie_and_nobody_wins(tmp_path: Path) -> None:
    found = board(tmp_path, GOOD, NEAR, WORSE, rows=1_000)
    assert found.winner is None
    assert found.verdict.split(";")[0] in ("good/full and near/full tie", "near/full and good/full tie")
    assert [one.tie_group for one in found.rows[:3]] == [1, 1, 2]
    assert [one.rank for one in found.rows[:3]] == [1, 1, 3]


def test_a_contender_that_only_equals_the_best_baseline_does_not_win(tmp_path: Path) -> None:
    baselines = [("constant", 0.0), ("words", 0.6), ("tf-idf", 0.9)]
    found = board(tmp_path, Plan(name="a", accuracy=0.9), baselines=baselines)
    assert found.winner is None
    assert found.verdict == "a cannot be told from the baseline tf-idf"


def test_a_baseline_that_beats_everybody_leaves_no_winner(tmp_path: Path) -> None:
    found = board(tmp_path, Plan(name="a", accuracy=0.7), baselines=[("tf-idf", 0.95)])
    assert found.winner is None
    assert found.verdict.startswith("No contender beats the baseline tf-idf")
    assert found.rows[0].kind == "baseline"


def test_a_constant_predictor_does_not_win_where_nine_of_ten_rows_are_alike(tmp_path: Path) -> None:
    plans = [Plan(name="honest", accuracy=0.86)]
    values: dict[str, Any] = {"shares": (0.9, 0.1), "metric": "macro_f1", "rows": 1_000}
    found = board(tmp_path, *plans, **values, baselines=[("constant", 0.0)])
    assert row(found, "constant").metrics["accuracy"] > row(found, "honest").metrics["accuracy"]
    assert found.winner == "honest"


def test_lower_is_better_is_turned_around_everywhere(tmp_path: Path) -> None:
    plans = [Plan(name="good", accuracy=0.97, default_accuracy=0.85), WORSE]
    found = board(tmp_path, *plans, metric="log_loss", rows=1_000)
    best = found.rows[0]
    assert best.contender == "good" == found.winner
    assert best.test_mean is not None
    assert best.test_mean < (row(found, "worse/frozen").test_mean or 0)
    assert (best.test_low or 0) < best.test_mean < (best.test_high or 0)
    assert best.tuned_minus_default is not None
    assert best.tuned_minus_default["low"] > 0


def test_a_failed_contender_stands_last_with_its_reason(tmp_path: Path) -> None:
    found = board(tmp_path, Plan(name="broken", accuracy=0.0, failed=True), GOOD)
    last = found.rows[-1]
    assert (last.contender, last.status) == ("broken", "failed")
    assert "not a number" in (last.error or "")
    assert last.test_mean is None
    assert last.trials["failed"] == 4
    assert found.verdict.endswith("broken failed")
    assert found.winner == "good/full"


def test_a_planned_baseline_without_a_record_is_a_failed_row(tmp_path: Path) -> None:
    folder = Contest(path=tmp_path / "run", plans=[GOOD]).build()
    contest = folder.read_contest()
    folder.write_contest({**contest, "baselines": [*contest["baselines"], "features"]})
    assert row(make_board(folder, "test"), "features").status == "failed"


def test_too_few_finals_are_told_and_make_the_board_not_comparable(tmp_path: Path) -> None:
    found = board(tmp_path, GOOD, replace(NEAR, finals=[1, 3]))
    assert "2 of 3 finals" in (row(found, "near/full").error or "")
    assert not found.comparable
    assert found.verdict.startswith("Not comparable (")
    assert found.to_markdown().count("Not comparable") == 2


def test_one_seed_still_gives_a_board(tmp_path: Path) -> None:
    found = board(tmp_path, GOOD, WORSE, seeds=[7], rows=1_000)
    assert found.winner == "good/full"
    assert found.protocol["statistics"]["assumed_seed_sd"] == 0.01


def test_the_recipe_that_was_the_default_has_no_gain(tmp_path: Path) -> None:
    found = row(board(tmp_path, GOOD, WORSE), "good/full")
    assert found.tuned_minus_default == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert found.default_test_mean == found.test_mean


def test_tuning_that_helped_has_an_interval_above_zero(tmp_path: Path) -> None:
    found = row(board(tmp_path, Plan(name="a", accuracy=0.95, default_accuracy=0.8), rows=1_000), "a")
    assert found.tuned_minus_default is not None
    assert 0 < found.tuned_minus_default["low"] < found.tuned_minus_default["mean"]
    assert found.default_test_mean == pytest.approx(0.8, abs=0.04)


def test_optimism_is_told_in_both_steps_and_turned_where_lower_is_better(tmp_path: Path) -> None:
    folder = Contest(path=tmp_path / "run", plans=[GOOD], metric="log_loss").build()
    winners = folder.read_winners()
    winners["good/full"]["search_validation"] = 0.2
    folder.write_winners(winners)
    found = make_board(folder, "test").rows
    good = next(one for one in found if one.contender == "good/full")
    assert good.optimism is not None
    assert good.optimism["search_minus_finals"] == pytest.approx((good.validation_mean or 0) - 0.2)
    assert good.optimism["validation_minus_test"] == pytest.approx(
        (good.test_mean or 0) - (good.validation_mean or 0)
    )


def test_latencies_of_different_machines_are_a_deviation(tmp_path: Path) -> None:
    folder = Contest(path=tmp_path / "run", plans=[GOOD]).build()
    for names, count in ((("a", "a"), 0), (("a", "b"), 1)):
        measured = {row: {"hostname": name} for row, name in zip(("good/full", "constant"), names, strict=True)}
        folder.measurements_file.write_text(json.dumps(measured))
        told = make_board(folder, "test").protocol["deviations"]
        assert sum("measured on 2 machines" in one for one in told) == count


def test_fronts_name_the_rows_that_no_other_beats_for_less(tmp_path: Path) -> None:
    found = board(tmp_path, GOOD, WORSE, rows=1_000)
    assert row(found, "good/full").pareto == ("latency", "device_seconds")
    assert row(found, "worse/frozen").pareto == ()
    assert row(found, "constant").pareto == ()


def test_how_often_a_seed_agrees_is_told_of_every_pair(tmp_path: Path) -> None:
    pairs = board(tmp_path, GOOD, WORSE, rows=1_000).protocol["statistics"]["comparisons"]
    assert {one["seeds_better"] for one in pairs} == {1.0}
    tied = board(tmp_path / "tied", Plan(name="a", accuracy=0.9), Plan(name="b", accuracy=0.9), baselines=())
    (pair,) = tied.protocol["statistics"]["comparisons"]
    assert 0 <= pair["seeds_better"] <= 1


def test_rows_carry_what_the_records_say(tmp_path: Path) -> None:
    folder = Contest(path=tmp_path / "run", plans=[GOOD, replace(NEAR, default_accuracy=0.9)]).build()
    (folder.models / "good-full").mkdir(parents=True)
    measured = {"latency_ms_p50": 1.25, "latency_ms_p95_batch_32": 40.0, "parameters": 7, "size_bytes": 28}
    folder.measurements_file.write_text(json.dumps({"good/full": measured}))
    folder.write_contest(folder.read_contest() | {"price_per_hour": 36.0})
    found = make_board(folder, "test")
    good, near = row(found, "good/full"), row(found, "near/full")
    assert good.trials == {"completed": 2, "pruned": 2, "failed": 0, "out_of_memory": 0}
    assert (good.device_seconds, near.device_seconds) == (70.0, 100.0)
    assert (good.latency_ms_p50, good.parameters, good.model_dir) == (1.25, 7, "models/good-full")
    assert (near.latency_ms_p50, near.parameters, near.model_dir) == (4.5, 22_000_000, None)
    assert (good.latency_ms_p95_batch_32, good.size_bytes, near.size_bytes) == (40.0, 28, None)
    assert good.peak_memory_bytes == 3_000_000
    assert good.price == pytest.approx(0.70), "70 seconds of an hour at 36"
    assert near.default_recipe == RECIPE
    assert [one.name for one in good.classes] in (["no", "yes"], ["yes", "no"])
    assert (good.classes[0].recall or 0) <= (good.classes[1].recall or 0)
    assert 0 < (good.calibration_error or 0) < 0.3
    assert near.recipe == RECIPE | {"learning_rate": 2e-4}
    assert good.search_validation == 0.95
    assert good.seeds == (1, 2, 3)
    assert set(good.metrics) == {"accuracy", "macro_f1", "log_loss"}
    assert good.device_seconds_allowed is None


def test_every_metric_has_an_interval_in_its_own_direction(tmp_path: Path) -> None:
    found = board(tmp_path, GOOD, metrics=("accuracy", "macro_f1", "auroc", "log_loss"))
    for one in found.rows:
        assert set(one.metric_intervals) == set(one.metrics) == {"accuracy", "macro_f1", "auroc", "log_loss"}
        assert one.metric_intervals["accuracy"] == (one.test_low, one.test_high)
        for name, (low, high) in one.metric_intervals.items():
            assert low <= one.metrics[name] <= high
            assert low < high or one.contender == "constant", name
    constant = row(found, "constant")
    assert constant.metrics["auroc"] == 0.5
    assert constant.metric_intervals["auroc"] == (0.5, 0.5), "no test rows would move it"
    assert constant.metric_intervals["accuracy"][0] < constant.metrics["accuracy"]


def test_leaderboard_json_is_strict_and_comes_back_equal(tmp_path: Path) -> None:
    folder = Contest(path=tmp_path / "run", plans=[GOOD, replace(WORSE, failed=True)]).build()
    found = make_board(folder, "test")

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    values = json.loads(folder.leaderboard_json.read_text(encoding="utf-8"), parse_constant=refuse)
    assert list(values) == TOP
    assert set(values["rows"][0]) == {field.name for field in fields(LeaderboardRow)}
    assert Leaderboard.from_json(values).to_json() == found.to_json() == values
    assert list(values["wall_seconds"]) == ["prepare", "search", "finals", "report", "total"]
    assert values["wall_seconds"]["total"] == 124.0


def test_a_board_made_again_is_the_same_but_for_the_openings(tmp_path: Path) -> None:
    folder = Contest(path=tmp_path / "run", plans=[GOOD, NEAR, WORSE], metric="macro_f1").build()
    first, again = make_board(folder, "first").to_json(), make_board(folder, "again").to_json()
    assert len(again["protocol"].pop("test_openings")) == 2
    assert len(first["protocol"].pop("test_openings")) == 1
    assert first == again


def test_pandas_has_a_line_a_row(tmp_path: Path) -> None:
    found = board(tmp_path, GOOD, WORSE)
    assert list(found.to_pandas()["contender"]) == [one.contender for one in found.rows]


def test_cleared_predictions_are_a_missing_folder_and_not_a_lost_contest(tmp_path: Path) -> None:
    folder = Contest(path=tmp_path / "run", plans=[GOOD]).build()
    for file in folder.predictions.iterdir():
        file.unlink()
    with pytest.raises(RunFolderError, match="predictions"):
        make_board(folder, "test")
    assert not folder.leaderboard_json.exists()


def test_names_cannot_break_the_markdown_table(tmp_path: Path) -> None:
    found = board(tmp_path, Plan(name="a|b\n<img src=x>`*_[l](u)", accuracy=0.9), WORSE)
    table = [line for line in found.to_markdown().splitlines() if line.startswith("|")]
    unescaped = [line.replace("\\|", "").count("|") for line in table]
    assert set(unescaped) == {9}
    assert "\\<img" in found.to_markdown()
    assert "<img" not in found.to_markdown().replace("\\<img", "")


# -- what may not be compared -----------------------------------------------------------------------------------


def spoilt(tmp_path: Path, change: Any, **values: Any) -> list[str]:
    """The board's reasons after a change to its folder."""
    folder = Contest(path=tmp_path / "run", plans=[GOOD, WORSE], **values).build()
    change(folder)
    found = make_board(folder, "test")
    assert found.comparable is not bool(found.not_comparable_because)
    return list(found.not_comparable_because)


def edit_trials(folder: RunFolder, **values: Any) -> None:
    """Rewrite the first trial's line, as only a broken run would have written it."""
    lines = folder.trials_file.read_text(encoding="utf-8").splitlines()
    lines[0] = json.dumps(json.loads(lines[0]) | values)
    folder.trials_file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_an_honest_run_is_comparable(tmp_path: Path) -> None:
    assert spoilt(tmp_path, lambda folder: None) == []


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"split_fingerprint": "0" * 64}, "another split"),
        ({"horizon_samples": 1}, "another horizon"),
        ({"environment": {"device": "a GPU", "precision": "float32"}}, "different devices (a GPU, cpu)"),
        ({"environment": {"device": "cpu", "precision": "bfloat16"}}, "different precisions"),
        ({"seed": 2}, "already used in the search"),
        ({"started_at": LATE}, "adaptive"),
        ({"status": "pruned"}, "did not reach the full horizon"),
        ({"cost": {"device_seconds": 999.0}}, "the ledger holds 70.0 of the"),
    ],
)
def test_a_training_that_broke_a_rule_is_named(tmp_path: Path, values: dict[str, Any], reason: str) -> None:
    def change(folder: RunFolder) -> None:
        edit_trials(folder, **values)
        line = {"at": EARLY.replace("01-01", "06-01"), "who": "a", "why": "b", "split_fingerprint": "f"}
        append_line(folder.access_file, line)

    reasons = spoilt(tmp_path, change)
    assert len(reasons) == 1
    assert reason in reasons[0]


def test_a_budget_of_seconds_that_was_overrun_is_named(tmp_path: Path) -> None:
    budget = {"trials": None, "device_seconds": 100.0}
    assert spoilt(tmp_path, lambda folder: None, budget=budget) == []

    def overspend(folder: RunFolder) -> None:
        spent = Spend(contender="good/full", trial="good-full-000", kind="retry", device_seconds=60, at=EARLY)
        folder.append_spend(spent)

    assert "130 device-seconds of the 100" in spoilt(tmp_path / "over", overspend, budget=budget)[0]


def test_unequal_numbers_of_trials_are_named_unless_the_clock_decided(tmp_path: Path) -> None:
    plans = [GOOD, replace(WORSE, trials=3)]
    found = board(tmp_path, *plans)
    assert found.not_comparable_because == (
        "contenders got different numbers of trials (worse/frozen: 3; the most: 4)",
    )
    folder = Contest(path=tmp_path / "limited", plans=plans).build()
    folder.write_contest({**folder.read_contest(), "time_limit_seconds": 60})
    found = make_board(folder, "test")
    assert found.comparable
    assert any("different numbers of trials" in one for one in found.protocol["deviations"])


def test_finals_of_another_recipe_are_named(tmp_path: Path) -> None:
    def change(folder: RunFolder) -> None:
        winners = folder.read_winners()
        winners["good/full"]["recipe"] = RECIPE | {"dropout": 0.5}
        folder.write_winners(winners)

    assert any("did not use the winning recipe" in reason for reason in spoilt(tmp_path, change))


def test_a_metric_that_the_test_cannot_define_is_a_failed_row_and_null(tmp_path: Path) -> None:
    values: dict[str, Any] = {"shares": (1.0, 0.0), "metrics": ("accuracy", "auroc")}
    found = board(tmp_path, GOOD, **values)
    assert "auroc" not in found.rows[0].metrics
    assert "auroc" not in found.rows[0].metric_intervals
    assert not any(isinstance(v, float) and math.isnan(v) for v in found.rows[0].metrics.values())
    with pytest.raises(RunFolderError, match="auroc is not defined"):
        board(tmp_path / "only", GOOD, metric="auroc", shares=(1.0, 0.0))


def test_intervals_hold_the_mean_and_widen_with_fewer_rows(tmp_path: Path) -> None:
    widths = []
    for rows in (200, 5_000):
        best = board(tmp_path / str(rows), GOOD, rows=rows).rows[0]
        assert best.test_low is not None
        assert best.test_high is not None
        assert best.test_low < np.mean(best.test_per_seed) < best.test_high
        widths.append(best.test_high - best.test_low)
    assert widths[0] > 2 * widths[1]
