"""`automl compare`: the boards of several runs as one, where that is fair, and why not where it is not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from automl.errors import RunFolderError
from automl.leaderboard.comparability import places
from automl.leaderboard.fronts import with_fronts
from automl.leaderboard.rows import margin_of, rank_rows
from automl.leaderboard.score import ScoredRun, score_run
from automl.leaderboard.statistics import Sample
from automl.leaderboard.store import RunFolder
from automl.leaderboard.verdict import verdict, winner_of
from automl.metrics import get_metric
from automl.types import LeaderboardRow

WHY = "compare"


@dataclass(frozen=True, kw_only=True)
class ComparedRuns:
    """One board of several runs.

    not_merged_because: empty where the runs were merged; `rows` is empty where it is not.
    ranked_anew: whether the rows were ranked against one another from their stored predictions.
    run_of: by row, the run that it comes from. notes: what to know when reading the rows.
    """

    runs: tuple[str, ...]
    not_merged_because: tuple[str, ...]
    metric: str
    ranked_anew: bool = False
    verdict: str = ""
    winner: str | None = None
    not_comparable_because: tuple[str, ...] = ()
    rows: tuple[LeaderboardRow, ...] = ()
    run_of: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()

    @property
    def merged(self) -> bool:
        return not self.not_merged_because

    def to_json(self) -> dict[str, Any]:
        """Plain values; each row is one of leaderboard.json with its `run`."""
        of = self.run_of or {}
        plain: dict[str, Any] = json.loads(json.dumps({
            "merged": self.merged, "not_merged_because": self.not_merged_because, "runs": self.runs,
            "metric": self.metric, "ranked_anew": self.ranked_anew, "verdict": self.verdict, "winner": self.winner,
            "not_comparable_because": self.not_comparable_because, "notes": self.notes,
            "rows": [{**row.to_json(), "run": of.get(row.contender)} for row in self.rows],
        }))  # fmt: skip
        return plain


@dataclass(frozen=True, kw_only=True)
class _Run:
    label: str
    folder: RunFolder
    board: Mapping[str, Any]


def compare_runs(folders: Sequence[RunFolder]) -> ComparedRuns:
    """The rows of all runs on one board. Each test is opened for it, which is logged in its run.

    Raises RunFolderError where there are fewer than two runs, or one has no board.
    """
    runs = _read(folders)
    reasons = _reasons(runs)
    labels, metric = tuple(run.label for run in runs), runs[0].board["metric"]
    if reasons:
        return ComparedRuns(runs=labels, not_merged_because=tuple(reasons), metric=metric)
    rows, run_of = _rows(runs)
    notes, why_not = _notes(runs), ""
    try:
        samples = _samples(runs, rows, run_of)
    except RunFolderError as problem:
        samples, why_not = None, str(problem)
    stamps = tuple(f"{run.label}: {reason}" for run in runs for reason in run.board["not_comparable_because"])
    stamps += tuple(places([trial for run in runs for trial in run.folder.trials()])) if not stamps else ()
    if samples is None:
        notes.append(
            f"the rows could not be ranked against one another ({why_not}): each has its rank in its own run"
        )
        ranked = sorted(rows, key=lambda row: (row.rank, run_of[row.contender]))
        return ComparedRuns(
            runs=labels, not_merged_because=(), metric=metric, rows=tuple(ranked), run_of=run_of, notes=tuple(notes),
            verdict="rows of several runs side by side; no winner is named", not_comparable_because=stamps,
        )  # fmt: skip
    margin = max(margin_of(run.board["protocol"]) for run in runs)
    made, comparisons = rank_rows([(row, samples.get(row.contender)) for row in rows], margin)
    made = with_fronts(made, get_metric(metric))  # a row of another run may now be better for less
    return ComparedRuns(
        runs=labels, not_merged_because=(), metric=metric, ranked_anew=True, rows=made, run_of=run_of,
        verdict=verdict(made, comparisons, get_metric(metric), list(stamps)), winner=winner_of(made),
        not_comparable_because=stamps, notes=tuple(notes),
    )  # fmt: skip


def _read(folders: Sequence[RunFolder]) -> list[_Run]:
    distinct = list({folder.path.resolve(): folder for folder in folders}.values())
    if len(distinct) < 2:
        raise RunFolderError("one run is named", "two or more different runs", "automl compare RUN RUN")
    names = [folder.path.resolve().name for folder in distinct]
    runs = []
    for folder, name in zip(distinct, names, strict=True):
        if not folder.leaderboard_json.exists():
            raise RunFolderError(f"{folder.path} has no board yet", "finished runs", f"automl resume {folder.path}")
        board = json.loads(folder.leaderboard_json.read_text(encoding="utf-8"))
        runs.append(_Run(label=name if names.count(name) == 1 else str(folder.path), folder=folder, board=board))
    return runs


def _reasons(runs: Sequence[_Run]) -> list[str]:
    """Why the boards cannot be merged: one sentence for everything in which they do not agree."""
    protocols = {run.label: run.board["protocol"] for run in runs}
    terms: dict[str, dict[str, Any]] = {
        "task": {label: one["task"] for label, one in protocols.items()},
        "metric": {run.label: run.board["metric"] for run in runs},
        "split": {run.label: run.board["split_fingerprint"][:12] for run in runs},
        "folds": {label: _folds(one) for label, one in protocols.items()},
        "budget": {label: _budget(one) for label, one in protocols.items()},
    }
    if len(set(terms["folds"].values())) > 1 and _have_one_test(runs):
        del terms["split"]  # it differs because of the folds
    plain = {
        "split": "they do not have the same rows of data in the same parts",
        "folds": "they do not cut training and validation rows in the same ways, so neither recipes nor finals "
        "learnt from the same rows",
    }
    found = []
    for term, values in terms.items():
        if len(set(values.values())) > 1:
            told = "; ".join(f"{label}: {value}" for label, value in values.items())
            found.append(f"{plain.get(term, f'they do not have the same {term}')} ({told})")
    return found


def _have_one_test(runs: Sequence[_Run]) -> bool:
    parts = [run.folder.split().get("parts") or {} for run in runs]
    tests = {(part.get("test") or {}).get("sha256") for part in parts}
    return len(tests) == 1 and None not in tests


def _folds(protocol: Mapping[str, Any]) -> str:
    folds: Mapping[str, Any] | None = protocol.get("folds")
    return "one cut" if folds is None else f"{folds['count']} folds"


def _budget(protocol: Mapping[str, Any]) -> str:
    """All that a contender was given, in words: an equal budget is an equal text."""
    budget = protocol["budget"]
    if budget.get("device_seconds"):
        words = f"{budget['device_seconds']:g} device-seconds, {budget.get('search_share', 0.6):.0%} for the search"
    else:
        words = f"{budget.get('trials')} trials"
    words += f" of {protocol['horizon_samples']} samples, {len(protocol['seeds'])} finals"
    if patience := protocol.get("patience_samples"):
        words += f", ended after {patience} samples without improvement"
    limit = protocol["time_limit_seconds"]
    return words + (f", within {limit:g} s for the run" if limit else "")


def _rows(runs: Sequence[_Run]) -> tuple[list[LeaderboardRow], dict[str, str]]:
    """Every run's rows under names of their own; a baseline that says the same in two runs stands once."""
    every = [(run.label, LeaderboardRow.from_json(row)) for run in runs for row in run.board["rows"]]
    kept: list[tuple[str, LeaderboardRow]] = []
    for label, row in every:
        twin = row.kind == "baseline" and any(
            (one.kind, one.contender, one.test_per_seed) == (row.kind, row.contender, row.test_per_seed)
            for _, one in kept
        )
        if not twin:
            kept.append((label, row))
    names = [row.contender for _, row in kept]
    rows, run_of = [], {}
    for label, row in kept:
        name = row.contender if names.count(row.contender) == 1 else f"{row.contender} ({label})"
        rows.append(replace(row, contender=name))
        run_of[name] = label
    return rows, run_of


def _samples(runs: Sequence[_Run], rows: Sequence[LeaderboardRow], run_of: Mapping[str, str]) -> dict[str, Sample]:
    """The test scores of every row that has any, by the row's name on the common board.

    Raises RunFolderError where predictions are missing, or the tests do not hold their rows in one order.
    """
    seals = {run.folder.split().get("test_labels_sha256") for run in runs}
    if len(seals) > 1:
        raise RunFolderError("the runs hold the test rows in different orders", "pairs of equal rows", "")
    found = {}
    for run in runs:
        scored = score_run(run.folder, WHY)
        for row in rows:
            if run_of[row.contender] == run.label:
                sample = _sample(scored, row.contender.removesuffix(f" ({run.label})"))
                if (sample is None) != (row.status == "failed"):
                    raise RunFolderError(f"{run.label} lacks predictions of {row.contender}", "all of them", "")
                if sample is not None:
                    found[row.contender] = replace(sample, name=row.contender)
    return found


def _sample(scored: ScoredRun, name: str) -> Sample | None:
    one = scored.finals.get(name) or scored.baselines.get(name)
    return None if one is None else one.sample


def _notes(runs: Sequence[_Run]) -> list[str]:
    """Who could have known the test when it began, and whose finals cannot be paired seed by seed."""
    notes = []
    openings = {run.label: [line["at"] for line in run.folder.test_accesses()] for run in runs}
    for run in runs:
        started = min((trial.started_at for trial in run.folder.trials()), default="")
        earlier = [label for label, at in openings.items() if label != run.label and at and min(at) < started]
        if earlier:
            notes.append(f"{run.label} began after the test had been opened for {', '.join(earlier)}")
    if len({tuple(run.board["protocol"]["seeds"]) for run in runs}) > 1:
        notes.append("the runs used different seeds: their finals are paired in the order of their seeds")
    margins = {run.board["protocol"]["margin"] for run in runs}
    if len(margins) > 1:
        notes.append(f"the runs had different margins: the widest, {max(margins)} points, counts")
    return notes
