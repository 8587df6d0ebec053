"""The plain settings of a module: heads, epsilons, rates. With shapes, they tell two modules of one class apart."""

from __future__ import annotations

from typing import Any

from torch import nn

PLAIN = (bool, int, float, str, tuple, type(None))


def settings_of(module: nn.Module) -> dict[str, Any]:
    """Public attributes of plain types, but for the mode (training or not)."""
    return {k: v for k, v in vars(module).items() if not k.startswith("_") and k != "training" and isinstance(v, PLAIN)}
