"""The protocol of a fair comparison, step by step: what this run did, with its figures, and what it did not, and why.

Each sentence is made from the run's records. The steps follow the practice of AMLB (Gijsbers et al. 2024),
Bouthillier et al. 2021 and HELM (Liang et al. 2023).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from automl.leaderboard.fold_notes import fold_advice
from automl.leaderboard.folds import CANDIDATES, folds_of, folds_played
from automl.leaderboard.store import RunFolder
from automl.leaderboard.verdict import listed, points
from automl.metrics import get_metric
from automl.types import LeaderboardRow, TrialResult, slug

State = Literal["done", "partly", "not done", "not applicable"]
Told = tuple[State, str]
FEW_VALIDATION_ROWS = 1_000
"""Below this, one holdout chooses by luck more often than several do (Nagler et al. 2024)."""
ENOUGH_SEEDS = 7
"""With fewer, no paired rank test over three contenders can reach 5% after Holm's correction."""
_COMPARED = (
    "exact_duplicates", "near_duplicates", "conflicting_labels", "label_errors", "split_overlap",
    "near_split_overlap", "group_overlap", "target_leak", "drift",
)  # fmt: skip
_LEFT = ("near_split_overlap", "group_overlap", "label_errors", "drift")
"""Findings that are told, and repaired only where a user says so."""


@dataclass(frozen=True)
class Records:
    """What the steps are told from: the run folder, the contest, the protocol so far, the rows."""

    folder: RunFolder
    contest: Mapping[str, Any]
    protocol: Mapping[str, Any]
    rows: Sequence[LeaderboardRow]

    @cached_property
    def trials(self) -> list[TrialResult]:
        return self.folder.trials()

    @cached_property
    def contenders(self) -> list[LeaderboardRow]:
        return [row for row in self.rows if row.kind == "contender"]

    @cached_property
    def scored(self) -> list[LeaderboardRow]:
        return [row for row in self.rows if row.status == "ok"]

    @cached_property
    def seeds(self) -> int:
        """Finals of the contender that has the fewest."""
        return min((len(row.seeds) for row in self.contenders if row.status == "ok"), default=0)


def protocol_steps(
    folder: RunFolder, contest: Mapping[str, Any], protocol: Mapping[str, Any], rows: Sequence[LeaderboardRow]
) -> list[dict[str, Any]]:
    """{"step", "name", "state", "told"} of every step, in their order."""
    records = Records(folder, contest, protocol, rows)
    made = []
    for number, (name, tell) in enumerate(_STEPS, start=1):
        state, told = tell(records)
        made.append({"step": number, "name": name, "state": state, "told": told})
    return made


def _frozen_data(run: Records) -> Told:
    sealed, split = run.contest["split_fingerprint"], run.folder.split()
    everything = [*run.trials, *run.folder.baselines()]
    strange = sum(one.split_fingerprint != sealed for one in everything)
    repairs = run.folder.cleaning().get("repairs", [])
    told = f"{_count(len(repairs), 'repair')} before any model; split {sealed[:12]}: {split.get('strategy')}"
    if strange:
        return "not done", f"{strange} of {len(everything)} trainings used another split than {sealed[:12]}"
    return "done", f"{told}; the same for all {len(everything)} trainings"


def _leakage(run: Records) -> Told:
    """What was seen, and what of it was left as it was: a given part is never changed."""
    found = [one for one in run.folder.profile().get("findings", []) if one["kind"] in _COMPARED]
    unlooked = [one["what"] for one in found if not one["count"]]
    seen: dict[str, int] = {}
    for one in found:
        seen[one["kind"]] = seen.get(one["kind"], 0) + one["count"]
    repairs = run.folder.cleaning().get("repairs", [])
    repaired, mended = sum(one["count"] for one in repairs), {one["kind"] for one in repairs}
    told = ", ".join(f"{kind.replace('_', ' ')} {count:,}" for kind, count in seen.items() if count) or "nothing"
    told = f"repeated, on both sides or telling of the target: {told}; {repaired:,} rows repaired or taken out"
    left = [kind.replace("_", " ") for kind in _LEFT if seen.get(kind) and kind not in mended]
    if "label_errors" not in seen:
        unlooked.append("wrong labels were not looked for: automl inspect --label-errors does")
    if left or unlooked:
        kept = [f"left as they were: {listed(left)}"] if left else []
        return "partly", "; ".join([told, *kept, *unlooked])
    return "done", told


def _budget(run: Records) -> Told:
    spent: dict[str, float] = {}
    for line in run.folder.ledger():
        spent[line.contender] = spent.get(line.contender, 0.0) + line.device_seconds
    lost = sum(one.status in ("failed", "out_of_memory") for one in run.trials)
    told = f"device-seconds, {sum(spent.values()):,.0f} in all, {lost} lost trainings counted"
    raced = run.protocol.get("readings")
    if raced is None:
        return "done", f"{told}; one contender searched, so equal time and equal trials are the same reading"
    words = "agree" if raced["agree"] else "do not agree"
    return "done", f"{told}; equal time and equal trials {words} on the order in the search"


def _richness(run: Records) -> Told:
    spaces: Mapping[str, Mapping[str, Any]] = run.contest.get("spaces", {})
    sizes = {name: len(space.get("parameters", ())) for name, space in spaces.items()}
    firsts = {name: len(space.get("first_trials") or ()) for name, space in spaces.items()}
    widths = {name: _decades(space) for name, space in spaces.items()}
    told = f"sampler {run.contest.get('sampler')}, rungs and horizon alike"
    if len(spaces) < 2:
        return "not applicable", "one contender was searched"
    unequal = [
        f"{word} {', '.join(f'{name} {value}' for name, value in values.items())}"
        for word, values in (
            ("searched parameters", sizes),
            ("first trials", firsts),
            ("decades of the rate", widths),
        )
        if len(set(values.values())) > 1
    ]
    if unequal:
        return "partly", f"{told}, but the spaces are not equally rich: {'; '.join(unequal)}"
    size, first, width = (next(iter(sizes.values())), next(iter(firsts.values())), next(iter(widths.values())))
    return "done", (
        f"{told}; {_count(size, 'parameter')}, {_count(first, 'first trial')}, {width} decades of the rate each"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _decades(space: Mapping[str, Any]) -> str:
    for one in space.get("parameters", ()):
        if one["name"] == "learning_rate" and one.get("low") and one.get("high"):
            return f"{math.log10(one['high'] / one['low']):.1f}"
    return "none"


def collapse_notes(rows: Sequence[LeaderboardRow]) -> Iterator[str]:
    """Of every contender: how many of its finals call all test rows the same."""
    for row in rows:
        if row.kind == "contender" and row.collapsed_finals:
            yield (
                f"{row.contender}: {row.collapsed_finals} of {len(row.seeds)} finals call every test row the same; "
                "the training collapsed, or learnt the largest class alone"
            )


def _failures(run: Records) -> Told:
    failed = [row.contender for row in run.contenders if row.status == "failed"]
    collapsed = sum(row.collapsed_finals for row in run.contenders)
    finals = sum(len(row.seeds) for row in run.contenders)
    told = f"{collapsed} of {finals} finals name one class for every test row"
    if not failed:
        return "done", f"no contender failed; {told}"
    return "partly", f"{listed(failed)} failed and stands last with its reason, without a score to average; {told}"


def _selection(run: Records) -> Told:
    rows, folds = run.contest["counts"].get("validation", 0), folds_of(run.contest)
    if folds is not None:
        winners = run.folder.read_winners()
        got = {name: folds_played(winner) for name, winner in winners.items() if (winner or {}).get("trial")}
        fewer = [f"{name} {count}" for name, count in got.items() if count < folds]
        told = (
            f"trials were judged on fold 1 of {folds} ({rows:,} rows); the recipes that led, {CANDIDATES} at most, "
            "were trained on the other folds too, and the best mean won"
        )
        if got and not fewer:
            return "done", told
        return "partly", f"{told}. Folds that decided, where not all {folds}: {', '.join(fewer) or 'none'}"
    told = f"every winner was chosen on {rows:,} validation rows; of equals the earlier trial"
    if rows >= FEW_VALIDATION_ROWS:
        return "done", told
    return "partly", (
        f"{told}. With fewer than {FEW_VALIDATION_ROWS:,} rows several cuts would choose better; "
        f"all trials here share one{f': {advice}' if (advice := fold_advice(run.contest)) else ''}"
    )


def _reruns(run: Records) -> Told:
    if not run.seeds:
        return "not done", "no final was trained"
    defaults = {one.contender for one in run.trials if one.kind == "default" and one.status == "completed"}
    same = [row.contender for row in run.contenders if row.recipe and row.recipe == row.default_recipe]
    told = f"{run.seeds} fresh seeds shared by all contenders; the untuned default on the same for {len(defaults)}"
    told += f", and for {len(same)} the default was the winner" if same else ""
    varied = "do too: each has a cut of its own" if folds_of(run.contest) is not None else "do not"
    told += f". Head and order of rows change with the seed, the training rows {varied}"
    if run.seeds < ENOUGH_SEEDS:
        return "partly", f"{told}. {ENOUGH_SEEDS} seeds or more would tell differences that rest on seeds alone"
    return "done", told


def _test_once(run: Records) -> Told:
    openings = [line["at"] for line in run.folder.test_accesses() if "at" in line]
    fixed = run.folder.winners_fixed_at()
    if not openings or fixed is None:
        return "not done", "no opening of the test is on record"
    if min(openings) < fixed:
        return "not done", f"the test was opened at {min(openings)}, the winners were fixed at {fixed} only"
    return "done", f"winners fixed at {fixed}, the test first opened at {min(openings)}; every opening is on record"


def _means(run: Records) -> Told:
    shipped = {row.contender: _shipped_seed(run, row) for row in run.contenders if row.model_dir}
    told = f"means over {run.seeds} finals, never the best one"
    if not run.seeds:
        return "not done", "there are no finals to average"
    if not any(shipped.values()):
        return "done", f"{told}; no model was shipped"
    seeds = ", ".join(f"{name} seed {seed}" for name, seed in shipped.items() if seed is not None)
    return "done", f"{told}; shipped is the final with the median validation score ({seeds})"


def _shipped_seed(run: Records, row: LeaderboardRow) -> int | None:
    facts = run.folder.models / slug(row.contender) / "automl.json"
    if not facts.exists():
        return None
    seed: int | None = json.loads(facts.read_text(encoding="utf-8")).get("seed")
    return seed


def _intervals(run: Records) -> Told:
    if not run.scored:
        return "not done", "no row could be scored"
    how = run.protocol["statistics"]
    told = f"{how['level']:.0%} for {len(run.scored)} rows: {how['interval']}"
    assumed = how.get("assumed_seed_sd")
    return ("partly", f"{told}; one seed, so a spread of {assumed} is assumed") if assumed else ("done", told)


def _pairs(run: Records) -> Told:
    pairs = run.protocol["statistics"]["comparisons"]
    if not pairs:
        return "not applicable", "there is one row"
    apart = sum(one["separable"] for one in pairs)
    firm = sum(one["separable"] and one["seeds_better"] >= 0.75 for one in pairs)
    told = f"{_count(len(pairs), 'pair')} on shared rows and seeds, {apart} told apart after Holm's correction"
    return "done", f"{told}, {firm} of them on three quarters of the seeds or more"


def _ties(run: Records) -> Told:
    groups = {row.tie_group for row in run.scored}
    if not groups:
        return "not done", "no row could be scored"
    return (
        "done",
        f"{_count(len(groups), 'group')} of {len(run.scored)} rows; equal within {run.protocol['margin']} points",
    )


def _power(run: Records) -> Told:
    found = run.protocol["statistics"]["detectable_difference"]
    if found is None:
        return "not applicable", "there is nothing to compare"
    if found == 0:
        return "not applicable", "the two that are compared do equally well on every row, so nothing tells of others"
    told = points(found, get_metric(run.contest["metric"]))
    return (
        "done",
        f"{run.protocol['test_rows']:,} test rows and {run.seeds} seeds show {told} in four of five repeats",
    )


def _optimism(run: Records) -> Told:
    metric = get_metric(run.contest["metric"])
    found = {row.contender: row.optimism for row in run.contenders if row.optimism}
    if not found:
        return "not done", "no contender has both a searched value and finals"
    most = {
        key: max((one[key] for one in found.values() if key in one), default=None)
        for key in ("search_minus_finals", "validation_minus_test")
    }
    words = {
        "search_minus_finals": "the search flattered",
        "validation_minus_test": "the finals' validation flattered",
    }
    told = [f"{words[key]} by {_signed(value, metric)} at most" for key, value in most.items() if value is not None]
    unhelped = [
        row.contender for row in run.contenders if row.tuned_minus_default and row.tuned_minus_default["low"] <= 0
    ]
    return "done", f"{'; '.join(told)}. Tuning did not clearly help {listed(unhelped) if unhelped else 'nobody'}"


def _signed(value: float, metric: Any) -> str:
    return ("-" if value < 0 else "") + points(value, metric)


def _score_against_budget(run: Records) -> Told:
    curves = run.protocol.get("budget_curves") or {}
    drawn = [name for name, curve in curves.items() if curve["kind"] == "expected_best"]
    raced = run.protocol.get("readings")
    leads = "" if raced is None or len(raced["leaders"]) < 2 else "; who leads depends on the budget"
    if curves and len(drawn) == len(curves):
        return "done", f"the expected best by number of trials for {listed(drawn)}{leads}"
    other = next((curve["reason"] for curve in curves.values() if curve["kind"] != "expected_best"), "no trial ended")
    return "partly", f"the search as it went, once, so without a band: {other}{leads}"


def _other_axes(run: Records) -> Told:
    asked = run.contest.get("slices") or []
    slices = f"slices by {listed(asked)}" if asked else "no slice was asked for"
    untimed = [row.contender for row in run.scored if row.rows_per_second is None]
    told = (
        f"calibration, classes and fronts for {len(run.scored)} rows; latency at 1 and 32 for "
        f"{len(run.scored) - len(untimed)}; {slices}"
    )
    if untimed:
        return "partly", f"{told}. Not timed: {listed(untimed)}"
    return "done", told


def _forgetting(run: Records) -> Told:
    if run.contest.get("pipeline") == "text-generation":
        return "not done", "loss on general text before and after training was not measured"
    return "not applicable", f"{run.contest['task']} leaves no model that writes text"


def _deviations(run: Records) -> Told:
    found = run.protocol.get("deviations") or []
    extended = len(run.contest.get("extensions", ()))
    told = f"{len(found)} on record" + (f", {extended} extensions among the notes" if extended else "")
    return "done", told


_STEPS = (
    ("Data frozen before any model", _frozen_data),
    ("Leakage looked for", _leakage),
    ("One unit of budget, failures counted", _budget),
    ("Equal richness of search", _richness),
    ("Failures stay on the board", _failures),
    ("Winners chosen on validation", _selection),
    ("Winner and default trained again", _reruns),
    ("Test opened after the winners were fixed", _test_once),
    ("Means of re-runs reported", _means),
    ("Intervals over seeds and rows", _intervals),
    ("Pairs compared, corrected for being many", _pairs),
    ("Ties called ties", _ties),
    ("Smallest difference that would show", _power),
    ("What the search promised too much", _optimism),
    ("Score against budget", _score_against_budget),
    ("More than one number", _other_axes),
    ("Forgetting", _forgetting),
    ("Deviations on record", _deviations),
)
