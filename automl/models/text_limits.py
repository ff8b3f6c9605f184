"""How much of a text a model reads, and which rows are longer: counted with the model's own tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from automl.data.columns import Mask, as_text, byte_counts
from automl.data.leakage import Keyed, first_rows
from automl.data.pieces import evenly, rows_at
from automl.errors import CheckpointError, RequestError
from automl.models.base import TEXT_HEAD, ModelFamily
from automl.models.checkpoints import find_checkpoint
from automl.models.last_look import look_at_checkpoint
from automl.registry import get_part, parts
from automl.types import Checkpoint, Contender, Finding, Schema

if TYPE_CHECKING:
    from automl.data.profile import Inspection

_MOST_ROWS = 20_000
_SPECIAL_TOKENS = 8
_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What of a part's rows a model reads. tokens: the limit. cut: the rows whose end is not seen.
    counted: rows that could be longer than the limit and were tokenized. left: those that were not, for there are
    too many.
    """

    model: str
    tokens: int
    cut: Mask
    counted: int
    left: int

    def sentence(self, rows: str) -> str:
        some = f" ({self.counted:,} long ones were counted, {self.left:,} not)" if self.left else ""
        count = int(self.cut.sum())
        told = f"of {count:,} {rows} it does not see the end" if count else f"all {rows} fit"
        return f"{self.model} reads {self.tokens:,} tokens: {told}{some}"


def text_family(checkpoint: Checkpoint) -> ModelFamily:
    """The family that reads texts with this model. Raises CheckpointError where there is none."""
    families = parts("automl.models", ModelFamily)  # type: ignore[type-abstract]
    found = next((f for f in families.values() if TEXT_HEAD in f.heads and f.claims(checkpoint)), None)
    if found is None:
        raise CheckpointError(
            f"{checkpoint.name} is a {checkpoint.model_type!r} model, which reads no text",
            "a model with a tokenizer, for its limit is that of texts",
            "Name another with --models",
        )
    return found


def reach(checkpoint: Checkpoint, family: ModelFamily, table: pa.Table, inputs: Sequence[str]) -> Reach | None:
    """Which rows the model does not read to their end; None where nothing bounds its inputs.

    A token holds one byte or more, so short rows are known to fit without being tokenized.
    """
    tokenizer = family.load_processor(checkpoint)
    limit = family.limits(checkpoint.path, tokenizer).get("max_length")
    if limit is None:
        return None
    sizes = np.zeros(table.num_rows, np.int64)
    for name in inputs:
        sizes += byte_counts(as_text(table[name]))
    candidates = np.flatnonzero(sizes + _SPECIAL_TOKENS > limit)
    chosen = candidates[evenly(len(candidates), _MOST_ROWS)]
    cut = np.zeros(table.num_rows, np.bool_)
    for start in range(0, len(chosen), _BATCH):
        places = chosen[start : start + _BATCH]
        rows = rows_at(table.select(list(inputs)), places)
        texts = [[text or "" for text in as_text(rows[name]).to_pylist()] for name in inputs]
        encoded = tokenizer(*texts, truncation=False, padding=False, verbose=False)["input_ids"]
        cut[places] = [len(tokens) > limit for tokens in encoded]
    return Reach(
        model=checkpoint.name, tokens=limit, cut=cut, counted=len(chosen), left=len(candidates) - len(chosen)
    )


def limit_sentences(contenders: Sequence[Contender], train: pa.Table, inputs: Sequence[str]) -> list[str]:
    """For each model of texts among the contenders, how much it reads and how many training rows are longer."""
    lines = []
    for checkpoint, name in {one.checkpoint.name: (one.checkpoint, one.family) for one in contenders}.values():
        family = get_part("automl.models", ModelFamily, name)  # type: ignore[type-abstract]
        found = reach(checkpoint, family, train, inputs) if TEXT_HEAD in family.heads else None
        if found is not None:
            lines.append(found.sentence("training rows"))
    return lines


def against_limits(seen: Inspection, models: Sequence[str]) -> Inspection:
    """The inspection with what each model does not read, in the place of what most models would not.

    What `run` would warn of or refuse in a model is among the findings too.
    Raises RequestError where the inputs are no texts, CheckpointError where a name leads to no model of texts.
    """
    from automl.data.profile import ordered  # here: it reads files, which a training never does

    if seen.looks or not seen.roles.inputs:
        raise RequestError("--models is given, and no input is text", "texts, whose length is told", "Leave it out")
    checkpoints = [find_checkpoint(name) for name in models]
    families = [text_family(checkpoint) for checkpoint in checkpoints]
    findings = [finding for finding in seen.findings if finding.kind != "too_long"]
    classes = tuple(sorted(seen.class_counts)) or ("a", "b")
    schema = Schema(
        task=seen.roles.task or "", inputs=seen.roles.inputs, target=seen.roles.target or "", classes=classes
    )
    limits: list[dict[str, Any]] = []
    for checkpoint, family in zip(checkpoints, families, strict=True):
        tables = [
            (part, reach(checkpoint, family, part.rows.table, seen.roles.inputs)) for part in seen.keyed.values()
        ]
        reached = [(part, found) for part, found in tables if found is not None]
        if reached:
            cut = {part.name: int(found.cut.sum()) for part, found in reached}
            limits.append({"model": checkpoint.name, "tokens": reached[0][1].tokens, "cut": cut})
        findings += [_finding(part, found) for part, found in reached if found.cut.any()]
        findings += look_at_checkpoint(checkpoint, family, seen.keyed["train"].rows.table, schema)
    return replace(seen, findings=ordered(findings), limits=tuple(limits))


def _finding(part: Keyed, found: Reach) -> Finding:
    return Finding(
        kind="too_long",
        severity="note",
        count=int(found.cut.sum()),
        what=f"{part.name}: {found.sentence('rows')}",
        suggestion="shorten what matters less, or name a model that reads more",
        rows=first_rows(part.numbers, found.cut),
        part=part.name,
    )
