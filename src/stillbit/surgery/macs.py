"""Count multiply-accumulates on the meta device: all of them, and those that run on codes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from stillbit.layers.attention import QuantAttention
from stillbit.layers.base import QuantLayer
from stillbit.layers.merged_attention import MergedAttention
from stillbit.layers.walk import quantized
from stillbit.quantizers.base import Quantizer
from stillbit.surgery.hf import is_foreign

PIECES = 128
"""How long a text is where nobody says: what GLUE is trained with."""


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates of one sample: in all, on codes on both sides, and a module's own."""

    total: int
    on_codes: int
    by_module: dict[str, int]

    @property
    def share(self) -> float:
        """The part that runs on codes."""
        return self.on_codes / self.total if self.total else 0.0


def count(model: nn.Module, example: Any = None) -> Macs:
    """Run ``model`` once on the meta device; ``example`` is an input.

    By default it is one image of the model's own size, or for a model of texts one of `PIECES` pieces.
    """
    inputs = _inputs(model, example)
    ghost = without_numbers(model).eval().requires_grad_(False)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        ghost(**inputs) if isinstance(inputs, Mapping) else ghost(inputs)
    flops = {k: sum(v.values()) // 2 for k, v in counter.get_flop_counts().items()}
    prefix = f"{type(ghost).__name__}."
    inside = {k.removeprefix(prefix): v for k, v in flops.items() if k != "Global"}
    first = {id(module): name for name, module in ghost.named_modules()}
    alone = _alone(inside)
    own: Counter[str] = Counter()  # a module in two places counts under both its names
    for name, module in ghost.named_modules(remove_duplicate=False):
        if name:
            own[first[id(module)]] += alone.get(name, 0)
    total = flops.get("Global", 0)
    codes = sum(own[name] for name, layer in quantized(ghost) if _on_codes(layer))
    return Macs(total, codes, {k: v for k, v in own.items() if v})


def example_of(model: nn.Module) -> Tensor | None:
    """One image of the size the model says it wants, on the meta device; None if it does not say."""
    embed: Any = getattr(model, "patch_embed", None)
    config: Any = getattr(model, "pretrained_cfg", None) or {}
    size = config.get("input_size")
    image = getattr(embed, "img_size", None)
    if isinstance(image, tuple) and len(image) == 2:
        channels = getattr(getattr(embed, "proj", None), "in_channels", None) or getattr(model, "in_chans", None)
        channels = channels or (size[0] if size else 3)
        size = (channels, *image)
    return None if size is None else torch.empty(1, *size, device="meta")


def _text_of(model: Any) -> dict[str, Tensor] | None:
    """One text, for a model of transformers that reads."""
    rows = getattr(model.config, "max_position_embeddings", 0) if is_foreign(model) else 0
    if not rows or not hasattr(model.config, "vocab_size"):
        return None
    # Some count positions from behind the number of the piece that pads.
    length = min(PIECES, rows - (getattr(model.config, "pad_token_id", None) or 0) - 1)
    return {"input_ids": torch.ones(1, length, dtype=torch.long)}


def _inputs(model: nn.Module, example: Any) -> Any:
    if example is None:
        example = _text_of(model) or example_of(model)
    if example is None:
        raise ValueError("the model does not say what it takes in: pass example=one_batch")
    if isinstance(example, Mapping):
        # A mask takes part in no product, and transformers asks for its numbers, which are not there.
        kept = {k: v for k, v in example.items() if not (k == "attention_mask" and is_foreign(model))}
        return {k: v.to("meta") if isinstance(v, Tensor) else v for k, v in kept.items()}
    return example.to("meta")


def without_numbers(model: nn.Module) -> nn.Module:
    """A copy of the model on the meta device."""
    memo: dict[int, Any] = {}
    for module in model.modules():
        for p in module._parameters.values():
            if p is not None:
                memo[id(p)] = nn.Parameter(p.to("meta"), p.requires_grad)
        for b in module._buffers.values():
            if b is not None:
                memo[id(b)] = b.to("meta")
    return deepcopy(model, memo)


def _alone(inside: dict[str, int]) -> dict[str, int]:
    """What each module computes itself: the share of those below is taken off, of the nearest that was called.

    A list of modules is never called, and stands between a model and its blocks all the same.
    """
    alone = dict(inside)
    for name, number in inside.items():
        above = name.rpartition(".")[0]
        while above and above not in inside:
            above = above.rpartition(".")[0]
        if above:
            alone[above] -= number
    return alone


def _on_codes(layer: QuantLayer) -> bool:
    """Whether both sides of the layer's own products are quantized, and no scale varies along what is summed."""
    held = layer.quantizers()
    if isinstance(layer, MergedAttention):  # its key is the input, which qk quantizes
        inputs = layer.qk.quantizers() if isinstance(layer.qk, QuantLayer) else {}
        whole = not _by_element(inputs.get("input"), -1, layer.qk.in_features)
        return {"query", "value", "probability"} <= set(held) and "input" in inputs and whole
    if isinstance(layer, QuantAttention):
        summed = any(_by_element(held.get(role), -1, layer.width) for role in ("query", "key"))
        keys = _by_element(held.get("value"), -2, None) or _by_element(held.get("probability"), -1, None)
        return {"query", "key", "value", "probability"} <= set(held) and not summed and not keys
    if "weight" not in held or not ("input" in held or layer.shares_input):
        return False
    channels = getattr(layer, "in_features", None)
    if channels is None:  # a convolution sums over all of its image
        return "input" not in held or max(held["input"].blocks) == 1
    return not _by_element(held.get("input"), -1, channels)


def _by_element(quantizer: Quantizer | None, axis: int, length: int | None) -> bool:
    """Whether there is a scale for every index of ``axis`` (for more than one, where the length is not known)."""
    if quantizer is None or len(quantizer.blocks) < -axis:
        return False
    blocks = quantizer.blocks[axis]
    return blocks > 1 and length in (None, blocks)
