"""Tokens of a head that relate as the teacher's do, against loops in float64."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from stillbit.data.batch import Batch
from stillbit.distill.relate import Related
from stillbit.quantizers.spec import Spec
from stillbit.surgery.plan import AttentionSpec, Plan, Rule
from stillbit.surgery.swap import quantize
from tests.distill.lessons import Network
from tests.distill.test_tasks import batch, taught

HEADS = 2


def vit(seed: int = 0, **other: Any) -> Any:
    torch.manual_seed(seed)
    made = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": HEADS, "num_classes": 3}
    return timm.models.vision_transformer.VisionTransformer(**made | other)


def swin(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    made = {"img_size": 16, "patch_size": 2, "window_size": 4, "embed_dim": 8, "depths": (2, 2), "num_heads": (2, 4)}
    return timm.models.swin_transformer.SwinTransformer(**made, num_classes=3, drop_path_rate=0.0)


def rectified(seed: int = 0) -> Any:
    """At four bits, its rectifiers somewhere on their way."""
    plan = Plan.uniform(4, 4).but(Rule("@attention", AttentionSpec.all(Spec(4), rectify=True)))
    model = quantize(vit(seed), plan)
    for name, parameter in model.named_parameters():
        if "rectify" in name:
            nn.init.uniform_(parameter, 0.5, 1.5)
    return model


def made(teacher: nn.Module, student: nn.Module, strength: float = 1.0, **settings: Any) -> Related:
    return Related(taught(teacher, student, **settings), student, strength)


def queries_and_keys(model: Any, images: Tensor) -> list[Tensor]:
    """Of every attention the query and the key, ``[n, heads, tokens, width]``, taken where its qkv puts them out."""
    found: list[Tensor] = []

    def keep(attention: Any) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            n, tokens, _ = output.shape
            parts = output.reshape(n, tokens, 3, attention.num_heads, -1)
            found.extend(parts[:, :, which].transpose(1, 2) for which in (0, 1))

        return hook

    handles = [m.qkv.register_forward_hook(keep(m)) for m in model.modules() if hasattr(m, "qkv")]
    model(images)
    for handle in handles:
        handle.remove()
    return found


def rectify(x: Tensor, layer: Any) -> Tensor:
    """The paper's IRM, a head of an image at a time."""
    out = x.clone()
    for n in range(len(x)):
        for h in range(x.size(1)):
            one = x[n, h]
            spread = (one.var(correction=0) + 1e-5).sqrt()
            out[n, h] = (one - one.mean() + layer.beta[h].double()) / (layer.gamma[h].double() * spread)
    return out


def apart(mine: list[Tensor], theirs: list[Tensor]) -> Tensor:
    """Sum over layers, query and key, and heads of |G - G|, the mean over images."""
    total = torch.zeros((), dtype=torch.float64)
    for one, other in zip(mine, theirs, strict=True):
        for n in range(len(one)):
            for h in range(one.size(1)):
                here, there = (x[n, h].double() @ x[n, h].double().T for x in (one, other))
                total = total + (there / there.norm() - here / here.norm()).norm() / len(one)
    return total


@pytest.mark.parametrize("family", [vit, swin])
def test_it_is_the_loop_over_layers_heads_and_images(family: Any) -> None:
    student, teacher, held = family(1), family(2), batch()
    found = made(teacher, student)(student, held)["relations"]
    with torch.no_grad():
        wanted = apart(*(queries_and_keys(model.double(), held.images.double()) for model in (student, teacher)))
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4) and wanted > 0.1


def test_its_gradient_is_that_of_the_loop() -> None:
    student, teacher, held = vit(1), vit(2), batch()
    made(teacher, student)(student, held)["relations"].backward()
    exact = deepcopy(student).double()
    exact.zero_grad()
    apart(
        queries_and_keys(exact, held.images.double()),
        queries_and_keys(deepcopy(teacher).double(), held.images.double()),
    ).backward()
    for name in ("blocks.0.attn.qkv.weight", "blocks.1.attn.qkv.bias", "patch_embed.proj.weight"):
        mine, wanted = (m.get_parameter(name).grad for m in (student, exact))
        assert mine is not None and wanted is not None
        torch.testing.assert_close(mine.double(), wanted, rtol=1e-3, atol=1e-5 * wanted.abs().max().item())
    assert all(p.grad is None for p in teacher.parameters())


def test_a_student_that_rectifies_is_compared_as_it_is_before_it_snaps() -> None:
    student, teacher, held = rectified(1), vit(2), batch()
    found = made(teacher, student)(student, held)["relations"]
    with torch.no_grad():
        own = queries_and_keys(student, held.images)
        layers = [layer for block in student.blocks for layer in (block.attn.query_rectify, block.attn.key_rectify)]
        wanted = apart(
            [rectify(x.double(), layer) for x, layer in zip(own, layers, strict=True)],
            queries_and_keys(teacher.double(), held.images.double()),
        )
        without = apart(own, queries_and_keys(teacher, held.images.double()))
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4)
    assert abs(without.item() / wanted.item() - 1) > 1e-2, "the mean that is taken away tells"
    found.backward()
    assert all(layer.beta.grad is not None for layer in layers)


def test_a_student_that_is_its_teacher_has_nothing_to_learn() -> None:
    model, held = vit(), batch()
    losses = made(deepcopy(model), model)(model, held)
    assert losses["relations"].item() < 1e-5
    losses["relations"].backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_the_losses_of_the_task_stay_as_they_are_and_the_strength_is_a_factor() -> None:
    student, teacher, held = vit(1), vit(2), batch()
    plain = taught(teacher, student, distillation="hard")(student, held)
    one, three = (made(teacher, student, strength, distillation="hard")(student, held) for strength in (1.0, 3.0))
    assert one.keys() == {"labels", "teacher", "relations"}
    assert all(torch.equal(one[name], plain[name]) and torch.equal(three[name], plain[name]) for name in plain)
    torch.testing.assert_close(three["relations"], 3 * one["relations"])


def test_the_batch_is_prepared_by_the_task_inside_and_nothing_listens_afterwards() -> None:
    student, teacher, held = vit(1), vit(2), batch()
    task = made(teacher, student)
    assert task.prepare(held) is held
    first, again = (task(student, held)["relations"] for _ in range(2))
    assert torch.equal(first, again)
    assert not any(module._forward_hooks for model in (student, teacher) for module in model.modules())


def test_in_bfloat16_it_is_what_it_is_in_float32_but_for_bfloat16() -> None:
    student, teacher, held = vit(1), vit(2), batch()
    task = made(teacher, student)
    whole = task(student, held)["relations"]
    with torch.autocast("cpu", torch.bfloat16):
        rough = task(student, Batch(held.images, held.targets, held.indices))["relations"]
    assert rough.dtype == torch.float32 and rough.item() == pytest.approx(whole.item(), rel=0.02)


@pytest.mark.parametrize(
    ("teacher", "student"),
    [
        (lambda: vit(depth=3), vit),
        (lambda: vit(num_heads=4), vit),
        (Network, vit),
        (Network, Network),
        (swin, vit),
        (vit, lambda: quantize(vit(), Plan.uniform(4, 4, merge=True))),
    ],
    ids=["deeper", "more heads", "no attention", "neither has any", "another family", "merged"],
)
def test_what_cannot_be_compared_head_by_head_is_refused_before_it_is_asked(teacher: Any, student: Any) -> None:
    with pytest.raises(ValueError, match=r"relations are compared .* such as --teacher self"):
        made(teacher(), student())
