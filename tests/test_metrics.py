import numpy as np
import pytest
from sklearn import metrics as reference

from automl.errors import RequestError
from automl.metrics import METRICS, get_metric

REFERENCES = {
    "accuracy": lambda y, p: reference.accuracy_score(y, p.argmax(1)),
    "macro_f1": lambda y, p: reference.f1_score(y, p.argmax(1), average="macro"),
    "balanced_accuracy": lambda y, p: reference.balanced_accuracy_score(y, p.argmax(1)),
    "mcc": lambda y, p: reference.matthews_corrcoef(y, p.argmax(1)),
    "auroc": lambda y, p: (
        reference.roc_auc_score(y, p[:, 1])
        if p.shape[1] == 2
        else reference.roc_auc_score(y, p, multi_class="ovr", average="macro")
    ),
    "log_loss": lambda y, p: reference.log_loss(y, np.float64(p) / np.float64(p).sum(1, keepdims=True)),
}


def example(rows: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, rows)
    logits = generator.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[labels]
    odds = np.exp(logits)
    return labels.astype(np.int64), (odds / odds.sum(1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_metric_agrees_with_the_reference(name: str, classes: int) -> None:
    labels, probabilities = example(300, classes)
    expected = REFERENCES[name](labels, probabilities)
    assert METRICS[name].score(labels, probabilities) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_perfect_predictions_beat_constant_ones(name: str) -> None:
    labels, _ = example(200, 3)
    perfect = np.eye(3, dtype=np.float32)[labels]
    constant = np.tile(np.float32([0.5, 0.3, 0.2]), (200, 1))
    metric = METRICS[name]
    assert metric.better(metric.score(labels, perfect), metric.score(labels, constant))
    assert metric.better(metric.score(labels, constant), metric.worst)


def test_a_class_without_rows_does_not_count() -> None:
    labels = np.array([0, 1, 0, 1])
    probabilities = np.float32([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.7, 0.2, 0.1], [0.2, 0.7, 0.1]])
    for name in ("macro_f1", "balanced_accuracy", "auroc"):
        assert METRICS[name].score(labels, probabilities) == 1.0


def test_auroc_of_one_class_is_not_a_number() -> None:
    assert np.isnan(METRICS["auroc"].score(np.array([1, 1]), np.float32([[0.1, 0.9], [0.4, 0.6]])))


@pytest.mark.parametrize("name", [name for name in sorted(METRICS) if METRICS[name].per_item])
def test_a_per_item_metric_is_the_mean_over_rows(name: str) -> None:
    labels, probabilities = example(60, 3)
    rows = [METRICS[name].score(labels[[i]], probabilities[[i]]) for i in range(60)]
    assert np.mean(rows) == pytest.approx(METRICS[name].score(labels, probabilities), abs=1e-6)


def test_always_ham_scores_half_in_balanced_accuracy() -> None:
    labels = np.array([0] * 87 + [1] * 13)
    ham = np.tile(np.float32([0.9, 0.1]), (100, 1))
    assert METRICS["accuracy"].score(labels, ham) == pytest.approx(0.87)
    assert METRICS["balanced_accuracy"].score(labels, ham) == 0.5
    assert METRICS["mcc"].score(labels, ham) == 0.0


def test_an_unknown_metric_names_the_near_miss() -> None:
    with pytest.raises(RequestError, match="Did you mean 'accuracy'"):
        get_metric("acuracy")
