"""One compilation for all blocks that are alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

import stillbit
from stillbit.surgery.compile import block_names, repeated_blocks
from tests.surgery import tiny

# Torch hides this warning of its own, which cannot work where warnings are errors.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def names(model: nn.Module) -> list[str]:
    blocks = {id(block) for block in repeated_blocks(model)}
    return [name for name, m in model.named_modules() if id(m) in blocks]


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize(
    ("make", "blocks"),
    [
        (tiny.vit, ["blocks.0", "blocks.1"]),
        (tiny.mixer, ["blocks.0", "blocks.1"]),
        (lambda: tiny.swin(depths=(2, 2)), [f"layers.{i}.blocks.{j}" for i in (0, 1) for j in (0, 1)]),
        (lambda: tiny.swin_v2(depths=(2, 2)), [f"layers.{i}.blocks.{j}" for i in (0, 1) for j in (0, 1)]),
        (tiny.eva, ["blocks.0", "blocks.1"]),
        (tiny.beit, ["blocks.0", "blocks.1"]),
    ],
)
def test_the_blocks_of_a_transformer_are_found(make: Any, blocks: list[str], quantized: bool) -> None:
    model = make()
    assert names(stillbit.quantize(model, "w4a4") if quantized else model) == blocks


def test_blocks_inside_blocks_are_compiled_once() -> None:
    inner = [
        nn.Sequential(*(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)) for _ in range(2))) for _ in "ab"
    ]
    found = names(nn.Sequential(*inner))
    assert found == ["0.0", "0.1", "1.0", "1.1"]


def test_blocks_have_names() -> None:
    model = tiny.vit()
    assert [model.get_submodule(name) for name in block_names(model)] == repeated_blocks(model)
    assert block_names(model)[0] == "blocks.0"


def test_a_model_without_repeated_blocks_is_told_what_to_call() -> None:
    with pytest.raises(ValueError, match=r"no repeated blocks in this model: call torch.compile\(model\) instead"):
        stillbit.compile_blocks(stillbit.quantize(tiny.plain(), "w4a4"))


def test_forward_and_backward_are_compiled_once_for_all_blocks_and_never_again() -> None:
    model = stillbit.quantize(tiny.vit(depth=2).double(), "w4a4")
    x = tiny.images(dtype=torch.float64)
    stillbit.calibrate(model, [x])
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    grads = []
    for compiled in (False, True):
        counter = CompileCounterWithBackend("aot_eager")
        if compiled:
            stillbit.compile_blocks(model, backend=counter)
        model.zero_grad()
        model(x).square().sum().backward()
        grads.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert counter.frame_count == 1
    for eager, fast in zip(*grads, strict=True):
        torch.testing.assert_close(fast, eager, rtol=1e-9, atol=1e-9)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for _ in range(2):
            optimizer.step()
            model(x).square().sum().backward()
    assert counter.frame_count == 1


def test_names_and_state_stay_those_of_the_model() -> None:
    model = stillbit.quantize(tiny.vit(), "w4a4")
    before = list(model.state_dict()), [name for name, _ in model.named_modules()]
    stillbit.compile_blocks(model, backend="eager")
    assert (list(model.state_dict()), [name for name, _ in model.named_modules()]) == before


def test_the_settings_of_torch_are_left_as_they_were() -> None:
    with torch._dynamo.config.patch(recompile_limit=8):
        stillbit.compile_blocks(stillbit.quantize(tiny.vit(), "w4a4"), backend="eager")
        assert torch._dynamo.config.recompile_limit == 8


def test_a_compiled_model_can_still_be_saved_summarized_and_taken_back(tmp_path: Any) -> None:
    model = stillbit.quantize(tiny.vit().eval(), "w4a4")
    stillbit.calibrate(model, [tiny.images()])
    stillbit.compile_blocks(model, backend="eager")
    expected = model(tiny.images())
    assert stillbit.summary(model).macs_on_codes == stillbit.summary(model).macs
    loaded = stillbit.load(stillbit.save(model, tmp_path / "m"), tiny.vit()).eval()
    torch.testing.assert_close(loaded(tiny.images()), expected, rtol=1e-5, atol=1e-5)
    assert type(stillbit.dequantize(model).blocks[0].attn).__name__ == "Attention"
