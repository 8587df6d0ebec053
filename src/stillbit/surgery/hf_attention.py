"""Attentions of transformers, quantized through its attention interface. To import this file is to register there."""

from __future__ import annotations

from functools import cache
from types import new_class
from typing import Any

from transformers import AttentionInterface

from stillbit.layers.interface_attention import INTERFACE, InterfaceAttention, attend


class HfAttention(InterfaceAttention):
    """What all of them have in common; `quantized_class` joins it with the class of a family."""

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle names the float class, since a class made on the spot cannot be imported."""
        return _empty, (self.float_class,), self.__dict__


@cache
def quantized_class(float_class: type) -> type[HfAttention]:
    """The quantized attention of a family, an instance of the float class too: transformers asks for that."""
    if issubclass(float_class, HfAttention):  # a quantized model is surveyed too
        return float_class
    joined: type[HfAttention] = new_class(f"Quant{float_class.__name__}", (HfAttention, float_class))
    joined.__module__, joined.__doc__ = __name__, f"{float_class.__name__}, quantized."
    return joined


def _empty(float_class: type) -> HfAttention:
    """An attention with nothing inside, for a pickle to fill."""
    kind = quantized_class(float_class)
    return kind.__new__(kind)


AttentionInterface.register(INTERFACE, attend)
