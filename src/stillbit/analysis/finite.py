"""Refuse broken numbers before they become broken figures."""

from __future__ import annotations

from itertools import chain

from torch import nn


def check_finite(model: nn.Module, subject: str) -> None:
    """Say which parameter or buffer of ``model`` is the first with NaN or infinity in it, if one is.

    A buffer may hold infinities: a mask does.
    """
    whole = ((name, tensor.isfinite().all()) for name, tensor in model.named_parameters())
    numbers = ((name, not tensor.isnan().any()) for name, tensor in model.named_buffers())
    broken = next((name for name, sound in chain(whole, numbers) if not sound), None)
    if broken is not None:
        raise ValueError(
            f"the weights of {subject} are broken, {broken} holds NaN or infinity: give an earlier checkpoint or "
            "another run"
        )
