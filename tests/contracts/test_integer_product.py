"""What training simulates is what integers compute: every product against int64, layer by layer, and its gradients.

The reference knows nothing of the package but the codes: it multiplies them in int64 with numpy (twice the code plus
one on a mid-rise grid, whose levels are half-integers), rounds that sum to the type of the layer once, and scales it.

A sum is exact in a float32 accumulator as long as sum_k |a_k| |b_k| < 2^24, whatever the order of the additions. Two
8-bit operands stay below it up to K = 514; every test here checks the bound on its own numbers. A bfloat16 product of
codes has the same accumulator, so it is the same sum rounded once, when it is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import stillbit
from stillbit import Plan, Spec, per_channel, per_group, per_head, per_tensor, per_token
from stillbit.layers.conv import QuantConv2d
from stillbit.layers.linear import QuantLinear
from stillbit.layers.merged_attention import MergedAttention
from stillbit.layers.product import Convolution, convolution, inner
from stillbit.layers.walk import quantized
from stillbit.quantizers import Grid, Latent
from stillbit.quantizers.spec import build
from tests.surgery import tiny

EXACT = 2**24
"""Integers below this are exact in float32, and so are their sums."""
UNIT = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8, torch.float64: 2.0**-53}
"""Half the distance between neighbouring numbers, relative: what one rounding costs."""
BITS = range(1, 9)
TYPES = (torch.float32, torch.bfloat16)


def running(dtype: torch.dtype) -> AbstractContextManager[Any]:
    return torch.autocast("cpu", dtype) if dtype == torch.bfloat16 else nullcontext()


# --------------------------------------------------------------------------------------- the reference, in integers


def doubled(latent: Latent) -> np.ndarray:
    """Twice the level of every element, an integer on every grid."""
    assert latent.grid is not None
    return 2 * latent.code().numpy().astype(np.int64) + int(2 * latent.grid.offset)


def spread(scale: Tensor | None, shape: tuple[int, ...]) -> np.ndarray:
    """The scale of every element: element i of n belongs to block i * blocks // n."""
    if scale is None:
        return np.ones(shape)
    full = scale.detach().double().numpy()
    for axis in range(-full.ndim, 0):
        full = np.take(full, np.arange(shape[axis]) * full.shape[axis] // shape[axis], axis)
    return np.broadcast_to(full, shape)


def pieces(a: Latent, b: Latent) -> list[slice]:
    """The summed axis cut wherever a scale changes along it."""
    cuts = max(1 if s is None else s.shape[-1] for s in (a.scale, b.scale))
    width = a.x.shape[-1] // cuts
    return [slice(i * width, (i + 1) * width) for i in range(cuts)]


def sums(a: Latent, b: Latent) -> list[np.ndarray]:
    """The exact sums of products of levels, a piece at a time; as float64, which holds them."""
    left, right = doubled(a), doubled(b)
    found = []
    for piece in pieces(a, b):
        p, q = left[..., piece], np.swapaxes(right[..., piece], -1, -2)
        assert (np.abs(p) @ np.abs(q)).max() < EXACT, "too large for this test: a partial sum may round in float32"
        found.append((p @ q) / 4)
    return found


def stored(x: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """Rounded once, as a tensor of ``dtype`` stores it."""
    return torch.from_numpy(x).to(dtype).double().numpy()


def outside(a: Latent, b: Latent) -> list[tuple[np.ndarray, np.ndarray]]:
    """The scales that multiply each piece of the product: of the rows, and of the columns."""
    ours, theirs = spread(a.scale, tuple(a.x.shape)), spread(b.scale, tuple(b.x.shape))
    found = []
    for piece in pieces(a, b):
        rows, columns = ours[..., piece], theirs[..., piece]
        assert (rows == rows[..., :1]).all() and (columns == columns[..., :1]).all()
        found.append((rows[..., :1], np.swapaxes(columns[..., :1], -1, -2)))
    return found


def exact(a: Latent, b: Latent, bias: Tensor | None) -> np.ndarray:
    """The product in float64, codes first, scales and shifts after: rounding-free for all practical purposes."""
    y = sum(s * r * c for s, (r, c) in zip(sums(a, b), outside(a, b), strict=True))
    ours = spread(a.shift, tuple(a.x.shape)) if a.shift is not None else np.zeros(a.x.shape)
    theirs = doubled(b) / 2 * spread(b.scale, tuple(b.x.shape))
    y = y + ours @ np.swapaxes(theirs, -1, -2)
    return y if bias is None else y + bias.detach().double().numpy()


def allowance(a: Latent, b: Latent, bias: Tensor | None, dtype: torch.dtype) -> np.ndarray:
    """What the roundings may add up to: in ``dtype`` the sum of each piece, the piece scaled by one or two scales, and
    what the pieces and the bias make together; in float32 everything else, bias and shift among it."""
    parts = [np.abs(s * r * c) for s, (r, c) in zip(sums(a, b), outside(a, b), strict=True)]
    product = sum(parts, np.zeros(1))
    theirs = doubled(b) / 2 * spread(b.scale, tuple(b.x.shape))
    ours = spread(a.shift, tuple(a.x.shape)) if a.shift is not None else np.zeros(a.x.shape)
    plain = np.zeros(1) if bias is None else bias.detach().double().numpy()
    added = np.abs(ours @ np.swapaxes(theirs, -1, -2) + plain)
    reach = np.abs(ours) @ np.swapaxes(np.abs(theirs), -1, -2) + np.abs(plain)
    coarse = UNIT[dtype] * ((3 + len(parts)) * product + 2 * added)
    return coarse + UNIT[torch.float32] * (4 * product + (a.x.shape[-1] + 4) * reach)


def assert_integers(y: Tensor, a: Latent, b: Latent, bias: Tensor | None = None) -> None:
    """``y`` is the integer product of ``a`` and ``b``: to the bit where the order of roundings is fixed."""
    dtype = y.dtype
    found = y.detach().double().numpy()
    if len(pieces(a, b)) == 1 and bias is None and a.shift is None:
        (total,), ((rows, columns),) = sums(a, b), outside(a, b)
        total = stored(total, dtype)
        if (rows != rows[..., :1, :]).any() and (columns != columns[..., :1]).any():
            wanted = stored(stored(total * rows, dtype) * columns, dtype)  # scales of every token and every output
        else:
            wanted = stored(stored(total * stored(rows * columns, torch.float32), torch.float32), dtype)
        np.testing.assert_array_equal(found, wanted)
    error = np.abs(found - exact(a, b, bias))
    assert (error <= allowance(a, b, bias, dtype)).all(), f"off by {(error / allowance(a, b, bias, dtype)).max():.3g}"


def raw(latent: Latent) -> Latent:
    """The same codes with a scale of one: what is multiplied is then the level itself."""
    assert latent.scale is not None
    level = torch.from_numpy(doubled(latent) / 2).to(latent.x.dtype)
    return Latent(level, latent.grid, torch.ones_like(latent.scale), None, latent.clips)


# ------------------------------------------------------------------------------------------------------ linear layers

HEADS, WIDTH, TOKENS = 3, 16, 5
WEIGHTS: dict[str, tuple[Spec, tuple[int, ...], dict[str, Any]]] = {
    "per_tensor": (Spec(granularity=per_tensor), (40, 96), {}),
    "per_channel": (Spec(granularity=per_channel), (40, 96), {}),
    "per_head-rows": (Spec(granularity=per_head), (3 * HEADS * WIDTH, 96), {"heads": 3 * HEADS}),
    "per_head-columns": (Spec(granularity=per_head), (40, HEADS * WIDTH), {"heads": HEADS, "head_axis": 1}),
    "per_group": (Spec(granularity=per_group(16)), (40, 96), {}),
    "statsq": (Spec(quantizer="statsq", granularity=per_channel), (40, 96), {}),
    "dorefa": (Spec(quantizer="dorefa", granularity=per_tensor), (40, 96), {}),
}
INPUTS: dict[str, Spec] = {
    "signed": Spec(),
    "unsigned": Spec(range="unsigned"),
    "per_token": Spec(granularity=per_token),
    "shifted": Spec(range="shifted"),
    "pact": Spec(quantizer="pact", range="unsigned"),
    "shifted-groups": Spec(granularity=per_group(16), range="shifted"),
}


def with_bits(spec: Spec, bits: int) -> Spec:
    return Spec(bits, spec.quantizer, spec.granularity, spec.range)


def linear(weight: str, tokens: str, bits: int, bias: bool) -> tuple[QuantLinear, Tensor]:
    """A layer with start values from its own data, and tokens for it."""
    spec, shape, heads = WEIGHTS[weight]
    layer = QuantLinear(shape[1], shape[0], bias)
    x = torch.randn(2, TOKENS, shape[1])
    x = nn.functional.gelu(x) if "shifted" in tokens else x.abs() if tokens in ("unsigned", "pact") else x
    blocks = spec.granularity.of_weight(shape, **heads)
    layer.weight_quantizer = build(with_bits(spec, bits), "weight", blocks, "signed")
    of_tokens = INPUTS[tokens].granularity.of_tokens(shape[1], tokens=TOKENS)
    layer.input_quantizer = build(with_bits(INPUTS[tokens], bits), "activation", of_tokens, "signed")
    assert layer.weight_quantizer is not None and layer.input_quantizer is not None
    layer.weight_quantizer.start(layer.weight, "mean_magnitude")
    layer.input_quantizer.start(x, "minmax" if "shifted" in tokens else "mean_magnitude")
    return layer, x


def operands(layer: QuantLinear, x: Tensor) -> tuple[Latent, Latent]:
    assert layer.weight_quantizer is not None and layer.input_quantizer is not None
    return layer.input_quantizer(x), layer.weight_quantizer(layer.weight)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("tokens", INPUTS)
@pytest.mark.parametrize("weight", WEIGHTS)
def test_a_linear_layer_is_an_integer_product(weight: str, tokens: str, bits: int, dtype: torch.dtype) -> None:
    for bias in (False, True):
        layer, x = linear(weight, tokens, bits, bias)
        with torch.no_grad(), running(dtype):
            y = layer(x)
            a, b = operands(layer, x)
        assert y.dtype == dtype
        assert_integers(y, a, b, layer.bias)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("weight", WEIGHTS)
def test_the_accumulators_of_a_linear_layer_are_the_integers_themselves(
    weight: str, bits: int, dtype: torch.dtype
) -> None:
    layer, x = linear(weight, "signed", bits, bias=False)
    a, b = map(raw, operands(layer, x))
    with torch.no_grad(), running(dtype):
        y = inner(a, b).double().numpy()
    totals = sums(a, b)
    if len(totals) == 1 or dtype == torch.float32:
        np.testing.assert_array_equal(y, stored(sum(totals, np.zeros(1)), dtype))
    else:
        roundings = len(totals) * UNIT[dtype] * sum((np.abs(t) for t in totals), np.zeros(1))
        assert (np.abs(y - sum(totals, np.zeros(1))) <= roundings).all()
    assert bits == 1 or np.abs(totals[0]).max() > 2, "numbers too small to prove anything"


@pytest.mark.parametrize("bits", BITS)
def test_a_long_sum_in_bfloat16_is_rounded_only_when_it_is_stored(bits: int) -> None:
    length = min(4096, EXACT // 4**bits)
    grid, signed = Grid(bits, signed=False), Grid(bits, signed=True, offset=0.5 if bits == 1 else 0.0)
    a = Latent(torch.randint(grid.low, grid.high + 1, (3, length)).float(), grid, torch.ones(1))
    level = torch.randint(signed.low, signed.high + 1, (7, length)) + signed.offset
    b = Latent(level.float(), signed, torch.ones(1))
    (total,) = sums(a, b)
    assert bits < 3 or np.abs(total).max() > 256, "below 257 every integer is exact in bfloat16"
    with running(torch.bfloat16):
        np.testing.assert_array_equal(inner(a, b).double().numpy(), stored(total, torch.bfloat16))


@pytest.mark.gpu
@pytest.mark.parametrize("bits", BITS)
def test_on_a_gpu_a_long_sum_in_bfloat16_is_rounded_only_when_it_is_stored(bits: int) -> None:
    length = min(16384, EXACT // 4**bits)
    grid = Grid(bits, signed=False)
    codes = [torch.randint(grid.low, grid.high + 1, (n, length)).float() for n in (16, 24)]
    a, b = (Latent(x.cuda(), grid, torch.ones(1, device="cuda")) for x in codes)
    total = (codes[0].long().numpy() @ codes[1].long().numpy().T).astype(float)
    with torch.autocast("cuda", torch.bfloat16):
        np.testing.assert_array_equal(inner(a, b).double().cpu().numpy(), stored(total, torch.bfloat16))


@settings(max_examples=40)
@given(
    bits=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(1, 64)),
    dtype=st.sampled_from(TYPES),
    number=st.integers(0, 2**20),
)
def test_any_two_grids_of_any_shape_multiply_as_integers(
    bits: tuple[int, int], sizes: tuple[int, ...], dtype: torch.dtype, number: int
) -> None:
    torch.manual_seed(number)
    batch, n, o, k = sizes
    a = Latent(torch.randn(batch, n, k) * 3, Grid(bits[0], signed=False), torch.rand(1) + 0.1)
    mid = Grid(bits[1], signed=True, offset=0.5)
    b = Latent(torch.randn(o, k), mid, torch.rand(o, 1) + 0.1)
    with running(dtype):
        assert_integers(inner(a, b), a, b)


# ------------------------------------------------------------------------------------------------------- convolutions

SHAPES = {
    "plain": {"stride": 1},
    "padded": {"padding": 1},
    "patches": {"kernel_size": 4, "stride": 4},
    "grouped": {"groups": 2, "padding": (1, 0)},
    "depthwise": {"groups": 4, "out_channels": 8, "padding": 1},
    "strided": {"stride": (2, 1), "dilation": (1, 2), "padding": 2},
}


def conv_sums(image: np.ndarray, kernel: np.ndarray, layer: nn.Conv2d) -> np.ndarray:
    """A convolution by its definition, in whatever integers or floats it gets."""
    (sh, sw), (dh, dw), groups = layer.stride, layer.dilation, layer.groups
    ph, pw = layer.padding
    image = np.pad(image, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    outputs, inputs, kh, kw = kernel.shape
    height = (image.shape[2] - dh * (kh - 1) - 1) // sh + 1
    width = (image.shape[3] - dw * (kw - 1) - 1) // sw + 1
    y = np.zeros((image.shape[0], outputs, height, width), dtype=np.result_type(image, kernel))
    each = outputs // groups
    for g in range(groups):
        part, rows = image[:, g * inputs : (g + 1) * inputs], slice(g * each, (g + 1) * each)
        for i in range(kh):
            for j in range(kw):
                window = part[:, :, i * dh :, j * dw :][:, :, : sh * (height - 1) + 1 : sh, : sw * (width - 1) + 1 : sw]
                y[:, rows] += np.einsum("bchw,oc->bohw", window, kernel[rows, :, i, j])
    return y


def assert_integer_convolution(y: Tensor, layer: QuantConv2d, x: Tensor) -> None:
    assert layer.weight_quantizer is not None and layer.input_quantizer is not None
    with torch.no_grad():
        image, kernel = layer.input_quantizer(x), layer.weight_quantizer(layer.weight)
    assert image.scale is not None and image.scale.numel() == 1
    total = conv_sums(doubled(image), doubled(kernel), layer) / 4
    bound = conv_sums(np.abs(doubled(image)), np.abs(doubled(kernel)), layer)
    assert bound.max() < EXACT, "too large for this test: a partial sum may round in float32"
    columns = spread(kernel.scale, tuple(kernel.x.shape))[:, :1, :1, 0]
    scale = image.scale.double().numpy().reshape(1, 1, 1) * columns
    found = y.detach().double().numpy()
    if image.shift is None and layer.bias is None:
        product = stored(stored(total, y.dtype) * stored(scale, torch.float32), torch.float32)
        np.testing.assert_array_equal(found, stored(product, y.dtype))
        return
    values = doubled(kernel) / 2 * spread(kernel.scale, tuple(kernel.x.shape))
    bias = np.zeros((1, 1, 1)) if layer.bias is None else layer.bias.detach().double().numpy().reshape(-1, 1, 1)
    shift = spread(image.shift, (1, *x.shape[1:])) if image.shift is not None else np.zeros((1, *x.shape[1:]))
    shifted, reach = (conv_sums(f(shift), f(values), layer) for f in (np.array, np.abs))
    # Each of the three terms, and what they add up to on the way, is stored: six roundings. The rest is float32.
    allowed = 6 * UNIT[y.dtype] * (np.abs(total * scale) + np.abs(shifted) + np.abs(bias))
    allowed = allowed + (values[0].size + 4) * UNIT[torch.float32] * (np.abs(total * scale) + reach + np.abs(bias))
    error = np.abs(found - (total * scale + shifted + bias))
    assert (error <= allowed).all(), f"off by {(error / allowed).max():.3g} times what rounding explains"


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("tokens", ["signed", "unsigned", "shifted"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_convolution_is_an_integer_product(shape: str, tokens: str, bits: int, dtype: torch.dtype) -> None:
    for granularity, bias, name in (
        (per_channel, True, "lsq"),
        (per_tensor, False, "lsq"),
        (per_channel, False, "statsq"),
    ):
        options = {"out_channels": 6, "kernel_size": 3, **SHAPES[shape]}
        layer = QuantConv2d.adopt(nn.Conv2d(4, bias=bias, **options))
        weight = Spec(bits, name, granularity)
        layer.weight_quantizer = build(weight, "weight", granularity.of_weight(tuple(layer.weight.shape)), "signed")
        layer.input_quantizer = build(Spec(bits, range=INPUTS[tokens].range), "activation", (1,), "signed")
        assert layer.weight_quantizer is not None and layer.input_quantizer is not None
        x = torch.randn(2, 4, 9, 8)
        x = nn.functional.gelu(x) if tokens == "shifted" else x.abs() if tokens == "unsigned" else x
        layer.weight_quantizer.start(layer.weight, "mean_magnitude")
        layer.input_quantizer.start(x, "minmax")
        with torch.no_grad(), running(dtype):
            y = layer(x)
        assert_integer_convolution(y, layer, x)


# ---------------------------------------------------------------------------------------------------------- attention

HEADED = {"per_tensor": per_tensor, "per_head": per_head, "per_token": per_token}


def headed(granularity: str, bits: int, signed: bool, width: int, size: float = 1.0) -> Latent:
    grid = Grid(bits, signed, 0.5 if signed and bits == 1 else 0.0)
    blocks = HEADED[granularity].of_heads(HEADS, width, tokens=TOKENS)
    x = torch.randn(2, HEADS, TOKENS, width)
    x = (x if signed else x.softmax(-1)) * size
    return Latent(x, grid, (torch.rand(blocks) + 0.5) * size / max(grid.high, 1))


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("key", HEADED)
@pytest.mark.parametrize("query", HEADED)
def test_query_times_key_is_an_integer_product(query: str, key: str, bits: int, dtype: torch.dtype) -> None:
    q, k = headed(query, bits, True, WIDTH), headed(key, bits, True, WIDTH)
    with running(dtype):
        assert_integers(inner(q, k), q, k)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("value", ["per_tensor", "per_head"])
@pytest.mark.parametrize("probability", HEADED)
def test_probabilities_times_value_are_an_integer_product(
    probability: str, value: str, bits: int, dtype: torch.dtype
) -> None:
    p, v = headed(probability, bits, False, TOKENS), headed(value, bits, True, WIDTH, size=3.0)
    with running(dtype):
        assert_integers(inner(p, v.mT), p, v.mT)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("granularity", [per_tensor, per_head, per_token], ids=str)
def test_merged_query_times_input_is_an_integer_product(granularity: Any, bits: int, dtype: torch.dtype) -> None:
    spec = Spec(bits, granularity=granularity)
    plain, weight = Spec(bits), Spec(bits, "minmax", per_channel)
    plan = Plan(
        (
            stillbit.Rule("@attention", stillbit.AttentionSpec(spec, plain, plain, plain, merge=True)),
            stillbit.Rule("*", stillbit.LayerSpec(weight, plain), optional=True),
        )
    )
    model = stillbit.quantize(tiny.vit(depth=1), plan)
    stillbit.calibrate(model, [tiny.images()], rule="minmax")
    layer = next(m for m in model.modules() if isinstance(m, MergedAttention))
    assert layer.query_quantizer is not None
    x = torch.randn(2, 17, 48)
    with torch.no_grad(), running(dtype):
        tokens = layer.tokens(x)
        query = layer.headed(layer.qk(tokens))
        scores = layer.merged_logits(tokens)
        ready = layer.query_quantizer(query)
    wide = Latent(tokens.x.unsqueeze(1), tokens.grid, tokens.scale)
    (total,), ((rows, columns),) = sums(ready, wide), outside(ready, wide)
    wanted = total * rows * columns * layer.scale
    # The sum, one or two products with scales, and the division by the root of the width.
    assert (np.abs(scores.double().numpy() - wanted) <= 4.1 * UNIT[scores.dtype] * np.abs(wanted)).all()


# -------------------------------------------------------------------------------------------- whole models, by layer


def record(model: nn.Module, kinds: tuple[type, ...]) -> tuple[list[tuple[str, Any, Any, Tensor]], list[Any]]:
    """Every call of a layer of these kinds: its name, itself, its input and its output."""
    calls: list[tuple[str, Any, Any, Tensor]] = []
    hooks = []
    for name, layer in quantized(model):
        if isinstance(layer, kinds):

            def note(layer: nn.Module, args: Any, y: Tensor, name: str = name) -> None:
                copies = [t.clone() if isinstance(t, Tensor) else t for t in args]  # a ReLU may work in place
                calls.append((name, layer, copies, y.clone()))

            hooks.append(layer.register_forward_hook(note))
    return calls, hooks


@lru_cache
def _calibrated(make: Callable[[], nn.Module], bits: int) -> nn.Module:
    model = stillbit.quantize(make().eval(), Plan.uniform(bits, bits, granularity=per_head))
    stillbit.calibrate(model, [tiny.images()])
    return model


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("make", [tiny.vit, tiny.deit, tiny.swin, tiny.timm_resnet, tiny.timm_vgg, tiny.mixer])
def test_every_layer_of_a_model_is_an_integer_product(
    make: Callable[[], nn.Module], bits: int, dtype: torch.dtype
) -> None:
    model = _calibrated(make, bits)
    calls, hooks = record(model, (QuantLinear, QuantConv2d))
    with torch.no_grad(), running(dtype):
        model(tiny.images(1))
        for hook in hooks:
            hook.remove()
        assert len(calls) == sum(1 for _, m in quantized(model) if isinstance(m, QuantLinear | QuantConv2d))
        for _, layer, args, y in calls:
            if isinstance(layer, QuantConv2d):
                assert_integer_convolution(y, layer, args[0])
            else:
                x = args[0] if args[0].dim() > 1 else args[0].unsqueeze(0)
                bias = args[1] if len(args) > 1 else layer.bias
                assert_integers(y, *operands(layer, x), bias)


# ---------------------------------------------------------------------------------------------------------- gradients

CUTS: dict[str, Callable[[int, int, int], tuple[int, ...]]] = {
    "one": lambda h, n, k: (1,),
    "one-of-two-axes": lambda h, n, k: (1, 1),
    "rows": lambda h, n, k: (n, 1),
    "row-blocks": lambda h, n, k: (n // 2, 1),
    "blocks-of-the-sum": lambda h, n, k: (1, k // 2),
    "rows-and-blocks-of-the-sum": lambda h, n, k: (n, k // 2),
    "elements-of-the-sum": lambda h, n, k: (k,),
    "half-blocks-of-the-sum": lambda h, n, k: (k // 4,),
}
TOKEN_CUTS = {name: cut for name, cut in CUTS.items() if name != "row-blocks"}  # tokens have a scale each, or one
HEADED_CUTS: dict[str, Callable[[int, int, int], tuple[int, ...]]] = {
    **TOKEN_CUTS,
    "heads": lambda h, n, k: (h, 1, 1),
    "positions": lambda h, n, k: (1, n, 1),
    "heads-and-blocks": lambda h, n, k: (h, 1, k // 2),
    "heads-and-elements": lambda h, n, k: (h, 1, k),
}
VALUE_CUTS = {**HEADED_CUTS, "heads-and-row-blocks": lambda h, n, k: (h, n // 2, 1)}  # groups of a value, transposed


def latent(shape: tuple[int, ...], blocks: tuple[int, ...], grid: Grid | None, shifted: bool, clips: bool) -> Latent:
    """A float64 latent whose every tensor wants a gradient."""
    x = torch.randn(shape, dtype=torch.float64)
    if grid is None:
        return Latent(x.requires_grad_())
    scale = (torch.rand(blocks, dtype=torch.float64) + 0.5) * 2.5 / grid.levels
    shift = torch.randn(blocks, dtype=torch.float64).requires_grad_() if shifted else None
    size_only = bool(torch.rand(()) < 0.3)
    return Latent(x.requires_grad_(), grid, scale.requires_grad_(), shift, clips, size_only)


def leaves(*found: Any) -> list[Tensor]:
    return [t for t in found if isinstance(t, Tensor) and t.requires_grad]


def assert_same_gradients(y: Tensor, plain: Tensor, inputs: list[Tensor]) -> None:
    assert y.shape == plain.shape
    upstream = torch.randn_like(y)
    found = torch.autograd.grad(y, inputs, upstream, allow_unused=True)
    wanted = torch.autograd.grad(plain, inputs, upstream, allow_unused=True)
    torch.testing.assert_close(y, plain, rtol=1e-11, atol=1e-11 * float(plain.detach().abs().max()))
    for f, w in zip(found, wanted, strict=True):
        assert f is not None and w is not None and f.shape == w.shape
        # Relative to the largest: what cancels in an element has the rounding of the terms it came from.
        assert (f - w).abs().max() <= 1e-11 * max(1.0, float(w.abs().max()))


GRIDS = (None, Grid(1, signed=False), Grid(2), Grid(3, signed=True, offset=0.5), Grid(4, signed=False), Grid(8))
multiples = st.integers(1, 3).map(lambda n: 4 * n)


@pytest.mark.parametrize("b_cut", CUTS)
@pytest.mark.parametrize("a_cut", TOKEN_CUTS)
@settings(max_examples=8)
@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 3).map(lambda n: 2 * n), multiples, multiples),
    grids=st.tuples(st.sampled_from(GRIDS), st.sampled_from(GRIDS)),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    number=st.integers(0, 2**20),
)
def test_a_linear_product_has_the_gradients_of_its_values(
    a_cut: str, b_cut: str, sizes: tuple[int, ...], grids: tuple[Grid | None, ...], flags: tuple[bool, ...], number: int
) -> None:
    torch.manual_seed(number)
    batch, n, o, k = sizes
    a = latent((batch, n, k), CUTS[a_cut](1, n, k), grids[0], flags[0], flags[1])
    b = latent((o, k), CUTS[b_cut](1, o, k), grids[1], flags[2], True)
    bias = torch.randn(o, dtype=torch.float64, requires_grad=True) if flags[3] else None
    plain = a.value() @ b.value().mT
    assert_same_gradients(inner(a, b, bias), plain if bias is None else plain + bias, leaves(*a, *b, bias))


@pytest.mark.parametrize("b_cut", VALUE_CUTS)
@pytest.mark.parametrize("a_cut", HEADED_CUTS)
@settings(max_examples=4)
@given(
    sizes=st.tuples(st.integers(1, 2), st.integers(1, 3), st.sampled_from([2, 4]), st.sampled_from([2, 4]), multiples),
    grids=st.tuples(st.sampled_from(GRIDS), st.sampled_from(GRIDS)),
    flags=st.tuples(st.booleans(), st.booleans()),
    number=st.integers(0, 2**20),
)
def test_a_product_of_heads_has_the_gradients_of_its_values(
    a_cut: str, b_cut: str, sizes: tuple[int, ...], grids: tuple[Grid | None, ...], flags: tuple[bool, ...], number: int
) -> None:
    torch.manual_seed(number)
    batch, heads, n, m, k = sizes
    a = latent((batch, heads, n, k), HEADED_CUTS[a_cut](heads, n, k), grids[0], flags[0], True)
    b = latent((batch, heads, m, k), VALUE_CUTS[b_cut](heads, m, k), grids[1], flags[1], True)
    assert_same_gradients(inner(a, b), a.value() @ b.value().mT, leaves(*a, *b))


IMAGE_CUTS: dict[str, Callable[[int], tuple[int, ...]]] = {
    "one": lambda c: (1,),
    "channels": lambda c: (c, 1, 1),
    "groups": lambda c: (c // 2, 1, 1),
}
KERNEL_CUTS: dict[str, Callable[[int, int], tuple[int, ...]]] = {
    "one": lambda o, c: (1, 1, 1, 1),
    "channels": lambda o, c: (o, 1, 1, 1),
    "groups": lambda o, c: (o, c // 2, 1, 1),
}


@pytest.mark.parametrize("b_cut", KERNEL_CUTS)
@pytest.mark.parametrize("a_cut", IMAGE_CUTS)
@settings(max_examples=15)
@given(
    sizes=st.tuples(st.integers(1, 2), st.sampled_from([2, 4]), st.sampled_from([2, 4]), st.integers(5, 8)),
    how=st.builds(
        Convolution,
        stride=st.tuples(st.integers(1, 2), st.integers(1, 3)),
        padding=st.tuples(st.integers(0, 2), st.integers(0, 1)),
        dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
        groups=st.sampled_from([1, 2]),
    ),
    grids=st.tuples(st.sampled_from(GRIDS), st.sampled_from(GRIDS)),
    flags=st.tuples(st.booleans(), st.booleans()),
    number=st.integers(0, 2**20),
)
def test_a_convolution_has_the_gradients_of_its_values(
    a_cut: str,
    b_cut: str,
    sizes: tuple[int, ...],
    how: Convolution,
    grids: tuple[Grid | None, ...],
    flags: tuple[bool, ...],
    number: int,
) -> None:
    torch.manual_seed(number)
    batch, c, o, side = sizes
    c *= how.groups
    a = latent((batch, c, side, side + 1), IMAGE_CUTS[a_cut](c), grids[0], flags[0], True)
    b = latent((o, c // how.groups, 3, 2), KERNEL_CUTS[b_cut](o, c // how.groups), grids[1], False, True)
    bias = torch.randn(o, dtype=torch.float64, requires_grad=True) if flags[1] else None
    plain = how.raw(a.value(), b.value(), bias)
    assert_same_gradients(convolution(a, b, bias, how), plain, leaves(*a, *b, bias))
