from __future__ import annotations

import torch

from stillbit.data.generated import Generated


def test_generated_images_have_the_shape_that_was_asked_for_and_never_change() -> None:
    source = Generated(10, 4, (12, 16), 3)
    image = source.image(7, epoch=0)
    assert len(source) == 10 and image.shape == (3, 12, 16) and image.dtype == torch.uint8
    assert torch.equal(image, source.image(7, epoch=1)) and not torch.equal(image, source.image(8, 0))
    assert source.label(7) == 3 and source.classes == ("0", "1", "2", "3")
    assert source.describe()["count"] == 10 and source.name(7) == "generated image 7"
