"""Perform a recipe: introduce its rooms to each other, and train."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from stillbit.data.loaders import Loader
from stillbit.data.look import Look
from stillbit.data.whole import whole
from stillbit.layers.walk import scale_names
from stillbit.methods import build
from stillbit.methods.build import Data
from stillbit.methods.recipe import Recipe
from stillbit.methods.recipe_file import differences, to_dict
from stillbit.methods.result import publish
from stillbit.surgery.compile import compile_blocks, repeated_blocks
from stillbit.train import checkpoint, distributed, optim, schedule
from stillbit.train.average import average
from stillbit.train.checkpoint import Checkpoints
from stillbit.train.damage import Damage
from stillbit.train.distributed import Share
from stillbit.train.environment import environment
from stillbit.train.evaluate import Evaluation, judged
from stillbit.train.log import Log
from stillbit.train.loop import Loop, seed
from stillbit.train.place import place
from stillbit.train.progress import Progress
from stillbit.train.run_folder import RunFolder
from stillbit.train.state import Training
from stillbit.train.stop import Stop, Stopped
from stillbit.train.task import Classify, Task


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
    """Train as the recipe says. The first process speaks to ``console`` and writes; the others only compute."""
    share = distributed.join(recipe.machine.device)
    console.quiet |= not share.leads
    try:
        folder = RunFolder(recipe.output, recipe.name)
        data = build.open_data(recipe)
        recipe = build.resolved(recipe, data)
        held = None if folder.checkpoint is None else _fitting(recipe, folder.checkpoint, share)
        model, look = start(recipe, data, share, fresh=held is None)
        loaders = build.loaders(recipe, data, look, share)
        training = training_of(recipe, model, share, len(loaders[0]))
        run = _Run(recipe, share, folder, training, loaders, console)
        if held is not None:
            checkpoint.resume(training, run.hooks, held)
        if share.leads:
            sources = {"train": data.train.describe(), "val": data.val.describe()}
            where = {**environment(share, recipe.machine.seed), "data": sources}
            folder.open(to_dict(recipe), where)
        console.print(_heading(recipe, folder, data, training, share), highlight=False, soft_wrap=True)
        try:
            if folder.checkpoint is not None and folder.checkpoint.resolve().parent != folder.path.resolve():
                run.branch(folder.checkpoint.parent)
            return run.fit()
        finally:
            folder.close()
    finally:
        distributed.leave()


def _heading(recipe: Recipe, folder: RunFolder, data: Data, training: Training, share: Share) -> str:
    """What is about to happen, in two lines."""
    bits = "float" if recipe.quant is None else recipe.quant.bits
    parameters = sum(p.numel() for p in training.model.parameters()) / 1e6
    device = f"{share.world} x {share.device.type}{', bfloat16' * recipe.machine.amp}"
    what = f"[bold]{recipe.method}[/] {bits}, {recipe.model.model}, {parameters:.2f} M parameters, on {device}"
    images = f"{len(data.train):,} + {len(data.val):,} images of {len(data.train.classes)} classes"
    if training.epoch >= recipe.schedule.epochs:
        where = f"has ended already, in {folder.path}"
    elif folder.checkpoint is not None:
        where = f"goes on after step {training.step} of {folder.checkpoint}"
    else:
        where = f"writes to {folder.path}"
    return f"{what}\n{images}; {where}"


def _fitting(recipe: Recipe, path: Path, share: Share) -> dict[str, Any]:
    """The checkpoint, if it is one of this recipe."""
    held = checkpoint.read(path)
    other = differences(held["recipe"], to_dict(recipe))
    if other:
        said = "; ".join(other[:3]) + (f"; and {len(other) - 3} more" if len(other) > 3 else "")
        raise ValueError(f"{path} is of another recipe ({said}): give the same options, or begin a new run")
    images = build.images_a_step(recipe, share)
    if held["images_a_step"] != images:
        raise ValueError(
            f"{path} was trained with {held['images_a_step']} images a step, and this would be {images}: "
            "change --batch-size so that batch size x processes x --grad-accum-steps is the same"
        )
    return held


def start(recipe: Recipe, data: Data, share: Share, *, fresh: bool) -> tuple[Any, Look]:
    """The model with its start values, the same in every process, and how it wants its images."""
    seed(recipe.machine.seed)
    model = build.bare_model(recipe, numbers=fresh)
    look = build.look_of(recipe, model)
    model = place(model, recipe.machine, share)
    if fresh and recipe.quant is not None and share.leads:
        build.start_activations(recipe, model, data, look, share)
    distributed.broadcast([*model.parameters(), *model.buffers()])
    return model, look


def training_of(recipe: Recipe, model: Any, share: Share, steps: int) -> Training:
    """The moving parts: the model as every process calls it, its optimizer, its schedule, its average."""
    machine = recipe.machine
    ema = average(model, recipe.average, fsdp=machine.fsdp)
    blocks = repeated_blocks(model)
    if machine.torchcompile:
        compile_blocks(model)
    forward = distributed.wrap(model, share, fsdp=machine.fsdp, blocks=blocks)
    optimizer = optim.build(model, recipe.optim, apart=scale_names(model))
    return Training(model, forward, optimizer, schedule.build(optimizer, recipe.schedule, steps), ema)


def task_of(recipe: Recipe) -> Task:
    """What the recipe asks a model to learn."""
    return Classify(recipe.loss, recipe.model.num_classes or 0)


class _Run:
    """The loop with its hooks, and how it ends."""

    def __init__(
        self,
        recipe: Recipe,
        share: Share,
        folder: RunFolder,
        training: Training,
        loaders: tuple[Loader, Loader],
        console: Console,
    ) -> None:
        machine, out = recipe.machine, recipe.output
        self.recipe, self.share, self.folder, self.training = recipe, share, folder.path, training
        self.loader, judge = loaders
        self.progress = Progress(console, recipe.schedule.epochs, len(self.loader))
        self.log = Log(self.folder, self.loader, share, out.log_interval, self.progress)
        hooks = [Evaluation(judge, share, machine.amp), Damage(self.folder, loaders, share), self.log]
        about = {"recipe": to_dict(recipe), "images_a_step": build.images_a_step(recipe, share)}
        self.checkpoints = Checkpoints(self.folder, out, share, about, hooks, machine.seed)
        self.hooks = [*hooks, self.checkpoints]
        self.loop = Loop(task_of(recipe), self.hooks, machine, share, recipe.optim.clip_grad)

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
                    self.loop.fit(self.training, self.loader, self.recipe.schedule.epochs, stop)
            except Stopped as stopped:
                self.checkpoints.save(self.training, "last.pt")
                return Result(self.folder, None, self.training.best, stopped.signal or signal.SIGTERM)
            finally:
                for hook in self.hooks:
                    hook.close()
        model = publish(self.recipe, self.folder, self.training.best, self.log.seconds) if self.share.leads else None
        distributed.barrier()
        return Result(self.folder, model, self.training.best)
