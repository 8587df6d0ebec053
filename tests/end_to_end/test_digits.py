"""A small transformer on handwritten digits: from float to bits, and on.

It is trained in float once, in a few seconds, on 1347 of scikit-learn's digits; 450 are kept for testing, so that one
image is 0.22 points.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from timm.models.vision_transformer import VisionTransformer
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import stillbit
from stillbit import Plan, per_head
from stillbit.layers.walk import quantizers

BATCH = 64


@dataclass(frozen=True)
class Digits:
    """Images between -1 and 1, every fourth kept for testing."""

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    @classmethod
    def load(cls) -> Digits:
        bunch = load_digits()
        images = torch.from_numpy(np.asarray(bunch.images, dtype=np.float32))[:, None] / 8 - 1
        labels = torch.from_numpy(np.asarray(bunch.target, dtype=np.int64))
        kept = torch.arange(len(labels)) % 4 == 0
        return cls(images[~kept], labels[~kept], images[kept], labels[kept])

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """A batch that depends on nothing but its number."""
        generator = torch.Generator().manual_seed(step)
        picked = torch.randint(len(self.images), (BATCH,), generator=generator)
        return self.images[picked], self.labels[picked]


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits.load()


def new() -> VisionTransformer:
    return VisionTransformer(
        img_size=8, patch_size=2, in_chans=1, num_classes=10, embed_dim=48, depth=2, num_heads=3, global_pool="avg"
    )


def step(model: nn.Module, optimizer: torch.optim.Optimizer, digits: Digits, number: int, bf16: bool = False) -> float:
    images, labels = digits.batch(number)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss = cross_entropy(model(images).float(), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def accuracy(model: nn.Module, digits: Digits, bf16: bool = False) -> float:
    """Points: images in a hundred."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        guessed = model.eval()(digits.test_images).argmax(1)
    return 100 * (guessed == digits.test_labels).double().mean().item()


@pytest.fixture(scope="module")
def trained(digits: Digits) -> VisionTransformer:
    torch.manual_seed(0)
    model = new().train()
    steps = 800
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps, pct_start=0.2)
    for number in range(steps):
        step(model, optimizer, digits, number)
        schedule.step()
    return model.eval()


def quantized(trained: nn.Module, digits: Digits, plan: Any) -> Any:
    model = stillbit.quantize(trained, plan)
    stillbit.calibrate(model, [digits.images[:512]])
    return model


def test_the_float_model_has_learned_to_read(trained: VisionTransformer, digits: Digits) -> None:
    assert accuracy(trained, digits) >= 95


def test_at_8_bits_accuracy_is_within_half_a_point_before_any_training(
    trained: VisionTransformer, digits: Digits
) -> None:
    assert abs(accuracy(quantized(trained, digits, "w8a8"), digits) - accuracy(trained, digits)) <= 0.5


@pytest.mark.parametrize("plan", ["w4a4", Plan.uniform(4, 4, granularity=per_head)], ids=["channels", "heads"])
def test_at_4_bits_at_most_five_points_are_lost_before_any_training(
    plan: Any, trained: VisionTransformer, digits: Digits
) -> None:
    assert accuracy(quantized(trained, digits, plan), digits) >= accuracy(trained, digits) - 5


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
def test_a_few_steps_at_2_bits_bring_the_loss_down_and_the_accuracy_up(
    bf16: bool, trained: VisionTransformer, digits: Digits
) -> None:
    model = quantized(trained, digits, "w2a2")
    before = accuracy(model, digits, bf16)
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-3)
    losses = [step(model, optimizer, digits, number, bf16) for number in range(80)]
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    assert accuracy(model, digits, bf16) > before + 10
    assert all(q.scale.isfinite().all() for _, _, q in quantizers(model))


def test_every_part_moves_in_training(trained: VisionTransformer, digits: Digits) -> None:
    model = quantized(trained, digits, "w3a3")
    before = deepcopy(model.state_dict())
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-3, weight_decay=0.0)
    for number in range(3):
        step(model, optimizer, digits, number)
    still = [name for name, p in model.named_parameters() if torch.equal(p, before[name])]
    assert not still
    assert all(torch.equal(b, before[name]) for name, b in model.named_buffers())


def test_training_is_the_same_twice_to_the_bit(trained: VisionTransformer, digits: Digits) -> None:
    states = []
    for _ in range(2):
        model = quantized(trained, digits, "w2a2").train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        for number in range(3):
            step(model, optimizer, digits, number)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


@pytest.mark.parametrize("merge", [False, True], ids=["plain", "merged"])
def test_a_run_that_is_resumed_goes_on_to_the_bit(
    merge: bool, trained: VisionTransformer, digits: Digits, tmp_path: Path
) -> None:
    """The model through stillbit's own file, the optimizer through its state dict."""

    def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.AdamW(model.parameters(), lr=1e-3)

    model = quantized(trained, digits, Plan.uniform(3, 3, merge=merge)).train()
    optimizer = optimizer_of(model)
    for number in range(4):
        step(model, optimizer, digits, number)
    path = stillbit.save(model, tmp_path / "model.safetensors")
    moments = {f"{i}.{k}": v for i, s in optimizer.state_dict()["state"].items() for k, v in s.items()}
    save_file(moments, tmp_path / "optimizer.safetensors")
    groups = deepcopy(optimizer.state_dict()["param_groups"])
    for number in range(4, 8):
        step(model, optimizer, digits, number)

    resumed = stillbit.load(path, new()).train()
    again = optimizer_of(resumed)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in load_file(tmp_path / "optimizer.safetensors").items():
        number, key = name.split(".")
        state.setdefault(int(number), {})[key] = tensor
    again.load_state_dict({"state": state, "param_groups": groups})
    for number in range(4, 8):
        step(resumed, again, digits, number)
    ours, theirs = resumed.state_dict(), model.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_a_moving_average_of_timm_follows_the_model_and_is_a_model(trained: VisionTransformer, digits: Digits) -> None:
    model = quantized(trained, digits, "w4a4").train()
    average = ModelEmaV3(model, decay=0.5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    name = "blocks.0.mlp.fc1.weight_quantizer.scale"
    expected = model.state_dict()[name].clone()
    for number in range(3):
        step(model, optimizer, digits, number)
        average.update(model, step=number)
        expected.lerp_(model.state_dict()[name], 1 - average.get_decay(number))
    torch.testing.assert_close(average.module.state_dict()[name], expected)
    assert accuracy(average.module, digits) >= accuracy(trained, digits) - 10
    assert stillbit.summary(average.module).calibrated


def test_a_copy_taken_while_training_stays_where_it_was(trained: VisionTransformer, digits: Digits) -> None:
    model = quantized(trained, digits, "w4a4").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    step(model, optimizer, digits, 0)
    copy = deepcopy(model)
    frozen = deepcopy(copy.state_dict())
    step(model, optimizer, digits, 1)
    assert all(torch.equal(v, frozen[k]) for k, v in copy.state_dict().items())
    assert any(not torch.equal(v, frozen[k]) for k, v in model.state_dict().items())


def test_a_trained_model_is_saved_loaded_and_taken_back(
    trained: VisionTransformer, digits: Digits, tmp_path: Path
) -> None:
    model = quantized(trained, digits, "w4a4").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for number in range(10):
        step(model, optimizer, digits, number)
    model.eval()
    loaded = stillbit.load(stillbit.save(model, tmp_path / "m"), new())
    with torch.no_grad():
        assert torch.equal(loaded.eval()(digits.test_images), model(digits.test_images))
    back = stillbit.dequantize(loaded)
    assert back.state_dict().keys() == trained.state_dict().keys()
    assert accuracy(back, digits) >= accuracy(trained, digits) - 5


def test_gradients_do_not_depend_on_how_a_batch_is_cut(trained: VisionTransformer, digits: Digits) -> None:
    """Gradient scales count the elements of one sample, so accumulating over small batches changes nothing."""
    model = quantized(trained, digits, "w3a3").double()
    images, labels = digits.batch(0)
    grads = []
    for pieces in (1, 4):
        model.zero_grad()
        for x, y in zip(images.double().chunk(pieces), labels.chunk(pieces), strict=True):
            (cross_entropy(model(x), y) / pieces).backward()
        grads.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for whole, cut in zip(*grads, strict=True):
        torch.testing.assert_close(cut, whole, rtol=1e-9, atol=1e-12)
