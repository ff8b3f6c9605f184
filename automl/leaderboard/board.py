"""The leaderboard: made from the run folder's records alone, the same every time."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from automl.errors import RunFolderError
from automl.leaderboard.busy import busy_notes
from automl.leaderboard.comparability import limited, not_comparable_because
from automl.leaderboard.fold_notes import fold_notes, spread_words
from automl.leaderboard.markdown import to_markdown
from automl.leaderboard.planned import plan_and_outcome
from automl.leaderboard.readings import budget_curve, reading_notes, readings
from automl.leaderboard.rows import make_rows, margin_of
from automl.leaderboard.score import ScoredRun, score_run
from automl.leaderboard.search_notes import extension_notes, search_notes, tuning_notes
from automl.leaderboard.settling import to_settle
from automl.leaderboard.slices import slice_notes
from automl.leaderboard.statistics import ALPHA, ASSUMED_SEED_SD, LEVEL, Comparison
from automl.leaderboard.steps import collapse_notes, protocol_steps
from automl.leaderboard.store import RunFolder, write_atomically
from automl.leaderboard.verdict import verdict, winner_of
from automl.metrics import get_metric
from automl.types import LeaderboardRow

if TYPE_CHECKING:
    import pandas as pd

PHASES = ("prepare", "search", "finals", "report")


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """The content of leaderboard.json (records.md).

    plan: what was foretold beside what came of it (planned.py); None for a run without a plan.
    """

    comparable: bool
    not_comparable_because: tuple[str, ...]
    verdict: str
    winner: str | None
    metric: str
    higher_is_better: bool
    split_fingerprint: str
    protocol: dict[str, Any]
    wall_seconds: dict[str, float]
    rows: tuple[LeaderboardRow, ...]
    plan: list[dict[str, Any]] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values that any JSON reader takes: no NaN, no infinity."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values or name != "plan"}
        known["rows"] = tuple(LeaderboardRow.from_json(row) for row in values["rows"])
        known["not_comparable_because"] = tuple(values["not_comparable_because"])
        return cls(**known)

    def to_pandas(self) -> pd.DataFrame:
        """One row a contender or baseline, in the order of the board."""
        import pandas as pd

        return pd.DataFrame([row.to_json() for row in self.rows])

    def to_markdown(self) -> str:
        """The board as Markdown that can be pasted into a README."""
        return to_markdown(self.to_json())


def make_board(folder: RunFolder, why: str) -> Leaderboard:
    """Score, rank and judge a run; writes leaderboard.json, leaderboard.md and scores.json.

    why: the reason for opening the test, which is logged with it.
    Raises SealedTest before the winners are fixed, RunFolderError where something is missing.
    """
    scored = score_run(folder, why)
    _refuse_unscored(folder, scored)
    board = judge(folder, scored)
    write_atomically(folder.scores_file, _dump(_beyond_the_board(folder.read_contest(), scored)))
    write_atomically(folder.leaderboard_json, _dump(board.to_json()))
    write_atomically(folder.leaderboard_md, board.to_markdown())
    folder.publish(folder.scores_file, folder.leaderboard_json, folder.leaderboard_md)
    return board


def judge(folder: RunFolder, scored: ScoredRun) -> Leaderboard:
    """The leaderboard that scores and records lead to; nothing is written."""
    contest = folder.read_contest()
    metric = get_metric(contest["metric"])
    rows, comparisons = make_rows(folder, scored)
    reasons = not_comparable_because(folder, scored)
    return Leaderboard(
        comparable=not reasons,
        not_comparable_because=tuple(reasons),
        verdict=verdict(rows, comparisons, metric, reasons),
        winner=winner_of(rows),
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
        split_fingerprint=contest["split_fingerprint"],
        protocol=_protocol(folder, contest, scored, rows, comparisons),
        wall_seconds=_wall_seconds(folder),
        rows=rows,
        plan=plan_and_outcome(folder, rows, _detectable(rows, comparisons)),
    )


def _refuse_unscored(folder: RunFolder, scored: ScoredRun) -> None:
    """A board of failures only is told apart from a folder whose predictions were cleared away."""
    everything = [*scored.finals.values(), *scored.baselines.values()]
    ended = [*(one for one in folder.trials() if one.kind in ("final", "default")), *folder.baselines()]
    finished = [one for one in ended if one.status == "completed"]
    if finished and not any(one.trainings for one in everything):
        problem = next((text for one in everything for text in one.problems), "")
        raise RunFolderError(
            f"none of the {len(finished)} finals and baselines of {folder.path} can be scored ({problem})",
            "their predictions in predictions/",
            "Restore that folder, or run the contest anew",
        )


def _protocol(
    folder: RunFolder,
    contest: Mapping[str, Any],
    scored: ScoredRun,
    rows: Sequence[LeaderboardRow],
    comparisons: Sequence[Comparison],
) -> dict[str, Any]:
    split, metric, trials = folder.split(), get_metric(contest["metric"]), folder.trials()
    names = [value["name"] for value in contest["contenders"]]
    raced = readings(trials, names, metric, margin_of(contest))
    told = {
        "task": contest["task"],
        "budget": contest["budget"],
        "time_limit_seconds": contest.get("time_limit_seconds"),
        "seeds": contest["seeds"],
        "trial_seed": contest.get("trial_seed"),
        "split": {"strategy": split.get("strategy"), "seed": split.get("seed"), "rows": contest["counts"]},
        "test_rows": scored.test_rows,
        "horizon_samples": contest.get("horizon_samples"),
        "max_epochs": contest.get("max_epochs"),
        "rungs": contest.get("rungs", []),
        "sampler": contest.get("sampler"),
        "patience_samples": contest.get("patience_samples"),
        "margin": contest.get("margin"),
        "price_per_hour": contest.get("price_per_hour"),
        "slices": contest.get("slices", []),
        "folds": contest.get("folds"),
        "statistics": {
            "level": LEVEL,
            "alpha": ALPHA,
            "interval": spread_words(contest),
            "pairs": "shared seeds and test rows, Holm correction over all pairs of rows",
            "assumed_seed_sd": ASSUMED_SEED_SD if len(contest["seeds"]) == 1 else None,
            "detectable_difference": _detectable(rows, comparisons),
            "to_settle": to_settle(rows, comparisons, margin_of(contest)),
            "comparisons": [asdict(one) for one in comparisons],
        },
        "test_openings": folder.test_accesses(),
        "records": folder.seals(),
        "readings": raced,
        "budget_curves": {
            name: budget_curve(trials, name, metric, contest.get("sampler"), _first_trials(contest, name))
            for name in names
        },
        "notes": [
            *contest.get("warnings", ()),
            *extension_notes(contest),
            *search_notes(folder.read_winners()),
            *fold_notes(contest, folder.read_winners(), metric),
            *tuning_notes(rows, metric),
            *reading_notes(raced),
            *slice_notes(rows, metric),
            *collapse_notes(rows),
            *busy_notes(rows),
        ],
        "deviations": [*contest.get("deviations", ()), *_deviations(folder, contest, rows)],
    }
    return told | {"steps": protocol_steps(folder, contest, told, rows)}


def _first_trials(contest: Mapping[str, Any], name: str) -> int:
    return len(contest.get("spaces", {}).get(name, {}).get("first_trials") or ())


def _detectable(rows: Sequence[LeaderboardRow], comparisons: Sequence[Comparison]) -> float | None:
    """The smallest true difference between the two best contenders that this contest would mostly show."""
    best = [row.contender for row in rows if row.status == "ok" and row.kind == "contender"][:2]
    for one in comparisons:
        if {one.better, one.worse} == set(best):
            return one.detectable
    return comparisons[0].detectable if comparisons else None


def _deviations(folder: RunFolder, contest: Mapping[str, Any], rows: Sequence[LeaderboardRow]) -> list[str]:
    """What differed from the plan without making the rows incomparable."""
    found = []
    trials = folder.trials()
    threads = sorted({str(one.environment["threads"]) for one in trials if one.environment.get("threads")})
    if len(threads) > 1:
        found.append(f"trainings had different numbers of threads ({', '.join(threads)})")
    hosts = {one.environment["hostname"] for one in trials if one.environment.get("hostname")}
    if len(hosts) > 1:
        found.append(f"trainings ran on {len(hosts)} machines")
    timed = {one["hostname"] for one in folder.measurements().values() if one.get("hostname")}
    if len(timed) > 1:
        found.append(f"latencies were measured on {len(timed)} machines")
    paid = {len(row.seeds) for row in rows if row.kind == "contender" and row.seeds}
    if limited(contest) and paid and max(paid) < len(contest["seeds"]):
        found.append(f"the limit paid for {max(paid)} finals of each contender instead of {len(contest['seeds'])}")
    names = [value["name"] for value in contest["contenders"]]
    counts = {name: sum(one.contender == name and one.kind == "trial" for one in trials) for name in names}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name}: {count}" for name, count in counts.items())
        found.append(f"the budget paid for different numbers of trials ({told})")
    return found


def _wall_seconds(folder: RunFolder) -> dict[str, float]:
    timings = folder.timings()
    phases = {phase: round(timings.get(phase, 0.0), 3) for phase in PHASES}
    return {**phases, "total": round(timings.get("total", sum(phases.values())), 3)}


def _beyond_the_board(contest: Mapping[str, Any], scored: ScoredRun) -> dict[str, Any]:
    """What the report shows of the test beyond the board, so that it need not open the test again."""
    parts = {"contender": scored.finals, "baseline": scored.baselines}
    return {
        "classes": contest["schema"]["classes"],
        "test_rows": scored.test_rows,
        "rows": [
            {
                "contender": name,
                "kind": kind,
                "confusion": one.confusion.round(4).tolist(),
                "calibration": one.calibration.to_json() if one.calibration else None,
                "mistakes": [asdict(mistake) for mistake in one.mistakes],
            }
            for kind, part in parts.items()
            for name, one in part.items()
            if one.trainings
        ],
    }


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """Lists for tuples, null for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
