"""A chain of widths: on the way to few bits a run for each width, whose model is the next one's start and teacher.

BiT's schedule (arXiv 2205.13016), W32A32, W1A2, W1A1. The runs lie in the folder of the last one, which is the run
itself: ``RUN/through/1-w32a32``, ``RUN/through/2-w1a2``, ``RUN``.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple, TypeVar

from stillbit.distill.settings import BEFORE, SELF, DistillSettings
from stillbit.dynamics.settings import AnnealSettings, DynamicsSettings
from stillbit.methods.recipe import Recipe
from stillbit.methods.recipe_file import differences, read, to_dict
from stillbit.methods.widths import FLOAT, Width, the_width
from stillbit.models.encoders import is_ours
from stillbit.train import distributed
from stillbit.train.distributed import Share

FOLDER = "through"
N = TypeVar("N", int, float)


class Link(NamedTuple):
    """One width of a chain."""

    recipe: Recipe
    """What is performed: with the start weights and the teacher that the link before has made."""
    said: Recipe
    """What the run writes down: of the last link what the person said, so that its recipe is the whole chain's."""

    @property
    def bits(self) -> str:
        """Its width, in words."""
        return "w32a32" if self.recipe.quant is None else self.recipe.quant.bits

    @property
    def folder(self) -> Path:
        """Where it is trained."""
        out = self.recipe.output
        return out.output / (out.experiment or self.recipe.name)


def links(recipe: Recipe) -> tuple[Link, ...]:
    """All runs of a recipe, in order; one where it goes through nothing."""
    if recipe.quant is None or not (recipe.quant.through or recipe.distill.teacher == BEFORE):
        _refuse_before(recipe)
        return (Link(recipe, recipe),)
    _check(recipe)
    begun = _start_of(recipe)
    above = FLOAT if begun is None else begun
    numbers = [n for n, said in enumerate(recipe.quant.through) if begun is None or the_width(said).narrower(above)]
    made: list[Link] = []
    for place, number in enumerate(numbers, 1):
        link = _linked(_at(recipe, number, place), made, started=begun is not None)
        made.append(Link(link, link))
    last = _linked(recipe, made, started=begun is not None)
    return (*made, Link(last, recipe))


def has_ended(link: Link) -> bool:
    """Whether this very run is there, whole."""
    if not (link.folder / "result.json").is_file() or not (link.folder / "recipe.json").is_file():
        return False
    was, now = read(link.folder), link.said
    found = {name: getattr(now.model, name) or getattr(was.model, name) for name in ("num_classes", "config")}
    return not differences(to_dict(was), to_dict(replace(now, model=replace(now.model, **found))))


def finished(chain: tuple[Link, ...], share: Share) -> int:
    """How many runs, from the first on, need not be begun: in every process as many.

    The last one never counts: what is to be said of a run that has ended, its own folder says. Behind one that is
    begun all are: another teacher would be another training.
    """
    asked = chain[0].recipe.output.resume == "auto"
    ended = 0
    if asked and share.leads:
        ended = len(chain) - 1 if has_ended(chain[-1]) else sum(1 for _ in takewhile(has_ended, chain[:-1]))
    (count,) = distributed.agree(ended)
    return count


def as_said(recipe: Recipe, link: Link) -> Recipe:
    """The recipe of a run as it is written down: its start weights and its teacher as the person named them."""
    model, distill = link.said.model, link.said.distill
    kept = {name: getattr(model, name) for name in ("initial_checkpoint", "pretrained")}
    return replace(
        recipe, model=replace(recipe.model, **kept), distill=replace(recipe.distill, teacher=distill.teacher)
    )


def words(recipe: Recipe) -> str:
    """As a person says it: w32a32, then w1a2, then w1a1."""
    return ", then ".join(link.bits for link in links(recipe))


def _at(recipe: Recipe, number: int, place: int) -> Recipe:
    """The recipe of a width on the way, but for what the one before it leaves."""
    quant, schedule = recipe.quant, recipe.schedule
    assert quant is not None
    bits = quant.through[number]
    epochs = _numbered(quant.through_epochs, number, schedule.epochs)
    warm = schedule.warmup_epochs * epochs / schedule.epochs  # a warm-up keeps its share
    made = replace(
        recipe,
        schedule=replace(schedule, epochs=epochs, warmup_epochs=warm),
        optim=replace(recipe.optim, lr=_numbered(quant.through_lr, number, recipe.optim.lr)),
        output=replace(recipe.output, output=_folder(recipe) / FOLDER, experiment=f"{place}-{bits}"),
    )
    if the_width(bits).is_float:
        float_model = replace(made.model, relu=False)
        return replace(made, quant=None, model=float_model, distill=DistillSettings(), dynamics=DynamicsSettings())
    dynamics = replace(made.dynamics, anneal=AnnealSettings())
    return replace(made, quant=quant.at(bits), dynamics=dynamics)


def _linked(recipe: Recipe, before: list[Link], *, started: bool) -> Recipe:
    """With the start weights, and if asked for the teacher, that the link before leaves."""
    if recipe.quant is None:
        return recipe
    model, distill = recipe.model, recipe.distill
    if before:
        model = replace(model, initial_checkpoint=before[-1].folder, pretrained=False)
    if distill.teacher == BEFORE and (before or started):
        distill = replace(distill, teacher=str(model.initial_checkpoint))
    elif distill.teacher == BEFORE:
        _check_start(recipe)
        distill = replace(distill, teacher=SELF)
    return replace(recipe, model=model, distill=distill)


def _start_of(recipe: Recipe) -> Width | None:
    """The width of the run to begin with, if that is one of the same task; else None."""
    begun = recipe.model.initial_checkpoint
    if begun is None or not (begun / "recipe.json").is_file():
        return None
    was = read(begun)
    if recipe.reads:
        same = (was.text.task, was.text.columns) == (recipe.text.task, recipe.text.columns)
    else:
        same = not was.reads and (was.data.dataset, _place(was)) == (recipe.data.dataset, _place(recipe))
    if not same:
        return None
    return FLOAT if was.quant is None else the_width(was.quant.bits)


def _check(recipe: Recipe) -> None:
    """Refuse what has two meanings in a chain."""
    quant, resume = recipe.quant, recipe.output.resume
    assert quant is not None
    if recipe.distill.labels is not None:
        raise ValueError("--labels are one teacher's, and with --through each width has its own: leave out one of them")
    if recipe.distill.teacher == SELF and quant.through:
        raise ValueError(
            "--teacher self is the float model with its start weights, which with --through are those of the width "
            "before: --teacher before"
        )
    if quant.weights_last:
        raise ValueError("--weights-last leaves weights float, and --through trains them: leave out one of them")
    if quant.through and resume not in (None, "auto"):
        raise ValueError(f"--resume {resume} is one checkpoint, and --through makes several: --resume auto finds them")


def _check_start(recipe: Recipe) -> None:
    """Refuse a first width that nothing is before."""
    model = recipe.model
    if model.pretrained or model.initial_checkpoint is not None or (recipe.reads and not is_ours(model.model)):
        return
    raise ValueError(
        "--teacher before: nothing is before the first width; train the float model too, --through w32a32 and so on, "
        "or give its weights, --initial-checkpoint RUN"
    )


def _refuse_before(recipe: Recipe) -> None:
    if recipe.distill.teacher == BEFORE:
        raise ValueError("--teacher before is the model of the width before, and a float model has none: leave it out")


def _numbered(numbers: tuple[N, ...], number: int, otherwise: N) -> N:
    return otherwise if not numbers else numbers[number if len(numbers) > 1 else 0]


def _folder(recipe: Recipe) -> Path:
    return recipe.output.output / (recipe.output.experiment or recipe.name)


def _place(recipe: Recipe) -> Path | None:
    return None if recipe.data.data_dir is None else recipe.data.data_dir.resolve()
