import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from automl.leaderboard.store import RunFolder
from automl.progress import LiveView, Standing
from automl.tracking.base import RunInfo
from automl.types import Budget, Checkpoint, Contender, Cost, Schema, TrialResult, TrialSpec

NAME = "minilm/full"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def contender(name: str = NAME) -> Contender:
    checkpoint = Checkpoint(
        name="minilm",
        path="x",
        revision="r",
        kind="folder",
        architecture="BertModel",
        model_type="bert",
        parameters=1,
    )
    return Contender(name=name, checkpoint=checkpoint, family="text_encoder", adaptation="full")


def info(folder: Path, budget: Budget | None = None, **changes: object) -> RunInfo:
    values: dict[str, object] = {
        "name": "demo", "run_directory": folder, "request": {}, "task": "text-classification",
        "metric": "accuracy", "higher_is_better": True,
        "contenders": (contender(), contender("minilm/frozen")),
        "budget": budget or Budget(trials=4), "seeds": (1, 2, 3), "counts": {}, "split_fingerprint": "f",
    }  # fmt: skip
    return RunInfo(**{**values, **changes})  # type: ignore[arg-type]


def spec(number: int = 0, name: str = NAME) -> TrialSpec:
    schema = Schema(task="text-classification", inputs=("text",), target="label")
    return TrialSpec(
        id=f"{name}-{number:03}", kind="trial", contender=contender(name), recipe={}, seed=0,
        horizon_samples=10, rungs=(), split_fingerprint="f", data_directory="", run_directory="",
        task="text-classification", metric="accuracy", schema=schema, number=number,
    )  # fmt: skip


def result(number: int = 0, **changes: object) -> TrialResult:
    values: dict[str, object] = {
        "id": f"{NAME}-{number:03}", "kind": "trial", "contender": NAME, "status": "completed", "recipe": {},
        "seed": 0, "horizon_samples": 10, "curve": (), "validation": 0.5, "cost": Cost(device_seconds=10.0),
        "error": None, "predictions_file": None, "split_fingerprint": "f", "environment": {},
        "started_at": "", "ended_at": "", "number": number,
    }  # fmt: skip
    return TrialResult(**{**values, **changes})  # type: ignore[arg-type]


def view(terminal: bool = False, width: int = 120) -> tuple[LiveView, io.StringIO, Clock]:
    screen, clock = io.StringIO(), Clock()
    console = Console(file=screen, force_terminal=terminal, width=width, color_system=None, legacy_windows=False)
    return LiveView(console, clock), screen, clock


def drawn(live: LiveView, width: int = 120) -> str:
    """The table as a terminal of that width would show it."""
    screen = io.StringIO()
    live._console.width = width
    Console(file=screen, width=width, color_system=None).print(live.table())
    return screen.getvalue()


def test_without_a_terminal_every_ended_trial_is_one_line(tmp_path: Path) -> None:
    live, screen, clock = view()
    live.phase("search")
    live.start(info(tmp_path))
    for number in range(3):
        live.trial_started(spec(number))
        for _ in range(50):  # many reports, no line
            live.trial_reported(spec(number), {"device_seconds": 1.0, "accuracy": 0.4})
        clock.now += 10
        live.trial_ended(spec(number), result(number))
    live.close("done")
    lines = screen.getvalue().splitlines()
    assert len(lines) == 5
    assert lines[-1] == "[30 s] minilm/full trial 2 completed, validation accuracy 0.5000, 10 s"


def test_lines_are_not_wrapped_in_a_file(tmp_path: Path) -> None:
    live, screen, _ = view(width=40)
    live.note("word " * 40)
    assert len(screen.getvalue().splitlines()) == 1


def test_a_failed_trial_is_told_with_its_last_line_of_error(tmp_path: Path) -> None:
    live, screen, _ = view()
    live.start(info(tmp_path))
    live.trial_ended(spec(), result(status="failed", validation=None, error="Traceback\nValueError: NaN loss"))
    assert "trial 0 failed, 10 s: ValueError: NaN loss" in screen.getvalue()


def test_text_from_data_can_neither_colour_nor_move_the_cursor(tmp_path: Path) -> None:
    live, screen, _ = view(terminal=True)
    live.note("class [red]x[/red] \x1b[2J\x07 seen")
    assert "class [red]x[/red] [2J seen" in screen.getvalue()
    assert "\x1b[2J" not in screen.getvalue()


def test_the_table_counts_what_ended_how(tmp_path: Path) -> None:
    live, _, _ = view(terminal=True)
    live.start(info(tmp_path))
    try:
        live.trial_ended(spec(0), result(0, validation=0.81))
        live.trial_ended(spec(1), result(1, status="pruned", validation=0.95))
        live.trial_ended(spec(2), result(2, status="out_of_memory", validation=None))
        live.trial_started(spec(3))
        live.trial_reported(spec(3), {"device_seconds": 5.0})
        row = next(line for line in drawn(live).splitlines() if line.startswith(NAME))
        # trials, pruned, failed, best (a pruned trial cannot win), spent with the running trial, running
        assert row.split() == [NAME, "3/4", "1", "1", "0.8100", "35", "s", "1"]
    finally:
        live.close("done")


def test_the_best_follows_the_direction_of_the_metric() -> None:
    standing = Standing(trials_planned=4, finals_planned=6, seconds_allowed=None)
    standing.results = {"a": result(0, validation=0.2), "b": result(1, validation=0.7)}
    assert (standing.best(True), standing.best(False)) == (0.7, 0.2)


def test_a_trial_that_is_told_twice_counts_once(tmp_path: Path) -> None:
    live, _, _ = view()
    live.start(info(tmp_path))
    live.trial_ended(spec(), result())
    live.trial_ended(spec(), result())
    assert live._standings[NAME].trials_ended == 1
    assert live._standings[NAME].spent == 10.0


def test_a_resumed_run_shows_what_it_had_before(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append_trial(result(0, validation=0.6))
    folder.append_trial(result(1, status="pruned"))
    live, _, _ = view(terminal=True)
    live.start(info(tmp_path))
    live.close("interrupted")
    assert "2/4" in drawn(live)
    assert live._standings[NAME].spent == 20.0


def test_time_left_follows_the_pace_so_far(tmp_path: Path) -> None:
    live, _, clock = view()
    live.start(info(tmp_path, contenders=(contender(),)))
    assert live.seconds_left() is None
    clock.now += 20  # two trials at a time: ten device-seconds each in ten seconds of the clock
    for number in range(4):
        live.trial_ended(spec(number), result(number))
    # six finals of ten device-seconds at two device-seconds a second
    assert live.seconds_left() == pytest.approx(30.0)


def playoff(number: int, fold: int) -> tuple[TrialSpec, TrialResult]:
    started = replace(spec(number), id=f"{NAME}-playoff-{number}-{fold}", kind="playoff", fold=fold)
    return started, result(number, id=started.id, kind="playoff", fold=fold)


def test_a_play_off_is_counted_foretold_and_a_phase_of_its_own(tmp_path: Path) -> None:
    live, screen, clock = view()
    live.phase("search")
    live.start(info(tmp_path, contenders=(contender(),), folds=3))
    assert "4 trials each, the leaders of each on 3 folds, 3 seeds in the finals" in screen.getvalue()
    clock.now += 40
    for number in range(4):
        live.trial_started(spec(number))
        assert drawn(live).startswith("search")
        live.trial_ended(spec(number), result(number, status="pruned" if number == 3 else "completed"))
    # three lead, on two further folds; then six finals; ten seconds each
    assert live.seconds_left() == pytest.approx(120.0)
    live.trial_started(playoff(0, 2)[0])
    assert drawn(live).startswith("play-off")
    clock.now += 10
    live.trial_ended(*playoff(0, 2))
    assert "minilm/full play-off of trial 0 on fold 2 completed" in screen.getvalue()
    assert live.seconds_left() == pytest.approx(110.0)
    row = next(line for line in drawn(live).splitlines() if line.startswith(NAME))
    # trials, pruned, best, play-off, spent: a play-off is neither a trial nor a final
    assert row.split() == [NAME, "4/4", "1", "0.5000", "1/6", "50", "s"]
    final = replace(spec(), id="final", kind="final")
    live.trial_started(final)
    assert live.seconds_left() == pytest.approx(60.0), "a limit has cut the rest of the play-off"


@pytest.mark.parametrize(
    ("ended", "planned"),
    [([], 6), (["completed", "pruned", "failed", "pruned"], 0), (["completed", "pruned", "completed", "failed"], 4)],
)
def test_fewer_lead_into_the_play_off_where_fewer_trials_came_to_their_end(ended: list[str], planned: int) -> None:
    standing = Standing(trials_planned=4, finals_planned=6, seconds_allowed=None, folds=3)
    standing.results = {str(number): result(number, status=status) for number, status in enumerate(ended)}
    assert standing.playoffs_planned == planned


def test_time_left_of_a_device_budget_is_what_is_not_spent(tmp_path: Path) -> None:
    live, _, clock = view()
    live.start(info(tmp_path, Budget(device_seconds=100.0), contenders=(contender(),)))
    clock.now += 10
    live.trial_ended(spec(), result())
    assert live.seconds_left() == pytest.approx(90.0)


def test_time_left_is_never_over_the_time_limit(tmp_path: Path) -> None:
    live, _, clock = view()
    live.start(info(tmp_path, Budget(device_seconds=1000.0), contenders=(contender(),), time_limit_seconds=40.0))
    clock.now += 10
    live.trial_ended(spec(), result())
    assert live.seconds_left() == pytest.approx(30.0)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_table_fits_the_terminal(tmp_path: Path, width: int) -> None:
    live, _, _ = view()
    live.start(info(tmp_path))
    live.trial_ended(spec(), result())
    assert all(len(line) <= width for line in drawn(live, width).splitlines())


def test_an_interrupted_run_leaves_the_terminal_usable(tmp_path: Path) -> None:
    live, screen, _ = view(terminal=True)
    live.start(info(tmp_path))
    assert live._live is not None
    live.close("interrupted")
    assert live._live is None
    assert "\x1b[?25h" in screen.getvalue()  # the cursor is shown again
    assert "interrupted" in screen.getvalue()


def test_baselines_are_told_as_lines(tmp_path: Path) -> None:
    live, screen, _ = view()
    live.start(info(tmp_path))
    live.trial_ended(spec(), result(id="baseline-constant", kind="baseline", contender="constant", validation=0.2))
    assert "constant baseline completed, validation accuracy 0.2000" in screen.getvalue()
