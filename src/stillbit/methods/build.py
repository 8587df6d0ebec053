"""From a recipe to the things it speaks of: data, model, loaders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from stillbit.data.loaders import Loader, Place
from stillbit.data.look import Look
from stillbit.data.source import Source, check_same_classes
from stillbit.data.sources import open_source
from stillbit.methods.recipe import QuantSettings, Recipe
from stillbit.models import names
from stillbit.quantizers.granularity import named
from stillbit.surgery.calibrate import calibrate
from stillbit.surgery.plan import Plan, preset
from stillbit.surgery.swap import quantize
from stillbit.train import weights
from stillbit.train.distributed import Share


@dataclass(frozen=True)
class Data:
    """The images to learn from, and those to be judged by."""

    train: Source
    val: Source


def open_data(recipe: Recipe) -> Data:
    """Both splits, which must have the same classes."""
    train, val = (open_source(recipe.data, split) for split in ("train", "val"))
    check_same_classes(train, val)
    return Data(train, val)


def resolved(recipe: Recipe, data: Data) -> Recipe:
    """The recipe with what the data decides written in, so that it builds the same model without the data."""
    model = recipe.model
    classes = len(data.train.classes)
    if model.num_classes is not None and model.num_classes < classes:
        raise ValueError(f"--num-classes {model.num_classes} is too few: the data has {classes} classes")
    return replace(recipe, model=replace(model, num_classes=model.num_classes or classes))


def float_model(recipe: Recipe, *, numbers: bool = True) -> Any:
    """The model before anything is quantized; ``numbers=False`` leaves its start weights unread."""
    settings = recipe.model
    model = names.create(
        settings.model,
        num_classes=settings.num_classes,
        img_size=settings.img_size,
        in_chans=settings.in_chans,
        drop_path=settings.drop_path,
        pretrained=settings.pretrained and numbers,
    )
    if settings.initial_checkpoint is not None and numbers:
        weights.load(model, settings.initial_checkpoint)
    return model


def bare_model(recipe: Recipe, *, numbers: bool = True) -> Any:
    """The model of a recipe, quantized if the recipe says so; its activations await start values."""
    model = float_model(recipe, numbers=numbers)
    return model if recipe.quant is None else quantize(model, plan_of(recipe.quant), inplace=True)


def plan_of(settings: QuantSettings) -> Plan:
    """The plan that a recipe's few words stand for."""
    try:
        bits, activations = preset(settings.bits)
    except ValueError:
        raise ValueError(
            f"--bits {settings.bits}: say how many bits weights and activations have, as in --bits w4a4"
        ) from None
    plan = Plan.uniform(
        bits,
        activations,
        weight=settings.weight,
        activation=settings.activation,
        granularity=named(f"per_{settings.granularity}"),
        ends=settings.ends,
        merge=settings.merge_qk,
    )
    options = {"gradscale": settings.gradscale, "reach": settings.reach}
    return plan.tuned(settings.weight, **{k: v for k, v in options.items() if v is not None})


def look_of(recipe: Recipe, model: Any) -> Look:
    """How the model wants its images, unless the recipe says otherwise."""
    augment = recipe.augment
    return Look.of(names.wants(model), interpolation=augment.interpolation, crop_pct=augment.crop_pct)


def images_a_step(recipe: Recipe, share: Share) -> int:
    """Over all processes, and all parts of a step."""
    return recipe.data.batch_size * recipe.machine.grad_accum_steps * share.world


def loaders(recipe: Recipe, data: Data, look: Look, share: Share) -> tuple[Loader, Loader]:
    """Of the images to learn from, a step's at a time; and of those to be judged by."""
    place = Place(share.rank, share.world, str(share.device))
    a_step = replace(recipe.data, batch_size=recipe.data.batch_size * recipe.machine.grad_accum_steps)
    return (
        Loader(data.train, look, a_step, recipe.augment, seed=recipe.machine.seed, place=place),
        Loader(data.val, look, recipe.data, place=place),
    )


def start_activations(recipe: Recipe, model: Any, data: Data, look: Look, share: Share) -> None:
    """Start values from the first images of the training, the same ones whatever the number of processes."""
    assert recipe.quant is not None
    images = min(recipe.quant.calibration_images, len(data.train))
    settings = replace(recipe.data, batch_size=min(64, images), workers=0)
    place = Place(device=str(share.device))
    loader = Loader(data.train, look, settings, recipe.augment, seed=recipe.machine.seed, place=place)
    batches = islice(loader.epoch(0), -(-images // settings.batch_size))
    seen = (batch.images[: images - number * settings.batch_size] for number, batch in enumerate(batches))
    calibrate(model, seen)
