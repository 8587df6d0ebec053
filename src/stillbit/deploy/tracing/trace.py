"""From a trained model to a program: the very operations of its forward pass, with what is integer made integer.

The model runs in eval mode, on real images, and every operation that torch runs is written down; the quantizers' own
arithmetic is among them. There a rounding is the mark of a grid: ``clamp(round(x / scale - offset), low, high)``,
perhaps ``+ offset`` behind it. What does not depend on the input is computed by the run itself: scales, the codes of
weights, folded shifts, the position bias of windows. A product of two tensors that lie on grids becomes a product of
integers; what stands around it stays as it was, in the same order. So a program computes what training simulated
because it is what training ran.

The model runs on batches of two sizes. A size that differs grows with the batch. Both runs are written down, on images
that are not the same, and have to give the same program: what depends on the batch, or on what is in the images, in any
other way differs between them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.deploy.file.check import check
from stillbit.deploy.program import Array, Program
from stillbit.deploy.tracing.record import evaluating, naming
from stillbit.deploy.tracing.tidy import tidy
from stillbit.deploy.tracing.writer import NO_RESULT, Twin, Writer


def trace(model: nn.Module, example: Float[Tensor, "batch ..."]) -> Program:
    """The program of ``model`` in eval mode; ``example`` is one image or more, as the model takes them in."""
    _check(model, example)
    with evaluating(model), naming(model) as layer:
        _try(model, _images(model, example, 1))
        try:
            program = _traced(model, _images(model, example, 2), 1, layer)
        except ValueError:  # for one image some of torch's own operations leave out an axis
            program = _traced(model, _images(model, example, 3), 2, layer)
    program = tidy(program)
    if not program.steps:
        raise ValueError(NO_RESULT)
    check(program)
    return program


def _traced(model: nn.Module, images: Tensor, fewer: int, layer: Callable[[], str]) -> Program:
    """What is written down for the images, and for fewer and others."""
    others = images[-fewer:] * 0.75 + 0.125  # whoever looks into the images sees others
    listener = Writer(others, None, layer)
    with listener:
        model(others)
    writer = Writer(images, Twin(listener.calls, fewer), layer)
    program = _written(model, images, writer)
    _compare(program, _written(model, others, Writer(others, Twin(writer.calls, len(images)), layer)))
    return program


def _check(model: nn.Module, example: Tensor) -> None:
    kinds = {t.dtype for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()}
    if any(t.is_meta for t in (*model.parameters(), *model.buffers())):
        raise ValueError("the model has no numbers, it is on the meta device: load its weights before it is deployed")
    if kinds - {torch.float32}:
        found = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds - {torch.float32}))
        raise ValueError(f"the model is in {found}, and what is deployed is float32: call model.float() before")
    if not isinstance(example, Tensor) or not example.is_floating_point() or example.dim() < 2 or not len(example):
        found = f"{tuple(example.shape)} of {example.dtype}" if isinstance(example, Tensor) else type(example).__name__
        raise ValueError(f"an example is a batch of floats, as in torch.randn(2, 3, 224, 224), and this one is {found}")


def _images(model: nn.Module, example: Tensor, number: int) -> Tensor:
    """So many images, those of the example in turn."""
    device = next((parameter.device for parameter in model.parameters()), example.device)
    return example.detach().to(device, torch.float32)[torch.arange(number) % len(example)]


def _try(model: nn.Module, images: Tensor) -> None:
    """Whether the model runs; what a first run keeps for later ones is there then."""
    try:
        model(images)
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as problem:
        said = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        raise ValueError(f"the model does not run on an example of {tuple(images.shape[1:])}: {said}") from problem


def _written(model: nn.Module, images: Tensor, writer: Writer) -> Program:
    with writer:
        output = model(images)
    return Program(
        input="input",
        shape=(-1, *images.shape[1:]),
        output=writer.result(output),
        steps=tuple(writer.steps),
        constants=writer.constants,
        roundings=tuple(writer.roundings),
    )


def _compare(first: Program, second: Program) -> None:
    """Two programs of one model are the same, or it does what no program can."""
    for one, other in zip(first.steps, second.steps, strict=True):
        known = [name for name in one.inputs if name in first.constants]
        if one != other or not all(_equal(first.constants[name].array, second.constants[name].array) for name in known):
            raise ValueError(
                f"{one.layer or 'the model'} computes {one.op} with numbers that are others for other images, or for "
                "more of them: only what is the same for every batch can be deployed"
            )


def _equal(one: Array, other: Array) -> bool:
    """In every bit, so that what is no number is equal to itself."""
    return one.shape == other.shape and one.tobytes() == other.tobytes()
