from __future__ import annotations

import random

import pytest
import torch

from stillbit.data.augment import Augment
from stillbit.data.look import Look
from stillbit.data.settings import AugmentSettings
from tests.data.pictures import pixels

LOOK = Look((24, 24), mean=(0.5, 0.4, 0.3), std=(0.25, 0.25, 0.25))
EVERYTHING = AugmentSettings(aa="rand-m9-mstd0.5-inc1", color_jitter=0.4, reprob=0.5)


def test_without_settings_nothing_happens() -> None:
    x = pixels(24, 24)
    assert Augment(AugmentSettings(), LOOK)(x, 0) is x


@pytest.mark.parametrize("aa", [None, "rand-m9-mstd0.5-inc1", "original", "3a", "augmix-m5-w4-d2"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_key_gives_the_same_image_whatever_was_drawn_before(aa: str | None, channels: int) -> None:
    look = LOOK if channels == 3 else Look((24, 24), 1, (0.5,), (0.25,))
    augment = Augment(AugmentSettings(aa=aa, color_jitter=0.4, reprob=0.5), look)
    x = pixels(24, 24, channels=channels)
    first = [augment(x, 0, 3, k) for k in range(12)]
    random.random(), torch.rand(3)
    second = [augment(x, 0, 3, k) for k in reversed(range(12))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(a.shape == x.shape and a.dtype == torch.uint8 for a in first)
    assert len({a.numpy().tobytes() for a in first}) > 6


def test_the_generators_of_a_training_do_not_notice() -> None:
    augment = Augment(EVERYTHING, LOOK)
    before = random.getstate(), torch.get_rng_state()
    augment(pixels(24, 24), 0)
    assert random.getstate() == before[0] and torch.equal(torch.get_rng_state(), before[1])


def test_erasing_leaves_the_rest_as_it_is_and_writes_noise_of_the_normalisation() -> None:
    augment, x = Augment(AugmentSettings(reprob=1.0), LOOK), pixels(24, 24)
    changed = torch.stack([augment(x, k) != x for k in range(300)])
    assert 0.1 < changed.float().mean() < 0.25  # timm erases 2 to 33 % of the area
    noise = torch.cat([augment(x, k)[:, (augment(x, k) != x).any(0)] for k in range(100)], 1).float()
    assert noise.mean(1) / 255 == pytest.approx([0.5, 0.4, 0.32], abs=0.02)  # the last is cut off at black


def test_the_strongest_posterize_is_no_error() -> None:
    """Timm asks for 0 bits there, and Pillow 13 refuses."""
    augment = Augment(AugmentSettings(aa="rand-m10-n4-inc1"), LOOK)
    for key in range(60):
        augment(pixels(24, 24), key)


@pytest.mark.parametrize("aa", ["random", "rand-m9-zzz3", "", "originals"])
def test_a_string_that_timm_cannot_read_is_refused(aa: str) -> None:
    with pytest.raises(ValueError, match=r"rand-m9-mstd0\.5-inc1"):
        Augment(AugmentSettings(aa=aa), LOOK)
