"""The only walk over a model's quantized layers."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from stillbit.layers.base import QuantLayer
from stillbit.quantizers.base import Quantizer


def quantized(model: nn.Module) -> Iterator[tuple[str, QuantLayer]]:
    """Every quantized layer once, with its name, in the order of the model."""
    for name, module in model.named_modules():
        if isinstance(module, QuantLayer):
            yield name, module


def quantizers(model: nn.Module) -> Iterator[tuple[str, str, Quantizer]]:
    """Every quantizer that holds state: the name of its layer, its role there, itself."""
    for name, layer in quantized(model):
        for role, quantizer in layer.quantizers().items():
            for part in quantizer.parts():
                yield name, role, part


def scale_names(model: nn.Module) -> frozenset[str]:
    """The names of all parameters that belong to quantizers: scales and offsets."""
    return frozenset(
        f"{name}.{inside}"
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, Quantizer)
        for inside, _ in module.named_parameters()
    )
