"""Text classification: one text, or a pair of texts, and one of several classes.

text                            label
"How far is it from Denver"     NUM
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl.tasks.base import Baseline, Field, Generators
from automl.tasks.classification import CONSTANT, FEATURES, Classification, fit_constant, fit_logistic
from automl.types import Schema

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

TFIDF = Baseline(name="tf-idf + logistic regression", needs="inputs")

WORD_NOISE = "word_noise"
"""The recipe's key: the share of the words of training texts that is left out or moved; without it, 0."""

_BATCH_ROWS = 2_000
_SPARSE_STRENGTHS = (0.1, 1.0, 10.0, 100.0)
_DENSE_STRENGTHS = (0.001, 0.01, 0.1, 1.0)
"""A few hundred dense columns need far less freedom than sparse words."""


class TextClassification(Classification):
    name = "text-classification"
    head = "sequence-classification"
    pipeline = "text-classification"
    variations = frozenset({"words"})
    piece_rows = 20_000

    def encode(self, table: pa.Table, schema: Schema, processor: Any, limits: Mapping[str, int]) -> dict[str, Field]:
        chunks: dict[str, list[NDArray[np.int32]]] = {}
        lengths: dict[str, list[int]] = {}
        for batch in table.select(list(schema.inputs)).to_batches(max_chunksize=_BATCH_ROWS):
            texts = [column.to_pylist() for column in batch.columns]
            encoded = processor(*texts, truncation=True, padding=False, **limits)
            for name, rows in encoded.items():
                chunks.setdefault(name, []).append(np.fromiter(chain.from_iterable(rows), np.int32))
                lengths.setdefault(name, []).extend(len(row) for row in rows)
        return {
            name: (np.concatenate(parts), np.concatenate([[0], np.cumsum(lengths[name])]).astype(np.int64))
            for name, parts in chunks.items()
        }

    def collate(
        self,
        rows: Sequence[Mapping[str, NDArray[Any]]],
        labels: NDArray[np.int64] | None,
        padding: Mapping[str, int],
    ) -> dict[str, torch.Tensor]:
        import torch

        batch = {}
        for name in rows[0]:
            longest = max(len(row[name]) for row in rows)
            filled = np.full((len(rows), longest), padding.get(name, 0), dtype=np.int64)
            for index, row in enumerate(rows):
                filled[index, : len(row[name])] = row[name]
            batch[name] = torch.from_numpy(filled)
        if labels is not None:
            batch["labels"] = torch.from_numpy(np.ascontiguousarray(labels))
        return batch

    def is_augmented(self, recipe: Mapping[str, Any]) -> bool:
        return self.rewrites(recipe)

    def rewrites(self, recipe: Mapping[str, Any]) -> bool:
        return bool(recipe.get(WORD_NOISE, 0) > 0)

    def rewrite(self, table: pa.Table, schema: Schema, recipe: Mapping[str, Any], generators: Generators) -> pa.Table:
        import pyarrow as pa

        from automl.tasks.word_variation import varied_words

        for name in schema.inputs:
            texts = table.column(name).to_pylist()
            varied = [varied_words(t, recipe[WORD_NOISE], g) for t, g in zip(texts, generators, strict=True)]
            table = table.set_column(table.column_names.index(name), name, pa.array(varied, pa.string()))
        return table

    def baseline_inputs(self, table: pa.Table, schema: Schema) -> Sequence[Any]:
        columns = [table.column(name).to_pylist() for name in schema.inputs]
        return [" \n ".join(row) for row in zip(*columns, strict=True)]

    def baselines(self) -> tuple[Baseline, ...]:
        return CONSTANT, TFIDF, FEATURES

    def fit_baseline(
        self,
        baseline: Baseline,
        schema: Schema,
        train: tuple[Any, NDArray[np.int64]],
        validation: tuple[Any, NDArray[np.int64]],
        seed: int,
    ) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import FeatureUnion
        from sklearn.preprocessing import StandardScaler

        if baseline == CONSTANT:
            return fit_constant(train)
        if baseline == FEATURES:
            return fit_logistic(StandardScaler(), _DENSE_STRENGTHS, train, validation, seed)
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, max_features=50_000)
        prepare = FeatureUnion([("words", words), ("letters", letters)])
        return fit_logistic(prepare, _SPARSE_STRENGTHS, train, validation, seed)
