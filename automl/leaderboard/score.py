"""The sealed test: alone reads its labels, after the winners are fixed, and notes each time."""

from __future__ import annotations

import getpass
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from automl.data.split import rows_sha256
from automl.errors import RunFolderError, SealedTest
from automl.leaderboard.calibration import Calibration, calibration_of
from automl.leaderboard.mistakes import Mistake, confident_mistakes
from automl.leaderboard.resampling import TestDraws, deviations
from automl.leaderboard.slices import Slice, read_slices
from automl.leaderboard.statistics import Sample
from automl.leaderboard.store import RunFolder, append_line, now
from automl.metrics import Labels, Metric, Scores, get_metric
from automl.types import TrialResult

TEST_LABELS = "test_labels.arrow"


@dataclass(frozen=True, kw_only=True)
class ScoredTrainings:
    """What the test says about the trainings of one row and one kind (finals, defaults, a baseline).

    trainings: those whose predictions could be scored, in the order of their seeds.
    samples: of every metric that this test defines, turned so that higher is better; `sample` is the deciding one's.
    confusion: shape (classes, classes), rows are true, mean count over the trainings.
    calibration: None without trainings. mistakes: the rows most surely wrong, for the report's examples.
    slices: of every slice of the test, the deciding metric on its rows; None where it is not defined there.
    collapsed: trainings that call every test row the same. problems: why trainings are missing here.
    """

    trainings: tuple[TrialResult, ...]
    sample: Sample | None
    samples: Mapping[str, Sample]
    confusion: NDArray[np.float64]
    calibration: Calibration | None
    mistakes: tuple[Mistake, ...]
    slices: tuple[tuple[Slice, Sample | None], ...]
    collapsed: int
    problems: tuple[str, ...]
    sign: float

    @property
    def per_seed(self) -> tuple[float, ...]:
        """Test score of each training, as the metric counts it."""
        return () if self.sample is None else tuple(float(score) * self.sign for score in self.sample.scores)


@dataclass(frozen=True, kw_only=True)
class ScoredRun:
    """Every row of a run, scored in one opening of the test."""

    finals: Mapping[str, ScoredTrainings]
    defaults: Mapping[str, ScoredTrainings]
    baselines: Mapping[str, ScoredTrainings]
    test_rows: int


@dataclass(frozen=True, kw_only=True)
class OpenedTest:
    """The test labels of a run. rows: row numbers in the source file. words: the classes' names, labels: numbers."""

    rows: NDArray[np.int64]
    words: pa.ChunkedArray
    labels: Labels


def open_test(folder: RunFolder, why: str, who: str | None = None) -> OpenedTest:
    """The test labels, checked against their seal; the opening is on record before they are read.

    Raises SealedTest while a winner is not fixed, RunFolderError where the labels are not those of the split.
    """
    contest = folder.read_contest()
    refuse_sealed(folder, contest)
    return _open_test(folder, contest, why, who or _user())


def score_predictions(folder: RunFolder, predictions: Sequence[Scores], why: str) -> list[float]:
    """The deciding metric of predictions on the test rows, in one opening; shape (rows, classes) each."""
    labels = open_test(folder, why).labels
    metric = get_metric(folder.read_contest()["metric"])
    for one in predictions:
        if len(one) != len(labels):
            found = f"predictions of {len(one)} rows"
            raise RunFolderError(found, f"the {len(labels)} rows of the test", "Restore the run's data/ folder")
    return [metric.score(labels, one) for one in predictions]


def score_run(folder: RunFolder, why: str, who: str | None = None, opened: OpenedTest | None = None) -> ScoredRun:
    """The test scores of all finals, defaults and baselines of a run.

    opened: the test, where it has been opened for this already.
    Raises SealedTest while a winner is not fixed, RunFolderError where records or predictions are missing
    or the labels are not those of the split.
    """
    contest = folder.read_contest()
    opened = opened or open_test(folder, why, who)
    labels, slices = opened.labels, read_slices(folder, opened.rows)
    metrics = [get_metric(name) for name in dict.fromkeys([contest["metric"], *contest["metrics"]])]
    draws = TestDraws(len(labels))
    trials, classes = folder.counting_trials(), len(contest["schema"]["classes"])

    def scored(name: str, results: Sequence[TrialResult], kind: str) -> ScoredTrainings:
        chosen = sorted((r for r in results if r.contender == name and r.kind == kind), key=lambda r: r.seed)
        return _score(folder, name, chosen, labels, metrics, classes, draws, slices)

    names = [value["name"] for value in contest["contenders"]]
    baselines = folder.baselines()
    planned = dict.fromkeys([*contest.get("baselines", ()), *(result.contender for result in baselines)])
    return ScoredRun(
        finals={name: scored(name, trials, "final") for name in names},
        defaults={name: scored(name, trials, "default") for name in names},
        baselines={name: scored(name, baselines, "baseline") for name in planned},
        test_rows=len(labels),
    )


def refuse_sealed(folder: RunFolder, contest: Mapping[str, Any]) -> None:
    """Raises SealedTest unless every contender's winner is written down."""
    winners = folder.read_winners()
    open_ = [value["name"] for value in contest["contenders"] if value["name"] not in winners]
    if open_:
        found = "no winners are fixed" if not winners else f"the winner of {', '.join(open_)} is not fixed"
        raise SealedTest(
            f"{folder.path}: {found}",
            "the test labels are read after every winner is fixed, so that they cannot choose one",
            f"Finish the search first: automl resume {folder.path}",
        )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may run without a name for its user
        return "unknown"


def _open_test(folder: RunFolder, contest: Mapping[str, Any], why: str, who: str) -> OpenedTest:
    path = folder.data / TEST_LABELS
    if not path.exists():
        raise RunFolderError(
            f"{path} is missing", "the test labels of this run", "Restore the run's data/ folder; or run anew"
        )
    fingerprint = contest["split_fingerprint"]
    append_line(folder.access_file, {"at": now(), "who": who, "why": why, "split_fingerprint": fingerprint})
    try:
        with pa.memory_map(str(path)) as source:
            table = pyarrow.ipc.open_file(source).read_all()
            numbers, column = table.column("row").to_numpy(), table.column("label")
            words, digest = column.to_pylist(), rows_sha256(numbers, column)
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        reason = " ".join(str(error).split())
        problem = f"{path} could not be read: {reason}"
        raise RunFolderError(problem, "an Arrow file", "Restore the run's data/ folder") from None
    sealed = folder.split().get("test_labels_sha256")
    if sealed is not None and digest != sealed:
        raise RunFolderError(
            f"{path} does not hold the labels that were sealed",
            f"SHA-256 {sealed[:12]}, found {digest[:12]}",
            "Restore the run's data/ folder; a board on other labels would be another contest",
        )
    number = {name: index for index, name in enumerate(contest["schema"]["classes"])}
    unknown = sorted({word for word in words if word not in number})
    if unknown or not words:
        found = f"{path} holds the unknown class {unknown[0]!r}" if unknown else f"{path} holds no rows"
        raise RunFolderError(found, f"rows of {len(number)} known classes", "Restore the run's data/ folder")
    labels = np.array([number[word] for word in words], dtype=np.int64)
    return OpenedTest(rows=np.array(numbers), words=column, labels=labels)


def _score(
    folder: RunFolder,
    name: str,
    results: Sequence[TrialResult],
    labels: Labels,
    metrics: Sequence[Metric],
    classes: int,
    draws: TestDraws,
    slices: Sequence[Slice],
) -> ScoredTrainings:
    metric, problems = metrics[0], []
    kept: list[tuple[TrialResult, Scores]] = []
    for result in results:
        predictions, problem = _predictions(folder, result, (len(labels), classes))
        value = metric.score(labels, predictions) if predictions is not None else math.nan
        if predictions is not None and not math.isfinite(value):
            problem = f"{metric.name} is not defined on this test"
        if problem is not None or predictions is None:
            problems.append(f"seed {result.seed}: {problem}")
            continue
        kept.append((result, predictions))
    confusion = np.zeros((classes, classes))
    for _, predictions in kept:
        pairs = labels * classes + predictions.argmax(axis=1)
        confusion += np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
    sign = 1.0 if metric.higher_is_better else -1.0
    trainings, told = tuple(result for result, _ in kept), [predictions for _, predictions in kept]
    found = (_sample(name, trainings, told, one, labels, draws) for one in metrics) if kept else ()
    samples = {one.name: sample for one, sample in zip(metrics, found, strict=False) if sample is not None}
    return ScoredTrainings(
        trainings=trainings,
        sample=samples.get(metric.name),
        samples=samples,
        confusion=confusion / max(len(kept), 1),
        calibration=calibration_of(labels, told) if told else None,
        mistakes=confident_mistakes(labels, told),
        slices=tuple(
            (one, _sample(name, trainings, [p[one.where] for p in told], metric, labels[one.where], one.draws))
            for one in (slices if kept else ())
        ),
        collapsed=sum(len(np.unique(one.argmax(axis=1))) == 1 for one in told),
        problems=tuple(problems),
        sign=sign,
    )


def _sample(
    name: str,
    trainings: Sequence[TrialResult],
    predictions: Sequence[Scores],
    metric: Metric,
    labels: Labels,
    draws: TestDraws,
) -> Sample | None:
    """The trainings under one metric; None where this test does not define it."""
    scores = np.array([metric.score(labels, one) for one in predictions])
    if not np.isfinite(scores).all():
        return None
    sign = 1.0 if metric.higher_is_better else -1.0
    return Sample(
        name=name,
        seeds=tuple(result.seed for result in trainings),
        scores=scores * sign,
        deviations=deviations(metric, labels, predictions, draws) * sign,
        rows=len(labels),
        deterministic=trainings[0].kind == "baseline",
        per_row=metric.per_item and len(labels) > 1,
    )


def _predictions(folder: RunFolder, result: TrialResult, shape: tuple[int, int]) -> tuple[Scores | None, str | None]:
    """Probabilities on the test rows; or None and why there are none."""
    if result.status != "completed":
        return None, result.error or result.status.replace("_", " ")
    path = folder.path / (result.predictions_file or f"predictions/{result.id}.npz")
    if not path.exists():
        return None, f"{path.name} is missing from predictions/"
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = np.asarray(arrays["test"], dtype=np.float32)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        return None, f"{path.name} could not be read: {type(error).__name__}"
    if found.shape != shape:
        return None, f"{path.name} holds predictions of shape {found.shape}; the test needs {shape}"
    if not np.isfinite(found).all():
        return None, f"{path.name} holds predictions that are not numbers"
    return found, None
