"""How a model is called: an image by its place, the inputs of a model of texts by the names its forward pass has."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stillbit.data.batch import logits_of
from stillbit.deploy.program import Input

Example = Tensor | Sequence[Tensor] | Mapping[str, Tensor]
"""A batch: images, several tensors in the order of the forward pass, or several by name."""
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
WANTED = "an example is a batch of floats, as in torch.randn(2, 3, 224, 224), or (input_ids, attention_mask)"


def ordered(model: nn.Module, example: Example) -> Example:
    """What is given by name, in the order of the forward pass: a tokenizer has one of its own."""
    if not isinstance(example, Mapping):
        return example
    places = {name: place for place, name in enumerate(_names(model))}
    return dict(sorted(example.items(), key=lambda item: places.get(item[0], len(places))))


def inputs_of(model: nn.Module, example: Example) -> tuple[Input, ...]:
    """What the model is given, by name."""
    tensors = _tensors(example)
    if isinstance(example, Mapping):
        names = [str(name) for name in example]
    elif len(tensors) == 1 and tensors[0].is_floating_point():
        names = ["input"]
    else:
        own = _names(model)
        names = own[: len(tensors)] if len(own) >= len(tensors) else [f"input{n}" for n in range(len(tensors))]
    # A program calls its constants and values c0 and v0.
    names = [f"{name}_" if re.fullmatch(r"[cv]\d+", name) else name for name in names]
    kinds: list[Any] = ["floats" if tensor.is_floating_point() else "indices" for tensor in tensors]
    return tuple(
        Input(name=name, dims=(-1, *tensor.shape[1:]), kind=kind)
        for name, tensor, kind in zip(names, tensors, kinds, strict=True)
    )


def batch_of(example: Example, number: int, device: torch.device) -> tuple[Tensor, ...]:
    """So many images or sentences, those of the example in turn, of the types that a program has."""
    taken = torch.arange(number) % len(_tensors(example)[0])
    return tuple(
        tensor.detach().to(device, torch.float32 if tensor.is_floating_point() else torch.int64)[taken]
        for tensor in _tensors(example)
    )


def others(tensors: Sequence[Tensor], fewer: int) -> tuple[Tensor, ...]:
    """So many of the last, and others in every number where that can be: whoever looks into them sees others."""
    return tuple(_other(tensor[-fewer:]) for tensor in tensors)


def _other(tensor: Tensor) -> Tensor:
    """Indices stay within what the example has, so that there are rows for them; zeros alone stay zeros."""
    if tensor.is_floating_point():
        return tensor * 0.75 + 0.125
    low, high = tensor.min(), tensor.max()
    if low < high:
        return low + high - tensor
    return tensor * (torch.arange(tensor.numel(), device=tensor.device).view_as(tensor) % 2 == 0)


def answer(model: nn.Module, inputs: Sequence[Input], tensors: Sequence[Tensor]) -> Any:
    """The logits."""
    names = [each.name for each in inputs]
    if names == ["input"] or not set(names) <= set(_names(model, also=inspect.Parameter.KEYWORD_ONLY)):
        return logits_of(model(*tensors))
    return logits_of(model(**dict(zip(names, tensors, strict=True))))


def check_example(example: Any) -> None:
    """Refuse what is no batch."""
    try:
        tensors = _tensors(example)
    except TypeError:
        raise ValueError(f"{WANTED}, and this one is {type(example).__name__}") from None
    for tensor in tensors:
        right = isinstance(tensor, Tensor) and (tensor.is_floating_point() or tensor.dtype in WHOLE)
        if not right or tensor.dim() < 2 or not len(tensor):
            found = f"{tuple(tensor.shape)} of {tensor.dtype}" if isinstance(tensor, Tensor) else type(tensor).__name__
            raise ValueError(f"{WANTED}, and this one is {found}")
    if not tensors or len({len(tensor) for tensor in tensors}) > 1:
        raise ValueError(f"{WANTED}, and this one has {' and '.join(str(len(t)) for t in tensors) or 'nothing'} in it")


def _tensors(example: Example) -> tuple[Tensor, ...]:
    if isinstance(example, Tensor):
        return (example,)
    return tuple(example.values() if isinstance(example, Mapping) else example)


def _names(model: nn.Module, also: Any = None) -> list[str]:
    """Of the parameters of its forward pass that may be given by place and by name, or of another kind."""
    inside: Any = getattr(model, "_orig_mod", model)  # torch.compile's
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, also)
    return [p.name for p in inspect.signature(inside.forward).parameters.values() if p.kind in kinds]
