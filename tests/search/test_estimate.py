"""What a run is foretold to cost, from probe figures that are easy to reckon with."""

from __future__ import annotations

from typing import Any

import pytest

from automl.config import make_request
from automl.search.estimate import Estimate, RunEstimate, estimate_run
from automl.search.plan import plan_sentences, shards_told
from automl.search.slots import Slots
from automl.training.probed import Probe

ROWS = {"train": 1_000, "validation": 100, "test": 200}
FIVE = {"count": 5, "validation": [100] * 5}
HORIZON = 3_000  # three epochs: evaluated at its thirds, which are the rungs
NAMES = ("one/full", "two/full")
GIB = 2**30


def contest(**changes: Any) -> dict[str, Any]:
    checkpoint = {"path": "/one", "parameters": 22_700_000, "kind": "folder", "name": "one"}
    return {
        "task": "text-classification",
        "contenders": [{"name": name, "checkpoint": checkpoint} for name in NAMES],
        "spaces": {name: {"first_trials": [{}, {}, {}]} for name in NAMES},
        "budget": {"trials": 12, "device_seconds": None, "search_share": 0.6},
        "counts": ROWS,
        "seeds": [101, 102, 103],
        "horizon_samples": HORIZON,
        "rungs": [1_000, 2_000, 3_000],
        "schema": {"classes": ["a", "b"]},
        "time_limit_seconds": None,
    } | changes


def probe(name: str = NAMES[0], **changes: Any) -> Probe:
    """A trial of it takes 1 + 3,000 x 0.01 + 3 x (100 x 0.02 + 1) = 40 s, and 14 s up to the first rung."""
    values: dict[str, Any] = {
        "contender": name, "batch_size": 16, "steps": 20, "ready_seconds": 1.0, "seconds_per_sample": 0.01,
        "predict_seconds_per_row": 0.02, "scoring_seconds": 1.0, "cache_seconds": 0.1,
        "cache_seconds_per_row": 0.001, "cache_bytes_per_row": 100.0, "peak_memory_bytes": GIB,
        "machine_bytes": 8 * GIB, "model_bytes": 10**8, "learning_bytes": 10**8,
    }  # fmt: skip
    return Probe(**(values | changes))


def estimate(*probes: Probe, slots: int = 1, workers: int = 1, free: int = 10**12, **changes: Any) -> RunEstimate:
    found = probes or (probe(),)
    return estimate_run(
        contest(**changes),
        {one.contender: one for one in found},
        Slots(count=slots, cpus=1, gpus=0.0, workers=workers),
        start_seconds=5.0,
        data_bytes=1_000,
        free_bytes=free,
    )


def only(found: RunEstimate) -> Estimate:
    (one,) = found.contenders
    return one


def test_a_trial_is_its_start_its_steps_and_its_evaluations() -> None:
    assert only(estimate()).trial_seconds == pytest.approx(40.0)


def test_a_search_costs_least_where_every_trial_is_stopped_that_may_be_and_most_where_none_is() -> None:
    one, cache = only(estimate()), 0.1 + 1_100 * 0.001
    assert one.trials == (12, 12)
    assert one.search_seconds == pytest.approx((cache + 3 * 40 + 9 * 14, cache + 12 * 40))


def test_a_play_off_trains_the_three_that_lead_on_every_further_fold() -> None:
    once, folded = only(estimate()), only(estimate(folds=FIVE))
    assert [after - before for before, after in zip(once.search_seconds, folded.search_seconds, strict=True)] == [
        pytest.approx(3 * 4 * 40)
    ] * 2
    assert (once.playoffs, folded.playoffs) == ((0, 0), (12, 12))
    assert only(estimate(folds=FIVE, budget={"trials": 1, "device_seconds": None})).playoffs == (0, 0)
    told = plan_sentences(contest(folds=FIVE), estimate(folds=FIVE))
    assert "12 trials and 12 trainings of the play-off in" in told[0]
    (shows,) = [line for line in told if line.startswith("plan: in search")]
    assert shows.endswith("of 4.0 points in the play-off (500 rows on all folds)")
    paid = {"trials": None, "device_seconds": 1_000.0, "search_share": 0.6}
    once, folded = only(estimate(budget=paid)), only(estimate(budget=paid, folds=FIVE))
    assert folded.trials[0] == once.trials[0] // 2, "half of the search's share is kept for it"
    assert folded.search_seconds[1] <= 600
    short = only(estimate(budget=paid | {"device_seconds": 150.0}, folds=FIVE))
    assert (short.trials[0], short.playoffs[0]) == (2, 0), "90 s pay for two trials of 40 s, and for no play-off"
    assert folded.playoffs == (6, 12), "300 s pay for two folds of three; more where trials are stopped early"


def test_finals_also_predict_and_are_half_as_many_where_the_default_wins() -> None:
    one = only(estimate())
    assert one.finals == (3, 6)
    assert one.finals_seconds == pytest.approx((0.2 + 3 * 46, 0.2 + 6 * 46))


def test_device_time_pays_for_as_many_trials_as_fit_into_its_share() -> None:
    one = only(estimate(budget={"trials": None, "device_seconds": 500.0, "search_share": 0.6}))
    assert one.trials == (7, 3 + 12)  # 298.8 s: 7 whole ones, or 3 whole ones and 12 of 14 s
    assert one.search_seconds[1] <= 300
    assert one.finals == (3, 4)  # 200 s pay for four of 46 s


def test_a_budget_below_one_trial_still_foretells_the_one_that_starts_and_one_final() -> None:
    one = only(estimate(budget={"trials": None, "device_seconds": 10.0, "search_share": 0.6}))
    assert one.trials == (1, 1)
    assert one.search_seconds == (6.0, 6.0)
    assert one.finals == (1, 1)


def test_a_time_limit_cuts_trials_finals_and_the_whole() -> None:
    found = estimate(probe(), probe(NAMES[1]), slots=2, time_limit_seconds=300.0)
    assert [one.trials for one in found.contenders] == [(4, 7), (4, 7)]  # each has 180 s on one slot
    assert [one.finals for one in found.contenders] == [(2, 2), (2, 2)]  # and 105 s, which pay for two of 46 s
    assert found.wall_seconds[1] == 300.0


def test_the_whole_run_is_shared_by_the_slots_with_the_baselines_before_it() -> None:
    one = only(estimate())
    features = 1_300 * 0.02
    work = [one.search_seconds[end] + one.finals_seconds[end] for end in (0, 1)]
    assert estimate().wall_seconds == pytest.approx([5 + features + seconds for seconds in work])
    two = estimate(probe(), probe(NAMES[1]), slots=2)
    assert two.wall_seconds == pytest.approx((5 + features + work[0], 5 + features + work[1] + 40))


def test_several_workers_pay_for_each_of_them_and_take_less_time() -> None:
    one, pair = only(estimate()), estimate(workers=2)
    assert only(pair).trial_seconds == pytest.approx(40 + 1 + 3)  # two get ready, and both score
    assert pair.wall_seconds[0] < 0.6 * estimate().wall_seconds[0]
    assert only(pair).search_seconds[1] > one.search_seconds[1]


def test_workers_that_share_a_model_hold_a_part_of_it_each_and_store_no_activations() -> None:
    stored = probe(stores_activations=True, cache_bytes_per_row=1_000.0)
    shared = only(estimate(stored, workers=2, compute={"shard": True}))
    held_whole = 4 * 10**8  # parameters, and of what learns the gradients and two moments
    assert shared.peak_memory_bytes == GIB - held_whole // 2
    whole = only(estimate(stored, workers=2, compute={"shard": False}))
    assert whole.peak_memory_bytes == GIB
    request = make_request({"source": "reviews.csv", "workers": 2, "shard": True})
    assert list(shards_told(request))[0].startswith("workers: 2 in each training, over which its model is sharded")
    assert not list(shards_told(make_request({"source": "reviews.csv", "workers": 2})))
    assert shared.trial_seconds == pytest.approx(whole.trial_seconds + 0.001 * (3_000 + 300))


def test_frozen_activations_without_room_are_computed_anew_in_every_epoch() -> None:
    stored = probe(stores_activations=True, cache_bytes_per_row=1_000.0)
    assert only(estimate(stored)).trial_seconds == pytest.approx(40.0)
    crowded = estimate(stored, free=1_000_000)
    assert only(crowded).trial_seconds == pytest.approx(40 + 0.001 * (3_000 + 300))
    assert crowded.kept_bytes < estimate(stored).kept_bytes


def test_the_disk_holds_every_finals_model_until_one_is_shipped() -> None:
    found = estimate(probe(), probe(NAMES[1]))
    predictions, caches = 2 * 6 * 300 * 4 * 2, 2 * 1_300 * 100
    assert found.kept_bytes == 1_000 + 2 * 10**8 + predictions + caches
    assert found.disk_bytes == found.kept_bytes + 2 * 2 * 10**8
    long = estimate(probe(seconds_per_sample=0.1))
    assert long.disk_bytes - estimate().disk_bytes == 3 * 10**8  # what a training over a minute keeps for its retry


def test_a_contender_that_could_not_be_tried_is_told_and_the_others_are_estimated() -> None:
    broken = Probe(contender=NAMES[1], error="out of memory in training, with one row at a time")
    found = estimate(probe(), broken)
    assert [one.error for one in found.contenders] == [None, broken.error]
    assert found.wall_seconds == estimate().wall_seconds
    told = "\n".join(plan_sentences(contest(), found))
    assert "two/full could not be tried and is not counted: out of memory" in told
    nothing = estimate(broken)
    assert nothing.wall_seconds[0] >= 0
    assert plan_sentences(contest(), nothing)[0].startswith("plan: shows")


def test_the_sentences_name_times_memory_disk_and_what_will_show() -> None:
    told = plan_sentences(contest(), estimate())
    assert told[0].startswith(
        "plan: one/full: 40 s a trial; 12 trials in 4.1 to 8.0 min, 3 to 6 finals in 2.3 to 4.6 min"
    )
    assert [line.split(":")[1].strip() for line in told[1:]] == [
        "time",
        "memory",
        "disk",
        "shows",
        "in search",
        "assumed",
    ]
    assert "up to 1.0 GiB of 8.0 GiB" in told[2]
    assert "(200 test rows, 3 seeds)" in told[4]
    assert "10% of the rows" in told[6]


def test_memory_is_that_of_all_that_train_on_one_device() -> None:
    assert estimate(slots=2, workers=2).memory_bytes == 4 * GIB
    for share, on_one in ((1.0, 1), (2.0, 1), (0.25, 4)):
        slots = Slots(count=8, cpus=1, gpus=share)
        found = estimate_run(contest(), {NAMES[0]: probe()}, slots, 0.0, 0, 10**12)
        assert found.memory_bytes == on_one * GIB
    crowded = estimate(slots=9)
    assert "take fewer --slots" in "\n".join(plan_sentences(contest(), crowded))


def test_an_estimate_survives_the_way_through_json() -> None:
    import json

    found = estimate(probe(), Probe(contender=NAMES[1], error="broken"))
    assert RunEstimate.from_json(json.loads(json.dumps(found.to_json()))) == found
