"""Another image size for a model with a scale for each token: patches keep their place in the image, and so do scales.

timm resamples position embeddings in `set_input_size`; the same is done here for what quantizers learned of each token.
The prefix (class, distillation and register tokens) keeps its numbers. Those of the patches lie on a grid and are
interpolated there, scales in the logarithm: between 1 and 4 lies 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from inspect import signature
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.layers.walk import quantized
from stillbit.quantizers.base import SMALLEST_SCALE, Quantizer
from stillbit.surgery import macs

M = TypeVar("M", bound=nn.Module)
Pair = tuple[int, int]

SIZES = ("scale", "level")
"""State that is positive and multiplied. All else (shifts, thresholds) is interpolated as it is."""


@dataclass(frozen=True)
class Tokens:
    """How the tokens of a model lie: a prefix, then patches row by row, before and after."""

    prefix: int
    old: Pair
    new: Pair

    @property
    def counts(self) -> Pair:
        """How many there were and are."""
        return self.prefix + self.old[0] * self.old[1], self.prefix + self.new[0] * self.new[1]

    def resampled(self, x: Float[Tensor, "*before"], axis: int, *, sizes: bool = False) -> Float[Tensor, "*after"]:
        """``x`` with the tokens along ``axis`` brought to their new grid; ``sizes`` in the logarithm."""
        rows = x.abs().clamp_min(SMALLEST_SCALE).movedim(axis, 0) if sizes else x.movedim(axis, 0)
        prefix, patches = rows[: self.prefix], rows[self.prefix :]
        patches = patches.log() if sizes else patches
        image = patches.reshape(1, *self.old, -1).permute(0, 3, 1, 2)
        # Never outside of what it lies between, as a cubic could be; antialiased where the grid gets coarser.
        image = F.interpolate(image, size=self.new, mode="bilinear", antialias=True)
        patches = image.permute(0, 2, 3, 1).reshape(-1, *patches.shape[1:])
        return torch.cat([prefix, patches.exp() if sizes else patches]).movedim(0, axis).contiguous()


def resample(model: M, img_size: int | Pair) -> M:
    """A copy of a quantized model for images of another size, the scales of its tokens where the tokens are now.

    For models of timm's that have `set_input_size`; where no scale belongs to a token, that is all there is to do.
    Windows (Swin) stay as large as they are, and so do their scales. Build optimizer and average for the copy anew.
    """
    if not any(True for _ in quantized(model)):
        raise ValueError("resample is for quantized models: a float one needs only model.set_input_size(img_size)")
    grid = _grid(model)
    if grid is None or not hasattr(model, "set_input_size"):
        raise ValueError(
            f"{type(model).__name__} does not change its image size (it has no set_input_size): "
            "make the float model of the new size and quantize that"
        )
    target: Any = deepcopy(model)
    target.set_input_size(img_size=img_size, **_windows(target))
    new, prefix = _grid(target), getattr(target, "num_prefix_tokens", None)
    assert new is not None, "it had a grid before"
    if prefix is not None and new != grid:
        tokens = Tokens(prefix, grid, new)
        for role, quantizer in _activations(target):
            _carry(quantizer, role, tokens)
    _check(target, img_size)
    return target  # type: ignore[no-any-return]


def _grid(model: Any) -> Pair | None:
    """Rows and columns of patches."""
    grid = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    return None if grid is None else (int(grid[0]), int(grid[1]))


def _windows(model: Any) -> dict[str, Any]:
    """What keeps windows as large as they are; timm lets them grow with the image otherwise."""
    if "window_size" not in signature(model.set_input_size).parameters:
        return {}
    return {"window_size": [tuple(stage.blocks[0].window_size) for stage in model.layers]}


def _activations(model: nn.Module) -> Iterator[tuple[str, Quantizer]]:
    """Everything that quantizes an activation, whatever wraps it, with the role it has in its layer."""
    for _, layer in quantized(model):
        for role, quantizer in layer.quantizers().items():
            if role != "weight":
                yield from ((role, module) for module in quantizer.modules() if isinstance(module, Quantizer))


@torch.no_grad()
def _carry(quantizer: Quantizer, role: str, tokens: Tokens) -> None:
    """Bring the state of one quantizer to the new tokens, where it has some for each of the old."""
    old, new = tokens.counts
    if role == "probability" and quantizer.blocks[-1] not in (1, old):
        raise ValueError("groups of keys do not survive another image size: use per_tensor, per_head or per_token")
    axes = _token_axes(quantizer.blocks, role, old)
    quantizer.blocks = tuple(new if i - len(quantizer.blocks) in axes else n for i, n in enumerate(quantizer.blocks))
    for name, tensor in [*quantizer.named_parameters(recurse=False), *quantizer.named_buffers(recurse=False)]:
        state = tensor.detach()
        for axis in _token_axes(tuple(tensor.shape), role, old):
            state = tokens.resampled(state, axis, sizes=name in SIZES)
        is_parameter = isinstance(tensor, nn.Parameter)
        setattr(quantizer, name, nn.Parameter(state, tensor.requires_grad) if is_parameter else state)


def _token_axes(shape: tuple[int, ...], role: str, tokens: int) -> list[int]:
    """Axes along which a shape has an entry a token: the rows of any activation, and the columns of probabilities."""
    axes = [-2] if len(shape) > 1 and shape[-2] == tokens > 1 else []
    return [*axes, -1] if role == "probability" and shape and shape[-1] == tokens > 1 else axes


def _check(model: nn.Module, img_size: int | Pair) -> None:
    """Run the model once without its numbers: every layer must take the tokens that come now."""
    try:
        macs.count(model)
    except ValueError as error:
        raise ValueError(f"this model cannot be resampled to images of {img_size}: {error}") from None
