"""Data, models, plans and loaders are what a recipe's words say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import stillbit
from stillbit import AttentionSpec, LayerSpec, Plan, per_channel, per_head, per_tensor
from stillbit.methods import build
from stillbit.methods.recipe import QuantSettings, Recipe
from stillbit.train import weights
from stillbit.train.distributed import Share
from tests.methods import small

ALONE = Share(0, 1, torch.device("cpu"))


def specs(plan: Plan) -> dict[str, LayerSpec | AttentionSpec | None]:
    return {rule.pattern: rule.spec for rule in plan.rules}


def rest(**choices: Any) -> Any:
    """What layers without a role become."""
    return specs(build.plan_of(QuantSettings(bits="w2a3", **choices)))["*"]


def test_bits_and_methods_reach_the_plan() -> None:
    found = rest(weight="statsq", activation="minmax")
    assert (found.weight.bits, found.weight.quantizer) == (2, "statsq")
    assert (found.input.bits, found.input.quantizer) == (3, "minmax")


def test_without_more_choices_the_plan_is_the_preset() -> None:
    assert build.plan_of(QuantSettings(bits="w4a4")) == Plan.of("w4a4")


def test_scales_are_shared_as_was_asked() -> None:
    assert rest().weight.granularity == per_channel and rest(granularity="tensor").weight.granularity == per_tensor
    plan = specs(build.plan_of(QuantSettings(bits="w2a3", granularity="head")))
    heads = plan["@heads"]
    assert isinstance(heads, LayerSpec) and heads.weight.granularity == per_head
    assert rest(granularity="head").weight.granularity == per_channel


@pytest.mark.parametrize(("weight", "choice"), [("lsq", {"gradscale": "by_magnitude"}), ("statsq", {"reach": "bits"})])
def test_options_reach_the_weights_that_have_them(weight: str, choice: dict[str, str]) -> None:
    found = rest(weight=weight, **choice)
    assert found.weight.options == choice and found.input.options == {}
    assert rest(weight=weight).weight.options == {}


def test_words_have_a_row_each_and_bits_of_their_own() -> None:
    for weight, bits, quantizer in (
        ("sign", 1, "sign"),
        ("sign", 4, "lsq"),
        ("lsq", 1, "lsq"),
        ("statsq", 2, "statsq"),
    ):
        found = specs(build.plan_of(QuantSettings(bits="w1a1", weight=weight, embedding_bits=bits)))["@word"]
        assert isinstance(found, LayerSpec) and (found.weight.bits, found.weight.quantizer) == (bits, quantizer)
        assert found.weight.granularity == per_channel
    assert "@word" not in specs(build.plan_of(QuantSettings(bits="w1a1")))
    sized = build.plan_of(QuantSettings(bits="w1a1", weight="sign", ste="clipped", embedding_bits=1))
    assert all(rule.spec.weight.options == {"ste": "clipped"} for rule in sized.rules if rule.pattern in ("@word", "*"))


def test_the_ends_have_bits_of_their_own() -> None:
    for bits in (8, 4, 32):
        found = specs(build.plan_of(QuantSettings(bits="w2a2", ends=bits)))
        for end in (found["@first"], found["@last"]):
            assert isinstance(end, LayerSpec) and (end.weight.bits, end.input.bits) == (bits, bits)


def test_query_and_key_are_merged_where_that_was_asked() -> None:
    for merge in (True, False):
        inside = specs(build.plan_of(QuantSettings(bits="w2a2", merge_qk=merge)))["@attention"]
        assert isinstance(inside, AttentionSpec) and inside.merge is merge


CHOICES: list[dict[str, Any]] = [
    {},
    {"granularity": "head"},
    {"granularity": "tensor"},
    {"granularity": "head", "gradscale": "by_magnitude"},
    {"weight": "statsq", "reach": "bits"},
    {"weight": "statsq", "merge_qk": True},
    {"activation": "pact"},
    {"ends": 32},
]


@pytest.mark.parametrize("choices", CHOICES, ids=str)
def test_every_choice_makes_a_model_of_which_every_parameter_learns(choices: dict[str, Any], tmp_path: Path) -> None:
    recipe = small.recipe("lsq", tmp_path, quant=choices, model={"num_classes": 10})
    model = build.bare_model(recipe)
    stillbit.calibrate(model, [torch.randn(4, 1, 16, 16)])
    out = model(torch.randn(2, 1, 16, 16))
    out.square().sum().backward()
    assert out.shape == (2, 10) and out.isfinite().all()
    assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]


# --------------------------------------------------------------------------------------------------- data and model


def test_the_number_of_classes_is_written_into_the_recipe(tmp_path: Path) -> None:
    recipe = small.recipe("fp", tmp_path)
    data = build.open_data(recipe)
    resolved = build.resolved(recipe, data)
    assert recipe.model.num_classes is None and resolved.model.num_classes == 10
    assert build.resolved(resolved, data) == resolved
    more = small.change(recipe, model={"num_classes": 12})
    assert build.resolved(more, data).model.num_classes == 12
    with pytest.raises(ValueError, match="--num-classes 3 is too few: the data has 10 classes"):
        build.resolved(small.change(recipe, model={"num_classes": 3}), data)


def test_a_model_has_the_numbers_of_its_checkpoint_unless_they_are_not_wanted(tmp_path: Path) -> None:
    recipe = small.recipe("fp", tmp_path, model={"num_classes": 10})
    first = build.float_model(recipe)
    path = weights.save(first, tmp_path / "x.safetensors")
    begun = small.change(recipe, model={"initial_checkpoint": path})
    assert torch.equal(build.float_model(begun).head.weight, first.head.weight)
    path.unlink()
    assert not torch.equal(build.float_model(begun, numbers=False).head.weight, first.head.weight)


def test_images_are_looked_at_as_the_model_wants_unless_the_recipe_says_otherwise(tmp_path: Path) -> None:
    recipe = small.recipe("fp", tmp_path)
    model = build.float_model(recipe)
    look = build.look_of(recipe, model)
    assert look.size == (16, 16) and look.channels == 1
    other = build.look_of(small.change(recipe, augment={"interpolation": "nearest", "crop_pct": 0.5}), model)
    assert (other.interpolation, other.crop_pct) == ("nearest", 0.5)


# ---------------------------------------------------------------------------------------------------------- loaders


def loaded(recipe: Recipe, share: Share) -> Iterator[Any]:
    data = build.open_data(recipe)
    return build.loaders(recipe, data, build.look_of(recipe, build.float_model(recipe)), share)[0].epoch(0)


def test_a_step_sees_as_many_images_as_processes_and_parts_together(tmp_path: Path) -> None:
    recipe = small.recipe("fp", tmp_path, data={"batch_size": 32}, machine={"grad_accum_steps": 3})
    share = Share(1, 2, torch.device("cpu"))
    assert build.images_a_step(recipe, share) == 192 and len(next(loaded(recipe, share)).targets) == 96


def test_a_step_has_the_same_images_however_they_are_dealt_out(tmp_path: Path) -> None:
    recipe = small.recipe("fp", tmp_path, data={"batch_size": 64})
    halves = small.change(recipe, data={"batch_size": 32})
    parts = small.change(recipe, data={"batch_size": 16}, machine={"grad_accum_steps": 4})
    wanted = next(loaded(recipe, ALONE))
    assert torch.equal(next(loaded(parts, ALONE)).images, wanted.images)
    shares = [next(loaded(halves, Share(rank, 2, torch.device("cpu")))).images for rank in (0, 1)]
    assert torch.equal(torch.cat(shares), wanted.images)


def test_evaluation_keeps_the_batch_of_one_part(tmp_path: Path) -> None:
    recipe = small.recipe("fp", tmp_path, data={"batch_size": 16}, machine={"grad_accum_steps": 4})
    data = build.open_data(recipe)
    _, judge = build.loaders(recipe, data, build.look_of(recipe, build.float_model(recipe)), ALONE)
    assert len(next(judge.epoch(0)).targets) == 16 and judge.samples == 450


@pytest.mark.parametrize(("images", "wanted"), [(1, [1]), (64, [64]), (100, [64, 36]), (5000, [64] * 21)])
def test_start_values_come_from_as_many_batches_as_it_takes_or_as_there_are(
    images: int, wanted: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small.recipe("lsq", tmp_path, quant={"calibration_images": images})
    data, seen = build.open_data(recipe), list[int]()
    monkeypatch.setattr(build, "calibrate", lambda model, batches: seen.extend(len(batch) for batch in batches))
    build.start_activations(recipe, None, data, build.look_of(recipe, build.float_model(recipe)), ALONE)
    assert seen == wanted
