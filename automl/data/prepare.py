"""A request's data, cleaned and split once, on disk for every contender."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from automl.config import READING, RunRequest
from automl.data.checks import SUPPORTED_TASKS, check_classes, check_cut, check_parts, check_request, check_roles
from automl.data.clean import Repair, clean
from automl.data.cleaned import mended_inspection
from automl.data.columns import Codes, Mask
from automl.data.folds import FOLDS, Masks, cut_folds, describe_folds, fold_parts, folds_table, read_fold
from automl.data.guess import find_column
from automl.data.kept import Kept
from automl.data.last_look import look_at_data
from automl.data.leakage import Keyed
from automl.data.load import load_parts
from automl.data.profile import Inspection, inspect_parts, ordered
from automl.data.repairs import chosen
from automl.data.rows import ReadOptions
from automl.data.slices import TEST_SLICES, set_aside, slice_table, slices_sha256
from automl.data.split import (
    Digests,
    combined_fingerprint,
    fingerprint,
    latest_cut,
    rows_sha256,
    stratified_cut,
    test_rows,
    validation_rows,
)
from automl.data.split_column import Said, parts_by_column
from automl.data.together import groups_of, held_together, times_of
from automl.data.write import write_arrow, write_json
from automl.errors import RequestError
from automl.types import Finding, Fold, Part, PreparedData, Schema, Split

TEST_LABELS = "test_labels.arrow"
UNPACKED = "unpacked"
_CONTENT = "\x00content"  # no file can name a column so
_PARTS: tuple[str, ...] = ("train", "validation", "test")


def prepare(
    request: RunRequest,
    directory: Path,
    known_tasks: Collection[str] = SUPPORTED_TASKS,
    home: Path | None = None,
    held: Mapping[str, object] = MappingProxyType({}),
) -> PreparedData:
    """The data of a run in its data folder: cleaned, split, the test's labels in a file of their own.

    known_tasks: those that a request may name. home: where the folder will lie in the end, if not at `directory`:
    pictures out of an archive are kept in it, and named as they will be. held: as in `load_parts`.
    Raises DataError or RequestError, and keeps nothing, where nothing can be learnt from the data.
    """
    check_request(request, known_tasks)
    unpacked, kept = directory / UNPACKED, False
    try:
        prepared, kept = _prepare(request, directory, home or directory, held)
    finally:
        if not kept:
            shutil.rmtree(unpacked, ignore_errors=True)
    return prepared


def _prepare(
    request: RunRequest, directory: Path, home: Path, held: Mapping[str, object]
) -> tuple[PreparedData, bool]:
    """The prepared data, and whether what was unpacked for it is still needed."""
    options = ReadOptions(**{name: getattr(request, name) for name in READING})
    loaded = load_parts(request.source, request.validation, request.test, options, directory / UNPACKED, held)
    parts = parts_by_column(loaded, Said.of(request))
    shown = set_aside(parts, request)
    seen = inspect_parts(shown, request.target, request.text, request.image, request.group, directory / UNPACKED)
    target = check_roles(seen, request)
    usable, notes = check_parts(seen, request, target)
    on = chosen(request.clean)
    seen, mended = mended_inspection(seen, on)
    keyed = {name: seen.keyed[name] for name in usable}
    keep, repairs = clean(keyed, on, seen.near)
    repairs = mended + repairs
    kept = {name: _keep(keyed[name], seen.roles.inputs, keep[name]) for name in usable}
    pictured = any(part.content is not None for part in keyed.values())
    if pictured:
        kept = {name: _rehoused(rows, seen.roles.inputs[0], directory, home) for name, rows in kept.items()}
    check_classes(seen, target, {name: rows.label_counts() for name, rows in kept.items()}, repairs)
    parted = _cut(kept, seen.roles.inputs, request, _bound(keyed["train"], seen, request, keep["train"]))
    looked = look_at_data(seen, parted.rows, parted.cut, named_target=request.target is not None)
    seen = replace(seen, findings=ordered([*seen.findings, *looked]))
    prepared = _describe(directory, request, seen, target, parted, repairs, notes)
    origin = parts[parted.origin["test"]]
    slices = slice_table(origin, request.slice, prepared.split.test) if request.slice else None
    _write(directory, prepared, seen, repairs, parted, slices)
    return prepared, pictured


def _keep(part: Keyed, inputs: tuple[str, ...], keep: Mask) -> Kept:
    """The rows that stay, with `content` too where the inputs only point at it."""
    assert part.labels is not None
    columns = {"row": pa.chunked_array([part.numbers]), **{name: part.rows.table[name] for name in inputs}}
    columns["label"] = part.labels.cast(pa.string())
    if part.content is not None:
        columns[_CONTENT] = part.content
    return Kept.of(pa.table(columns), inputs, keep)


def _rehoused(rows: Kept, column: str, directory: Path, home: Path) -> Kept:
    """The rows with the paths of unpacked pictures as they will be when the folder has come to its home."""
    before, after = str((directory / UNPACKED).absolute()), str((home / UNPACKED).absolute())
    paths = pc.replace_substring_regex(rows.table[column], f"^{re.escape(before)}", after.replace("\\", r"\\"))
    return replace(rows, table=rows.table.set_column(rows.table.column_names.index(column), column, paths))


@dataclass(frozen=True)
class _Bound:
    """What binds the training rows when parts are cut from them. groups: equal where rows stay together."""

    groups: Codes | None
    times: npt.NDArray[np.float64] | None
    words: str

    def filter(self, rows: Mask) -> _Bound:
        return _Bound(
            None if self.groups is None else self.groups[rows],
            None if self.times is None else self.times[rows],
            self.words,
        )


def _bound(train: Keyed, seen: Inspection, request: RunRequest, keep: Mask) -> _Bound:
    if request.time is not None:
        find_column(request.time, train.rows.table.column_names, "--time", train.rows.read_as.source)
        times = times_of(train, request.time)
        return _Bound(None, times, f"the latest rows by {request.time!r}").filter(keep)
    near, words = seen.near.get("train"), "stratified by class"
    if request.group is not None:
        stem = groups_of(train.rows.table[request.group])[1]
        words += f", rows of one {request.group!r}{' (before its last separator)' if stem else ''} together"
    if held_together(train, near, None) is not None:
        words += ", near duplicates together"
    return _Bound(held_together(train, near, request.group), None, f"{words}, by a hash of content and seed").filter(
        keep
    )


@dataclass(frozen=True)
class _Cut:
    """The three parts; origin: the part that each was taken from; sha256: fingerprints of the parts' rows.

    masks, folds: with --folds, of every cut its validation among the rows of train and validation, and what it is.
    """

    rows: dict[str, Kept]
    origin: dict[str, str]
    sha256: dict[str, str]
    strategy: str
    masks: Masks = field(default_factory=list)
    folds: tuple[Fold, ...] = ()

    @property
    def cut(self) -> tuple[str, ...]:
        """The parts that were split off the training rows."""
        return tuple(part for part in _PARTS[1:] if self.origin[part] == "train")


def _cut(kept: Mapping[str, Kept], inputs: tuple[str, ...], request: RunRequest, bound: _Bound) -> _Cut:
    """What is not given is cut from train: the test first, then the validation from the rest."""
    cut, origin, words = dict(kept), {part: part for part in kept}, []
    # by what the rows hold: the same pictures are cut the same way wherever they lie
    told = (_CONTENT,) if _CONTENT in kept["train"].table.column_names else inputs
    digests = {part: rows.digests(told) for part, rows in cut.items()}
    if request.folds is not None and "validation" in cut:
        raise RequestError(
            f"the source has a validation split of its own ({len(cut['validation']):,} rows), "
            f"and --folds {request.folds} would cut others",
            "validation rows that are cut in several ways, or rows that are given once",
            "Leave --folds out, or name the file of training rows as the source",
        )
    for name, size_of in (("test", test_rows), ("validation", validation_rows)):
        if name == "validation" and request.folds is not None:
            break
        if name in cut:
            words.append(f"{name} given")
            continue
        train = cut["train"]
        labels = train.label_codes
        size = size_of(len(train))
        if bound.times is not None:
            chosen = latest_cut(bound.times, digests["train"], size, request.seed, name)
        else:
            chosen = stratified_cut(labels, digests["train"], size, request.seed, name, groups=bound.groups)
        check_cut(labels, train.classes, chosen, name, request.group or request.time)
        cut |= {name: train.filter(chosen), "train": train.filter(~chosen)}
        digests[name], digests["train"] = digests["train"][chosen], digests["train"][~chosen]
        bound = bound.filter(~chosen)
        origin[name] = "train"
        words.append(f"{name} cut from train, {bound.words}")
    parted = _Cut(cut, origin, {}, "; ".join(words))
    if request.folds is not None:
        parted = _cut_folds(parted, digests, request, request.folds, bound)
    return replace(parted, sha256={part: fingerprint(digests[part]) for part in _PARTS})


def _cut_folds(cut: _Cut, digests: dict[str, Digests], request: RunRequest, folds: int, bound: _Bound) -> _Cut:
    """Train and validation cut in as many ways as folds or finals ask for; `digests` become those of the first."""
    rows = cut.rows["train"]
    labels = rows.label_codes
    cuts = max(folds, request.seeds)
    masks = cut_folds(labels, digests["train"], folds, cuts, request.seed, bound.groups)
    for number, mask in enumerate(masks, start=1):
        check_cut(labels, rows.classes, mask, f"validation of fold {number}", request.group)
    cut.rows.update(train=rows.filter(~masks[0]), validation=rows.filter(masks[0]))
    # the rows of the first cut's training, then those of its validation: so all cuts are told of them
    order = np.argsort(masks[0], kind="stable")
    masks, pool = [mask[order] for mask in masks], digests["train"][order]
    for part, mask in (("train", ~masks[0]), ("validation", masks[0])):
        digests[part] = pool[mask]
    times = "" if cuts == folds else f", parted anew until there are {cuts} cuts"
    strategy = f"{cut.strategy}; train and validation cut from train, {folds} folds{times}, {bound.words}"
    origin = cut.origin | {"validation": "train"}
    return replace(cut, origin=origin, strategy=strategy, masks=masks, folds=describe_folds(masks, pool))


def _describe(
    directory: Path,
    request: RunRequest,
    seen: Inspection,
    target: str,
    parted: _Cut,
    repairs: list[Repair],
    notes: list[str],
) -> PreparedData:
    roles, task = seen.roles, request.task or seen.roles.task
    assert task is not None
    counts = {part: len(parted.rows[part]) for part in _PARTS}
    class_counts = parted.rows["train"].label_counts()
    numbers = {part: tuple(parted.rows[part].numbers.tolist()) for part in _PARTS}
    split = Split(
        **numbers,
        strategy=parted.strategy,
        seed=request.seed,
        fingerprint=combined_fingerprint(parted.sha256 | fold_parts(parted.folds)),
    )
    listed = ", ".join(f"{part} {counts[part]:,}" for part in _PARTS)
    assumptions = [rows.read_as.sentence() for rows in seen.parts.values()]
    assumptions += [
        f"target {target!r}: {roles.target_reason}",
        f"{seen.keyed['train'].medium.noun} {' and '.join(map(repr, roles.inputs))}: {roles.inputs_reason}",
        f"task {task}: {'named with --task' if request.task else roles.task_reason}",
        *notes,
        f"rows: {listed} ({parted.strategy})",
    ]
    return PreparedData(
        directory=directory,
        schema=Schema(
            task=task,
            inputs=roles.inputs,
            target=target,
            classes=tuple(sorted(class_counts)),
        ),
        split=split,
        # a column that is not an input leaks nothing into training
        findings=tuple(finding for finding in seen.findings if finding.kind != "target_leak"),
        counts=counts,
        class_counts=class_counts,
        assumptions=tuple(assumptions),
        cleaned=tuple(repair.sentence() for repair in repairs),
        folds=parted.folds,
        given=tuple(part for part in _PARTS[1:] if parted.origin[part] == part),
    )


def _write(
    directory: Path,
    prepared: PreparedData,
    seen: Inspection,
    repairs: list[Repair],
    parted: _Cut,
    slices: pa.Table | None,
) -> None:
    """All files, or none: they are written beside their places and moved there together."""
    directory.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=directory, prefix=".writing-"))
    try:
        for part, rows in parted.rows.items():
            columns = ["row", *rows.inputs, *(["label"] if part != "test" else [])]
            write_arrow(staging / f"{part}.arrow", (p.select(columns) for p in rows.pieces(f"writing {part} rows")))
        if parted.masks:
            write_arrow(staging / FOLDS, [folds_table(parted.masks)])
        test = parted.rows["test"]
        write_arrow(staging / TEST_LABELS, [pa.table({"row": test.numbers, "label": test.labels})])
        write_json(staging / "profile.json", seen.to_json())
        write_json(staging / "cleaning.json", {"repairs": [repair.to_json() for repair in repairs]})
        sealed = {} if slices is None else {"test_slices_sha256": slices_sha256(slices)}
        if slices is not None:
            write_arrow(staging / TEST_SLICES, [slices])
        write_json(staging / "split.json", _split_json(prepared, seen, parted) | sealed)
        write_json(staging / "prepared.json", _prepared_json(prepared))
        # prepared.json last: where it is, all the others are
        for file in sorted(staging.iterdir(), key=lambda path: path.name == "prepared.json"):
            file.replace(directory / file.name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _split_json(prepared: PreparedData, seen: Inspection, parted: _Cut) -> dict[str, Any]:
    parts = {
        part: {
            "rows": prepared.counts[part],
            "row_numbers": getattr(prepared.split, part),
            "source": seen.parts[parted.origin[part]].read_as.source,
            "sha256": parted.sha256[part],
        }
        for part in _PARTS
    }
    test = parted.rows["test"]
    return {
        "strategy": prepared.split.strategy,
        "seed": prepared.split.seed,
        "fingerprint": prepared.split.fingerprint,
        "parts": parts,
        **({"folds": [fold.to_json() for fold in parted.folds]} if parted.folds else {}),
        "test_labels_sha256": rows_sha256(test.numbers, test.labels),
    }


def _prepared_json(prepared: PreparedData) -> dict[str, Any]:
    return {
        "schema": prepared.schema.to_json(),
        "split": prepared.split.__dict__,
        "findings": [finding.to_json() for finding in prepared.findings],
        "counts": dict(prepared.counts),
        "class_counts": dict(prepared.class_counts),
        "assumptions": list(prepared.assumptions),
        "cleaned": list(prepared.cleaned),
        "folds": [fold.to_json() for fold in prepared.folds],
        "given": list(prepared.given),
    }


def load_prepared(directory: Path) -> PreparedData:
    """What `prepare` returned, read back. Raises FileNotFoundError where it never finished."""
    values = json.loads((directory / "prepared.json").read_text(encoding="utf-8"))
    split = values["split"] | {part: tuple(values["split"][part]) for part in _PARTS}
    findings = tuple(Finding.from_json(value | {"rows": tuple(value["rows"])}) for value in values["findings"])
    return PreparedData(
        directory=directory,
        schema=Schema.from_json(values["schema"]),
        split=Split(**split),
        findings=findings,
        counts=values["counts"],
        class_counts=values["class_counts"],
        assumptions=tuple(values["assumptions"]),
        cleaned=tuple(values["cleaned"]),
        folds=tuple(Fold.from_json(value) for value in values.get("folds", ())),
        given=tuple(values.get("given", ())),
    )


def read_part(directory: Path, part: Part) -> pa.Table:
    """A part's rows, memory-mapped: `row`, the inputs, and, but for the test, `label`."""
    if part == "pool":
        return pa.concat_tables([read_part(directory, "train"), read_part(directory, "validation")])
    with pa.memory_map(str(directory / f"{part}.arrow")) as file:
        return pa.ipc.open_file(file).read_all()


def read_training_rows(directory: Path, fold: int | None) -> pa.Table:
    """The rows that a training learns from, in their order: those of its cut, or of the only one (None)."""
    if fold is None:
        return read_part(directory, "train")
    return read_part(directory, "pool").filter(pa.array(~read_fold(directory, fold)))
