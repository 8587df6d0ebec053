"""From a trained model to a program: the very operations of its forward pass, with what is integer made integer.

``torch.export`` writes down what the model computes in eval mode, the quantizers' own arithmetic included. In that
graph a rounding is the mark of a grid: ``clamp(round(x / scale - offset), low, high)``, perhaps ``+ offset`` behind it.
Everything that depends on parameters alone is computed here, once: scales, the codes of weights, folded shifts, the
position bias of windows. A product of two tensors that lie on grids becomes a product of integers; what stands around
it stays as it was, in the same order. So a program computes what training simulated because it is what training ran.
"""

from __future__ import annotations

import operator
import warnings
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from stillbit.deploy.program import MOVES, Constant, Dims, Grid, Program, Step, used
from stillbit.deploy.translate import IDENTITY, TRANSLATIONS, moves

aten = torch.ops.aten
CLAMPS = (aten.clamp.default, aten.clamp.Tensor)
"""With numbers as bounds, or with tensors."""


@dataclass(frozen=True)
class Traced:
    """A value of the graph: a name in the program, or a tensor that is known already; with its grid, if it has one."""

    name: str | None = None
    known: Tensor | None = None
    grid: Grid | None = None
    rounded: tuple[Any, Any] | None = None
    """Of a rounding whose clamp is still to come: what was rounded, and the offset that was taken off before."""


def trace(model: nn.Module, example: Tensor) -> Program:
    """The program of ``model`` in eval mode; ``example`` is a batch of two or more."""
    was = model.training
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torch's own, about how it exports
            batch = torch.export.Dim("batch")
            exported = torch.export.export(
                model.eval(), (example,), dynamic_shapes=({0: batch},), strict=False
            ).run_decompositions({})
    finally:
        model.train(was)
    return used(_Writer(exported, tuple(example.shape)).program())


class _Writer:
    """Walks over the graph once."""

    def __init__(self, exported: Any, shape: tuple[int, ...]) -> None:
        self.exported = exported
        self.shape: Dims = (-1, *shape[1:])
        self.held: dict[Node, Any] = {}
        self.steps: list[Step] = []
        self.constants: dict[str, Constant] = {}
        self.of_tensor: dict[tuple[int, Grid | None], tuple[str, Tensor]] = {}
        """By identity, which a tensor has as long as it is held here too."""

    def program(self) -> Program:
        known = self._known()
        source, target = "", ""
        for node in self.exported.graph.nodes:
            if node.op == "placeholder":
                if node.name in known:
                    self.held[node] = Traced(known=known[node.name])
                else:
                    assert not source, "a model has one input"
                    source = "input"
                    self.held[node] = Traced(name=source)
            elif node.op == "call_function":
                self.held[node] = self._call(node)
            elif node.op == "output":
                results = [self.held[n] for n in node.args[0]]
                assert len(results) == 1, "a model has one output"
                target = self._named(self._as_float(results[0], node), node)
        return Program(input=source, shape=self.shape, output=target, steps=tuple(self.steps), constants=self.constants)

    def _known(self) -> dict[str, Tensor]:
        signature, exported = self.exported.graph_signature, self.exported
        lifted = {**exported.state_dict, **exported.constants}
        inputs = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        return {name: lifted[target].detach() for name, target in inputs.items()}

    # ------------------------------------------------------------------------------------------------- one operation

    def _call(self, node: Node) -> Any:
        target = node.target
        if target is operator.getitem:
            return self.held[node.args[0]][node.args[1]]  # type: ignore[index]
        if not _is_tensor(node) or target is aten._assert_tensor_metadata.default:
            return None
        args = torch.fx.node.map_arg(node.args, lambda n: self.held[n])
        kwargs = torch.fx.node.map_arg(node.kwargs, lambda n: self.held[n])
        tensors = [a for a in _flat((args, kwargs)) if isinstance(a, Traced)]
        if all(t.known is not None for t in tensors) and not _symbolic(node):
            return self._computed(node, args, kwargs, tensors)
        return args[0] if target in IDENTITY else self._written(node, args, kwargs)

    def _written(self, node: Node, args: Any, kwargs: Any) -> Any:
        """What depends on the input: a grid where there is a rounding, and else what torch calls it."""
        target = node.target
        if target is aten.round.default:
            return self._rounded(node)
        if target in CLAMPS and args[0].rounded is not None:
            return self._quantized(node, *args)
        if target is aten.add.Tensor and isinstance(args[0], Traced) and _is_offset(args[0], args[1]):
            return replace(args[0], grid=_raised(args[0], args[1]))
        return self._translated(node, args, kwargs)

    def _computed(self, node: Node, args: Any, kwargs: Any, tensors: list[Traced]) -> Any:
        """An operation on what is known is computed now; codes of weights keep their grid while they only move."""
        plain = [torch.utils._pytree.tree_map(_bare, each, is_leaf=_is_traced) for each in (args, kwargs)]
        result = node.target(*plain[0], **plain[1])  # type: ignore[operator]
        grid = None
        if node.target in CLAMPS and _rounds(node.args[0]):
            grid = _widest(args[1], args[2])
        elif len(tensors) == 1 and tensors[0].grid is not None and moves(node.target):
            grid = tensors[0].grid
        elif node.target is aten.add.Tensor and isinstance(args[0], Traced) and _is_offset(args[0], args[1]):
            grid = _raised(args[0], args[1])
        if isinstance(result, list | tuple):
            return [Traced(known=one, grid=grid) for one in result]
        return Traced(known=result, grid=grid)

    def _rounded(self, node: Node) -> Traced:
        """Remember what is rounded; the clamp behind it says on which grid."""
        source: Any = node.args[0]
        if source.target is aten.sub.Tensor and isinstance(source.args[1], float):
            return Traced(rounded=(source.args[0], source.args[1]))
        return Traced(rounded=(source, 0.0))

    def _quantized(self, node: Node, x: Traced, low: Any, high: Any) -> Traced:
        assert x.rounded is not None
        source, offset = x.rounded
        inputs = [source]
        if source.target is aten.div.Tensor and self.held[source.args[1]].known is not None:
            inputs = list(source.args)
        names = [self._named(self._as_float(self.held[n], node), node) for n in inputs]
        grid = _widest(low, high)
        settings = {"low": grid.low, "high": grid.high, "offset": offset}
        if isinstance(low, Traced) and not _alike(low, high):  # learned bits, of each head its own
            names = [*names, *([] if len(names) == 2 else [self._named(Traced(known=torch.ones(())), node)])]
            names += [self._named(bound, node) for bound in (low, high)]
        return Traced(name=self._step("quantize", tuple(names), node, settings), grid=grid)

    def _translated(self, node: Node, args: Any, kwargs: Any) -> Any:
        translate = TRANSLATIONS.get(node.target)
        if translate is None:
            raise ValueError(
                f"{_layer(node) or 'the model'} computes {node.target}, which stillbit cannot deploy yet: leave it "
                "out of the model, or write it with operations it knows"
            )
        value = node.meta["val"]
        dims: Any = [_dims(v) for v in value] if isinstance(value, list | tuple) else _dims(value)

        def emit(op: str, *inputs: Any, **settings: Any) -> Traced:
            return self._emitted(op, list(inputs), settings, node)

        return translate(emit, args, kwargs, dims)

    def _emitted(self, op: str, inputs: list[Any], settings: dict[str, Any], node: Node) -> Traced:
        """A step; a product of codes where both sides are codes, and codes where codes were only moved."""
        values = [Traced(known=x) if isinstance(x, Tensor) else x for x in inputs]
        grids, grid = [x.grid for x in values], None
        if op in ("matmul", "conv") and None not in grids:
            settings = {**settings, "offsets": [each.offset for each in grids if each is not None]}
            op = {"matmul": "product", "conv": "convolution"}[op]
        elif op in MOVES and op not in ("pad", "gather") and len({*grids}) == 1:
            grid = grids[0]
        else:
            values = [self._as_float(x, node) for x in values]
        return Traced(name=self._step(op, tuple(self._named(x, node) for x in values), node, settings), grid=grid)

    # ----------------------------------------------------------------------------------------------------- writing down

    def _as_float(self, x: Traced, node: Node) -> Traced:
        """Codes as the level they stand for; floats as they are."""
        if x.grid is None:
            return x
        if x.known is not None:
            return replace(x, grid=None)  # what is known holds levels
        return Traced(name=self._step("level", (self._named(x, node),), node, {"offset": x.grid.offset}))

    def _named(self, x: Traced, node: Node) -> str:
        if x.name is not None:
            return x.name
        assert x.known is not None, "a rounding without a clamp has no grid"
        tensor = x.known
        key = (id(tensor), x.grid)
        if key not in self.of_tensor:
            name = f"c{len(self.constants)}"
            self.of_tensor[key] = name, tensor
            self.constants[name] = _constant(tensor, x.grid)
        return self.of_tensor[key][0]

    def _step(self, op: str, inputs: tuple[str, ...], node: Node, settings: dict[str, Any]) -> str:
        output = f"v{len(self.steps)}"
        self.steps.append(Step(op=op, inputs=inputs, output=output, settings=settings, layer=_layer(node)))
        return output


def _raised(codes: Traced, offset: float) -> Grid:
    assert codes.grid is not None, "only codes are raised to levels"
    return replace(codes.grid, offset=offset)


def _widest(low: Any, high: Any) -> Grid:
    """The grid of bounds that are numbers, or known tensors."""
    ends = [float(_bare(low).min() if isinstance(low, Traced) else low)]
    ends.append(float(_bare(high).max() if isinstance(high, Traced) else high))
    assert all(end.is_integer() for end in ends), "codes are integers"
    return Grid(low=int(ends[0]), high=int(ends[1]))


def _alike(*bounds: Traced) -> bool:
    """Whether each bound is one number."""
    return all(bound.known is not None and bound.known.unique().numel() == 1 for bound in bounds)


def _constant(tensor: Tensor, grid: Grid | None) -> Constant:
    tensor = tensor.cpu().contiguous()
    if grid is not None:
        codes = (tensor.double() - grid.offset).to(torch.int64)
        return Constant(array=codes.numpy(), grid=grid)
    if tensor.is_floating_point():
        return Constant(array=tensor.float().numpy())
    return Constant(array=tensor.to(torch.int64).numpy())


def _bare(x: Any) -> Any:
    return x.known if isinstance(x, Traced) else x


def _is_traced(x: Any) -> bool:
    return isinstance(x, Traced)


def _flat(x: Any) -> list[Any]:
    return torch.utils._pytree.tree_leaves(x, is_leaf=_is_traced)


def _is_tensor(node: Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) or (isinstance(value, list | tuple) and all(isinstance(v, Tensor) for v in value))


def _symbolic(node: Node) -> bool:
    """Whether the result has the size of the batch in it."""
    value = node.meta["val"]
    values = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(size, torch.SymInt) for v in values for size in v.shape)


def _dims(value: Tensor) -> Dims:
    """The shape of a result; a size that grows with the batch is negative."""
    return tuple(_dim(size) for size in value.shape)


def _dim(size: Any) -> int:
    if isinstance(size, int):
        return size
    expression = size.node.expr
    (symbol,) = expression.free_symbols
    times = expression / symbol
    assert times.is_Integer, f"a size grows as {expression}"
    return -int(times)


def _layer(node: Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    for path, _ in reversed(list(stack.values())):
        return str(path)
    return ""


def _rounds(node: Any) -> bool:
    return isinstance(node, Node) and node.target is aten.round.default


def _is_offset(x: Traced, added: Any) -> bool:
    """Whether adding makes levels of codes: what stillbit's mid-rise grids do behind a clamp."""
    return x.grid is not None and x.grid.offset == 0 and isinstance(added, float) and added == 0.5
