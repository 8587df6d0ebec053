"""Masks of transformers that are made whatever is in them.

Before a mask is made, its numbers are asked whether anything is padding at all: without padding a model takes another
path, on which there is no mask. Whoever writes down what a model does needs the path that is right for every sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from stillbit.surgery.hf import is_foreign

IMPLEMENTATIONS = ("sdpa", "eager")
"""The attention functions whose masks are tensors that are as large as the logits."""


@contextmanager
def always_masked(model: nn.Module) -> Iterator[None]:
    """Within it, a mask that ``model`` was given is made and handed on, even if it hides nothing."""
    if not any(is_foreign(module) for module in model.modules()):
        yield
        return
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS as functions

    before = {name: functions[name] for name in IMPLEMENTATIONS}
    try:
        for name, function in before.items():
            functions[name] = _always(function)
        yield
    finally:
        for name, function in before.items():
            del functions[name]  # what was laid over it; below may be one that was registered for all
            if functions[name] is not function:
                functions[name] = function


def _always(function: Callable[..., Any]) -> Callable[..., Any]:
    def made(*args: Any, **named: Any) -> Any:
        if named.get("attention_mask") is not None:
            named |= {"allow_is_bidirectional_skip": False, "allow_is_causal_skip": False}
        return function(*args, **named)

    return made
