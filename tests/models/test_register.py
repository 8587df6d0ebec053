"""Names that timm knows."""

from __future__ import annotations

import warnings

import timm
from timm.models import get_pretrained_cfg
from torch import nn

from stillbit.models import sret, tiny_vit
from stillbit.models.register import config, register

NAMES = [f"vit_{size}_{kind}" for size in ("pico", "nano", "micro") for kind in ("patch4_32", "patch8_64")]


def test_every_model_of_the_room_is_known_to_timm() -> None:
    assert {*NAMES, "sret_tiny", "sret_pico"} <= set(timm.list_models())
    assert timm.list_models("vit_pico*") == ["vit_pico_patch4_32", "vit_pico_patch8_64"]


def test_timm_knows_what_each_of_them_takes_in() -> None:
    sizes = {name: get_pretrained_cfg(name).input_size for name in (*NAMES, "sret_tiny", "sret_pico")}
    assert sizes == {
        **{name: (3, int(name[-2:]), int(name[-2:])) for name in NAMES},
        "sret_tiny": (3, 224, 224),
        "sret_pico": (3, 64, 64),
    }


def test_to_register_twice_does_no_harm_and_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for make in (tiny_vit.vit_pico_patch4_32, sret.sret_tiny):
            assert register(make) is make
    assert timm.create_model("vit_pico_patch4_32", num_classes=3).num_classes == 3
    assert get_pretrained_cfg("sret_tiny").input_size == (3, 224, 224)


def test_a_name_of_timms_own_stays_timms_own() -> None:
    def vit_tiny_patch16_224() -> nn.Module:
        return nn.Identity()

    assert register(vit_tiny_patch16_224) is vit_tiny_patch16_224
    assert timm.models.model_entrypoint("vit_tiny_patch16_224") is not vit_tiny_patch16_224


def test_a_mean_is_one_number_or_three() -> None:
    made = config(32, mean=0.5, std=(0.1, 0.2, 0.3), classifier="head")
    assert (made["mean"], made["std"]) == ((0.5, 0.5, 0.5), (0.1, 0.2, 0.3))
    assert made["classifier"] == "head" and made["input_size"] == (3, 32, 32)
