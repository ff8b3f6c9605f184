"""Checks of what the records speak of: the rows of data, the predictions, and the board made anew."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from automl.data.fingerprints import row_problem
from automl.data.folds import FOLDS, fold_parts, read_fold
from automl.data.prepared import read_part
from automl.data.split import combined_fingerprint
from automl.errors import AutoMLError
from automl.leaderboard.board import Leaderboard, judge
from automl.leaderboard.evidence import Evidence, Finding, Recorded, note
from automl.leaderboard.folds import validation_rows
from automl.leaderboard.score import score_run
from automl.provenance import versions_sha
from automl.types import Fold, LeaderboardRow, Schema

_NOT_COMPARED = {"protocol.test_openings", "protocol.records"}
"""What a look at the board changes, or what other checks compare."""


def check_split(evidence: Evidence) -> list[Finding]:
    """One fingerprint everywhere, and the rows on disk still have it."""
    sealed, split = evidence.contest["split_fingerprint"], evidence.folder.split()
    found = [
        one.wrong("has another split fingerprint than the contest")
        for one in evidence.trainings
        if one.result.split_fingerprint != sealed
    ]
    if split.get("fingerprint") != sealed:
        found.append(Finding(what="its fingerprint is not that of contest.json", file="data/split.json"))
    if evidence.board is not None and evidence.board["split_fingerprint"] != sealed:
        found.append(Finding(what="its split fingerprint is not that of contest.json", file="leaderboard.json"))
    parts: Mapping[str, Any] = split.get("parts") or {}
    if not parts:
        return [*found, note("holds no fingerprints of its parts, so the rows were not looked at", "data/split.json")]
    folds = [Fold.from_json(value) for value in split.get("folds", ())]
    hashes = {part: value["sha256"] for part, value in parts.items()}
    if combined_fingerprint(hashes | fold_parts(folds)) != sealed:
        found.append(Finding(what="the hashes of its parts do not give the fingerprint", file="data/split.json"))
    schema = Schema.from_json(evidence.contest["schema"])
    for part, value in parts.items():
        file = evidence.folder.data / f"{part}.arrow"
        table, problem = _rows(file)
        if table is None:
            found.append(Finding(what=str(problem), file=f"data/{file.name}"))
            continue
        if table["row"].to_pylist() != value["row_numbers"]:
            problem = "holds other rows than split.json says"
        elif part != "test":  # its fingerprint covers its labels: check_test has them
            problem = row_problem(table, schema.inputs, table["label"], value["sha256"], schema.levels)
        if problem is not None:
            found.append(Finding(what=problem, file=f"data/{file.name}"))
    return [*found, *_fold_findings(evidence, folds, schema)]


def _fold_findings(evidence: Evidence, folds: Sequence[Fold], schema: Schema) -> Iterator[Finding]:
    """Cuts on disk that are not those of split.json; they are of the rows of train and validation."""
    if not folds:
        return
    pool = read_part(evidence.folder.data, "pool")
    for fold in folds:
        try:
            judges = read_fold(evidence.folder.data, fold.number)
            for mask, sha256 in ((~judges, fold.train_sha256), (judges, fold.validation_sha256)):
                part = pool.filter(pa.array(mask))
                if (problem := row_problem(part, schema.inputs, part["label"], sha256, schema.levels)) is not None:
                    yield Finding(what=f"fold {fold.number}: {problem}", file=f"data/{FOLDS}")
        except (AutoMLError, pa.ArrowInvalid) as error:
            yield Finding(what=f"fold {fold.number} could not be read: {error}", file=f"data/{FOLDS}")


def _rows(file: Path) -> tuple[pa.Table | None, str | None]:
    try:
        with pa.memory_map(str(file)) as source:
            return pyarrow.ipc.open_file(source).read_all(), None
    except (pa.ArrowInvalid, OSError) as error:
        return None, f"could not be read: {' '.join(str(error).split())[:200]}"


def check_test(evidence: Evidence) -> list[Finding]:
    """The labels are those that were sealed, and belong to the test's rows. This is an opening of the test."""
    if not evidence.winners_are_fixed:
        return [note("the test is sealed until the winners are fixed; its labels were not read")]
    opened = evidence.opened  # compares the labels with their seal
    split = evidence.folder.split()
    if split.get("test_labels_sha256") is None:
        return [Finding(what="holds no test_labels_sha256", file="data/split.json")]
    part = (split.get("parts") or {}).get("test")
    table, problem = _rows(evidence.folder.data / "test.arrow")
    if table is None:
        wrong = part is not None
        return [Finding(what=str(problem), file="data/test.arrow", wrong=wrong)]
    if table["row"].to_pylist() != opened.rows.tolist():
        return [Finding(what="is of other rows than test.arrow", file="data/test_labels.arrow")]
    schema = Schema.from_json(evidence.contest["schema"])
    if part is None:
        return []
    problem = row_problem(table, schema.inputs, opened.words, part["sha256"], schema.levels)
    return [] if problem is None else [Finding(what=problem, file="data/test.arrow")]


def check_predictions(evidence: Evidence) -> list[Finding]:
    """Every final, default and baseline that completed left its predictions, and they are as it left them."""
    contest, classes = evidence.contest, len(evidence.contest["schema"]["classes"])
    found, without = [], 0
    for one in evidence.trainings:
        if one.result.kind in ("trial", "playoff") or one.result.status != "completed":
            continue
        rows = {"validation": validation_rows(contest, one.result.fold), "test": contest["counts"]["test"]}
        shapes = {part: (count, classes) for part, count in rows.items()}
        problem = _prediction_problem(evidence.folder.path, one, shapes)
        without += one.result.predictions_sha256 is None
        if problem is not None:
            name = one.result.predictions_file or f"predictions/{one.result.id}.npz"
            found.append(Finding(what=f"{problem} ({one.file}, line {one.line})", file=name, id=one.result.id))
    if without:
        found.append(note(f"{without} trainings are of an older version and hold no hash of their predictions"))
    return found


def _prediction_problem(run: Path, one: Recorded, shapes: Mapping[str, tuple[int, int]]) -> str | None:
    path = run / (one.result.predictions_file or f"predictions/{one.result.id}.npz")
    if not path.exists():
        return "is missing"
    told = one.result.predictions_sha256
    if told is not None and hashlib.sha256(path.read_bytes()).hexdigest() != told:
        return "was changed since the training wrote it"
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            has = {part: arrays[part].shape for part in shapes}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        return f"could not be read: {type(error).__name__}"
    odd = [f"{part} {has[part]} instead of {shape}" for part, shape in shapes.items() if has[part] != shape]
    return f"has the wrong shape: {', '.join(odd)}" if odd else None


def check_board(evidence: Evidence) -> list[Finding]:
    """leaderboard.json is what its records lead to, all but the openings since."""
    if evidence.board is None:
        return [note("there is no board yet")]
    if not evidence.winners_are_fixed:
        return [Finding(what="there is a board, but not every winner is fixed", file="leaderboard.json")]
    scored = score_run(evidence.folder, "", opened=evidence.opened)
    anew = json.loads(json.dumps(judge(evidence.folder, scored).to_json()))
    found = list(_differences("", _by_name(evidence.board), _by_name(anew)))
    if found and evidence.folder.environment().get("versions_sha", "") != versions_sha():
        found.append(
            note("the run was made with other versions of automl or its packages, which may judge otherwise")
        )
    return [dataclasses.replace(finding, file="leaderboard.json") for finding in found]


def _by_name(board: Mapping[str, Any]) -> dict[str, Any]:
    """The rows under their names, so that a difference names its row; their order is in their ranks."""
    rows = {row["contender"]: row for row in board["rows"]}
    # first the rows: sentences of the protocol follow from them
    return {"rows": rows, "order of the rows": list(rows), **{k: v for k, v in board.items() if k != "rows"}}


def _differences(place: str, told: Any, found: Any) -> Iterator[Finding]:
    """Where the stored board and the one made anew part."""
    if place in _NOT_COMPARED:
        return
    if isinstance(told, Mapping) and isinstance(found, Mapping):
        for key in dict.fromkeys([*told, *found]):
            inner = f"{place}.{key}" if place else str(key)
            if key not in told:
                # a board of an older version lacks what was added since
                yield Finding(what=f"has no {inner}", wrong=key in _REQUIRED or place == "rows")
            elif key not in found:
                yield Finding(what=f"has {inner}, which the records do not give")
            else:
                yield from _differences(inner, told[key], found[key])
    elif isinstance(told, list) and isinstance(found, list) and len(told) == len(found):
        for number, (one, other) in enumerate(zip(told, found, strict=True)):
            yield from _differences(f"{place}[{number}]", one, other)
    elif not _equal(told, found):
        yield Finding(what=f"{place} is {_short(told)}, the records give {_short(found)}")


_REQUIRED = {field.name for field in dataclasses.fields(Leaderboard) if field.default is dataclasses.MISSING} | {
    field.name
    for field in dataclasses.fields(LeaderboardRow)
    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
}


def _equal(one: Any, other: Any) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
    # another processor may round the last digits of a sum differently
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12) if numbers else bool(one == other)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:117]}..."
