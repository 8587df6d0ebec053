"""Layers that multiply integers: the same numbers as the product on codes in float32, several times as fast.

A sweep runs one model in many variants and learns nothing, so weights become codes once. The codes of a product are
summed exactly in int32; in float32 they are too, as long as a sum stays below 2^24. What follows is the arithmetic of
`layers/product.py` in its order, so the logits are equal to the bit. Where this does not apply (a tensor of several
bit-widths along the summed axis, a scale by group, another type or device, a processor without integer products) the
layer runs as always.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from stillbit.analysis.switches import Setting, Switch, Switched
from stillbit.layers.attention import Heads, QuantAttention
from stillbit.layers.linear import QuantLinear
from stillbit.quantizers.base import Learned
from stillbit.quantizers.granularity import spread
from stillbit.quantizers.snap import Latent, to_code

_MOST, _MIDDLE = 127, 128
"""The largest code of one byte with a sign, and what is taken off unsigned codes of 8 bits so that they fit."""
_WORTH = 2**20
"""Multiplications of a head in attention from which on they beat a batched product in float32."""


class Rows(NamedTuple):
    """A weight as integers: what multiplies, the scale of each row, and sums over each row."""

    codes: Int[Tensor, "o k"]
    scale: Float[Tensor, "o 1"]
    total: Int[Tensor, o]
    """Of the codes."""
    value: Float[Tensor, o]
    """Of the values, which a shift of the input multiplies."""


@contextmanager
def integers(switched: Switched) -> Iterator[None]:
    """Inside, the layers of ``switched`` multiply integers where they can; weights and scales must not change."""
    changed: list[tuple[nn.Module, str]] = []
    try:
        for layer in switched.model.modules() if available(switched.model) else ():
            for name, method in _methods(layer):
                setattr(layer, name, method)
                changed.append((layer, name))
        yield
    finally:
        for layer, name in changed:
            layer.__dict__.pop(name)


def _methods(layer: nn.Module) -> Iterator[tuple[str, Callable[..., Tensor]]]:
    """What is replaced in a layer."""
    if isinstance(layer, QuantLinear):
        match _switches(layer, "input", "weight"):
            case [inputs, weights]:
                yield "forward", _linear(layer, Fixed(inputs), weights)
    # A family that has its own way to logits or to mixing keeps it.
    elif isinstance(layer, QuantAttention) and type(layer).logits is QuantAttention.logits:
        if type(layer).mix is not QuantAttention.mix or layer.query_rectify is not None:
            return
        match _switches(layer, "query", "key", "probability", "value"):
            case [query, key, probability, value]:
                yield "logits", _logits(layer, Fixed(query), Fixed(key))
                yield "mix", _mix(layer, Fixed(probability), Fixed(value))


def _switches(layer: nn.Module, *roles: str) -> list[Switch]:
    held = (layer._modules.get(f"{role}_quantizer") for role in roles)
    return [switch for switch in held if isinstance(switch, Switch)]


def available(model: nn.Module) -> bool:
    """Whether integer products are there, and fast: in float32 on a CPU with instructions for them."""
    parameters = list(model.parameters())
    fitting = all(p.device.type == "cpu" and p.dtype == torch.float32 for p in parameters)
    return fitting and torch.backends.mkldnn.is_available() and bool(torch.cpu._is_vnni_supported())


class Operand(NamedTuple):
    """A tensor of activations as integers of one byte: codes, those of 8 bits without sign less 128."""

    codes: Int[Tensor, "*shape"]
    scale: Float[Tensor, "*blocks"]
    """One, or one a head."""
    less: int
    """What was taken off."""
    shift: Tensor | None
    """Of the whole tensor."""


class Fixed:
    """A switch whose scales stay as they are, so that they are looked up once."""

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self._known: dict[Setting, Latent] = {}

    def __call__(self, x: Tensor) -> Operand | None:
        """The tensor as integers; None where it is float, has another kind of scale, or mixes along what is summed."""
        switch = self.switch
        mixture = [(part, part.of(x), setting) for part, setting in switch.changed]
        ready = [self._ready(switch.setting, x), *(self._ready(setting, inside) for _, inside, setting in mixture)]
        fitting = [latent for latent in ready if latent is not None]
        if len(fitting) < len(ready) or any(part.axis != -3 for part, _, _ in mixture):
            return None
        base, *others = fitting
        if others and any(latent.shift is not None for latent in fitting):
            return None
        assert base.scale is not None, "checked by ready"
        codes, scale = _codes(base), base.scale
        if others:
            scale = scale.reshape(1, 1, 1).repeat(x.size(-3), 1, 1)
        for (part, _, _), latent in zip(mixture, others, strict=True):
            part.of(codes).copy_(_codes(latent))
            part.of(scale).copy_(latent.scale)  # type: ignore[arg-type]
        less = _MIDDLE if any(latent.grid is not None and latent.grid.high > _MOST for latent in fitting) else 0
        return Operand((codes.sub_(less) if less else codes).to(torch.int8), scale, less, base.shift)

    def _ready(self, setting: Setting, x: Tensor) -> Latent | None:
        """With its grid, if that is one of integers, with one scale."""
        if setting == "float" or x.dtype != torch.float32:
            return None
        known = self._known.get(setting)
        ready = self.switch.ready(setting, x) if known is None else known._replace(x=x)
        if known is None and isinstance(getattr(self.switch, setting), Learned):  # others may look at x
            self._known[setting] = ready._replace(x=x.new_empty(0))
        if ready.grid is None or ready.grid.offset or ready.scale is None or ready.scale.numel() > 1:
            return None
        return ready if ready.shift is None or ready.shift.numel() == 1 else None


def _codes(x: Latent) -> Tensor:
    assert x.grid is not None and x.scale is not None, "checked before"
    return to_code(x.x, x.scale, x.grid, x.shift)


def _linear(layer: QuantLinear, inputs: Fixed, weights: Switch) -> Callable[..., Tensor]:
    settings: tuple[Setting, ...] = ("low", "high")
    rows = {setting: _rows(weights.ready(setting, layer.weight.detach())) for setting in settings}

    def forward(input: Tensor | Latent, bias: Tensor | None = None) -> Tensor:
        weight = _mixed(weights, rows)
        fitting = weight is not None and isinstance(input, Tensor) and input.dim() > 1
        tokens = inputs(input) if fitting else None  # type: ignore[arg-type]
        if weight is None or tokens is None or tokens.scale.numel() > 1:
            return QuantLinear.forward(layer, input, bias)
        return _product(tokens, weight, layer.bias if bias is None else bias)

    return forward


def _logits(layer: QuantAttention, query: Fixed, key: Fixed) -> Callable[..., Tensor]:
    def logits(q: Heads, k: Heads) -> Tensor:
        left, right = (query(q), key(k)) if _worth(q, k) else (None, None)
        if left is None or right is None or left.shift is not None or right.shift is not None:
            return QuantAttention.logits(layer, q, k)
        return _inner(left, right)

    return logits


def _mix(layer: QuantAttention, probability: Fixed, value: Fixed) -> Callable[..., Tensor]:
    def mix(logits: Tensor, v: Heads) -> Tensor:
        right = value(v) if _worth(logits, v.mT) else None
        left = None if right is None else probability(layer.attn_drop(logits.softmax(dim=-1)))
        if left is None or right is None or left.shift is not None or right.shift is not None:
            return QuantAttention.mix(layer, logits, v)
        mixed = _inner(left, right._replace(codes=right.codes.mT))
        return mixed.transpose(1, 2).flatten(2)

    return mix


def _worth(a: Tensor, b: Tensor) -> bool:
    """Whether the product of one head is large enough for a call of its own."""
    return a.size(-2) * b.size(-2) * a.size(-1) >= _WORTH


def _rows(weight: Latent) -> Rows | None:
    """The weight as integers, if its scale varies by row at most and its levels are integers of one byte."""
    if weight.grid is None or weight.scale is None or weight.shift is not None or weight.grid.offset:
        return None
    scale = weight.scale
    if scale.size(-1) > 1 or weight.grid.high > _MOST:
        return None
    codes = to_code(weight.x, scale, weight.grid)
    each = spread(scale, tuple(weight.x.shape)).reshape(-1, 1).expand(weight.x.size(0), 1)
    return Rows(codes.to(torch.int8), each, codes.sum(1).int(), weight.value().sum(-1))


def _mixed(switch: Switch, rows: dict[Setting, Rows | None]) -> Rows | None:
    """The rows as the switch is set."""
    base = rows.get(switch.setting)
    if base is None or not switch.changed:
        return base
    made = Rows(*(tensor.clone() for tensor in base))
    for part, setting in switch.changed:
        other = rows.get(setting)
        if other is None or part.axis != 0:
            return None
        for ours, theirs in zip(made, other, strict=True):
            part.of(ours).copy_(part.of(theirs))
    return made


def _product(tokens: Operand, weight: Rows, bias: Tensor | None) -> Tensor:
    """A linear layer."""
    summed = torch._int_mm(tokens.codes.reshape(-1, tokens.codes.size(-1)), weight.codes.mT)
    if tokens.less:
        summed.add_(weight.total, alpha=tokens.less)
    raw = summed.float().reshape(*tokens.codes.shape[:-1], -1)
    if tokens.shift is not None:
        added = tokens.shift.reshape(1, 1) * weight.value
        bias = added if bias is None else added + bias
    scale = tokens.scale * weight.scale.mT
    return raw.mul_(scale) if bias is None else torch.addcmul(bias, raw, scale)


def _inner(a: Operand, b: Operand) -> Tensor:
    """``sum_k a[.., n, k] b[.., o, k]``, a head at a time."""
    left, right = a.codes.flatten(0, 1), b.codes.flatten(0, 1)
    summed = left.new_empty((*left.shape[:2], right.size(1)), dtype=torch.int32)
    for one, other, out in zip(left, right.mT, summed, strict=True):
        torch._int_mm(one, other, out=out)
    if a.less:
        summed.add_(right.sum(-1, dtype=torch.int32).unsqueeze(1), alpha=a.less)
    assert not b.less, "keys and values have a sign"
    raw: Tensor = summed.float().unflatten(0, a.codes.shape[:2])
    return raw.mul_(a.scale * b.scale)
