"""What a run would cost: everything is built, two steps are taken on generated images, and nothing is written."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from rich.table import Table

from stillbit.data.generated import Generated
from stillbit.distill.matches import matches
from stillbit.distill.panel import Expert
from stillbit.distill.settings import SELF
from stillbit.distill.store import Store
from stillbit.methods import build, texts
from stillbit.methods.build import Data
from stillbit.methods.chain import links
from stillbit.methods.chain import words as through
from stillbit.methods.lesson import Lesson, check_lesson, followed, open_lesson, task_of
from stillbit.methods.perform import start, training_of
from stillbit.methods.phases import words
from stillbit.methods.recipe import Recipe
from stillbit.methods.steer import steered
from stillbit.methods.texts import TextData
from stillbit.train import distributed
from stillbit.train.cost import Cost, measure
from stillbit.train.distributed import Share
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
    """A table of steps, hours at the speed measured here, memory and disk; of several widths, of each and in all."""
    share = distributed.join(recipe.machine.device)
    try:
        chain = links(recipe)
        found: list[Dry] = []
        for place, link in enumerate(chain):
            found.append(_dry(_unread(link.recipe) if place else link.recipe, share, found[-1] if place else None))
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold")
        for row in (
            ("run", recipe.name),
            ("data", found[0].data),
            *([("teaching", found[-1].teaching)] if found[-1].teaching else []),
            *([("through", through(recipe))] if len(chain) > 1 else [("phases", words(recipe))]),
            ("device", f"{share.world} x {share.device.type}{', bfloat16' * recipe.machine.amp}"),
            ("parameters", found[0].parameters),
            *_in_all(found),
            ("memory", f"{found[-1].memory} at most, in this process"),
        ):
            table.add_row(*row)
        return table
    finally:
        distributed.leave()


class Dry(NamedTuple):
    """What was found of one run."""

    recipe: Recipe
    counts: Counts
    data: str
    teaching: str
    parameters: str
    steps: int
    """Of an epoch."""
    images: int
    """Of a step."""
    cost: Cost
    judging: float
    """Seconds of all evaluations."""
    memory: str

    @property
    def learning(self) -> float:
        """Seconds of all steps."""
        return self.steps * self.recipe.schedule.epochs * self.cost.step_seconds

    @property
    def kept(self) -> int:
        """Checkpoints that stay."""
        keep = self.recipe.output.checkpoint_keep
        return 2 + (self.recipe.schedule.epochs // keep if keep else 0)


def _dry(recipe: Recipe, share: Share, before: Dry | None) -> Dry:
    """Build a run, and measure two of its steps; the one ``before`` it, if there is one, teaches as it will."""
    store = None if recipe.distill.labels is None else Store(recipe.distill.labels)
    sized = _readable(_quick(recipe)) if recipe.reads else _visible(_quick(recipe), store)
    recipe, counts, read, about = sized
    lesson = _lesson(recipe, before)
    recipe = followed(recipe, lesson)
    data = _generated(recipe, counts) if read is None else read
    if read is not None:
        check_lesson(recipe, lesson, read)
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
    parameters = f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M"
    judging = counts.val * recipe.schedule.epochs * cost.image_seconds / share.world
    images = build.images_a_step(recipe, share)
    steps, peak = len(loader), memory(training)
    return Dry(recipe, counts, f"{about}{seen}", lesson.words, parameters, steps, images, cost, judging, peak)


def _lesson(recipe: Recipe, before: Dry | None) -> Lesson:
    """Of a teacher that is not trained yet, a model that costs the same."""
    if before is None or recipe.distill.teacher in (None, SELF):
        return open_lesson(recipe, numbers=False)
    name, model = f"the model of {_bits(before)}", build.bare_model(before.recipe, numbers=False).eval()
    return Lesson(teacher=Expert(name=name, model=model, look=build.sight_of(before.recipe, model)))


def _unread(recipe: Recipe) -> Recipe:
    """Without start weights that are not trained yet."""
    return replace(recipe, model=replace(recipe.model, initial_checkpoint=None))


def _bits(found: Dry) -> str:
    return "w32a32" if found.recipe.quant is None else found.recipe.quant.bits


def _quick(recipe: Recipe) -> Recipe:
    """The recipe without what takes long at the beginning and says nothing about the cost of the rest.

    A store that is not written yet is not missed: its labels cost what true ones cost. Nothing is downloaded.
    """
    quant = None if recipe.quant is None else replace(recipe.quant, calibration_images=16)
    data, distill = replace(recipe.data, workers=0), replace(recipe.distill, taught=False)
    return replace(recipe, quant=quant, data=data, distill=distill, model=replace(recipe.model, pretrained=False))


def _in_all(found: list[Dry]) -> list[tuple[str, str]]:
    """Steps, time and disk of the whole run; of several, each on a line, and then all."""
    what = "examples" if found[0].recipe.reads else "images"
    learning, judging = (sum(getattr(one, name) for one in found) for name in ("learning", "judging"))
    kept, stored = sum(one.kept for one in found), sum(one.kept * one.cost.checkpoint_bytes for one in found)
    rows: list[tuple[str, str]] = []
    for one in found:
        behind = f" ({_bits(one)})" * (len(found) > 1)
        seconds, epochs = one.cost.step_seconds, one.recipe.schedule.epochs
        speed = f"{seconds:.3g} s, {one.images / seconds:,.0f} {what}/s (median of the last {STEPS})"
        counted = f"{epochs} epoch{'s' * (epochs > 1)} of {one.steps:,}, {one.images} {what} each"
        rows += [(f"steps{behind}", f"{one.steps * epochs:,}: {counted}"), (f"a step{behind}", speed)]
    return [
        *rows,
        ("time", f"{_hours(learning + judging)}, of which {_hours(judging)} evaluation; loading {what} not counted"),
        ("disk", f"{stored / 1e6:,.1f} MB in {kept} checkpoints"),
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
