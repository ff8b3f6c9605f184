"""What a run would learn from, in memory: checked, cleaned and split. `prepare` writes it, `inspect` does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from automl.config import RunRequest
from automl.data.checks import SUPPORTED_TASKS, check_parts, check_request, check_roles
from automl.data.clean import Repair, clean
from automl.data.cleaned import mended_inspection
from automl.data.columns import Mask
from automl.data.kept import Kept
from automl.data.last_look import look_at_data, refusal
from automl.data.leakage import Keyed
from automl.data.levels import parse_levels
from automl.data.partition import CONTENT, Partition, bound
from automl.data.profile import Inspection, inspect_parts, ordered
from automl.data.rare_classes import divided
from automl.data.repairs import chosen
from automl.data.rows import Rows
from automl.data.slices import set_aside
from automl.errors import UserError
from automl.types import Finding


@dataclass(frozen=True, kw_only=True)
class Draft:
    """seen: with the findings on what was prepared. notes: on parts that are left aside."""

    seen: Inspection
    target: str
    parted: Partition
    repairs: list[Repair]
    notes: list[str]


def looked_at(parts: Mapping[str, Rows], request: RunRequest, unpack_in: Path | None = None) -> Inspection:
    """The inspection of loaded parts that a request asks for. unpack_in: as in `load`."""
    shown = set_aside(parts, request)
    levels = None if request.levels is None else parse_levels(request.levels)
    return inspect_parts(shown, request.target, request.text, request.image, request.group, unpack_in, levels)


def draft(seen: Inspection, request: RunRequest) -> Draft:
    """The data of a run. Raises DataError or RequestError where nothing can be learnt from it."""
    target = check_roles(seen, request)
    usable, notes = check_parts(seen, request, target)
    on = chosen(request.clean)
    seen, mended = mended_inspection(seen, on)
    keyed = {name: seen.keyed[name] for name in usable}
    keep, repairs = clean(keyed, on, seen.near)
    kept = {name: _keep(keyed[name], seen.roles.inputs, keep[name]) for name in usable}
    binding = bound(keyed["train"], seen, request).filter(keep["train"])
    parted, repairs, found = divided(kept, seen, target, request, binding, mended + repairs)
    named, folded = request.target is not None, bool(parted.folds)
    found += look_at_data(seen, parted.rows, parted.cut, named_target=named, folded=folded)
    seen = replace(seen, findings=ordered([*seen.findings, *found]))
    return Draft(seen=seen, target=target, parted=parted, repairs=repairs, notes=notes)


def foreseen(seen: Inspection, request: RunRequest) -> tuple[Finding, ...]:
    """The findings of an inspection with those that a run would add, and what it would refuse, in its words."""
    known = (*SUPPORTED_TASKS, *([request.task] if request.task else ()))  # data knows no plug-in
    try:
        check_request(request, known)
        return draft(seen, request).seen.findings
    except UserError as error:
        return ordered([*refusal(error), *seen.findings])


def _keep(part: Keyed, inputs: tuple[str, ...], keep: Mask) -> Kept:
    """The rows that stay, with `content` too where the inputs only point at it."""
    assert part.labels is not None
    columns = {"row": pa.chunked_array([part.numbers]), **{name: part.rows.table[name] for name in inputs}}
    columns["label"] = part.labels.cast(pa.string())
    if part.content is not None:
        columns[CONTENT] = part.content
    return Kept.of(pa.table(columns), inputs, keep)
