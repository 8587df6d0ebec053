"""Perform a recipe: introduce its rooms to each other, and train."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from stillbit.data.feed import Feed
from stillbit.data.loaders import Loader
from stillbit.data.look import Look
from stillbit.data.whole import whole
from stillbit.dynamics.build import prepare_model, prepare_optimizer
from stillbit.layers.walk import scale_names
from stillbit.methods import build
from stillbit.methods.build import Data
from stillbit.methods.chain import FOLDER as THROUGH
from stillbit.methods.chain import Link, as_said, finished, links
from stillbit.methods.lesson import Lesson, check_lesson, followed, open_lesson, task_of, taught_by
from stillbit.methods.phases import phases, scheduled
from stillbit.methods.recipe import Recipe
from stillbit.methods.recipe_file import differences, from_dict, to_dict
from stillbit.methods.result import publish, trained
from stillbit.methods.steer import Steered, above_budget, check_steering, check_widths, steered
from stillbit.methods.texts import TextData, keep_reader
from stillbit.surgery.compile import compile_blocks, repeated_blocks
from stillbit.train import checkpoint, distributed, optim, schedule
from stillbit.train.average import average
from stillbit.train.checkpoint import Checkpoints
from stillbit.train.damage import Damage
from stillbit.train.distributed import Share
from stillbit.train.environment import environment
from stillbit.train.evaluate import JUDGED, Evaluation, evaluate, judged
from stillbit.train.exam import Exam
from stillbit.train.hooks import Hook
from stillbit.train.log import Log
from stillbit.train.loop import Loop, seed, stale
from stillbit.train.place import place
from stillbit.train.progress import Progress
from stillbit.train.run_folder import RunFolder
from stillbit.train.state import Training
from stillbit.train.stop import Stop, Stopped


class Result(NamedTuple):
    """How a run ended."""

    folder: Path
    model: Path | None
    """The file of the best model; None if the run stopped early."""
    best: dict[str, Any]
    """Its score and epoch."""
    signal: int = 0
    """What stopped the run, if anything did."""


def perform(recipe: Recipe, console: Console) -> Result:
    """Train as the recipe says. The first process speaks to ``console`` and writes; the others only compute.

    A recipe that goes through several widths is a run for each, one after the other; those that are there already are
    left as they are.
    """
    share = distributed.join(recipe.machine.device)
    console.quiet |= not share.leads
    try:
        chain = links(recipe)
        RunFolder(recipe.output, recipe.name, known=(THROUGH,))  # refuse a folder before hours of training, not after
        done = finished(chain, share)
        for number, link in enumerate(chain, 1):
            if len(chain) > 1:
                said = f"[bold]{number} of {len(chain)}[/]: {link.bits}{' has ended already' * (number <= done)}"
                console.print(f"{said}, in {link.folder}", highlight=False, soft_wrap=True)
            if number > done:
                result = _perform(link, chain[number:], share, console)
                if result.signal:
                    break
        return result
    finally:
        distributed.leave()


def _perform(link: Link, behind: Sequence[Link], share: Share, console: Console) -> Result:
    """One run; of those ``behind`` it what could not be is found before it begins."""
    recipe = link.recipe
    folder = RunFolder(recipe.output, recipe.name, known=(THROUGH,))
    data = build.open_data(recipe)
    for later in behind:
        build.bare_model(build.resolved(later.recipe, data), numbers=False)
    recipe = build.resolved(recipe, data)
    lesson = open_lesson(recipe)
    recipe = followed(recipe, lesson)
    held = None if folder.checkpoint is None else _fitting(recipe, folder.checkpoint, share)
    made = _make(recipe, data, lesson, share, fresh=held is None)
    run = _Run(recipe, share, folder, made, console, as_said(recipe, link))
    if held is not None:
        checkpoint.resume(made.training, run.hooks, held)
    if share.leads:
        about = {"data": data.describe(), "taught_by": lesson.describe()}
        folder.open(run.written, {**environment(share, recipe.machine.seed), **about})
        keep_reader(data, folder.path)
    console.print(_heading(recipe, folder, data, made, share), highlight=False, soft_wrap=True)
    try:
        if folder.checkpoint is not None and folder.checkpoint.resolve().parent != folder.path.resolve():
            run.branch(folder.checkpoint.parent)
        return run.fit()
    finally:
        folder.close()


class _Made(NamedTuple):
    """What a run is made of."""

    steered: Steered
    training: Training
    loaders: tuple[Feed, Loader | Exam]
    lesson: Lesson


def _make(recipe: Recipe, data: Data | TextData, lesson: Lesson, share: Share, *, fresh: bool) -> _Made:
    """All of it, with the numbers to begin with if it is ``fresh``."""
    check_lesson(recipe, lesson, data)
    model, look = start(recipe, data, share, fresh=fresh)
    loaders = build.loaders(recipe, data, look, share, lesson.store)
    task = task_of(recipe, lesson, model, look, share)
    steps = len(loaders[0])
    training = training_of(recipe, model, share, steps)
    return _Made(steered(recipe, task, training, steps), training, loaders, lesson)


def _heading(recipe: Recipe, folder: RunFolder, data: Data | TextData, made: _Made, share: Share) -> str:
    """What is about to happen, in two lines; in three, if somebody teaches."""
    bits = "float" if recipe.quant is None else recipe.quant.bits
    training, taught = made.training, made.lesson.words
    parameters = sum(p.numel() for p in training.model.parameters()) / 1e6
    device = f"{share.world} x {share.device.type}{', bfloat16' * recipe.machine.amp}"
    what = f"[bold]{recipe.method}[/] {bits}, {recipe.model.model}, {parameters:.2f} M parameters, on {device}"
    if training.epoch >= recipe.schedule.epochs or stale(training, recipe.schedule.patience):
        where = f"has ended already, in {folder.path}"
    elif folder.checkpoint is not None:
        where = f"goes on after step {training.step} of {folder.checkpoint}"
    else:
        where = f"writes to {folder.path}"
    return f"{what}\n{data.words}; {where}" + (f"\n{taught}" if taught else "")


def _fitting(recipe: Recipe, path: Path, share: Share) -> dict[str, Any]:
    """The checkpoint, if it is one of this recipe."""
    held = checkpoint.read(path)
    was = from_dict(held["recipe"])
    other = differences(to_dict(was), to_dict(recipe))
    if other:
        said = "; ".join(other[:3]) + (f"; and {len(other) - 3} more" if len(other) > 3 else "")
        raise ValueError(f"{path} is of another recipe ({said}): give the same options, or begin a new run")
    if was.taught_by != recipe.taught_by:
        raise ValueError(
            f"{path} learned from {taught_by(was)}, and this would be {taught_by(recipe)}: give the same --labels or "
            "--teacher, or begin a new run"
        )
    images = build.images_a_step(recipe, share)
    if held["images_a_step"] != images:
        raise ValueError(
            f"{path} was trained with {held['images_a_step']} images a step, and this would be {images}: "
            "change --batch-size so that batch size x processes x --grad-accum-steps is the same"
        )
    return held


def start(recipe: Recipe, data: Data | TextData, share: Share, *, fresh: bool) -> tuple[Any, Look | None]:
    """The model with its start values, the same in every process, and how it wants its images, if it does."""
    seed(recipe.machine.seed)
    check_steering(recipe)
    phases(recipe)
    model = build.bare_model(recipe, numbers=fresh)
    check_widths(recipe, model)
    look = build.sight_of(recipe, model)
    model = place(model, recipe.machine, share)
    if fresh and recipe.quant is not None and share.leads:
        build.start_activations(recipe, model, data, look, share)
    distributed.broadcast([*model.parameters(), *model.buffers()])
    prepare_model(model, recipe.dynamics)
    return model, look


def training_of(recipe: Recipe, model: Any, share: Share, steps: int) -> Training:
    """The moving parts: the model as every process calls it, its optimizer, its schedule, its average."""
    machine = recipe.machine
    ema = average(model, recipe.average, fsdp=machine.fsdp)
    blocks = repeated_blocks(model)
    if machine.torchcompile:
        compile_blocks(model, dynamic=recipe.reads)  # texts are as long as they are
    forward = distributed.wrap(model, share, fsdp=machine.fsdp, blocks=blocks)
    optimizer = optim.build(model, recipe.optim, apart=scale_names(model))
    prepare_optimizer(optimizer, model, recipe.dynamics)
    return Training(model, forward, optimizer, schedule.build(optimizer, scheduled(recipe), steps), ema)


class _Run:
    """The loop with its hooks, and how it ends."""

    def __init__(
        self, recipe: Recipe, share: Share, folder: RunFolder, made: _Made, console: Console, said: Recipe
    ) -> None:
        """``said`` is the recipe as it is written down."""
        self.written = to_dict(said)
        machine, out = recipe.machine, recipe.output
        self.recipe, self.share, self.folder = recipe, share, folder.path
        self.made, self.training = made, made.training
        self.loader, self.judge = made.loaders
        self.progress = Progress(console, recipe.schedule.epochs, len(self.loader), "text" if recipe.reads else "img")
        self.log = Log(self.folder, self.loader, share, out.log_interval, self.progress)
        hooks: list[Hook] = [Evaluation(self.judge, share, machine.amp), Damage(self.folder, made.loaders, share)]
        hooks += [*made.steered.hooks, self.log]
        about = {"recipe": self.written, "images_a_step": build.images_a_step(recipe, share)}
        self.checkpoints = Checkpoints(self.folder, out, share, about, hooks, machine.seed)
        self.hooks = [*hooks, self.checkpoints]
        self.loop = Loop(made.steered.task, self.hooks, machine, share, recipe.optim.clip_grad)

    def branch(self, other: Path) -> None:
        """Begin where another run's checkpoint ends: what was best there comes along, or else what was last."""
        names = ["last.pt"]
        best = other / "best.pt"
        if best.is_file() and checkpoint.read(best)["best"] == self.training.best:
            if self.share.leads:
                with whole(self.folder / "best.pt") as path:
                    shutil.copyfile(best, path)
        elif self.training.scores:
            self.training.best = judged(self.training)
            names.insert(0, "best.pt")
        self.checkpoints.save(self.training, *names)

    def fit(self) -> Result:
        stop = Stop()
        with stop.listening():  # until all is saved: torchrun passes on the Ctrl-C that the terminal sent already
            try:
                with self.progress:
                    wanted = self.recipe.schedule
                    self.loop.fit(self.training, self.loader, wanted.epochs, stop, patience=wanted.patience)
            except Stopped as stopped:
                self.checkpoints.save(self.training, "last.pt")
                return Result(self.folder, None, self.training.best, stopped.signal or signal.SIGTERM)
            finally:
                for hook in self.hooks:
                    hook.close()
        model, best = None, self.weighted()
        if self.share.leads:
            model = publish(
                self.recipe, self.folder, best, self.log.seconds, self.made.lesson.describe(), self.training.scores
            )
            warned = above_budget(self.recipe, self.training.scores)
            if warned is not None:
                self.progress.console.print(warned, style="yellow", highlight=False, soft_wrap=True)
        distributed.barrier()
        return Result(self.folder, model, best)

    def weighted(self) -> dict[str, Any]:
        """The best score; where weights are quantized when all is done, that of the model with quantized ones."""
        best, quant = self.training.best, self.recipe.quant
        if quant is None or not quant.weights_last:
            return best
        model = trained(self.recipe, self.folder / "best.pt").to(self.share.device)
        scores = evaluate(model, self.judge, device=self.share.device, amp=self.recipe.machine.amp)
        kept = {name: best[name] for name in JUDGED if name in best}
        behind = {f"{name}_with_float_weights": score for name, score in kept.items()}
        return {**best, **{name: scores[name] for name in kept}, **behind}
