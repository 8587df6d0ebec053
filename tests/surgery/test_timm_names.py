"""Which call of timm's builds a model."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch

from stillbit.surgery.timm_names import create, describe
from tests.surgery import tiny


def ghost(name: str, **options: Any) -> Any:
    with torch.device("meta"):
        return timm.create_model(name, **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_tiny_patch16_224", {}),
        ("vit_tiny_patch16_224", {"num_classes": 7, "img_size": 96}),
        ("vit_tiny_patch16_224", {"num_classes": 0, "in_chans": 1, "global_pool": "avg"}),
        ("deit_tiny_distilled_patch16_224", {"num_classes": 3}),
        ("swin_tiny_patch4_window7_224", {"num_classes": 5}),
        ("swinv2_tiny_window8_256", {"img_size": 128}),
        ("resnet18", {"num_classes": 5, "in_chans": 4}),
        ("mixer_s32_224", {}),
    ],
)
def test_a_model_is_described_by_the_call_that_builds_its_like(name: str, options: dict[str, Any]) -> None:
    model = ghost(name, **options)
    made = describe(model)
    assert made is not None and made["name"].split(".")[0] == name
    with torch.device("meta"):
        again = create(made)
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}


def test_a_description_is_plain_data() -> None:
    import json

    made = describe(ghost("vit_tiny_patch16_224", img_size=96))
    assert json.loads(json.dumps(made)) == made


def test_the_weights_it_came_from_are_part_of_the_name() -> None:
    for name in ("vit_small_patch16_224.dino", "deit_tiny_patch16_224.fb_in1k"):
        model = ghost(name)
        made = describe(model)
        assert made is not None
        with torch.device("meta"):
            assert create(made).pretrained_cfg["mean"] == model.pretrained_cfg["mean"]
        assert made["name"] == name


@pytest.mark.parametrize("make", [tiny.vit, tiny.plain, tiny.vision_resnet])
def test_a_model_without_a_name_is_not_described(make: Any) -> None:
    assert describe(make()) is None


def test_a_name_timm_does_not_know_is_not_described() -> None:
    model = ghost("vit_tiny_patch16_224")
    model.pretrained_cfg = {"architecture": "vit_of_my_own"}
    assert describe(model) is None
