"""Run a model again where only a later part of it has changed: what comes before is remembered, not computed.

No model is taken apart. The forward of a model's blocks, and of their direct children, is replaced by one that gives
back its remembered output where the call ended before the first changed layer began; the code in between (residuals,
reshapes) runs as always. So the answer is that of a full run to the bit, for a chain of blocks of any family.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.analysis.given import said_to
from stillbit.layers.base import QuantLayer

Call = tuple[str, int]
"""The name of a module, and which of its calls in one run."""


class _Output(NamedTuple):
    """What a call gave, when it ended, how often somebody had written into it, and all calls that were then over."""

    given: Any
    """A tensor, or a tuple that begins with one: so do attentions of transformers."""
    ended: int
    version: int
    calls: dict[str, int]


def blocks(model: nn.Module) -> dict[str, nn.Module]:
    """The modules that a model is a chain of, by name: what its Sequentials and ModuleLists hold, and what is beside.

    A module is opened where it is such a list of modules with quantized layers, or has one somewhere inside; a stage of
    Swin is opened, its blocks are not.
    """
    found: dict[str, nn.Module] = {}
    for name, child in model.named_children():
        if _is_chain(child) or any(_is_chain(module) for module in child.modules()):
            inside = blocks(child)
            found |= {f"{name}.{below}": module for below, module in inside.items()}
        else:
            found[name] = child
    return found


def _is_chain(module: nn.Module) -> bool:
    if not isinstance(module, nn.Sequential | nn.ModuleList):
        return False
    return sum(_is_quantized(child) for child in module) > 1


def _is_quantized(module: nn.Module) -> bool:
    return any(isinstance(inside, QuantLayer) for inside in module.modules())


@final
class Prefix:
    """Remembers one run over one batch, and repeats it from the first changed layer on.

    What it remembers is the output of every block and of its direct children: for DeiT-T 9 MB an image in float32.
    """

    def __init__(self, model: nn.Module) -> None:
        """``model`` is in eval mode; inside of `watching` its forwards are watched, and it must not be changed."""
        self.model = model
        chain = blocks(model)
        inner = {
            f"{name}.{child}": module
            for name, block in chain.items()
            if not isinstance(block, QuantLayer)
            for child, module in block.named_children()
        }
        self._stops = {**chain, **inner}
        self._layers = {name: module for name, module in model.named_modules() if isinstance(module, QuantLayer)}
        self._forget()

    def _forget(self) -> None:
        self._outputs: dict[Call, _Output] = {}
        self._began: dict[str, int] = {}
        self._clock, self._calls = 0, dict[str, int]()
        self._from: int | None = None
        self._inputs: tuple[Tensor, ...] = ()

    @contextmanager
    def watching(self) -> Iterator[Self]:
        """Watch the forwards; afterwards the model is as before."""
        before = {name: module.__dict__.get("forward") for name, module in self._stops.items()}
        inplace = [m for m in self.model.modules() if getattr(m, "inplace", False) is True]
        hooks = [
            module.register_forward_pre_hook(lambda *_, name=name: self._starts(name))
            for name, module in self._layers.items()
        ]
        try:
            for module in inplace:  # what is remembered must not be written over
                module.inplace = False  # type: ignore[assignment]
            for name, module in self._stops.items():
                module.forward = self._watched(name, module.forward)
            yield self
        finally:
            for name, module in self._stops.items():
                module.__dict__.pop("forward", None)
                earlier = before[name]
                if earlier is not None:
                    module.forward = earlier
            for module in inplace:
                module.inplace = True  # type: ignore[assignment]
            for hook in hooks:
                hook.remove()
            self._forget()

    @torch.no_grad()
    def record(self, *inputs: Tensor) -> Float[Tensor, "n classes"]:
        """Run the model as it is set now, and remember."""
        self._forget()
        self._inputs = inputs
        logits = said_to(self.model, inputs)
        # An output that somebody wrote into later (x += shortcut) is not what the module gave: it is not reused.
        kept = ((call, held) for call, held in self._outputs.items() if _first(held.given)._version == held.version)
        self._outputs = dict(kept)
        return logits

    @torch.no_grad()
    def again(self, changed: Collection[str]) -> Float[Tensor, "n classes"]:
        """The answer for the same inputs after the layers ``changed`` have changed since `record`."""
        assert self._began, "first record, then again"
        self._from = min((self._began[name] for name in changed if name in self._began), default=self._clock)
        self._calls = {}
        try:
            logits = said_to(self.model, self._inputs)
        finally:
            self._from = None
        return logits

    def _starts(self, layer: str) -> None:
        if self._from is None and layer not in self._began:
            self._clock += 1
            self._began[layer] = self._clock

    def _watched(self, name: str, forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            number = self._calls.get(name, 0)
            self._calls[name] = number + 1
            if self._from is not None:
                held = self._outputs.get((name, number))
                if held is None or held.ended >= self._from:
                    return forward(*args, **kwargs)
                self._calls = dict(held.calls)  # those inside of it count too, though they do not happen
                return held.given
            output = forward(*args, **kwargs)
            self._clock += 1
            if isinstance(first := _first(output), Tensor):
                self._outputs[name, number] = _Output(output, self._clock, first._version, dict(self._calls))
            return output

        return run


def _first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) and output else output
