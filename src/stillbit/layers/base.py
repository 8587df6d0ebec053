"""What every quantized layer is: its float original, with quantizers beside the weights."""

from __future__ import annotations

from copy import copy
from typing import Any, ClassVar, Self, TypeVar

from torch import nn

from stillbit.quantizers.base import Quantizer

M = TypeVar("M", bound=nn.Module)


class QuantLayer(nn.Module):
    """A float layer that took in quantizers.

    `adopt` builds one around a float layer and shares its parameters; `release` gives the float layer back. Names in
    the state dict stay those of the float layer; scales stand beside them under the names in ``roles``.
    """

    roles: ClassVar[tuple[str, ...]] = ("weight_quantizer", "input_quantizer")
    float_class: type[nn.Module]
    shares_input: bool = False
    """Whether the input arrives quantized, from a neighbour that has the same input (the value of merged attention)."""

    @classmethod
    def adopt(cls, original: nn.Module, **quantizers: nn.Module | None) -> Self:
        """A quantized layer with the parameters, buffers, children and settings of ``original``."""
        layer = _shell(cls, original)
        layer.float_class = type(original)
        for role in cls.roles:
            setattr(layer, role, quantizers.pop(role, None))
        assert not quantizers, f"{cls.__name__} has no {sorted(quantizers)}"
        return layer

    def release(self) -> nn.Module:
        """The float layer again, with the same parameters."""
        layer = _shell(self.float_class, self)
        for role in self.roles:
            layer._modules.pop(role, None)
            layer.__dict__.pop(role, None)  # where it was None
        layer.__dict__.pop("float_class")
        layer.__dict__.pop("shares_input", None)
        return layer

    def quantizers(self) -> dict[str, Quantizer]:
        """The quantizers this layer holds itself, by role."""
        held = {role.removesuffix("_quantizer"): getattr(self, role) for role in self.roles}
        return {role: q for role, q in held.items() if isinstance(q, Quantizer)}

    def extra_repr(self) -> str:
        """The float layer's words, and the bits."""
        said = super().extra_repr()
        bits = ", ".join(f"{role}={q.worded()}" for role, q in self.quantizers().items()) or "float"
        return f"{said}, {bits}" if said else bits


def _shell(cls: type[M], original: nn.Module) -> M:
    """An instance of ``cls`` with its own copy of the registries of ``original`` and the same things inside them."""
    layer = cls.__new__(cls)
    inside: dict[str, Any] = {k: copy(v) if isinstance(v, dict | set) else v for k, v in original.__dict__.items()}
    layer.__dict__.update(inside)
    return layer
