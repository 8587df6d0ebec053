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
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stillbit.deploy.file.check import check
from stillbit.deploy.program import Array, Input, Program
from stillbit.deploy.tracing.call import Example, answer, batch_of, check_example, inputs_of, ordered, others
from stillbit.deploy.tracing.record import evaluating, naming
from stillbit.deploy.tracing.tidy import tidy
from stillbit.deploy.tracing.writer import NO_RESULT, Twin, Writer
from stillbit.surgery.hf_masks import always_masked

Batch = tuple[Tensor, ...]


def trace(model: nn.Module, example: Example) -> Program:
    """The program of ``model`` in eval mode; ``example`` is one image or more, as the model takes them in.

    A model of texts has several inputs of whole numbers, such as ``(input_ids, attention_mask)``; their length is that
    of the program.
    """
    _check(model, example)
    example = ordered(model, example)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    traced = _Traced(model, inputs_of(model, example))
    with evaluating(model), always_masked(model), naming(model) as layer:
        _try(traced, batch_of(example, 1, device))
        try:
            program = _traced(traced, batch_of(example, 2, device), 1, layer)
        except ValueError:  # for one image some of torch's own operations leave out an axis
            program = _traced(traced, batch_of(example, 3, device), 2, layer)
    program = tidy(program)
    if not program.steps:
        raise ValueError(NO_RESULT)
    check(program)
    return program


class _Traced(NamedTuple):
    """What is traced."""

    model: nn.Module
    inputs: tuple[Input, ...]


def _traced(traced: _Traced, batch: Batch, fewer: int, layer: Callable[[], str]) -> Program:
    """What is written down for a batch, and for fewer and others."""
    changed = others(batch, fewer)
    listener = Writer(_named(traced, changed), None, layer)
    with listener:
        answer(traced.model, traced.inputs, changed)
    writer = Writer(_named(traced, batch), Twin(listener.calls, fewer), layer)
    program = _written(traced, batch, writer)
    again = Writer(_named(traced, changed), Twin(writer.calls, len(batch[0])), layer)
    _compare(program, _written(traced, changed, again))
    return program


def _named(traced: _Traced, batch: Batch) -> dict[str, Tensor]:
    return {each.name: tensor for each, tensor in zip(traced.inputs, batch, strict=True)}


def _check(model: nn.Module, example: Example) -> None:
    kinds = {t.dtype for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()}
    if any(t.is_meta for t in (*model.parameters(), *model.buffers())):
        raise ValueError("the model has no numbers, it is on the meta device: load its weights before it is deployed")
    if kinds - {torch.float32}:
        found = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds - {torch.float32}))
        raise ValueError(f"the model is in {found}, and what is deployed is float32: call model.float() before")
    check_example(example)


def _try(traced: _Traced, batch: Batch) -> None:
    """Whether the model runs; what a first run keeps for later ones is there then."""
    try:
        answer(traced.model, traced.inputs, batch)
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as problem:
        said = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        sizes = " and ".join(str(tuple(tensor.shape[1:])) for tensor in batch)
        raise ValueError(f"the model does not run on an example of {sizes}: {said}") from problem


def _written(traced: _Traced, batch: Batch, writer: Writer) -> Program:
    with writer:
        output = answer(traced.model, traced.inputs, batch)
    return Program(
        inputs=traced.inputs,
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
