"""What is found in a model, and why something must stay float."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from stillbit.surgery.survey import survey
from tests.surgery import tiny


def named(model: nn.Module, role: str) -> list[str]:
    return [site.name for site in survey(model).sites if role in site.roles]


def ranges(model: nn.Module) -> dict[str, str]:
    return {site.name: site.range for site in survey(model).sites}


class Own(nn.Linear):
    """A linear with a forward of its own."""

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight * 2, self.bias)


class Renamed(nn.Linear):
    """A linear that only has another name."""


class OwnConv(nn.Conv2d):
    """Timm's convolutions replace this method."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, weight * 2, bias)


class Inherits(tiny.PastForward):
    """Reads past the forward in a method of its base class."""


class Helper(nn.Module):
    """Reads past the forward in a method that its forward calls."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.other = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.other(self.product(x))

    def product(self, x: Tensor) -> Tensor:
        return F.linear(x, self.fc.weight)

    def unused(self) -> Tensor:
        return self.other.weight


class Deep(nn.Module):
    """Reads the weight of a layer inside a child."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.ModuleDict({"fc": nn.Linear(2, 2)})
        self.chain = nn.Sequential(nn.Linear(2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.inside.fc.weight), self.chain[0].weight)


class Products(nn.Module):
    """Multiplies activations in one of the ways there are."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.how = how


class ByOperator(Products):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x @ x.mT @ x)


class ByName(Products):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.bmm(torch.matmul(x, x.mT), x))


class ByLetters(Products):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.einsum("bnc,bmc->bnm", x, x))


class ByAttention(Products):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.scaled_dot_product_attention(x, x, x))


def test_everything_of_a_vision_transformer_is_found() -> None:
    found = survey(tiny.vit(depth=1))
    assert [site.name for site in found.sites] == [
        "patch_embed.proj",
        "blocks.0.attn",
        "blocks.0.attn.qkv",
        "blocks.0.attn.proj",
        "blocks.0.mlp.fc1",
        "blocks.0.mlp.fc2",
        "head",
    ]
    assert not found.floats


def test_the_first_and_the_last_layer_are_named_so() -> None:
    assert (named(tiny.vit(), "first"), named(tiny.vit(), "last")) == (["patch_embed.proj"], ["head"])
    assert named(tiny.deit(), "last") == ["head", "head_dist"]
    assert (named(tiny.timm_resnet(), "first"), named(tiny.timm_resnet(), "last")) == (["conv1.0"], ["fc"])
    assert named(tiny.swin(), "last") == ["head.fc"]
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    assert (named(model, "first"), named(model, "last")) == (["0"], ["2"])


def test_a_model_of_one_layer_has_ends_and_one_without_layers_has_none() -> None:
    assert {"first", "last"} & set(survey(nn.Sequential(nn.Linear(2, 2))).sites[0].roles)
    assert not survey(nn.Sequential(nn.ReLU())).sites


def test_a_vision_transformer_without_classifier_ends_in_its_last_layer() -> None:
    assert named(tiny.vit(num_classes=0), "last") == ["blocks.1.mlp.fc2"]


def test_an_embedding_is_not_an_end() -> None:
    model = nn.Sequential(nn.Embedding(5, 2), nn.Linear(2, 2), nn.Linear(2, 5))
    assert (named(model, "first"), named(model, "last"), named(model, "embedding")) == (["1"], ["2"], ["0"])


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (Own(2, 2), "Own has a forward of its own"),
        (OwnConv(2, 2, 1), "OwnConv has a forward of its own"),
        (weight_norm(nn.Linear(2, 2)), "its weight is parametrized"),
    ],
)
def test_a_layer_that_cannot_be_replaced_stays_float_for_a_reason(layer: nn.Module, why: str) -> None:
    found = survey(nn.Sequential(layer))
    assert found.floats == {"0": why} and not found.sites


def test_a_layer_that_only_has_another_name_is_quantized() -> None:
    assert [site.name for site in survey(nn.Sequential(Renamed(2, 2))).sites] == ["0"]


@pytest.mark.parametrize("make", [tiny.PastForward, Inherits, Helper])
def test_a_weight_that_its_parent_reads_itself_stays_float(make: type[nn.Module]) -> None:
    found = survey(nn.Sequential(make()))
    assert found.floats == {"0.fc": f"{make.__name__} reads its weight past its forward"}
    assert len(found.sites) == 1, "a method that forward never calls does not count"


def test_a_weight_that_is_read_from_further_above_stays_float() -> None:
    found = survey(nn.Sequential(Deep()))
    assert set(found.floats) == {"0.inside.fc", "0.chain.0"}


@pytest.mark.parametrize("make", [ByOperator, ByName, ByLetters, ByAttention])
def test_products_of_activations_that_no_family_knows_are_listed(make: type[Products]) -> None:
    found = survey(nn.Sequential(make("x")))
    assert found.floats == {"0": f"the products inside {make.__name__} are known to no family"}
    assert [site.name for site in found.sites] == ["0.fc"], "its linear is quantized all the same"


def test_attention_of_torchs_own_is_listed_with_its_output_layer() -> None:
    found = survey(nn.Sequential(nn.MultiheadAttention(4, 2)))
    assert set(found.floats) == {"0", "0.out_proj"} and not found.sites


def test_what_follows_a_relu_is_unsigned_and_nothing_else() -> None:
    model = nn.Sequential(
        nn.Linear(2, 2),
        nn.ReLU(),
        nn.Linear(2, 2),
        nn.ReLU6(),
        nn.Dropout(),
        nn.Linear(2, 2),
        nn.GELU(),
        nn.Linear(2, 2),
        nn.ReLU(),
        nn.LayerNorm(2),
        nn.Linear(2, 2),
    )
    assert ranges(model) == {"0": "signed", "2": "unsigned", "5": "unsigned", "7": "signed", "10": "signed"}


def test_a_shared_layer_behind_a_relu_in_one_place_only_is_signed() -> None:
    shared = nn.Linear(2, 2)
    assert ranges(nn.Sequential(shared, nn.ReLU(), shared))["0"] == "signed"


def test_a_shared_layer_is_found_once() -> None:
    shared = nn.Linear(2, 2)
    assert [site.name for site in survey(nn.Sequential(shared, nn.Sequential(shared))).sites] == ["0"]


def test_a_family_is_recognized_inside_a_larger_model() -> None:
    found = {site.name: site for site in survey(nn.Sequential(nn.Identity(), tiny.vit(depth=1))).sites}
    assert found["1.blocks.0.attn"].is_attention
    assert found["1.blocks.0.mlp.fc2"].range == "shifted"
