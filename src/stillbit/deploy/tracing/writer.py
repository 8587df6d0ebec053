"""Writes down what a model computes while it runs: a step for each operation that depends on the input.

torch hands over every operation, on real tensors. What no input led to is left to torch: it is known when it is needed.
An operation in place is the one that makes a new tensor, and what its old value was shared with may not be read again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn, final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from stillbit.deploy.program import FLOATS, MOVES, Constant, Dims, Grid, Rounding, Step
from stillbit.deploy.tracing.held import Held, Traced
from stillbit.deploy.tracing.translate import IDENTITY, TRANSLATIONS, moves

aten = torch.ops.aten
CLAMPS = (aten.clamp.default, aten.clamp.Tensor)
"""With numbers as bounds, or with tensors."""
LIKE = {
    *(aten.new_zeros.default, aten.new_ones.default, aten.new_full.default),
    *(aten.zeros_like.default, aten.ones_like.default, aten.full_like.default),
}
"""What takes in a tensor only to see how large it is, or of which type."""
COUNTS = {aten.arange.default, aten.arange.start, aten.arange.start_step}
LOOKS_UP = {aten.embedding.default}
"""What stays a step even where it is known which rows are taken: a table of codes is smaller than its rows."""
EXACT = {torch.float32, torch.bool, torch.int64, torch.int32}
"""The types of what a program computes: whole numbers are exact as floats up to 2^24, and no table has more rows."""
WIDEST = 8
"""Bits of codes that a constant holds; with more it is one of floats."""
WHOLE = {*TRANSLATIONS, *IDENTITY, *CLAMPS, *LIKE, aten.round.default}
"""What is not taken apart further."""
NO_RESULT = "a model to be deployed gives back one tensor that it computes from its input"
OTHER_PATH = "takes another path for another batch: only a forward pass without choices can be deployed"


@dataclass(frozen=True)
class Call:
    """An operation that ran, and the shapes it gave."""

    operation: Any
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Twin:
    """The same model's run on a batch of another size."""

    calls: list[Call]
    batch: int


@final
class Writer(TorchDispatchMode):
    """Runs beside the model; without a ``twin`` it only remembers what ran."""

    def __init__(self, inputs: Mapping[str, Tensor], twin: Twin | None, layer: Callable[[], str]) -> None:
        """``inputs`` are what the model is given, by name; ``layer`` says which layer runs."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.batch, self.twin, self.layer = len(next(iter(inputs.values()))), twin, layer
        self.calls: list[Call] = []
        self.steps: list[Step] = []
        self.constants: dict[str, Constant] = {}
        self.roundings: list[Rounding] = []
        self.made: dict[str, Step] = {}
        self.held = Held()
        self.indices = {name for name, tensor in inputs.items() if not tensor.is_floating_point()}
        """Values that say which elements to take; other whole numbers are floats in a program."""
        for name, tensor in inputs.items():
            self.held.put(tensor, Traced(name=name))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        operation = _outside(func)
        if operation not in WHOLE:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        if self.twin is None:
            result = func(*args, **kwargs)
            self._remembered(operation, _tensors(result))
            return result
        values = tree_map(self._value, (args, kwargs))
        if func._schema.is_mutable and any(x.name for x in tree_leaves(values, is_leaf=_is_traced) if _is_traced(x)):
            values = tree_map(_kept, values, is_leaf=_is_traced)
        result = func(*args, **kwargs)
        if func._schema.is_mutable:
            for written in _tensors(result):
                self.held.overwritten(written)
        self._heard(operation, values[0], values[1], result)
        return result

    def result(self, output: Any) -> str:
        """The name of what the model gave back, at its end."""
        if self.twin is not None and len(self.calls) < len(self.twin.calls):
            self._refused(OTHER_PATH)
        value = self.held.of(output) if isinstance(output, Tensor) else Traced()
        if value.name is None:
            raise ValueError(NO_RESULT)
        return self._named(self._as_float(value))

    # ------------------------------------------------------------------------------------------------- one operation

    def _remembered(self, operation: Any, tensors: list[Tensor]) -> list[Dims]:
        """The shapes of what an operation gave; a size that grows with the batch is negative."""
        call = Call(operation, tuple(tuple(tensor.shape) for tensor in tensors))
        self.calls.append(call)
        if self.twin is None:
            return []
        others = self.twin.calls[len(self.calls) - 1 :][:1]
        if not others or others[0].operation is not operation or len(others[0].shapes) != len(call.shapes):
            self._refused(OTHER_PATH)
        return [self._dims(mine, theirs) for mine, theirs in zip(call.shapes, others[0].shapes, strict=True)]

    def _dims(self, mine: tuple[int, ...], theirs: tuple[int, ...]) -> Dims:
        assert self.twin is not None, "one shape does not say what the batch is in"
        dims = []
        for here, there in zip(mine, theirs, strict=True):
            times = here // self.batch
            if here != there and (times * self.batch, times * self.twin.batch) != (here, there):
                self._refused(f"has a size of {here} for {self.batch} images and of {there} for {self.twin.batch}")
            dims.append(here if here == there else -times)
        return tuple(dims)

    def _heard(self, operation: Any, args: Any, kwargs: Any, result: Any) -> None:
        tensors = _tensors(result)
        dims = self._remembered(operation, tensors)
        inputs = [x for x in tree_leaves((args, kwargs), is_leaf=_is_traced) if _is_traced(x)]
        depends = (any(x.name is not None for x in inputs) and operation not in LIKE) or operation in LOOKS_UP
        if not tensors:
            if depends and isinstance(result, bool | int | float):
                self._refused("chooses by what is in its input: only a forward pass without choices can be deployed")
            return
        if any(x.stale for x in inputs):
            self._refused(f"({operation}) reads a tensor that was written to through another: write without in-place")
        if depends or any(size < 0 for each in dims for size in each):
            several = isinstance(result, list | tuple)
            value = self._written(operation, args, kwargs, dims if several else dims[0], result)
            for tensor, one in zip(tensors, value if several else [value], strict=True):
                self.held.put(tensor, one)
        else:
            value = self._computed(operation, args, inputs)
            for tensor in tensors if value != Traced() else ():
                self.held.put(tensor, value)

    def _computed(self, operation: Any, args: Any, inputs: list[Traced]) -> Traced:
        """What is known needs no step; codes of weights keep their grid while they only move."""
        if operation is aten.round.default:
            return Traced(rounded=((), 0.0))
        if operation in CLAMPS and args[0].rounded is not None:
            self.roundings.append(Rounding())
            return Traced(grid=_widest(args[1], args[2]))
        grids = {x.grid for x in inputs}
        if moves(operation) and len(grids) == 1:
            return Traced(grid=grids.pop())
        if operation is aten.add.Tensor and _is_offset(args[0], args[1]):
            return Traced(grid=_raised(args[0], args[1]))
        return Traced()

    def _written(self, operation: Any, args: Any, kwargs: Any, dims: Any, result: Any) -> Any:
        """What depends on the input: a grid where there is a rounding, and else what torch calls it."""
        inputs = [x for x in tree_leaves((args, kwargs), is_leaf=_is_traced) if _is_traced(x)]
        if operation in LIKE or not inputs:
            return self._filled(operation, dims, result)
        if any(x.numbers for x in inputs) and operation is not aten.index.Tensor:
            return self._numbering(operation)
        kinds = {tensor.dtype for tensor in _tensors(result)} - EXACT
        if kinds:
            self._refused(f"computes in {', '.join(map(str, kinds))}: call model.float() to have all of it in float32")
        if operation in IDENTITY:
            return self._converted(args[0], result.dtype)
        snapped = self._snapped(operation, args)
        return self._translated(operation, args, kwargs, dims) if snapped is None else snapped

    def _snapped(self, operation: Any, args: Any) -> Traced | None:
        """What a quantizer does, if it does it: round, clamp, and add what lies between a code and its level."""
        if operation is aten.round.default:
            return self._rounded(self._named(self._as_float(args[0])))
        if operation in CLAMPS and args[0].rounded is not None:
            return self._quantized(*args)
        if operation is aten.add.Tensor and _is_traced(args[0]) and _is_offset(args[0], args[1]):
            raised: Traced = replace(args[0], grid=_raised(args[0], args[1]))
            return raised
        return None

    def _rounded(self, name: str) -> Traced:
        """Remember what is rounded; the clamp behind it says on which grid."""
        offset, step = 0.0, self.made.get(name)
        if step is not None and step.op == "sub" and "by" in step.settings:
            name, offset = step.inputs[0], step.settings["by"]
            step = self.made.get(name)
        if step is not None and step.op == "div" and len(step.inputs) == 2 and step.inputs[1] in self.constants:
            return Traced(name=name, rounded=(step.inputs, offset))
        return Traced(name=name, rounded=((name,), offset))

    def _quantized(self, x: Traced, low: Any, high: Any) -> Traced:
        assert x.rounded is not None, "a clamp behind a rounding"
        names, offset = x.rounded
        grid = _widest(low, high)
        settings = {"low": grid.low, "high": grid.high, "offset": offset}
        if _is_traced(low) and not _alike(low, high):  # learned bits, of each head its own
            names = names if len(names) == 2 else (*names, self._named(Traced(known=torch.ones(()))))
            names = (*names, *(self._named(bound) for bound in (low, high)))
        name = self._step("quantize", names, settings)
        self.roundings.append(Rounding(name))
        return Traced(name=name, grid=grid)

    def _translated(self, operation: Any, args: Any, kwargs: Any, dims: Any) -> Any:
        translate = TRANSLATIONS.get(operation)
        if translate is None:
            self._refused(
                f"computes {operation}, which stillbit cannot deploy yet: leave it out of the model, or write it with "
                "operations it knows"
            )

        def emit(op: str, *inputs: Any, **settings: Any) -> Traced:
            return self._emitted(op, list(inputs), settings)

        try:
            return translate(emit, args, kwargs, dims)
        except ValueError as problem:
            self._refused(f"cannot be deployed: {problem}")

    def _filled(self, operation: Any, dims: Any, result: Any) -> Traced:
        """A tensor made for the batch, all of it one number; or the numbers of the images."""
        if operation in COUNTS and torch.equal(result, torch.arange(self.batch, device=result.device)):
            return Traced(numbers=True)
        if not isinstance(result, Tensor) or result.unique().numel() != 1:
            self._refused(f"makes a tensor as large as the batch by {operation}: make it once, for one image")
        one = Traced(known=result.flatten()[:1].view(()))
        return self._emitted("expand", [one], {"shape": list(dims)})

    def _emitted(self, op: str, inputs: list[Any], settings: dict[str, Any]) -> Traced:
        """A step; a product of codes where both sides are codes, and codes where codes were only moved."""
        values = [Traced(known=x) if isinstance(x, Tensor) else x for x in inputs]
        if op == "where" and values[0].opposite:
            values = [replace(values[0], opposite=False), values[2], values[1]]
        first = 1 if op == "where" else 0
        values[first:] = [self._number(x) if op in FLOATS else x for x in values[first:]]
        if op == "gather":
            return self._gathered(values[0], values[1], settings)
        grids, grid = [x.grid for x in values], None
        if op in ("matmul", "conv") and None not in grids:
            settings = {**settings, "offsets": [each.offset for each in grids if each is not None]}
            op = {"matmul": "product", "conv": "convolution"}[op]
        elif op in MOVES and op != "pad" and len({*grids}) == 1:
            grid = grids[0]
        else:
            values = [self._as_float(x) for x in values]
        opposite = values[0].opposite
        if op in MOVES and any(x.opposite != opposite for x in values):
            self._refused("moves yes and no together with their opposites: make numbers of both before")
        name = self._step(op, tuple(map(self._named, values)), settings)
        if op in MOVES and all(self._are_indices(x) for x in values):
            self.indices.add(name)
        return Traced(name=name, grid=grid, opposite=op in MOVES and opposite)

    def _gathered(self, x: Traced, index: Traced, settings: dict[str, Any]) -> Traced:
        """Rows of a table: codes stay codes, and floats that say which become indices."""
        asked = self._named(index)
        if not self._are_indices(index):
            rows = (x.shape if x.known is None else x.known.shape)[settings["axis"]]
            asked = self._step("index", (asked,), {"size": rows})
        name = self._step("gather", (self._named(x), asked), settings)
        if self._are_indices(x):
            self.indices.add(name)
        return Traced(name=name, grid=x.grid, opposite=x.opposite)

    def _are_indices(self, x: Traced) -> bool:
        """Whether a program has them as indices."""
        known = x.known is not None and not x.known.is_floating_point() and x.known.dtype is not torch.bool
        return x.name in self.indices if x.name is not None else known

    def _numbering(self, operation: Any) -> Traced:
        if not moves(operation):
            self._refused(f"computes {operation} with the numbers of the images in a batch: do the same with each")
        return Traced(numbers=True)

    # ----------------------------------------------------------------------------------------------------- writing down

    def _value(self, x: Any) -> Any:
        return replace(self.held.of(x), shape=tuple(x.shape), dtype=x.dtype) if isinstance(x, Tensor) else x

    def _number(self, x: Traced) -> Traced:
        """Yes and no as one and zero, indices as floats; what is known becomes a constant anyhow."""
        if x.name is None:
            return x if x.known is None or x.known.is_floating_point() else Traced(known=x.known.float())
        if x.name in self.indices:
            return self._emitted("number", [x], {})
        if x.dtype is not torch.bool:
            return x
        return self._emitted("where", [x, torch.ones(()), torch.zeros(())], {})

    def _converted(self, x: Traced, dtype: torch.dtype) -> Traced:
        """The same in another type, as a program has it: what is whole is exact as a float."""
        if x.dtype is None or x.dtype == dtype:
            return x
        if dtype is torch.bool:
            return self._emitted("compare", [x], {"how": "ne", "by": 0.0})
        if x.dtype.is_floating_point and not dtype.is_floating_point:
            self._refused(f"makes whole numbers of floats ({dtype}): leave them floats to have it deployed")
        return x if not dtype.is_floating_point and x.dtype is not torch.bool else self._number(x)

    def _as_float(self, x: Traced) -> Traced:
        """Codes as the level they stand for, so that a weight stays as small as its codes; floats as they are."""
        if x.grid is None or (x.known is not None and x.grid.bits > WIDEST):  # what is known holds levels
            return replace(x, grid=None)
        return Traced(name=self._step("level", (self._named(x),), {"offset": x.grid.offset}))

    def _named(self, x: Traced) -> str:
        if x.name is not None:
            return x.name
        assert x.known is not None, "what has no name is known"
        name = f"c{len(self.constants)}"
        self.constants[name] = _constant(x.known, x.grid)
        return name

    def _step(self, op: str, inputs: tuple[str, ...], settings: dict[str, Any]) -> str:
        step = Step(op=op, inputs=inputs, output=f"v{len(self.steps)}", settings=settings, layer=self.layer())
        self.steps.append(step)
        self.made[step.output] = step
        return step.output

    def _refused(self, why: str) -> NoReturn:
        raise ValueError(f"{self.layer() or 'the model'} {why}")


def _outside(func: Any) -> Any:
    """The operation that makes a new tensor where ``func`` writes into an old one."""
    name = func._schema.name.removeprefix("aten::")
    packet = getattr(aten, name.removesuffix("_"), None) if func._schema.is_mutable and name.endswith("_") else None
    return getattr(packet, func._overloadname, func)


def _tensors(result: Any) -> list[Tensor]:
    return [x for x in (result if isinstance(result, list | tuple) else [result]) if isinstance(x, Tensor)]


def _is_traced(x: Any) -> bool:
    return isinstance(x, Traced)


def _kept(x: Any) -> Any:
    """A known tensor as it is before it is written to."""
    return replace(x, known=x.known.clone()) if _is_traced(x) and x.known is not None else x


def _raised(codes: Traced, offset: float) -> Grid:
    assert codes.grid is not None, "only codes are raised to levels"
    return replace(codes.grid, offset=offset)


def _is_offset(x: Traced, added: Any) -> bool:
    """Whether adding makes levels of codes: what stillbit's mid-rise grids do behind a clamp."""
    return x.grid is not None and x.grid.offset == 0 and isinstance(added, float) and added == 0.5


def _widest(low: Any, high: Any) -> Grid:
    """The grid of bounds that are numbers, or known tensors."""
    ends = [float(low.known.min() if _is_traced(low) else low), float(high.known.max() if _is_traced(high) else high)]
    assert all(end.is_integer() for end in ends), "codes are integers"
    return Grid(low=int(ends[0]), high=int(ends[1]))


def _alike(*bounds: Traced) -> bool:
    """Whether each bound is one number."""
    return all(bound.known is not None and bound.known.unique().numel() == 1 for bound in bounds)


def _constant(tensor: Tensor, grid: Grid | None) -> Constant:
    """A copy, in the smallest type for codes: the model may write to the tensor later."""
    tensor = tensor.detach().cpu()
    if grid is not None:
        kind = torch.int8 if grid.low >= -128 and grid.high < 128 else torch.int16
        return Constant(array=(tensor - grid.offset).to(kind).contiguous().numpy(), grid=grid)
    kind = torch.float32 if tensor.is_floating_point() else torch.int64
    return Constant(array=tensor.to(kind, copy=True).contiguous().numpy())
