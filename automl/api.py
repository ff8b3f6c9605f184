"""The whole story: data, contenders, search, finals, board, report."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from automl.config import RunRequest
from automl.data.in_memory import IN_MEMORY
from automl.data.prepare import prepare
from automl.data.prepared import load_prepared, read_part
from automl.data.rows import ReadOptions
from automl.errors import MissingExtra, RunFolderError, SealedTest
from automl.finished import Board
from automl.leaderboard.board import Leaderboard, make_board
from automl.leaderboard.compare import ComparedRuns, compare_runs
from automl.leaderboard.insights import insights_of
from automl.leaderboard.kept import KeptRun, fetch_run, holds_kept_run
from automl.leaderboard.report import write_report
from automl.leaderboard.run_info import run_info
from automl.leaderboard.store import RunFolder
from automl.leaderboard.verify import Verification, verify_run
from automl.leaderboard.whereabouts import WhereaboutsFile
from automl.predict import predict_file
from automl.staging import adopt, nothing_left_of_a_full_disk, refuse_taken, room_to_begin, scratch_beside, timed
from automl.storage.place import Storage, run_url
from automl.tracking.base import Tracker, Trackers
from automl.tracking.named import trackers_of
from automl.types import PreparedData

if TYPE_CHECKING:
    from automl.search.replay import Replay


def run(
    request: RunRequest, *, trackers: Sequence[Tracker] = (), held: Mapping[str, object] = MappingProxyType({})
) -> Board:
    """Prepare, search, decide and report. Raises AutoMLError; nothing is left behind when the request is bad.

    held: data in memory in the place of the request's paths, by `train`, `validation` and `test`.
    """
    require_training(request.adapt)
    around = _around(request)
    out = Path(request.out or Path("runs") / request.run_name)
    request = request.resolved(out=str(out))
    folder, tracker = RunFolder(out), _trackers(request, trackers)
    refuse_taken(folder)
    for line in around:
        tracker.note(line)
    if request.storage is not None:
        place = Storage(request.storage).url
        request = request.resolved(storage=place)
        KeptRun(folder, run_url(place, out.name)).refuse_other_run()
    with ExitStack() as lock:
        with (
            timed(folder, "prepare", late=True) as note_time,
            room_to_begin(out.parent),
            scratch_beside(out) as scratch,
        ):
            tracker.phase("prepare")
            contest, _ = _prepare(request, scratch, tracker, held)
            refuse_taken(folder)
            folder.path.mkdir(parents=True, exist_ok=True)
            lock.enter_context(folder.lock())
            with nothing_left_of_a_full_disk(folder):
                folder.create(request)
                adopt(scratch, folder)
                note_time(folder)
                folder.write_contest(contest)
        return _compete(folder, request, load_prepared(folder.data), tracker)


def resume(
    path: Path | str,
    *,
    address: str | None = None,
    notify: str | None = None,
    trackers: Sequence[Tracker] = (),
) -> Board:
    """Go on with an interrupted run: what is finished is not run again, what was spent stays spent.

    path: its folder, or its place in a storage, from where it is brought to runs/NAME. address: of the Ray cluster,
    where it is not the one that the run began on. notify: the webhook again, for no file keeps it.
    """
    require_training()
    folder = RunFolder.existing(_brought_here(str(path)))
    with folder.lock():
        request = _request_of(folder, address, notify)
        require_training(request.adapt)
        cluster = _reach(request.address)
        tracker = _trackers(request, trackers)
        for line in cluster:
            tracker.note(line)
        if not folder.contest_file.exists():
            _refuse_lost_data(folder, request)
            with folder.telling_full_disk(), timed(folder, "prepare"), scratch_beside(folder.path) as scratch:
                contest, _ = _prepare(request, scratch, tracker)
                adopt(scratch, folder)
                folder.write_contest(contest)
        return _compete(folder, request, load_prepared(folder.data), tracker)


def extend(
    path: Path | str,
    *,
    trials: int | None = None,
    device_seconds: float | None = None,
    models: Sequence[str] = (),
    address: str | None = None,
    notify: str | None = None,
    trackers: Sequence[Tracker] = (),
) -> Board:
    """Give every contender of a run more of its budget, or the run further models, under the same terms."""
    require_training()
    folder = RunFolder.existing(_brought_here(str(path)))
    with folder.lock():
        request = _request_of(folder, address, notify)
        require_training(request.adapt)
        cluster = _reach(request.address)
        from automl.search.extend import extend_contest

        tracker = _trackers(request, trackers)  # what is wrong with them shows before the contest is changed
        for line in cluster:
            tracker.note(line)
        prepared = load_prepared(folder.data)
        extend_contest(folder, request, prepared, trials, device_seconds, models)
        return _compete(folder, request, prepared, tracker)


def _refuse_lost_data(folder: RunFolder, request: RunRequest) -> None:
    """Raises RunFolderError where a run would have to read data that only the program which began it held."""
    names = (request.source, request.validation or "", request.test or "")
    if lost := next((name for name in names if name.endswith(IN_MEMORY)), None):
        raise RunFolderError(
            f"{folder.path} ended before its data were prepared, and these were a {lost}",
            "prepared data in the run folder, or data that lie in a file",
            "Start the run again from the program that holds the data",
        )


def load(path: Path | str) -> Board:
    """A finished run as its folder tells it: the board as published, its report and its models.

    Nothing is computed and no test is opened; `board` recomputes. Raises RunFolderError where there is no board yet.
    """
    return Board.read(RunFolder.existing(path))


def board(path: Path | str) -> Board:
    """The leaderboard again, recomputed from the run folder's records, without torch; and the report."""
    folder = RunFolder.existing(path)
    try:
        found = make_board(folder, why="board recomputed")
    except SealedTest as sealed:  # here it is no defect of ours: the run has not come that far
        raise RunFolderError(sealed.found, sealed.expected, sealed.todo) from None
    write_report(folder, found)
    return Board.of(found, folder.path)


def verify(path: Path | str) -> Verification:
    """Whether a run folder still says what its run wrote. Opens the test, which is logged, once winners are fixed."""
    from automl.search.recorded import check_search

    folder = RunFolder.existing(path)
    with folder.lock():
        return verify_run(folder, {"foresight and edges": check_search})


def replay(
    path: Path | str,
    row: str,
    seed: int | None = None,
    note: Callable[[str], None] = print,
    address: str | None = None,
) -> Replay:
    """A row's final trained again from the run folder; nothing in there changes but the log of openings.

    address: of the Ray cluster, where it is not the one that the run was on.
    """
    require_training()
    folder = RunFolder.existing(path)
    request = _request_of(folder, address, None)
    require_training(request.adapt)
    _reach(request.address)
    from automl.search.replay import replay as replay_row

    with folder.lock(), scratch_beside(folder.path) as scratch:
        return replay_row(folder, scratch, row, seed, note, address)


def compare(*paths: Path | str) -> ComparedRuns:
    """The boards of several runs as one, where that is fair; else why it is not."""
    return compare_runs([RunFolder.existing(path) for path in paths])


def predict(
    run: Path | str,
    data: str,
    out: Path | str,
    row: str | None = None,
    options: ReadOptions | None = None,
    tell: Callable[[str], None] = warnings.warn,
) -> Path:
    """Predictions of a finished run's model for the rows of a file, or for images, written to `out`.

    options: how the file is to be read, where that shall not be found out. tell: hears of rows without an answer.
    """
    require_training()
    return predict_file(run, data, out, row, options, tell)


def plan(request: RunRequest, held: Mapping[str, object] = MappingProxyType({})) -> str:
    """What a run would do and cost, in plain text: a few steps of each contender are tried, and nothing is kept."""
    require_training(request.adapt)
    _around(request)
    from automl.search.contest import plan_contest

    with tempfile.TemporaryDirectory() as scratch:
        data, run = Path(scratch) / "data", Path(scratch) / "run"
        data.mkdir()
        contest, prepared = _prepare(request, data, Tracker(), held)
        return plan_contest(request, contest, prepared, run)


def require_training(adaptations: Sequence[str] = ()) -> None:
    """Raises MissingExtra unless the packages that training so needs are installed (none is imported)."""
    from importlib.util import find_spec

    for package in ("torch", "transformers", "ray", "optuna"):
        if find_spec(package) is None:
            raise MissingExtra.of(package, "train", "fine-tuning")
    if "lora" in adaptations and find_spec("peft") is None:
        raise MissingExtra.of("peft", "lora", "--adapt lora")


def _prepare(
    request: RunRequest, directory: Path, tracker: Tracker, held: Mapping[str, object] = MappingProxyType({})
) -> tuple[dict[str, Any], PreparedData]:
    """Everything that can be wrong with a request is found here, before anything is spent."""
    from automl.models.last_look import checkpoint_sentences
    from automl.models.text_limits import limit_sentences
    from automl.registry import get_part, parts
    from automl.search.baselines import planned
    from automl.search.contest import data_facts, draw_up, find_contenders, find_spaces
    from automl.search.last_look import Drawn, last_look
    from automl.tasks.base import Task
    from automl.tasks.variations import allowed

    allowed(request.augment)
    home = RunFolder(request.out).data if request.out else None
    prepared = prepare(request, directory, tuple(parts("automl.tasks", Task)), home, held)  # type: ignore[type-abstract]
    for line in (*prepared.assumptions, *prepared.cleaned):
        tracker.note(line)
    task = get_part("automl.tasks", Task, prepared.schema.task)  # type: ignore[type-abstract]
    contenders, reason = find_contenders(request, task)
    spaces = find_spaces(request, contenders, data_facts(prepared, task, request.augment))
    contest = draw_up(request, prepared, task, contenders, spaces, reason)
    contest["baselines"] = [name for name, _, _ in planned(task, contenders)]
    contest["warnings"] = last_look(Drawn(request=request, prepared=prepared, contenders=contenders))
    lines = limit_sentences(contenders, read_part(prepared.directory, "train"), prepared.schema.inputs)
    lines += checkpoint_sentences(contenders, prepared.schema)
    lines += contest["warnings"]
    for line in lines:
        tracker.note(line)
    contest["assumptions"] += lines
    prepared = replace(prepared, assumptions=(*prepared.assumptions, *lines))
    reasons = contest["reasons"]
    tracker.note(f"metric {contest['metric']}: {reasons['metric']}")
    for name, reason in (("unequal classes", reasons["imbalance"]), ("varied inputs", reasons["variation"])):
        if not reason.startswith("none"):
            tracker.note(f"{name}: {reason}")
    return contest, prepared


def _compete(folder: RunFolder, request: RunRequest, prepared: PreparedData, tracker: Tracker) -> Board:
    """From the terms of the contest to the board."""
    from automl.search.contest import run_contest
    from automl.search.ship import measure_models, ship_models
    from automl.search.varied import keep_varied_examples

    contest = folder.read_contest()
    tracker = Trackers(tracker, WhereaboutsFile(folder))
    tracker.start(run_info(folder, request, contest))
    status = "failed"
    try:
        with _kept(folder, request, contest, tracker) as kept:
            with folder.telling_full_disk():
                run_contest(folder, request, contest, prepared, tracker, kept)
                folder.drop_spare()  # nothing more is trained that could be lost
                tracker.phase("report")
                with timed(folder, "report"):
                    ship_models(folder, prepared, kept)
                    measure_models(folder, prepared)
                    keep_varied_examples(folder, prepared)
            found = make_board(folder, why="winners fixed, finals done")
            _write_cards(folder, found, contest)
            write_report(folder, found)
        files = {"report": folder.report_html, "leaderboard": folder.leaderboard_md}
        tracker.board(found.to_json(), files, insights_of(folder, found))
        status = "done"
        return Board.of(found, folder.path)
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        tracker.close(status)


@contextmanager
def _kept(
    folder: RunFolder, request: RunRequest, contest: dict[str, Any], tracker: Tracker
) -> Iterator[KeptRun | None]:
    """The run's place in the storage that was asked for, with the folder mirrored there; None where none was."""
    if request.storage is None:
        yield None
        return
    with KeptRun(folder, run_url(request.storage, contest["name"])).kept(tracker.note) as kept:
        yield kept


def _request_of(folder: RunFolder, address: str | None, notify: str | None) -> RunRequest:
    """What a run was asked for, where it lies now, on the cluster and with the webhook that are named anew."""
    request = folder.read_request().resolved(out=str(folder.path), notify=notify)
    return request if address is None else request.resolved(address=address)


def _around(request: RunRequest) -> list[str]:
    """What to say of a run's surroundings. Raises RequestError where it cannot work there, before all else."""
    reached = _reach(request.address)  # first: what judges the rest imports torch, which takes seconds
    from automl.search.last_look import judged
    from automl.search.surroundings import look_at_surroundings

    return [*reached, *judged(look_at_surroundings(request))]


def _reach(address: str | None) -> list[str]:
    """Which cluster is joined, once it has answered; [] for a Ray of the run's own. Raises RequestError."""
    from automl.search.joining import reach_cluster

    named = reach_cluster(address)
    return [] if named is None else [f"Ray: the cluster at {named.address} ({named.by})"]


def _brought_here(path: str) -> Path:
    """A run folder of this machine; one that is kept in a storage is brought to runs/NAME first."""
    if not holds_kept_run(path):
        return Path(path)
    target = Path("runs") / path.partition("?")[0].rstrip("/").rpartition("/")[2]
    fetch_run(path, target)
    return target


def _trackers(request: RunRequest, given: Sequence[Tracker]) -> Tracker:
    """The caller's trackers and those that the request names."""
    return Trackers(*given, *trackers_of(request, Trackers(*given).note))


def _write_cards(folder: RunFolder, found: Leaderboard, contest: dict[str, Any]) -> None:
    from automl.models.card import write_card

    for row in found.rows:
        if row.model_dir:
            write_card(folder.path / row.model_dir, row, contest, folder.split(), folder.environment())
