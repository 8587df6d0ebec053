"""Who teaches: a store of labels, a teacher that is asked at every step, or nobody. And what follows for the recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from stillbit.data.look import Look
from stillbit.data.settings import AugmentSettings
from stillbit.data.source import Source
from stillbit.distill.hidden import Hidden
from stillbit.distill.matches import matches
from stillbit.distill.mimic import Mimics
from stillbit.distill.panel import Expert
from stillbit.distill.relate import Related
from stillbit.distill.replay import interpolation_of
from stillbit.distill.settings import INSIDE, SELF
from stillbit.distill.store import Store
from stillbit.distill.tasks import FromStore, FromTeacher
from stillbit.distill.weights_hash import weights_hash
from stillbit.methods import build
from stillbit.methods.build import Data
from stillbit.methods.recipe import Recipe
from stillbit.methods.recipe_file import read
from stillbit.methods.target import open_target
from stillbit.methods.text_lesson import check_read, check_uncropped, text_teacher
from stillbit.methods.texts import TextData, unrectified
from stillbit.models.encoders import is_ours
from stillbit.surgery.compile import block_names
from stillbit.train import weights
from stillbit.train.distributed import Share
from stillbit.train.place import place
from stillbit.train.task import Classify, Regress, Task

UNSEEN = ("no_aug", "color_jitter", "aa", "reprob")
"""Augmentations that change pixels after the crop, so that the teacher did not see them."""
CROPS = ("scale", "ratio", "hflip", "vflip", "train_interpolation")
"""How crops are made: with stored labels, as the store says."""


@dataclass(frozen=True)
class Lesson:
    """What a run learns from, beside the true classes."""

    store: Store | None = None
    teacher: Expert | None = None

    @cached_property
    def hash(self) -> str | None:
        """Two lessons with the same hash say the same."""
        if self.store is not None:
            return self.store.manifest.identity
        return None if self.teacher is None else weights_hash(self.teacher.model)

    @property
    def words(self) -> str:
        """A line for the heading of a run; empty if nobody teaches."""
        if self.store is not None:
            held = self.store.manifest
            names = " and ".join(teacher.name for teacher in held.teachers)
            of = f"{held.views} views an image" if held.reading is None else f"{held.count:,} texts"
            return f"labels of {of} by {names}, in {self.store.folder}"
        return "" if self.teacher is None else f"taught by {self.teacher.name}"

    def describe(self) -> dict[str, Any] | None:
        """Plain data for the record of a run."""
        if self.store is not None:
            held = self.store.manifest
            teachers = [teacher.name for teacher in held.teachers]
            return {"labels": str(self.store.folder), "teachers": teachers, "identity": self.hash}
        if self.teacher is not None:
            return {"teacher": self.teacher.name, "sha256": self.hash}
        return None


def open_lesson(recipe: Recipe, *, numbers: bool = True) -> Lesson:
    """The store or the teacher that the recipe names; ``numbers=False`` downloads no weights."""
    settings = recipe.distill
    if settings.labels is not None:
        return Lesson(store=Store(settings.labels))
    if settings.teacher is None and settings.taught:
        raise ValueError(
            f"{recipe.method} learns from a teacher: give stored labels, --labels STORE (stillbit labels write makes "
            "one), or --teacher RUN_OR_NAME; with --no-taught it learns the true labels"
        )
    if settings.teacher == SELF:
        return Lesson(teacher=_itself(recipe, numbers=numbers))
    if settings.teacher is not None and recipe.reads:
        return Lesson(teacher=text_teacher(recipe, settings.teacher, numbers=numbers))
    if settings.teacher is not None:
        target = open_target(settings.teacher, pretrained=numbers)
        _check_sees(settings.teacher, target.recipe)
        look = build.look_of(target.recipe, target.model)
        return Lesson(teacher=Expert(name=settings.teacher, model=target.model, look=look))
    return Lesson()


def _check_sees(said: str, recipe: Recipe) -> None:
    if recipe.reads:
        raise ValueError(
            f"the teacher {said} reads texts, and this trains on images: --task {recipe.text.task}, or another teacher"
        )


def _itself(recipe: Recipe, *, numbers: bool) -> Expert:
    """The student before it was quantized."""
    recipe = _unrectified(recipe)
    settings = recipe.model
    has_own = settings.pretrained or (recipe.reads and not is_ours(settings.model))
    if numbers and not has_own and settings.initial_checkpoint is None:
        raise ValueError(
            "--teacher self is the float model with its start weights: give them, --initial-checkpoint RUN or "
            "--pretrained, or name another teacher"
        )
    model = build.float_model(recipe, numbers=False)
    if numbers and has_own and (settings.pretrained or settings.initial_checkpoint is None):
        model = build.float_model(recipe)
    elif numbers and settings.initial_checkpoint is not None:
        fresh = weights.load(model, settings.initial_checkpoint)
        if fresh:
            raise ValueError(
                f"--teacher self: {settings.initial_checkpoint} knows other classes, and its {fresh[0]} begins anew: "
                "train it on this data first, stillbit train fp, or name another teacher"
            )
    return Expert(name=SELF, model=model, look=build.sight_of(recipe, model))


def _unrectified(recipe: Recipe) -> Recipe:
    """Nobody trained the float model with the ReLU that few bits ask for, unless the run that it is from says so."""
    begun = recipe.model.initial_checkpoint
    is_run = begun is not None and (begun / "recipe.json").is_file()
    if not recipe.model.relu or (begun is not None and is_run and read(begun).model.relu):
        return recipe
    return unrectified(recipe) if recipe.reads else replace(recipe, model=replace(recipe.model, relu=False))


def followed(recipe: Recipe, lesson: Lesson) -> Recipe:
    """The recipe with what the lesson decides written in."""
    if lesson.store is not None and recipe.reads:
        check_uncropped(recipe)
    elif lesson.store is not None:
        recipe = replace(recipe, augment=_crops_of(recipe, lesson.store))
    return replace(recipe, taught_by=lesson.hash)


def _crops_of(recipe: Recipe, store: Store) -> AugmentSettings:
    """The crops of the store, unless the recipe insists on something else."""
    augment, loss, default = recipe.augment, recipe.loss, AugmentSettings()
    changed = [n for n in UNSEEN if getattr(augment, n)] + [
        n for n in ("mixup", "cutmix", "smoothing") if getattr(loss, n)
    ]
    if changed:
        raise ValueError(
            f"stored labels are of crops as they are, and the teacher saw none with {_flag(changed[0])}: leave it out, "
            "or ask the teacher at every step, --teacher"
        )
    interpolation, crops = interpolation_of(store), store.manifest.crops
    assert crops is not None
    there = {"train_interpolation": interpolation, **{n: getattr(crops, n) for n in CROPS[:-1]}}
    for name, value in there.items():
        said = getattr(augment, name)
        if said not in (value, getattr(default, name)):
            raise ValueError(
                f"the labels of {store.folder} are of crops with {_flag(name)} {_words(value)}, not "
                f"{_words(said)}: leave out {_flag(name)}"
            )
    return replace(augment, **there)


def check_lesson(recipe: Recipe, lesson: Lesson, data: Data | TextData) -> None:
    """Whether the lesson is about this data."""
    if isinstance(data, TextData):
        check_read(recipe, data, lesson.store, lesson.teacher)
    elif lesson.store is not None:
        check_store(lesson.store, data.train, recipe.model.num_classes)


def check_store(store: Store, source: Source, outputs: int | None) -> None:
    """Whether the labels are of these images, for a model with so many outputs; and every byte of them."""
    matches(store, source)
    if store.layout.classes != outputs:
        raise ValueError(
            f"{store.folder} has labels for {store.layout.classes} classes, and the model has {outputs} outputs: "
            "leave out --num-classes"
        )
    store.check()


def _check_teacher(teacher: Expert, outputs: int | None, look: Look | None) -> None:
    """Whether it sees and tells apart what the student does."""
    wants, knows = teacher.look, getattr(teacher.model, "num_classes", outputs)
    if knows != outputs:
        raise ValueError(
            f"the teacher {teacher.name} tells {knows} classes apart and the student {outputs}: "
            "take one that was trained on this data's classes"
        )
    if look is None:
        return
    assert wants is not None
    if (wants.size, wants.channels) != (look.size, look.channels):
        here, there = (f"{of.size[0]} x {of.size[1]} in {of.channels} channels" for of in (look, wants))
        raise ValueError(
            f"the teacher {teacher.name} sees {there} and the student {here}: take one that sees the same, or let it "
            "write labels, which students of any size can learn: stillbit labels write"
        )


def task_of(recipe: Recipe, lesson: Lesson, student: Any, look: Look | None, share: Share) -> Task:
    """What the recipe asks a model to learn."""
    if lesson.store is not None:
        return FromStore(lesson.store.layout.kind)
    is_number = recipe.reads and recipe.model.num_classes == 1
    labels = Regress() if is_number else Classify(recipe.loss, recipe.model.num_classes or 0)
    if lesson.teacher is not None:
        _check_teacher(lesson.teacher, recipe.model.num_classes, look)
        place(lesson.teacher.model, recipe.machine, share)
        return _inside(FromTeacher(labels, lesson.teacher, student, look, recipe.distill), recipe, student)
    return labels


def _inside(task: FromTeacher, recipe: Recipe, student: Any) -> Task:
    """The task, and what the student shall have in common with the inside of its teacher."""
    settings = recipe.distill
    wanted = [_flag(name) for name in INSIDE if getattr(settings, name)]
    if wanted and recipe.machine.torchcompile:
        raise ValueError(f"{wanted[0]} looks inside of blocks, which --torchcompile closes: leave out --torchcompile")
    if len(wanted) > 1:
        raise ValueError(f"{wanted[0]} and {wanted[1]} are two ways to look inside: leave out one of them")
    if settings.relations and recipe.quant is not None and recipe.quant.merge_qk:
        raise ValueError("--relations compares queries and keys, which --merge-qk makes one: leave out one of the two")
    if settings.relations:
        return Related(task, student, settings.relations)
    if settings.hidden:
        return Hidden(task, student, settings.hidden, (block_names(student), block_names(task.teacher)))
    return Mimics(task, student, settings.features) if settings.features else task


def taught_by(recipe: Recipe) -> str:
    """Who taught a run, in a few words, by the hash that it wrote down."""
    settings, known = recipe.distill, (recipe.taught_by or "")[:12]
    if settings.labels is not None:
        return f"the labels {known} of {settings.labels}"
    return "no teacher" if settings.teacher is None else f"the teacher {known} of {settings.teacher}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _words(value: Any) -> str:
    return " ".join(f"{part:g}" for part in value) if isinstance(value, tuple) else str(value)
