"""Programs written by hand: one of them has every operation that there is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from stillbit.deploy.program import Array, Constant, Grid, Input, Program, Step

WINDOW: dict[str, Any] = {"stride": [1, 1], "padding": [1, 1], "dilation": [1, 1], "groups": 1}
ONE: dict[str, Any] = {"axis": 0, "start": 0, "stop": 1, "step": 1}
POOL: dict[str, Any] = {"window": [2, 2], "stride": [2, 2], "padding": [0, 0], "ceil": False}


class Written:
    """A program step by step."""

    def __init__(self, *shape: int) -> None:
        self.shape = (-1, *shape)
        self.steps: list[Step] = []
        self.constants: dict[str, Constant] = {}
        self.random = np.random.default_rng(0)

    def add(self, op: str, *inputs: str, layer: str = "body", **settings: Any) -> str:
        output = f"v{len(self.steps)}"
        self.steps.append(Step(op=op, inputs=inputs, output=output, settings=settings, layer=layer))
        return output

    def constant(self, array: Any, grid: Grid | None = None) -> str:
        name = f"c{len(self.constants)}"
        held: Array = np.asarray(array)
        self.constants[name] = Constant(array=held.astype(np.float32) if held.dtype.kind == "f" else held, grid=grid)
        return name

    def floats(self, *shape: int, low: float = -1.0, high: float = 1.0) -> str:
        return self.constant(self.random.uniform(low, high, shape))

    def codes(self, *shape: int, low: int = -2, high: int = 1, offset: float = 0.0) -> str:
        grid = Grid(low=low, high=high, offset=offset)
        return self.constant(self.random.integers(low, high + 1, shape), grid)

    def quantize(self, x: str, scale: float = 0.3, *, low: int = -2, high: int = 1) -> str:
        return self.add("quantize", x, self.constant([scale]), low=low, high=high, offset=0.0)

    def program(self, output: str) -> Program:
        return Program(
            inputs=(Input(name="input", dims=self.shape),),
            output=output,
            steps=tuple(self.steps),
            constants=dict(self.constants),
        )


def linear() -> Program:
    """Eight numbers in, on two bits, three out."""
    made = Written(8)
    summed = made.add("product", made.quantize("input"), made.codes(8, 3), layer="head", offsets=[0.0, 0.0])
    scaled = made.add("mul", summed, made.floats(3), layer="head")
    return made.program(made.add("add", scaled, made.floats(3), layer="head"))


def reading() -> Program:
    """Six words of ten, and which of them are padding, through all that images have no use for."""
    made = Written(6)
    ids, mask = Input(name="ids", dims=(-1, 6), kind="indices"), Input(name="mask", dims=(-1, 6), kind="indices")
    seen = made.add("compare", made.add("number", "mask"), how="ne", by=0.0)
    ones = made.add("where", seen, made.constant(np.float32(1)), made.constant(np.float32(0)))
    place = made.add("index", made.add("cumsum", ones, axis=1), size=7)
    codes = made.add("gather", made.codes(10, 4, low=-1, high=0, offset=0.5), "ids", axis=0, layer="words")
    words = made.add("level", codes, offset=0.5, layer="words")
    words = made.add("mul", words, made.add("gather", made.floats(10, 1), "ids", axis=0), layer="words")
    x = made.add("add", words, made.add("gather", made.floats(7, 4), place, axis=0), layer="words")
    last = made.add("compare", made.add("number", "ids"), how="eq", by=3.0)
    row = made.add("gather", made.constant(np.array([2, 0, 1])), made.constant(np.array([1, 2])), axis=0)
    x = made.add("add", x, made.add("gather", made.floats(3, 4), made.add("slice", row, **ONE), axis=0))
    x = made.add("where", made.add("reshape", last, shape=[-1, 6, 1]), made.constant(np.float32(0)), x)
    summed = made.add("product", made.quantize(x), made.codes(4, 3), layer="head", offsets=[0.0, 0.0])
    logits = made.add("mean", made.add("mul", summed, made.floats(3), layer="head"), axes=[1], keep=False)
    return replace(made.program(logits), inputs=(ids, mask))


def sentences(number: int = 3) -> tuple[Array, Array]:
    """What `reading` takes in: the first is whole, the others are padded more and more."""
    ids = np.random.default_rng(5).integers(0, 10, (number, 6))
    return ids, (np.arange(6) < 6 - np.arange(number)[:, None] % 6).astype(np.int64)


def everything() -> Program:
    """An image of 3 x 8 x 8 through every operation but those that `reading` has."""
    made = Written(3, 8, 8)
    x = _image(made)
    x = _tokens(made, x)
    x = _gates(made, x)
    return made.program(made.add("max", x, axes=[1], keep=False, layer="head"))


def _image(made: Written) -> str:
    """Convolutions and pools: 4 channels of 4 x 4."""
    codes = made.quantize("input", 0.05, low=-128, high=127)
    x = made.add("convolution", codes, made.codes(4, 3, 3, 3, low=-4, high=3), layer="stem", **WINDOW, offsets=[0, 0])
    x = made.add("mul", x, made.floats(4, 1, 1, low=0.01, high=0.02), layer="stem")
    x = made.add("conv", x, made.floats(4, 2, 1, 1), **{**WINDOW, "padding": [0, 0], "groups": 2}, layer="stem")
    pooled = made.add("avg_pool", x, **POOL, counts_padding=True)
    x = made.add("add", made.add("max_pool", x, **{**POOL, "window": [3, 3], "padding": [1, 1]}), pooled)
    x = made.add("roll", made.add("pad", x, around=[[0, 0], [0, 0], [0, 1], [1, 0]], value=0.0), by=[1], axes=[2])
    return made.add("slice", made.add("slice", x, axis=2, start=1, stop=None, step=1), axis=3, start=0, stop=4, step=1)


def _tokens(made: Written, x: str) -> str:
    """Attention over 17 tokens of 4, on a grid without a zero: two heads of 2."""
    tokens = made.add("permute", made.add("reshape", x, shape=[-1, 4, 16]), axes=[0, 2, 1])
    first = made.add("expand", made.floats(1, 1, 4), shape=[-1, 1, 4])
    x = made.add("layer_norm", made.add("cat", first, tokens, axis=1), made.floats(4), made.floats(4), axes=1, eps=1e-6)
    halves = made.constant([0.5]), made.constant([-2.0]), made.constant([1.0])
    codes = made.add("quantize", x, *halves, low=-2, high=1, offset=0.0)
    x = made.add("product", codes, made.codes(4, 8, offset=0.5), offsets=[0.0, 0.5], layer="attn")
    pairs = made.add("permute", made.add("reshape", x, shape=[-1, 17, 2, 2, 2]), axes=[2, 0, 3, 1, 4])
    query, key = (made.quantize(made.add("select", pairs, axis=0, index=index)) for index in (0, 1))
    scores = made.add("product", query, made.add("permute", key, axes=[0, 1, 3, 2]), offsets=[0.0, 0.0], layer="attn")
    there = made.add("softmax", made.add("mul", scores, by=0.125), axis=3)
    levels = made.add("level", made.quantize(there, 0.1, low=0, high=3), offset=0.0)
    mixed = made.add("matmul", levels, made.add("level", key, offset=0.0), layer="attn")
    return made.add("reshape", made.add("permute", mixed, axes=[0, 2, 1, 3]), shape=[-1, 17, 4])


def _gates(made: Written, x: str) -> str:
    """What works on each number by itself."""
    for op in ("neg", "abs", "exp", "sqrt", "relu", "silu", "sigmoid", "tanh", "hardswish", "hardsigmoid"):
        x = made.add(op, x)
    x = made.add("gelu", made.add("clamp", x, low=0.0, high=None), tanh=False)
    x = made.add("rsqrt", made.add("add", x, by=1.0))
    chosen = made.add("compare", x, how="ge", by=0.5)
    x = made.add("where", chosen, x, made.constant(np.float32(0.25)))
    norm = made.add("norm", x, axes=[2], keep=True)
    x = made.add("sub", made.add("div", x, norm), made.add("mean", x, axes=[2], keep=True))
    x = made.add("clamp", x, made.constant([-3.0]), made.constant([3.0]))
    x = made.add("gather", x, made.constant(np.array([0, 3, 5])), axis=1)
    return made.add("add", x, made.add("sum", x, axes=[1], keep=True), layer="head")
