from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from stillbit.data.batch import PADDING
from stillbit.data.look import Look
from stillbit.data.order import PADDED
from stillbit.data.samples import Samples
from stillbit.data.settings import AugmentSettings
from stillbit.data.source import DamagedImage
from tests.data.pictures import LOOK, Row, image


class Partly(Row):
    """Every third image is damaged."""

    def image(self, index: int, epoch: int) -> Tensor:
        if index % 3 == 0:
            raise DamagedImage(self.name(index), "it is empty")
        return super().image(index, epoch)


def test_a_sample_is_a_function_of_seed_epoch_and_index() -> None:
    augment = AugmentSettings(aa="rand-m9", reprob=0.5)
    samples = Samples(Row(50), LOOK, augment, seed=4)
    together = samples.__getitems__([(2, 7), (3, 7), (2, 8)]).images
    assert torch.equal(together[0], Samples(Row(50), LOOK, augment, seed=4).view(2, 7))
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(together[0], Samples(Row(50), LOOK, augment, seed=5).view(2, 7))


def test_evaluation_and_training_without_augmentation_see_the_same() -> None:
    evaluated, trained = (Samples(Row(9), LOOK, a, 0).view(0, 3) for a in (None, AugmentSettings(no_aug=True)))
    assert torch.equal(evaluated, trained)


def test_damaged_images_are_left_out_and_named() -> None:
    got = Samples(Partly(9), LOOK, None, 0).__getitems__([(0, k) for k in range(7)])
    assert got.indices.tolist() == [1, 2, 4, 5] and got.targets.tolist() == [1, 2, 1, 2]
    assert got.damaged == [(f"image {k}", "it is empty") for k in (0, 3, 6)]


def test_where_nothing_is_left_there_is_one_image_that_does_not_count() -> None:
    got = Samples(Partly(9), LOOK, None, 0).__getitems__([(0, 0), (0, 3)])
    assert got.images.shape == (1, 3, 16, 16) and got.targets.tolist() == [PADDING]
    assert Samples(Row(9), LOOK, None, 0).__getitems__([(0, PADDED)]).targets.tolist() == [PADDING]


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("as_tensor", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_gets_the_channels_the_model_wants(mode: str, as_tensor: bool, channels: int) -> None:
    class Single(Row):
        def image(self, index: int, epoch: int) -> Tensor | Image.Image:
            held = image(16, 16, mode=mode)
            return torch.from_numpy(np.array(held)).view(16, 16, -1).permute(2, 0, 1) if as_tensor else held

    look = LOOK if channels == 3 else Look((16, 16), 1, (0.5,), (0.5,))
    seen = Samples(Single(1), look, None, 0).view(0, 0)
    wanted = np.asarray(image(16, 16, mode=mode).convert("RGB" if channels == 3 else "L")).astype(int)
    assert seen.shape == (channels, 16, 16)
    assert abs(seen.permute(1, 2, 0).numpy().squeeze() - wanted).max() <= 1
