"""A model's twin: modules of its own around the same tensors, so that what is looked at stays as it is.

Whatever is put into a twin, hooks or other layers, the model never sees; and a twin costs no memory.
"""

from __future__ import annotations

from copy import deepcopy
from itertools import chain
from typing import Any, TypeVar

from torch import nn

from stillbit.layers.base import QuantLayer
from stillbit.layers.walk import quantized
from stillbit.surgery.survey import survey
from stillbit.surgery.swap import dequantize

M = TypeVar("M", bound=nn.Module)


def twin(model: M) -> M:
    """The same model, in eval mode, its modules copied and its parameters and buffers shared."""
    memo: dict[int, Any] = {id(t): t for t in chain(model.parameters(), model.buffers())}
    return deepcopy(model, memo).eval()


def float_twin(model: M) -> M:
    """A twin without quantizers, around the latent weights."""
    copy = twin(model)
    return dequantize(copy, inplace=True) if any(True for _ in quantized(copy)) else copy


def open_twin(model: nn.Module) -> nn.Module:
    """A twin whose every layer that can be quantized is one of this library's, float where it was float.

    What a family's own attention computes in one call can then be seen: its probabilities, and its linears.
    """
    copy = twin(model)
    places: dict[int, list[str]] = {}
    for name, module in copy.named_modules(remove_duplicate=False):
        places.setdefault(id(module), []).append(name)
    for site in survey(copy).sites:
        if isinstance(site.module, QuantLayer):
            continue
        layer = site.layer.adopt(site.module)
        if not site.name:
            return layer
        for name in places[id(site.module)]:
            copy.set_submodule(name, layer)
    return copy
