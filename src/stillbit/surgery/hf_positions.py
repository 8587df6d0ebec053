"""A sentence longer than the position table, said in a sentence: what transformers says is an index out of range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from stillbit.surgery.hf import is_foreign


def watch(model: nn.Module) -> None:
    """Look at what enters every module that has a table of positions."""
    for embeddings in _tables(model):
        embeddings.register_forward_pre_hook(_check_length, with_kwargs=True)


def unwatch(model: nn.Module) -> None:
    """The inverse of `watch`."""
    for embeddings in _tables(model):
        held = [key for key, hook in embeddings._forward_pre_hooks.items() if hook is _check_length]
        for key in held:
            del embeddings._forward_pre_hooks[key], embeddings._forward_pre_hooks_with_kwargs[key]


def _tables(model: nn.Module) -> Iterator[nn.Module]:
    for module in model.modules():
        if is_foreign(module) and isinstance(getattr(module, "position_embeddings", None), nn.Embedding):
            yield module


def _check_length(embeddings: nn.Module, args: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    table: Any = embeddings.position_embeddings
    words = next((t for t in (*args[:1], named.get("input_ids"), named.get("inputs_embeds")) if t is not None), None)
    limit = table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
    if isinstance(words, Tensor) and words.dim() > 1 and words.size(1) > limit:
        raise ValueError(
            f"a sentence of {words.size(1)} tokens does not fit the {limit} positions this model knows: "
            f"cut it, tokenizer(..., truncation=True, max_length={limit})"
        )
