"""Models by name, and what they want to see."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stillbit.models.names import create, wants


def ghost(name: str, **options: Any) -> Any:
    with torch.device("meta"):
        return create(name, **options)


def test_a_model_is_made_as_asked() -> None:
    model: Any = create("vit_pico_patch4_32", num_classes=7, img_size=16, in_chans=1, drop_path=0.1)
    assert model(torch.randn(2, 1, 16, 16)).shape == (2, 7)
    assert model.blocks[-1].drop_path1.drop_prob == pytest.approx(0.1)


def test_what_is_not_asked_for_is_the_models_own() -> None:
    assert ghost("vit_pico_patch4_32").num_classes == 1000
    assert ghost("deit_tiny_patch16_224").patch_embed.img_size == (224, 224)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("vit_pico_patch4", "vit_pico_patch4_32"),
        ("sret_tny", "sret_tiny"),
        ("deit_tiny_patch16", "deit_tiny_patch16_224"),
        ("deit_tiny_patch16_224.fb_in2k", "deit_tiny_patch16_224.fb_in1k"),
    ],
)
def test_an_unknown_name_is_answered_with_names_near_it(name: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"there is no model named '{name}': did you mean .*{near}"):
        create(name, num_classes=10)


def test_a_name_like_no_other_is_answered_with_where_to_look() -> None:
    with pytest.raises(ValueError, match=r"there is no model named 'qqqq': timm.list_models\(\) lists all"):
        create("qqqq", num_classes=10)


def test_an_option_that_a_model_does_not_take_is_named() -> None:
    with pytest.raises(ValueError, match=r"the model vgg11 has no option drop_path: leave drop_path=0\.1 out"):
        ghost("vgg11", num_classes=10, drop_path=0.1)


def test_weights_that_nobody_published_are_not_looked_for() -> None:
    with pytest.raises(ValueError, match="there are no pretrained weights for sret_tiny: leave pretrained out"):
        create("sret_tiny", num_classes=10, pretrained=True)


def test_an_error_in_a_model_is_not_hidden() -> None:
    with pytest.raises(TypeError):
        create("vit_pico_patch4_32", num_classes="ten")  # type: ignore[arg-type]


def test_a_model_of_the_hub_is_left_to_timm() -> None:
    with pytest.raises(ValueError, match="Unknown model source 'nowhere'"):
        create("nowhere:model", num_classes=10)


def test_a_model_wants_what_timm_says() -> None:
    wanted = wants(ghost("deit_tiny_patch16_224"))
    assert wanted["input_size"] == (3, 224, 224) and wanted["mean"] == (0.485, 0.456, 0.406)
    assert wanted["interpolation"] == "bicubic" and wanted["crop_pct"] == 0.9


def test_a_model_wants_the_size_and_the_channels_it_was_made_with() -> None:
    wanted = wants(ghost("deit_tiny_patch16_224", img_size=96, in_chans=1))
    assert wanted["input_size"] == (1, 96, 96)
    assert wanted["mean"] == (pytest.approx(0.449),) and wanted["std"] == (pytest.approx(0.226),)
    assert wants(ghost("sret_pico", img_size=32, in_chans=1))["input_size"] == (1, 32, 32)
    assert wants(ghost("resnet18", in_chans=4))["mean"] == pytest.approx((0.449,) * 4)


def test_a_model_that_takes_any_size_wants_the_one_asked_for() -> None:
    assert wants(ghost("resnet18", img_size=64))["input_size"] == (3, 64, 64)
    assert wants(ghost("resnet18"))["input_size"] == (3, 224, 224)


def test_a_model_of_somebody_elses_wants_timms_defaults() -> None:
    assert wants(torch.nn.Linear(2, 2))["input_size"] == (3, 224, 224)
