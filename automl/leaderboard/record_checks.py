"""Checks of the records alone: their chains, and whether they agree with one another."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

from automl.leaderboard.chain import CHAIN, end_was_cut
from automl.leaderboard.evidence import Evidence, Finding, Recorded, note
from automl.leaderboard.folds import Standing, final_fold, folds_of, search_fold, standings
from automl.metrics import get_metric
from automl.types import TrialResult

SECONDS_APART = 1e-6
"""Sums of the same seconds in another order differ by rounding."""


def check_chains(evidence: Evidence) -> list[Finding]:
    """Every line follows the line before it."""
    found: list[Finding] = []
    for file in evidence.folder.record_files:
        chain = evidence.chain(file)
        ids = {line: _id(value) for line, value in chain.lines}
        found += [
            Finding(what=flaw.what, file=file.name, line=flaw.line, id=ids.get(flaw.line), wrong=flaw.edited)
            for flaw in chain.flaws
        ]
        unchained = sum(CHAIN not in value for _, value in chain.lines)
        if unchained and not chain.edits:
            found.append(
                note(f"{unchained} lines of an older version carry no chain: an edit would not show", file.name)
            )
    return found


def _id(value: Mapping[str, Any]) -> str | None:
    named = value.get("id") or value.get("trial") or (value.get("spec") or {}).get("id")
    return str(named) if named else None


def check_seals(evidence: Evidence) -> list[Finding]:
    """The records hold all that was written: nothing was cut from their ends, or written anew."""
    found = list(_unsealed(evidence))
    told = {finding.file for finding in found if finding.wrong}
    what = "its last lines are not those that were written last: lines were removed from its end"
    for file in evidence.folder.record_files:
        chain = evidence.chain(file)
        if file.name not in told and not chain.edits and end_was_cut(file, chain):
            found.append(Finding(what=what, file=file.name))
    return found


def _unsealed(evidence: Evidence) -> Iterator[Finding]:
    """What is not as it was when the board was made from it."""
    if evidence.board is None:
        yield note("there is no board yet that its records could be held against")
        return
    sealed: dict[str, Any] | None = evidence.board["protocol"].get("records")
    if sealed is None:
        yield note("the board is of an older version and does not hold where its records stood")
        return
    for name, seal in sealed.items():
        path = evidence.folder.path / name
        if CHAIN not in seal:
            if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != seal["sha256"]:
                yield Finding(what="is not the file that the board was made from", file=name)
            continue
        chain, count = evidence.chain(path), seal["lines"]
        if len(chain.links) < count:
            what = f"holds {len(chain.links)} whole lines; the board was made from {count}: lines were removed"
            yield Finding(what=what, file=name)
        elif chain.links[count - 1] != seal[CHAIN] and not chain.edits:
            what = f"its first {count} lines are not those that the board was made from: it was written anew"
            yield Finding(what=what, file=name)
        elif len(chain.links) > count:
            yield note(f"has {len(chain.links) - count} lines that are newer than the board", name)


def check_published(evidence: Evidence) -> list[Finding]:
    """What readers see is what was written: board, Markdown, report, and the scores that it was made from."""
    if evidence.board is None:
        return []
    last: dict[str, tuple[int, str]] = {}
    for line, value in evidence.lines(evidence.folder.published_file):
        last |= {name: (line, digest) for name, digest in value["sha256"].items()}
    found = []
    for name, (line, digest) in last.items():
        file, place = evidence.folder.path / name, f"{evidence.folder.published_file.name}, line {line}"
        if not file.exists():
            found.append(note(f"was published and is not there any more ({place})", name))
        elif hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            found.append(Finding(what=f"was changed since it was published ({place})", file=name))
    return found


def check_openings(evidence: Evidence) -> list[Finding]:
    """Every opening that the board tells of is on record, and each is of this split."""
    file = evidence.folder.access_file
    lines, found = evidence.lines(file), []
    told = evidence.board["protocol"]["test_openings"] if evidence.board else []
    for number, opening in enumerate(told):
        if number >= len(lines):
            what = f"the board tells of {len(told)} openings of the test, {len(lines)} are on record"
            found.append(Finding(what=what, file=file.name))
            break
        line, value = lines[number]
        if value != opening:
            found.append(Finding(what="is not the opening that the board tells of", file=file.name, line=line))
    for line, value in lines:
        if value.get("split_fingerprint") != evidence.contest["split_fingerprint"]:
            found.append(Finding(what="is an opening of another split", file=file.name, line=line))
    return found


def check_trainings(evidence: Evidence) -> list[Finding]:
    """Each line agrees with itself and with what was started."""
    specs: dict[str, Any] = {}
    for _, value in evidence.lines(evidence.folder.started_file):
        specs.setdefault(value["spec"]["id"], value["spec"])
    metric, found = evidence.contest["metric"], []
    for one in evidence.trainings:
        result = one.result
        spent = sum(result.spent.values())
        if result.spent and not _same(spent, result.cost.device_seconds):
            found.append(
                one.wrong(f"its parts sum to {spent:g} device-seconds, it says {result.cost.device_seconds:g}")
            )
        if result.curve and result.validation != result.curve[-1].get(metric):
            last = result.curve[-1].get(metric)
            found.append(one.wrong(f"its validation score is {result.validation}, the end of its curve {last}"))
        spec = specs.get(result.id)
        if spec is None:
            if specs and result.kind != "baseline":
                found.append(one.wrong("was never started (started.jsonl)"))
            continue
        for key in ("kind", "recipe", "seed", "horizon_samples", "split_fingerprint", "fold"):
            if getattr(result, key) != spec.get(key):
                found.append(one.wrong(f"its {key} is not what was started (started.jsonl)"))
        due = _fold_due(evidence.contest, result)
        if result.fold != due:
            found.append(one.wrong(f"was trained on fold {result.fold}; the contest gave it {due}"))
    ended = {one.result.id for one in evidence.trainings}
    missing = [name for name in specs if name not in ended]
    if missing and evidence.board is not None:
        found.append(Finding(what=f"lacks {', '.join(missing[:5])}, which started.jsonl holds", file="trials.jsonl"))
    return found


def _fold_due(contest: Mapping[str, Any], result: TrialResult) -> int | None:
    """The cut that a training had to use; another seed than the contest's is found elsewhere."""
    if result.kind == "trial":
        return search_fold(contest)
    if result.kind == "playoff":
        return result.fold if 1 < (result.fold or 0) <= (folds_of(contest) or 0) else None
    return final_fold(contest, result.seed) if result.seed in contest["seeds"] else result.fold


def check_winners(evidence: Evidence) -> list[Finding]:
    """Each winner is the best on validation among the trials that reached the full horizon; of equals the first.

    With folds it is the best on average of those that led.
    """
    if not evidence.winners_are_fixed:
        return [note("the winners are not all fixed: the run has not ended")]
    higher, found = get_metric(evidence.contest["metric"]).higher_is_better, []
    for name in evidence.contenders:
        winner = evidence.winners[name]
        best = _best(evidence, name, higher)
        if best is None:
            if winner.get("trial") is not None:
                what = f"{name}: {winner['trial']} is said to have won, but no trial reached the full horizon"
                found.append(Finding(what=what, file="winners.json"))
            continue
        for key, value in (("trial", best.id), ("recipe", best.recipe), ("search_validation", best.validation)):
            if winner.get(key) != value:
                shown = "" if key == "recipe" else f" {winner.get(key)}; trials.jsonl gives {value}"
                what = (
                    f"{name}: its {key} is not that of {best.id}, the best trial"
                    if not shown
                    else f"{name}: {key}{shown}"
                )
                found.append(Finding(what=what, file="winners.json"))
        told = [one.to_json() for one in _played(evidence, name, higher)]
        if winner.get("playoff", told) != told:
            found.append(Finding(what=f"{name}: its play-off is not what trials.jsonl gives", file="winners.json"))
    return found


def _best(evidence: Evidence, name: str, higher: bool) -> Any:
    """The trial that the records say won; None where none was whole."""
    played = _played(evidence, name, higher)
    return played[0].trial if played else None


def _played(evidence: Evidence, name: str, higher: bool) -> list[Standing]:
    return standings([one.result for one in evidence.trainings if one.result.contender == name], higher)


def check_finals(evidence: Evidence) -> list[Finding]:
    """Finals have the winner's recipe, on exactly the seeds of the contest."""
    if not evidence.winners_are_fixed:
        return []
    found = []
    superseded = evidence.folder.superseded()
    for name in evidence.contenders:
        winner = evidence.winners[name]
        for kind, key in (("final", "recipe"), ("default", "default_recipe")):
            own = [one for one in evidence.trainings if (one.result.contender, one.result.kind) == (name, kind)]
            own = [one for one in own if one.result.id not in superseded]
            found += [
                one.wrong(f"its recipe is not the {key} of {name} in winners.json")
                for one in own
                if one.result.recipe != winner.get(key)
            ]
            found += _seeds(evidence, name, kind, own)
    return found


def _seeds(evidence: Evidence, name: str, kind: str, own: list[Recorded]) -> Iterator[Finding]:
    planned: list[int] = evidence.contest["seeds"]
    for one in own:
        if one.result.seed not in planned:
            yield one.wrong(f"its seed {one.result.seed} is none of the contest's ({_listed(planned)})")
    has = [one.result.seed for one in own]
    twice = sorted({seed for seed in has if has.count(seed) > 1})
    if twice:
        yield Finding(what=f"{name} has more than one {kind} on seed {_listed(twice)}", file="trials.jsonl")
    missing = [seed for seed in planned if seed not in has]
    needed = kind == "final" and evidence.winners[name].get("recipe") is not None
    if not missing or not (needed or has):
        return
    what = f"{name} has no {kind} on seed {_listed(missing)}"
    limited = evidence.contest.get("time_limit_seconds") or evidence.contest["budget"].get("device_seconds")
    if limited or evidence.board is None:
        yield note(f"{what}: {'its limit was reached' if limited else 'the run has not ended'}", "trials.jsonl")
    else:
        yield Finding(what=what, file="trials.jsonl")


def check_ledger(evidence: Evidence) -> list[Finding]:
    """Every training was charged what it spent, nothing else was charged, and the rows say the sums."""
    file = evidence.folder.ledger_file
    charged: dict[str, float] = {}
    sums: dict[str, float] = {}
    trainings = {one.result.id: one for one in evidence.trainings}
    found = []
    for line, value in evidence.lines(file):
        seconds, trial = value["device_seconds"], value["trial"]
        charged[trial] = charged.get(trial, 0.0) + seconds
        sums[value["contender"]] = sums.get(value["contender"], 0.0) + seconds
        known = trainings.get(trial)
        if known is None or known.result.contender != value["contender"]:
            what = "charges a training that is not on record" if known is None else "charges another contender"
            found.append(Finding(what=what, file=file.name, line=line, id=trial))
        if not seconds >= 0:
            found.append(Finding(what=f"charges {seconds} seconds", file=file.name, line=line, id=trial))
    for one in trainings.values():
        spent, booked = one.result.cost.device_seconds, charged.get(one.result.id, 0.0)
        if not _same(spent, booked):
            found.append(one.wrong(f"spent {spent:g} device-seconds, ledger.jsonl charges {booked:g}"))
    for row in evidence.board["rows"] if evidence.board else ():
        booked = sums.get(row["contender"], 0.0)
        if not _same(row["device_seconds"], booked):
            what = f"{row['contender']} has {row['device_seconds']:g} device-seconds, ledger.jsonl sums to {booked:g}"
            found.append(Finding(what=what, file="leaderboard.json"))
    return found


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=SECONDS_APART)


def _listed(seeds: list[int]) -> str:
    return ", ".join(map(str, seeds))
