"""From a recipe to the things it speaks of: data, model, loaders."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import Any

from stillbit.data.feed import Feed
from stillbit.data.loaders import Loader, Place
from stillbit.data.look import Look
from stillbit.data.source import Source, check_same_classes
from stillbit.data.sources import open_source
from stillbit.data.text_settings import TaskSettings
from stillbit.distill.replay import Replay
from stillbit.distill.store import Store
from stillbit.methods import texts
from stillbit.methods.fits import fitted
from stillbit.methods.recipe import QuantSettings, Recipe
from stillbit.methods.texts import TextData
from stillbit.models import names
from stillbit.models.rectified import rectified
from stillbit.quantizers.granularity import named, per_channel, per_head, per_tensor, per_token
from stillbit.quantizers.grid import FLOAT_BITS
from stillbit.quantizers.spec import Spec
from stillbit.surgery.calibrate import calibrate
from stillbit.surgery.plan import ENDS, AttentionSpec, LayerSpec, Plan, Rule, preset
from stillbit.surgery.swap import dequantize, quantize
from stillbit.train import weights
from stillbit.train.distributed import Share
from stillbit.train.exam import Exam


@dataclass(frozen=True)
class Data:
    """The images to learn from, and those to be judged by."""

    train: Source
    val: Source

    @property
    def words(self) -> str:
        """What there is, for a heading."""
        return f"{len(self.train):,} + {len(self.val):,} images of {len(self.train.classes)} classes"

    def describe(self) -> dict[str, Any]:
        """Plain data for the record of a run."""
        return {"train": self.train.describe(), "val": self.val.describe()}


def open_data(recipe: Recipe) -> Data | TextData:
    """What to learn from and what to be judged by; both splits must have the same classes."""
    if recipe.reads:
        return texts.open_data(recipe)
    _refuse_words_of_texts(recipe)
    train, val = (open_source(recipe.data, split) for split in ("train", "val"))
    check_same_classes(train, val)
    return Data(train, val)


def _refuse_words_of_texts(recipe: Recipe) -> None:
    for each in fields(TaskSettings):
        if getattr(recipe.text, each.name) != each.default:
            flag = f"--{each.name.replace('_', '-')}"
            raise ValueError(f"{flag} is about texts: say which ones, --task NAME, or leave it out")


def resolved(recipe: Recipe, data: Data | TextData) -> Recipe:
    """The recipe with what the data decides written in, so that it builds the same model without the data."""
    if isinstance(data, TextData):
        return texts.resolved(recipe, data)
    model = recipe.model
    classes = len(data.train.classes)
    if model.num_classes is not None and model.num_classes < classes:
        raise ValueError(f"--num-classes {model.num_classes} is too few: the data has {classes} classes")
    return replace(recipe, model=replace(model, num_classes=model.num_classes or classes))


def float_model(recipe: Recipe, *, numbers: bool = True) -> Any:
    """The model before anything is quantized; ``numbers=False`` leaves its start weights unread."""
    if recipe.reads:
        return texts.float_model(recipe, numbers=numbers)
    settings = recipe.model
    model = names.create(
        settings.model,
        num_classes=settings.num_classes,
        img_size=settings.img_size,
        in_chans=settings.in_chans,
        drop_path=settings.drop_path,
        pretrained=settings.pretrained and numbers,
    )
    if settings.relu:
        rectified(model)
    if settings.initial_checkpoint is not None and numbers:
        weights.load(model, settings.initial_checkpoint)
    return model


def bare_model(recipe: Recipe, *, numbers: bool = True) -> Any:
    """The model of a recipe, quantized if the recipe says so; its activations await start values."""
    model = float_model(recipe, numbers=numbers)
    return model if recipe.quant is None else fitted(model, _plan(recipe, recipe.quant), recipe.quant, recipe.model)


def _plan(recipe: Recipe, settings: QuantSettings) -> Plan:
    return texts.unshifted(plan_of(settings)) if recipe.reads else plan_of(settings)


def weighted(recipe: Recipe, model: Any) -> Any:
    """The model of a training that had float weights, with weights as the recipe wants them; any other as it is."""
    if recipe.quant is None or not recipe.quant.weights_last:
        return model
    plan = _plan(recipe, replace(recipe.quant, weights_last=False))
    whole = quantize(dequantize(model), plan, inplace=True)
    found = whole.load_state_dict(model.state_dict(), strict=False)
    assert not found.unexpected_keys and all(".weight_quantizer." in name for name in found.missing_keys)
    return whole


def plan_of(settings: QuantSettings) -> Plan:
    """The plan that a recipe's few words stand for."""
    try:
        bits, activations = preset(settings.bits)
    except ValueError:
        raise ValueError(
            f"--bits {settings.bits}: say how many bits weights and activations have, as in --bits w4a4"
        ) from None
    plan = Plan.uniform(
        FLOAT_BITS if settings.weights_last else bits,
        activations,
        weight=settings.weight,
        activation=settings.activation,
        granularity=named(f"per_{settings.granularity}"),
        ends=settings.ends,
        merge=settings.merge_qk,
    )
    if settings.embedding_bits is not None:
        plan = plan.but(_embedding(settings, activations))
    options = {"gradscale": settings.gradscale, "reach": settings.reach, "ste": settings.ste}
    plan = plan.tuned(settings.weight, **{k: v for k, v in options.items() if v is not None})
    return _with_activations(plan, settings)


def _embedding(settings: QuantSettings, activations: int) -> Rule:
    """A table of words has rows as other layers have outputs, and nothing enters it."""
    bits = settings.embedding_bits
    assert bits is not None
    quantizer = "lsq" if settings.weight == "sign" and bits > 1 else settings.weight
    nothing = Spec(activations, settings.activation)
    return Rule("@word", LayerSpec(Spec(bits, quantizer, per_channel), nothing))


def _with_activations(plan: Plan, settings: QuantSettings) -> Plan:
    """The plan with the activations that the settings want; the ends keep theirs."""
    whose = named(f"per_{settings.activation_granularity}")
    by_head = whose == per_head
    if by_head:  # the input of the projection is what attention computed, a head beside the other
        proj = next(rule for rule in reversed(plan.rules) if isinstance(rule.spec, LayerSpec)).spec
        headed = next((rule.spec for rule in plan.rules if rule.pattern == "@heads"), proj)
        plan = plan.but(Rule("@proj", headed, optional=True))

    def changed(rule: Rule) -> LayerSpec | AttentionSpec | None:
        spec = rule.spec
        if isinstance(spec, LayerSpec) and rule.pattern not in ENDS:
            own = whose if not by_head or rule.pattern == "@proj" else per_tensor
            return replace(spec, input=replace(spec.input, granularity=own, moves=settings.moves))
        if isinstance(spec, AttentionSpec):
            token = replace(spec.query, granularity=whose, moves=settings.moves)
            value = replace(token, granularity=per_channel if whose == per_token else whose)
            probability = replace(token, moves=False)
            return AttentionSpec(token, token, value, probability, spec.merge, settings.rectify)
        return spec

    needed = {"@attention"} if settings.rectify else set()
    rules = (replace(r, spec=changed(r), optional=r.optional and r.pattern not in needed) for r in plan.rules)
    return Plan(tuple(rules))


def look_of(recipe: Recipe, model: Any) -> Look:
    """How the model wants its images, unless the recipe says otherwise. A model of texts has none: `sight_of`."""
    assert not recipe.reads, "texts are not looked at"
    augment = recipe.augment
    return Look.of(names.wants(model), interpolation=augment.interpolation, crop_pct=augment.crop_pct)


def sight_of(recipe: Recipe, model: Any) -> Look | None:
    """How the model wants its images; None for one of texts."""
    return None if recipe.reads else look_of(recipe, model)


def images_a_step(recipe: Recipe, share: Share) -> int:
    """Over all processes, and all parts of a step."""
    return recipe.data.batch_size * recipe.machine.grad_accum_steps * share.world


def loaders(
    recipe: Recipe, data: Data | TextData, look: Look | None, share: Share, store: Store | None = None
) -> tuple[Feed, Loader | Exam]:
    """Of the images to learn from (views of the store, if there is one), a step's at a time; and of those to judge."""
    if isinstance(data, TextData):
        return texts.loaders(recipe, data, share, store)
    assert look is not None
    place, seed = Place(share.rank, share.world, str(share.device)), recipe.machine.seed
    a_step = replace(recipe.data, batch_size=recipe.data.batch_size * recipe.machine.grad_accum_steps)
    if store is None:
        learned = Loader(data.train, look, a_step, recipe.augment, seed=seed, place=place)
    else:
        views = Replay(store, data.train, look, recipe.distill.crops)
        learned = Loader(data.train, look, a_step, seed=seed, place=place, views=views)
    return learned, Loader(data.val, look, recipe.data, place=place)


def start_activations(recipe: Recipe, model: Any, data: Data | TextData, look: Look | None, share: Share) -> None:
    """Start values from the first images of the training, the same ones whatever the number of processes.

    With stored labels they are crops of the same kind, one an image, and not those of the store.
    """
    assert recipe.quant is not None
    images = min(recipe.quant.calibration_images, len(data.train))
    if isinstance(data, TextData):
        calibrate(model, texts.first_inputs(recipe, data, share, images))
        return
    assert look is not None
    settings = replace(recipe.data, batch_size=min(64, images), workers=0)
    place = Place(device=str(share.device))
    loader = Loader(data.train, look, settings, recipe.augment, seed=recipe.machine.seed, place=place)
    batches = islice(loader.epoch(0), -(-images // settings.batch_size))
    seen = (batch.images[: images - number * settings.batch_size] for number, batch in enumerate(batches))
    calibrate(model, seen)
