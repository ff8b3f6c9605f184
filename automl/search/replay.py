"""`automl replay`: a final trained anew from what the run folder says of it, and held against the first time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.config import RunRequest
from automl.data.prepared import load_prepared
from automl.errors import CheckpointError, InternalError, RunFolderError
from automl.leaderboard.content_checks import check_split
from automl.leaderboard.evidence import Evidence
from automl.leaderboard.score import refuse_sealed, score_predictions
from automl.leaderboard.store import RunFolder
from automl.models.checkpoints import find_checkpoint
from automl.search.cluster import living_nodes
from automl.search.contest import trial_templates
from automl.search.session import ray_session
from automl.search.ship import MODEL_FACTS
from automl.search.slots import Slots, plan_slots
from automl.search.sweep import Sweep
from automl.tracking.base import Tracker
from automl.types import Contender, TrialResult, TrialSpec

TOLERANCE = 1e-5
"""Of a test probability, where device, threads, precision and versions are the same: what rounding may leave."""
TOLERANCE_ELSEWHERE = 1e-2
"""Where they are not: sums are added up in another order, and every training step enlarges that a little."""
_PLACE = {"device": "device", "threads": "threads", "precision": "precision", "versions_sha": "package versions"}


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What came of it (records.md). max_difference: the largest of any test probability.

    tolerance: of probabilities and of the score. differs: what about the place is not as it was then.
    """

    matched: bool
    max_difference: float
    row: str
    seed: int
    test_then: float
    test_now: float
    metric: str
    trial: str
    tolerance: float
    differs: tuple[str, ...]
    device_seconds: float
    test_openings: int

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "differs": list(self.differs)}

    def to_text(self) -> str:
        word = "matched" if self.matched else "MISSED"
        place = "the same device, threads, precision and package versions as then"
        if self.differs:
            place = f"not as it was then: {'; '.join(self.differs)}; the tolerance is wider for it"
        return "\n".join([
            f"{word}: {self.row} on seed {self.seed}",
            f"  {self.metric} on the test: {self.test_then!r} then, {self.test_now!r} now",
            f"  largest difference of a test probability: {self.max_difference:.3g} (tolerance {self.tolerance:g})",
            f"  {place}",
            f"  this was opening {self.test_openings} of the test; it is on record",
        ])  # fmt: skip


def replay(
    folder: RunFolder,
    scratch: Path,
    row: str,
    seed: int | None = None,
    note: Callable[[str], None] = lambda text: None,
    address: str | None = None,
) -> Replay:
    """Train a row's final again and compare its test predictions with those of the run.

    scratch: an empty folder for all that the training writes; the run folder gets the opening of the test alone.
    seed: of the final; the shipped model's where None is given. address: of the Ray cluster, if not the run's.
    Raises RunFolderError, CheckpointError where there is nothing to replay or it was changed since.
    """
    contest, request = folder.read_contest(), folder.read_request()
    if address is not None:
        request = request.resolved(address=address)
    refuse_sealed(folder, contest)
    contender = _contender(folder, contest, row)
    final = _final(folder, contender, seed)
    before = _predictions_then(folder, final)
    _refuse_changed_data(folder)
    contender = replace(contender, checkpoint=_checkpoint(contender, request))
    note(f"training {row} on seed {final.seed} again, as {final.id}")
    result = _train(folder, scratch, contest, request, contender, final, note)
    if result.status != "completed" or result.predictions_file is None:
        found = f"the replay of {final.id} ended {result.status.replace('_', ' ')}: {result.error}"
        raise InternalError(found, "a training that completes, as the first did", "")
    now = _read_test(scratch / result.predictions_file)
    test_then, test_now = score_predictions(folder, [before, now], f"replay of {row} on seed {final.seed}")
    differs = tuple(_differs(final.environment, result.environment))
    tolerance = TOLERANCE_ELSEWHERE if differs else TOLERANCE
    difference = float(np.abs(now.astype(np.float64) - before).max())
    return Replay(
        matched=difference <= tolerance and abs(test_now - test_then) <= tolerance,
        max_difference=difference,
        row=row,
        seed=final.seed,
        test_then=test_then,
        test_now=test_now,
        metric=contest["metric"],
        trial=final.id,
        tolerance=tolerance,
        differs=differs,
        device_seconds=result.cost.device_seconds,
        test_openings=len(folder.test_accesses()),
    )


# -- what is replayed ------------------------------------------------------------------------------------------


def _contender(folder: RunFolder, contest: dict[str, Any], row: str) -> Contender:
    contenders = {one.name: one for one in folder.contenders()}
    if row in contenders:
        return contenders[row]
    found = f"{row!r} is no contender of {folder.path}"
    if row in contest.get("baselines", ()):
        found = f"{row!r} is a baseline: a yardstick without a recipe or seeds"
    raise RunFolderError(found, f"one of {', '.join(contenders)}", "Choose with --row")


def _final(folder: RunFolder, contender: Contender, seed: int | None) -> TrialResult:
    """The final that is replayed. Raises RunFolderError where it did not complete or has another recipe."""
    finals = {
        one.seed: one
        for one in folder.counting_trials()
        if one.contender == contender.name and one.kind == "final" and one.status == "completed"
    }
    if not finals:
        raise RunFolderError(
            f"{contender.name} has no final that completed", "a row that did not fail", "Choose another with --row"
        )
    facts = folder.models / contender.slug / MODEL_FACTS
    if seed is None:
        shipped = json.loads(facts.read_text(encoding="utf-8"))["seed"] if facts.exists() else None
        seed = shipped if shipped in finals else min(finals)
    if seed not in finals:
        seeds = ", ".join(map(str, sorted(finals)))
        raise RunFolderError(f"{contender.name} has no final on seed {seed}", f"one of {seeds}", "Choose with --seed")
    final = finals[seed]
    if final.recipe != (folder.read_winners().get(contender.name) or {}).get("recipe"):
        raise RunFolderError(
            f"the recipe of {final.id} in {folder.trials_file.name} is not that of {folder.winners_file.name}",
            "one recipe in both: one of them was edited",
            f"See what was changed: automl verify {folder.path}",
        )
    return final


def _predictions_then(folder: RunFolder, final: TrialResult) -> NDArray[np.float32]:
    file = folder.path / (final.predictions_file or f"predictions/{final.id}.npz")
    if not file.exists():
        raise RunFolderError(
            f"{file} is missing", "the predictions to compare with", "Restore the predictions/ folder"
        )
    told = final.predictions_sha256
    if told is not None and hashlib.sha256(file.read_bytes()).hexdigest() != told:
        raise RunFolderError(
            f"{file} was changed since the training wrote it",
            f"SHA-256 {told[:12]}",
            f"Restore it; see also: automl verify {folder.path}",
        )
    return _read_test(file)


def _read_test(file: Path) -> NDArray[np.float32]:
    with open(file, "rb") as opened, np.load(opened, allow_pickle=False) as arrays:
        return np.asarray(arrays["test"], dtype=np.float32)


def _refuse_changed_data(folder: RunFolder) -> None:
    """Raises RunFolderError unless the prepared rows still have the fingerprint of the contest."""
    wrong = [finding.sentence() for finding in check_split(Evidence(folder)) if finding.wrong]
    if wrong:
        raise RunFolderError(
            f"the rows of {folder.path} were changed: {wrong[0]}",
            "the rows that the run was trained on",
            "Restore the run's data/ folder",
        )


def _checkpoint(contender: Contender, request: RunRequest) -> Any:
    """The checkpoint as it lies there now. Raises CheckpointError where its revision is another."""
    then = contender.checkpoint
    # a hub's snapshot is a folder of its own a commit; asked by name, the hub would answer with its newest
    name = then.path if then.kind == "folder" else then.name
    if then.kind == "hub" and Path(then.path).is_dir():
        return then
    now = find_checkpoint(name, allow_pickle=request.allow_pickle)
    if now.revision != then.revision:
        raise CheckpointError(
            f"the checkpoint {then.name} has changed: its revision is {now.revision[:12]}",
            f"revision {then.revision[:12]}, from which {contender.name} was trained",
            f"Put those files back into {now.path}",
        )
    return replace(then, path=now.path)


# -- the training ----------------------------------------------------------------------------------------------


class _OneTraining:
    """An agenda of a single spec."""

    searching = False

    def __init__(self, spec: TrialSpec) -> None:
        self.slots = 1
        self._waiting: TrialSpec | None = spec
        self.result: TrialResult | None = None

    def next(self) -> TrialSpec | None:
        spec, self._waiting = self._waiting, None
        return spec

    @property
    def finished(self) -> bool:
        return self.result is not None

    def catch_up(self, spec: TrialSpec, row: Mapping[str, Any]) -> None:
        """Nothing hangs on it."""

    def goes_on(self, spec: TrialSpec, row: Mapping[str, Any], rung: int | None, value: float, error: float) -> bool:
        return True

    def end(self, result: TrialResult) -> None:
        self.result = result


def _train(
    folder: RunFolder,
    scratch: Path,
    contest: dict[str, Any],
    request: RunRequest,
    contender: Contender,
    final: TrialResult,
    note: Callable[[str], None],
) -> TrialResult:
    """The same spec as then, through the same Ray path, on one slot with as many threads."""
    like = next(one for one in trial_templates(folder, contest, load_prepared(folder.data))
                if one.contender.name == contender.name)  # fmt: skip
    spec = replace(
        like,
        id=final.id,
        kind="final",
        contender=contender,
        recipe=final.recipe,
        seed=final.seed,
        number=final.number,
        fold=final.fold,
        horizon_samples=final.horizon_samples,
        rungs=(final.horizon_samples,),
        run_directory=str(scratch.resolve()),
        micro_batch=final.micro_batch,
    )
    own = RunFolder(scratch)
    own.create(request)
    own.keep_spare()
    agenda = _OneTraining(spec)
    with ray_session(request.address, note):
        Sweep(agenda, own, Tracker(), _slot(request, final.environment.get("threads"))).run()
    assert agenda.result is not None
    return agenda.result


def _slot(request: RunRequest, threads: int | None) -> Slots:
    """One slot with as many CPUs as the training had threads, as far as this machine has them."""
    nodes = [node.total for node in living_nodes()]
    planned = plan_slots(nodes, None, request.workers, request.workers_mode)
    most = plan_slots(nodes, 1, request.workers, request.workers_mode).cpus
    return replace(planned, count=1, cpus=min(threads or int(planned.cpus), int(most)), follows=False)


def _differs(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [
        f"{words} {then.get(key)} then, {now.get(key)} now"
        for key, words in _PLACE.items()
        if then.get(key) != now.get(key)
    ]
