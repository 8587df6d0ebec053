"""What torch calls an operation, and what a program calls it."""

from __future__ import annotations

from typing import Any

import torch

from stillbit.deploy.tracing import translate_floats, translate_moves, translate_products
from stillbit.deploy.tracing.translation import Translation

aten = torch.ops.aten
TRANSLATIONS: dict[Any, Translation] = {
    **translate_moves.MOVING,
    **translate_moves.OTHERS,
    **translate_floats.TABLE,
    **translate_products.TABLE,
}
"""From torch's operation to the one or more that a program has for it."""
IDENTITY = {
    aten.clone.default,
    aten.contiguous.default,
    aten.detach.default,
    aten.alias.default,
    aten.to.dtype,
    aten.to.device,
    aten.to.dtype_layout,
    aten.type_as.default,
    aten._to_copy.default,
    aten.lift_fresh_copy.default,
}
"""In eval mode and in float32 they give back what they got."""


def moves(target: Any) -> bool:
    """Whether torch's operation only moves elements."""
    return target in IDENTITY or target in translate_moves.MOVING
