"""Torch's products: of codes, where both sides turn out to lie on grids, and else of floats."""

from __future__ import annotations

from typing import Any

import torch

from stillbit.deploy.program import Dims
from stillbit.deploy.tracing.translate_moves import turn
from stillbit.deploy.tracing.translation import Emit, Translation, changed, entering, pair, rest

aten = torch.ops.aten
TABLE: dict[Any, Translation] = {}
_of = entering(TABLE)


@_of(aten.matmul.default, aten.bmm.default, aten.mm.default)
def _matmul(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("matmul", args[0], args[1])


@_of(aten.linear.default)
def _linear(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    product = emit("matmul", args[0], changed(args[1], lambda weight: weight.mT))
    return product if len(args) < 3 or args[2] is None else emit("add", product, args[2])


@_of(aten.conv2d.default)
def _conv2d(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    weight, bias, stride, padding, dilation, groups = rest(args, None, None, 1, 0, 1, 1)
    how = {"stride": pair(stride), "padding": pair(padding), "dilation": pair(dilation), "groups": groups}
    product = emit("conv", args[0], weight, **how)
    return product if bias is None else emit("add", product, changed(bias, lambda b: b.view(-1, 1, 1)))


@_of(aten.convolution.default)
def _convolution(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    if args[6]:
        raise ValueError("a transposed convolution cannot be deployed yet")
    return _conv2d(emit, (*args[:6], args[8]), {}, dims)


@_of(aten.scaled_dot_product_attention.default)
def _attention(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    query, key, value, mask, dropout, causal = [*args, *(None, 0.0, False)[len(args) - 3 :]][:6]
    said = {"attn_mask": mask, "dropout_p": dropout, "is_causal": causal, "scale": None, **kwargs}
    if said["is_causal"] or said["dropout_p"] or said.get("enable_gqa"):
        raise ValueError("attention that is causal, drops, or groups its queries cannot be deployed yet")
    logits = emit("matmul", query, turn(emit, (key,), {}, dims))
    logits = emit("mul", logits, by=said["scale"] or query.shape[-1] ** -0.5)
    if (mask := said["attn_mask"]) is not None:
        # The least number hides as well as -inf, and leaves a row finite in which all is hidden.
        hidden = torch.full((), torch.finfo(torch.float32).min)
        logits = emit("where", mask, logits, hidden) if mask.dtype is torch.bool else emit("add", logits, mask)
    return emit("matmul", emit("softmax", logits, axis=len(dims) - 1), value)
