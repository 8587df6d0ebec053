"""A quantized model of every family in which every weight matters: timm starts some classifiers at zero."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch

from stillbit import calibrate, quantize
from stillbit.data.batch import Batch
from tests.contracts.test_families import float_model
from tests.surgery import tiny


@lru_cache
def alive(family: str) -> Any:
    """At three and four bits; it has seen four images. Leave it as it is, others look at it too."""
    model = float_model(family)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.1)
    model = quantize(model, "w3a4").eval()
    calibrate(model, [tiny.images(4)])
    return model


def seen() -> list[Batch]:
    """Four images of four classes."""
    return [Batch(tiny.images(4), torch.tensor([0, 3, 5, 9]), torch.arange(4))]
