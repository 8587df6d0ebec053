"""What a run would cost: everything is built, two steps are taken on generated images, and nothing is written."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from rich.table import Table

from stillbit.data.generated import Generated
from stillbit.distill.matches import matches
from stillbit.distill.store import Store
from stillbit.methods import build, texts
from stillbit.methods.build import Data
from stillbit.methods.lesson import followed, open_lesson, task_of
from stillbit.methods.perform import start, training_of
from stillbit.methods.phases import words
from stillbit.methods.recipe import Recipe
from stillbit.methods.steer import steered
from stillbit.methods.texts import TextData
from stillbit.train import distributed
from stillbit.train.cost import Cost, measure
from stillbit.train.loop import Loop
from stillbit.train.progress import memory


class Counts(NamedTuple):
    """Images to learn from, images to be judged by, classes."""

    train: int
    val: int
    classes: int


IMAGENET = Counts(1_281_167, 50_000, 1000)
STEPS = 2


def dry_run(recipe: Recipe) -> Table:
    """A table of steps, hours at the speed measured here, memory and disk."""
    share = distributed.join(recipe.machine.device)
    try:
        store = None if recipe.distill.labels is None else Store(recipe.distill.labels)
        sized = _readable(_quick(recipe)) if recipe.reads else _visible(_quick(recipe), store)
        recipe, counts, read, about = sized
        lesson = open_lesson(recipe, numbers=False)
        recipe = followed(recipe, lesson)
        data = _generated(recipe, counts) if read is None else read
        model, look = start(recipe, data, share, fresh=True)
        loader, _ = build.loaders(recipe, data, look, share, lesson.store)
        task = task_of(recipe, lesson, model, look, share)
        training = training_of(recipe, model, share, len(loader))
        task, hooks = steered(recipe, task, training, len(loader))
        loop = Loop(task, hooks, recipe.machine, share, recipe.optim.clip_grad)
        # At the end of the training, where penalties have their strength and annealing has begun.
        training.step = max(len(loader) * recipe.schedule.epochs - STEPS - 1, 0)
        cost = measure(loop, training, loader, steps=STEPS)
        seen = "" if look is None else f", seen as {' x '.join(str(side) for side in look.size)}"
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold")
        for row in (
            ("run", recipe.name),
            ("data", f"{about}{seen}"),
            *([("teaching", lesson.words)] if lesson.words else []),
            ("phases", words(recipe)),
            ("device", f"{share.world} x {share.device.type}{', bfloat16' * recipe.machine.amp}"),
            ("parameters", f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M"),
            *_bill(recipe, counts, len(loader), build.images_a_step(recipe, share), share.world, cost),
            ("memory", f"{memory(training)} at most, in this process"),
        ):
            table.add_row(*row)
        return table
    finally:
        distributed.leave()


def _quick(recipe: Recipe) -> Recipe:
    """The recipe without what takes long at the beginning and says nothing about the cost of the rest.

    A store that is not written yet is not missed: its labels cost what true ones cost. Nothing is downloaded.
    """
    quant = None if recipe.quant is None else replace(recipe.quant, calibration_images=16)
    data, distill = replace(recipe.data, workers=0), replace(recipe.distill, taught=False)
    return replace(recipe, quant=quant, data=data, distill=distill, model=replace(recipe.model, pretrained=False))


def _bill(recipe: Recipe, counts: Counts, steps: int, images: int, world: int, cost: Cost) -> list[tuple[str, str]]:
    """Steps, time and disk of the whole run."""
    epochs, what = recipe.schedule.epochs, "examples" if recipe.reads else "images"
    learning = steps * epochs * cost.step_seconds
    judging = counts.val * epochs * cost.image_seconds / world
    keep = recipe.output.checkpoint_keep
    kept = 2 + (epochs // keep if keep else 0)
    return [
        ("steps", f"{steps * epochs:,}: {epochs} epoch{'s' * (epochs > 1)} of {steps:,}, {images} {what} each"),
        (
            "a step",
            f"{cost.step_seconds:.3g} s, {images / cost.step_seconds:,.0f} {what}/s (median of the last {STEPS})",
        ),
        ("time", f"{_hours(learning + judging)}, of which {_hours(judging)} evaluation; loading {what} not counted"),
        ("disk", f"{kept * cost.checkpoint_bytes / 1e6:,.1f} MB in {kept} checkpoints"),
    ]


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.1f} hours" if hours >= 1 else f"{seconds / 60:.1f} minutes"


def _readable(recipe: Recipe) -> tuple[Recipe, Counts, TextData | None, str]:
    """Texts are read as they are: that takes seconds, and how long they are decides what a step costs."""
    data = texts.open_data(recipe)
    counts = Counts(len(data.train), sum(map(len, data.vals.values())), data.task.outputs)
    return texts.resolved(recipe, data), counts, data, data.words


def _visible(recipe: Recipe, store: Store | None) -> tuple[Recipe, Counts, TextData | None, str]:
    """Images are counted, and others generated in their place."""
    recipe, counts, about = _sizes(recipe, store)
    return recipe, counts, None, f"{about}: {counts.train:,} + {counts.val:,} images, {counts.classes} classes"


def _sizes(recipe: Recipe, store: Store | None) -> tuple[Recipe, Counts, str]:
    """How much data there is; the store's or ImageNet's numbers where the recipe names none."""
    if recipe.data.data_dir is None and recipe.data.dataset == "folder":
        counts, about = IMAGENET._replace(classes=recipe.model.num_classes or IMAGENET.classes), "ImageNet-1k"
        if store is not None:
            counts = counts._replace(train=len(store), classes=store.layout.classes)
            about = "the store has, and to be judged by as many as ImageNet-1k"
        known = replace(recipe, model=replace(recipe.model, num_classes=counts.classes))
        return known, counts, f"as many as {about} has"
    data = build.open_data(recipe)
    assert isinstance(data, Data)
    if store is not None:
        matches(store, data.train)
    counts = Counts(len(data.train), len(data.val), len(data.train.classes))
    return build.resolved(recipe, data), counts, recipe.data.dataset


def _generated(recipe: Recipe, counts: Counts) -> Data:
    """Noise of the right size, made in this process: what is measured is the model."""
    look = build.look_of(recipe, build.float_model(recipe, numbers=False))
    train, val = (Generated(n, counts.classes, look.size, look.channels) for n in (counts.train, counts.val))
    return Data(train, val)
