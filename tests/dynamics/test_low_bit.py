from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import distribute_tensor

from stillbit.dynamics.low_bit import low_bit
from tests.dynamics import small
from tests.surgery import tiny


def test_weights_of_few_bits_are_found_and_those_of_eight_are_not() -> None:
    names = [w.name for w in low_bit(small.vit(), "this")]
    assert names == [f"blocks.0.{n}" for n in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")]
    assert [w.name for w in low_bit(small.vit(), "this", (8,))] == ["patch_embed.proj", "head"]


def test_a_model_without_such_weights_is_refused_with_what_it_has() -> None:
    with pytest.raises(ValueError, match="OBR is for weights of 2 or 3 bits, and this model has 4 and 8: leave"):
        low_bit(small.vit(4), "OBR", (3, 2))
    with pytest.raises(ValueError, match="this model has no quantized ones"):
        low_bit(tiny.plain(), "OBR")


def test_sharded_weights_are_refused() -> None:
    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    try:
        mesh = dist.device_mesh.init_device_mesh("cpu", (1,))
        model = small.vit()
        layer = model.get_submodule("blocks.0.mlp.fc1")
        layer.weight = nn.Parameter(distribute_tensor(layer.weight.detach(), mesh))
        with pytest.raises(ValueError, match="needs whole weights, and FSDP shards them"):
            low_bit(model, "freezing")
    finally:
        dist.destroy_process_group()


def test_a_shared_weight_counts_once() -> None:
    model = small.vit()
    model.get_submodule("blocks.0.mlp").add_module("again", model.get_submodule("blocks.0.mlp.fc1"))
    assert len(low_bit(model, "this")) == 4
    assert torch.is_tensor(low_bit(model, "this")[0].parameter)
