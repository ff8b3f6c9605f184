"""A last look at the checkpoints of a contest before anything is spent: their weights, and how they read the data.

Nothing is trained: names and shapes come from the files' headers, tokens from a few training rows.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from automl.data.columns import as_text
from automl.data.pieces import evenly, rows_at
from automl.errors import AutoMLError
from automl.models.base import TEXT_HEAD, ModelFamily
from automl.models.weight_fit import WeightFit, not_finite, shown
from automl.registry import get_part
from automl.types import Checkpoint, Contender, Finding, Schema

ROWS = 200
"""Training rows whose tokens are looked at."""
WARNED, REFUSED = 0.05, 0.9
"""Fractions of tokens or rows from which something is warned of, and from which nothing could be learnt."""
_FEW_TOKENS = 20
"""So few tokens in all are no evidence."""


def look_at_checkpoints(contenders: Sequence[Contender], train: pa.Table, schema: Schema) -> list[Finding]:
    """What is wrong with the checkpoints, or with how their tokenizers read the training rows."""
    seen = [look_at_checkpoint(*one, train, schema) for one in distinct(contenders)]
    return [finding for findings in seen for finding in findings]


def look_at_checkpoint(checkpoint: Checkpoint, family: ModelFamily, train: pa.Table, schema: Schema) -> list[Finding]:
    """What is wrong with one of them."""
    try:
        fit = family.fit_of_files(checkpoint, schema)
        findings = [] if fit is None else _weights(checkpoint, fit)
        if TEXT_HEAD in family.heads and train.num_rows:
            findings += Reading(checkpoint, family, train, schema).findings(fit)
    except AutoMLError as problem:
        expected = f"; {problem.expected}" if problem.expected else ""
        return [_finding("weights", "refuse", f"{problem.found}{expected}", problem.todo)]
    return findings


def checkpoint_sentences(contenders: Sequence[Contender], schema: Schema) -> list[str]:
    """For each checkpoint what is not taken as it lies in its files: names that a wrapper changed, an old head."""
    lines = []
    for checkpoint, family in distinct(contenders):
        fit = family.fit_of_files(checkpoint, schema)
        if fit is not None and fit.wrapper:
            lines.append(f"{checkpoint.name}: {fit.wrapper!r} before the name of every weight is taken off")
        if fit is not None and fit.old_classes is not None:
            classes = "1 class" if fit.old_classes == 1 else f"{fit.old_classes:,} classes"
            lines.append(
                f"{checkpoint.name}: the checkpoint's own head for {classes} is not used, a fresh one learns"
            )
    return lines


def distinct(contenders: Sequence[Contender]) -> list[tuple[Checkpoint, ModelFamily]]:
    """Every checkpoint once, with its family."""
    found = {one.checkpoint.name: (one.checkpoint, one.family) for one in contenders}
    return [(it, get_part("automl.models", ModelFamily, name)) for it, name in found.values()]  # type: ignore[type-abstract]


def _weights(checkpoint: Checkpoint, fit: WeightFit) -> list[Finding]:
    findings = []
    if fit.unused:
        what = f"{checkpoint.name}: {len(fit.unused):,} weights in its files have no place in the model that its "
        what += f"config.json describes ({shown(fit.unused)})"
        findings.append(_finding("unused_weights", "warn", what, "check that config.json belongs to these weights"))
    if broken := not_finite(checkpoint, fit):
        what = f"{checkpoint.name}: {len(broken):,} of its weights hold NaN or infinite values ({shown(broken)})"
        todo = "its training went wrong or its file is damaged: copy it again, or name another with --models"
        findings.append(_finding("not_finite", "refuse", what, todo))
    return findings


class Reading:
    """A few training rows as a model's tokenizer reads them."""

    def __init__(self, checkpoint: Checkpoint, family: ModelFamily, train: pa.Table, schema: Schema) -> None:
        self._name = checkpoint.name
        self._train, self._schema = train, schema
        self._tokenizer: Any = family.load_processor(checkpoint)
        self._limit = family.limits(checkpoint.path, self._tokenizer).get("max_length")
        self._special_count = self._tokenizer.num_special_tokens_to_add(pair=len(schema.inputs) == 2)

    def findings(self, fit: WeightFit | None) -> list[Finding]:
        if self._limit is not None and self._limit <= self._special_count:
            what = f"{self._name} reads {self._limit} tokens, and {self._special_count} of them are special ones"
            todo = (
                "check max_position_embeddings in its config.json and model_max_length in its tokenizer_config.json"
            )
            return [_finding("no_room", "refuse", what, todo)]
        self._encode()
        rows = None if fit is None else fit.rows
        found = (self._without_embedding(rows) if rows else None, self._unknown(), self._empty(), self._alike())
        return [finding for finding in found if finding is not None]

    def _encode(self) -> None:
        inputs = list(self._schema.inputs)
        chosen = rows_at(self._train, evenly(self._train.num_rows, ROWS))
        columns = [[text or "" for text in as_text(chosen[name]).to_pylist()] for name in inputs]
        options = {} if self._limit is None else {"truncation": True, "max_length": self._limit}
        encoded = self._tokenizer(*columns, padding=False, verbose=False, **options)["input_ids"]
        marks = {getattr(self._tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "cls", "sep", "pad")}
        self._texts = [tuple(row) for row in zip(*columns, strict=True)]
        self._ids = encoded
        unknown = self._tokenizer.unk_token_id
        self._unknown_id = None if unknown in marks else unknown
        self._content = [tuple(token for token in row if token not in marks) for row in encoded]
        self._labels = chosen[self._schema.target].to_pylist() if self._schema.target in chosen.column_names else []

    def _without_embedding(self, rows: int) -> Finding | None:
        """Tokens that the embeddings do not know. Added ones may never occur in a text; all others can."""
        tokenizer = self._tokenizer
        beyond = {token: number for token, number in tokenizer.get_vocab().items() if number >= rows}
        if not beyond:
            return None
        added = set(tokenizer.get_added_vocab())
        always = {tokenizer.pad_token, tokenizer.unk_token, *tokenizer.convert_ids_to_tokens(sorted(self._seen()))}
        can_occur = [token for token in beyond if token not in added or token in always]
        can_occur = can_occur or self._written(beyond)
        names = shown([repr(token) for token in can_occur or beyond])
        what = (
            f"{self._name}: its tokenizer knows {len(beyond):,} tokens that its {rows:,} embeddings do not ({names})"
        )
        if can_occur:
            return _finding(
                "no_embedding", "refuse", what,
                "copy the tokenizer's files and the weights from one place, or name another with --models",
            )  # fmt: skip
        todo = "no training row holds one, but a row that does cannot be read: take them out of the tokenizer's files"
        return _finding("no_embedding", "warn", what, todo)

    def _seen(self) -> set[int]:
        return {token for row in self._ids for token in row}

    def _written(self, tokens: Iterable[str]) -> list[str]:
        """All of these tokens where a training row holds one of them as text, else none."""
        sought = "|".join(map(re.escape, tokens))
        columns = [as_text(self._train[name]) for name in self._schema.inputs]
        held = any(pc.any(pc.match_substring_regex(column, sought)).as_py() for column in columns)
        return list(tokens) if held else []

    def _unknown(self) -> Finding | None:
        tokens = sum(len(row) for row in self._content)
        if self._unknown_id is None or tokens < _FEW_TOKENS:
            return None
        fraction = sum(row.count(self._unknown_id) for row in self._content) / tokens
        what = f"{self._name}: its tokenizer does not know {fraction:.0%} of the tokens"
        what += f" in {len(self._ids):,} training rows"
        return _by_fraction(
            "unknown_tokens", fraction, what, "name a model of this language and alphabet with --models"
        )

    def _empty(self) -> Finding | None:
        """Rows with a text of which no token comes."""
        written = [bool("".join(row).strip()) for row in self._texts]
        empty = sum(has and not content for has, content in zip(written, self._content, strict=True))
        fraction = empty / max(sum(written), 1)
        what = f"{self._name}: its tokenizer makes no token of {empty:,} of {sum(written):,} training rows"
        return _by_fraction(
            "empty_encodings", fraction, what, "name a model of this language and alphabet with --models"
        )

    def _alike(self) -> Finding | None:
        """Rows of several classes whose texts differ in what is not read: case, what is cut off, unknown words."""
        if not self._labels:
            return None
        texts, classes = defaultdict(set), defaultdict(set)
        for content, text, label in zip(self._content, self._texts, self._labels, strict=True):
            texts[content].add(text)
            classes[content].add(label)
        alike = sum(len(texts[content]) > 1 and len(classes[content]) > 1 for content in self._content)
        what = f"{self._name}: of {len(self._ids):,} training rows {alike:,} are read as a row of another class is, "
        what += "though their texts differ (in case, in words that it does not know, or beyond its limit)"
        fraction = alike / max(len(self._ids), 1)
        return _by_fraction("read_alike", fraction, what, "name a model that tells them apart with --models")


def _by_fraction(kind: str, fraction: float, what: str, todo: str) -> Finding | None:
    if fraction < WARNED:
        return None
    return _finding(kind, "refuse" if fraction >= REFUSED else "warn", what, todo)


def _finding(kind: str, severity: Any, what: str, todo: str) -> Finding:
    return Finding(kind=kind, severity=severity, count=1, what=what, suggestion=todo)
