"""Listening to a model's own forward pass: the operations that torch runs, and the layer that runs each of them.

The pass runs on real tensors, in eval mode and in inference mode, where an operation like ``linear`` or ``layer_norm``
arrives whole. `codes_of` listens for one thing: where the model rounds. What it hears owes nothing to the program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from stillbit.deploy.program import Array, Program, Rounding, sizes
from stillbit.deploy.tracing.call import answer

aten = torch.ops.aten
ROUNDS = {aten.round.default, aten.round_.default}
CLAMPS = {aten.clamp.default, aten.clamp.Tensor, aten.clamp_.default, aten.clamp_.Tensor}
"""With numbers as bounds, or with tensors."""


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """In eval mode, in float32, without gradients and without compiled code; every module is left as it was."""
    training = [(module, module.training) for module in model.modules()]
    device = next((parameter.device.type for parameter in model.parameters()), "cpu")
    try:
        model.eval()
        with (
            torch.inference_mode(),
            torch.autocast(device, enabled=False),
            torch.compiler.set_stance("force_eager"),
        ):
            yield
    finally:
        model.train(training[0][1])  # some models drop here what they keep between runs in eval mode
        for module, was in training:
            module.training = was


@contextmanager
def naming(model: nn.Module) -> Iterator[Callable[[], str]]:
    """Gives a function that says which layer runs at the moment: the innermost, by its name in the model."""
    running: list[str] = []

    def enters(name: str) -> Callable[[nn.Module, Any], None]:
        return lambda module, args: running.append(name)

    def leaves(module: nn.Module, args: Any, output: Any) -> None:
        running.pop()

    with ExitStack() as stack:
        for name, module in model.named_modules():
            name = name.replace("_orig_mod.", "")  # torch.compile's
            stack.callback(module.register_forward_pre_hook(enters(name)).remove)
            stack.callback(module.register_forward_hook(leaves, always_call=True).remove)
        yield lambda: running[-1] if running else ""


def codes_of(model: nn.Module, given: Tensor | Sequence[Tensor], program: Program) -> list[tuple[str, Array]]:
    """The codes that the model itself computes, in the order in which it does.

    Each comes with the name of the step of ``program`` that has to compute the same, and lies as that step's codes do;
    a step that stands for several equal roundings comes as often. ``program`` is what `trace` made of this model.
    """
    tensors = (given,) if isinstance(given, Tensor) else tuple(given)
    heard = _Roundings(program.roundings, len(tensors[0]))
    with evaluating(model), heard:
        answer(model, program.inputs, tensors)
    if heard.number != len(program.roundings):
        raise ValueError(
            f"the model rounds {heard.number} times and the program was traced where it rounds "
            f"{len(program.roundings)} times: trace(model, images) gives the program of this model"
        )
    return heard.codes


@final
class _Roundings(TorchDispatchMode):
    """Keeps what comes out of a clamp behind a rounding, if the program has a step for it."""

    def __init__(self, roundings: tuple[Rounding, ...], batch: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.roundings, self.batch, self.number = roundings, batch, 0
        self.rounded = WeakIdKeyDictionary()
        self.codes: list[tuple[str, Array]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        clamps = func in CLAMPS and self.rounded.pop(args[0], False)
        result = func(*args, **(kwargs or {}))
        if func in ROUNDS:
            self.rounded[result] = True
        elif clamps:
            if self.number < len(self.roundings) and self.roundings[self.number].step:
                self._keep(self.roundings[self.number], result)
            self.number += 1
        return result

    def _keep(self, rounding: Rounding, codes: Tensor) -> None:
        array: Array = codes.to(torch.int16).cpu().numpy()
        for move, dims in rounding.moves:
            array = array.transpose(dims) if move == "permute" else array.reshape(sizes(dims, self.batch))
        self.codes.append((rounding.step, array))
