"""Text classification: one text, or a pair of texts, and one of several classes.

text                            label
"How far is it from Denver"     NUM
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl.metrics import CLASSIFICATION, get_metric
from automl.tasks.base import Baseline, Field, Task
from automl.types import Schema

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

MAJORITY_SHARE = 0.7
"""Above this share of the largest class, accuracy would mostly reward naming that class."""

CONSTANT = Baseline(name="constant", needs="labels")
TFIDF = Baseline(name="tf-idf + logistic regression", needs="inputs")
FEATURES = Baseline(name="features + logistic regression", needs="features")

_BATCH_ROWS = 2_000
_STRENGTHS = (0.1, 1.0, 10.0, 100.0)


class TextClassification(Task):
    name = "text-classification"
    head = "sequence-classification"
    pipeline = "text-classification"
    metrics = tuple(CLASSIFICATION)

    def choose_metric(self, class_counts: Mapping[str, int]) -> tuple[str, str]:
        name, count = max(class_counts.items(), key=lambda item: item[1])
        share = count / sum(class_counts.values())
        if share >= MAJORITY_SHARE:
            return "macro_f1", (
                f"always saying {name!r} would be right for {share:.1%} of the rows, "
                "so every class counts alike instead of every row"
            )
        return "accuracy", f"the largest class, {name!r}, holds {share:.1%} of the rows"

    def encode(self, table: pa.Table, schema: Schema, processor: Any, limits: Mapping[str, int]) -> dict[str, Field]:
        chunks: dict[str, list[NDArray[np.int32]]] = {}
        lengths: dict[str, list[int]] = {}
        for batch in table.select(list(schema.inputs)).to_batches(max_chunksize=_BATCH_ROWS):
            texts = [column.to_pylist() for column in batch.columns]
            encoded = processor(*texts, truncation=True, padding=False, **limits)
            for name, rows in encoded.items():
                flat = [token for row in rows for token in row]
                chunks.setdefault(name, []).append(np.asarray(flat, dtype=np.int32))
                lengths.setdefault(name, []).extend(len(row) for row in rows)
        return {
            name: (np.concatenate(parts), np.concatenate([[0], np.cumsum(lengths[name])]).astype(np.int64))
            for name, parts in chunks.items()
        }

    def labels(self, table: pa.Table, schema: Schema) -> NDArray[np.int64]:
        number = {name: index for index, name in enumerate(schema.classes)}
        return np.asarray([number[value] for value in table.column("label").to_pylist()], dtype=np.int64)

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

    def loss(self, outputs: Any, labels: torch.Tensor, recipe: Mapping[str, Any]) -> torch.Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs.logits.float(), labels, label_smoothing=recipe["label_smoothing"])

    def predict(self, outputs: Any) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = outputs.logits.float().softmax(dim=-1).cpu().numpy()
        return probabilities

    def answers(self, predictions: NDArray[np.float32], schema: Schema) -> dict[str, list[Any]]:
        chosen = predictions.argmax(axis=1)
        return {
            "prediction": [schema.classes[index] for index in chosen],
            "probability": [round(float(value), 6) for value in predictions.max(axis=1)],
        }

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
        from sklearn.dummy import DummyClassifier
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import FeatureUnion, make_pipeline
        from sklearn.preprocessing import StandardScaler

        if baseline == CONSTANT:
            return DummyClassifier(strategy="prior").fit(train[0], train[1])
        if baseline == TFIDF:
            words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
            letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, max_features=50_000)
            prepare: Any = FeatureUnion([("words", words), ("letters", letters)])
        else:
            prepare = StandardScaler()
        fitted = prepare.fit(train[0])
        inputs, held_out = fitted.transform(train[0]), fitted.transform(validation[0])
        log_loss = get_metric("log_loss").score
        best: tuple[float, Any] | None = None
        for strength in _STRENGTHS:
            if baseline == FEATURES:  # a few hundred dense columns need far less freedom than sparse words
                strength /= 100
            model = LogisticRegression(C=strength, max_iter=300, random_state=seed).fit(inputs, train[1])
            loss = log_loss(validation[1], model.predict_proba(held_out))
            if best is None or loss < best[0]:
                best = loss, model
        assert best is not None
        return make_pipeline(fitted, best[1])
