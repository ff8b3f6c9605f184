import pytest

from automl.training.recipe import Recipe
from automl.training.unfreezing import REWARM_SHARE, Unfreezing, mode_of
from tests.toys import RECIPE

# name: (numbers, the lowest block that learns at progress 0, 0.15, 0.45 and 0.9 of a model with 6 layers, and the
# ratio of the bottom block's rate to the head's)
NAMED = {
    "whole model": ({}, [0, 0, 0, 0], 1.0),
    "linear probe": ({"frozen_share": 1.0}, [7, 7, 7, 7], None),
    "LP-FT": ({"head_only_share": 0.2, "release_lr_scale": 0.3}, [7, 7, 0, 0], 1.0),
    "gradual unfreezing": ({"release_share": 0.6}, [6, 5, 2, 0], 1.0),
    "ULMFiT-like": ({"release_share": 0.6, "bottom_lr_ratio": 0.02}, [6, 5, 2, 0], 0.02),
    "layer-wise decay": ({"bottom_lr_ratio": 0.25}, [0, 0, 0, 0], 0.25),
    "layer-wise decay, bottom 50% frozen": ({"bottom_lr_ratio": 0.25, "frozen_share": 0.5}, [4, 4, 4, 4], None),
}


@pytest.mark.parametrize("name", NAMED)
def test_the_points_that_the_literature_names_mean_what_it_says(name: str) -> None:
    numbers, lowest, bottom_ratio = NAMED[name]
    plain = {"bottom_lr_ratio": 1.0, "release_lr_scale": 1.0}
    assert mode_of({**RECIPE, **plain, **numbers}) == name
    named = schedule(**plain | numbers)
    assert [named.first_learning_block(progress) for progress in (0.0, 0.15, 0.45, 0.9)] == lowest
    if bottom_ratio is not None:
        assert named.learning_rate_ratio(0) == pytest.approx(bottom_ratio)
    assert named.learning_rate_ratio(7) == 1.0


def schedule(depth: int = 6, **numbers: float) -> Unfreezing:
    return Unfreezing(Recipe.of({**RECIPE, **numbers}), depth)


def test_full_fine_tuning_lets_every_block_learn_from_the_start() -> None:
    full = schedule()
    assert full.frozen_depth is None
    assert full.first_learning_block(0.0) == 0


def test_a_frozen_half_never_learns() -> None:
    half = schedule(frozen_share=0.5)
    assert half.frozen_depth == 3
    assert {half.first_learning_block(p / 10) for p in range(10)} == {4}


def test_a_frozen_share_of_one_leaves_the_head_alone() -> None:
    probe = schedule(frozen_share=1.0)
    assert probe.frozen_depth == 6
    assert probe.first_learning_block(0.9) == 7


def test_the_head_learns_alone_first_and_then_all_at_once() -> None:
    lp_ft = schedule(head_only_share=0.1)
    assert lp_ft.first_learning_block(0.05) == 7
    assert lp_ft.first_learning_block(0.1) == 0


def test_blocks_are_released_from_the_top_down() -> None:
    gradual = schedule(head_only_share=0.1, release_share=0.4)
    seen = [gradual.first_learning_block(p / 100) for p in range(100)]
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {7, 6, 5, 4, 3, 2, 1, 0}
    assert seen[50] == 0


def test_layer_wise_decay_is_geometric_and_the_head_has_the_full_rate() -> None:
    decay = schedule(bottom_lr_ratio=0.9**7)
    ratios = [decay.learning_rate_ratio(block) for block in range(8)]
    assert ratios[7] == 1.0
    assert ratios[0] == pytest.approx(0.9**7)
    assert all(below == pytest.approx(above * 0.9) for below, above in zip(ratios, ratios[1:], strict=False))


def test_the_rate_warms_up_to_its_peak_and_decays_to_zero() -> None:
    plain = schedule(warmup_share=0.1)
    assert plain.factor(0.0, None) == 0.0
    assert plain.factor(0.05, None) == pytest.approx(0.5)
    assert plain.factor(0.1, None) == pytest.approx(1.0)
    assert plain.factor(1.0, None) == pytest.approx(0.0)


def test_a_release_scales_the_rate_down_and_lets_it_grow_back() -> None:
    scaled = schedule(head_only_share=0.2, release_lr_scale=0.3)
    whole = schedule(head_only_share=0.2)
    assert scaled.factor(0.2, 0.2) == pytest.approx(0.3 * whole.factor(0.2, 0.2))
    later = 0.2 + REWARM_SHARE
    assert scaled.factor(later, 0.2) == pytest.approx(whole.factor(later, 0.2))
