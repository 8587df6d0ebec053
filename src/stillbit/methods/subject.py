"""What an analysis looks at: the model that a person points at, its float origin, and images or texts for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from stillbit.analysis.finite import check_finite
from stillbit.analysis.given import Given
from stillbit.data.loaders import Loader, Place
from stillbit.data.order import PADDED
from stillbit.data.picked import Picked, evenly, fairly
from stillbit.data.source import Source
from stillbit.data.sources import Split, open_source
from stillbit.layers.walk import quantizers
from stillbit.methods import build, texts
from stillbit.methods.recipe import Recipe
from stillbit.methods.target import is_reader, open_target, with_data
from stillbit.surgery.swap import dequantize
from stillbit.train import distributed, weights


class Subject(NamedTuple):
    """A model in eval mode on its device, and what is known of it."""

    name: str
    """What the reader calls it: the run's folder, the file, or the model's name."""
    model: Any
    recipe: Recipe
    about: str
    """Where the numbers are from."""
    folder: Path | None
    """The run's; None for a file or a model's name."""


class Origin(NamedTuple):
    """A float model to compare with, and which one it is."""

    model: Any
    about: str


def open_subject(said: str, *, checkpoint: str = "best", pretrained: bool = False, device: str = "auto") -> Subject:
    """What ``said`` points at: a run, a file that stillbit wrote, or timm's name of a model."""
    target = open_target(said, checkpoint=checkpoint, pretrained=pretrained)
    path = Path(said)
    folder = path if (path / "recipe.json").is_file() else None
    name = path.resolve().name if folder is not None else said
    check_finite(target.model, name)
    model = target.model.to(distributed.share(device).device).eval()
    return Subject(name, model, target.recipe, target.about, folder)


def is_quantized(subject: Subject) -> bool:
    """Whether anything in it snaps to a grid."""
    return any(True for _ in quantizers(subject.model))


def need_quantized(subject: Subject, what: str) -> None:
    """Refuse a float subject; ``what`` is what was asked for, such as "the latent histogram"."""
    if not is_quantized(subject):
        raise ValueError(
            f"{what} needs a quantized model, and {subject.name} is float: give a run with bits, as "
            "stillbit train lsq --bits w4a4 makes one"
        )


def need_folder(subject: Subject, what: str) -> Path:
    """The folder of the run; ``what`` is what was asked for, and what no single model can tell."""
    if subject.folder is None:
        raise ValueError(f"{what} needs a run, and {subject.name} is a model without one: give the folder of a run")
    return subject.folder


def float_of(subject: Subject) -> Origin:
    """The float model it came from: what the run began with, or its latent weights where that is gone.

    Weights of other classes count as gone. A float subject comes from itself. The model is a copy in eval mode, on the
    device of the subject's.
    """
    if not is_quantized(subject):
        return Origin(deepcopy(subject.model), "the model itself")
    begun = subject.recipe.model.initial_checkpoint
    found = None if begun is None else _begun_with(begun, subject)
    return found or Origin(dequantize(subject.model).eval(), "its own latent weights, unquantized")


def _begun_with(path: Path, subject: Subject) -> Origin | None:
    """The float weights a run began with, where they are still there and know the run's classes."""
    source = path / "model.safetensors" if path.is_dir() else path
    if not source.is_file():
        return None
    model = build.float_model(subject.recipe, numbers=False)
    if weights.load(model, source):
        return None  # its classifier began anew
    check_finite(model, str(path))
    device = next(subject.model.parameters()).device
    return Origin(model.to(device).eval(), f"the float weights it began with, {path}")


def pictures(
    subject: Subject, images: int, *, split: Split = "val", batch_size: int = 64, workers: int = 0, **data: Any
) -> tuple[Given, ...]:
    """So many images, or texts, as evaluation sees them, the same ones each time, as many of every class.

    ``data`` are choices of data, such as data_dir, that replace those of the subject; what is None replaces nothing.
    """
    if images < 1:
        raise ValueError(f"an analysis looks at one image at least, got {images}: --images 256")
    check_readable(subject)
    recipe = with_data(subject.recipe, batch_size=batch_size, workers=workers, **data)
    if recipe.reads:
        return _examples(subject, recipe, images, split)
    source = open_source(recipe.data, split)
    _check_outputs(subject, source)
    picked = Picked(source, evenly(source, images))
    look = build.look_of(recipe, subject.model)
    loader = Loader(picked, look, recipe.data, place=_place(subject))
    found = tuple(batch for batch in loader.epoch(0) if int(batch.indices[0]) != PADDED)
    if not found:
        raise ValueError(f"not one of {len(picked)} images could be read: every one is damaged")
    return found


def lessons(subject: Subject, *, batch_size: int = 64, workers: int = 0, **data: Any) -> Iterator[Given]:
    """Batches to learn from without end, cropped as the recipe says; the same ones each time this is called."""
    check_readable(subject)
    recipe = with_data(subject.recipe, batch_size=batch_size, workers=workers, **data)
    if recipe.reads:
        yield from _lines(subject, recipe)
        return
    source = open_source(recipe.data, "train")
    _check_outputs(subject, source)
    look = build.look_of(recipe, subject.model)
    loader = Loader(source, look, recipe.data, recipe.augment, seed=recipe.machine.seed, place=_place(subject))
    for epoch in count():
        yield from loader.epoch(epoch)


def reads(subject: Subject) -> bool:
    """Whether it is about texts."""
    return subject.recipe.reads or is_reader(subject.model)


def check_readable(subject: Subject) -> None:
    """Refuse a model of texts that does not come with its tokenizer and its task."""
    if reads(subject) and not subject.recipe.reads:
        raise ValueError(
            f"{subject.name} reads texts, and a model alone does not say which, nor in which pieces: give the run it "
            "came from"
        )


def words_of(subject: Subject) -> Callable[[int], str | None]:
    """The pieces of its texts, by their numbers."""
    told: Callable[[int], str | None] = texts.pieces_of(subject.recipe).tokenizer.id_to_token
    return told


def _examples(subject: Subject, recipe: Recipe, count: int, split: Split) -> tuple[Given, ...]:
    """The first texts of every class."""
    lines = texts.lines_of(recipe, split)
    picked = lines.some(fairly(lines.targets.tolist(), count))
    return tuple(texts.loader_of(recipe, picked, _place(subject)).epoch(0))


def _lines(subject: Subject, recipe: Recipe) -> Iterator[Given]:
    lines = texts.lines_of(recipe, "train")
    loader = texts.loader_of(recipe, lines, _place(subject), training=True, seed=recipe.machine.seed)
    for epoch in count():
        yield from loader.epoch(epoch)


def _place(subject: Subject) -> Place:
    return Place(device=str(next(subject.model.parameters()).device))


def _check_outputs(subject: Subject, source: Source) -> None:
    outputs = getattr(subject.model, "num_classes", len(source.classes))
    if outputs < len(source.classes):
        raise ValueError(
            f"{subject.name} tells {outputs} classes apart and the data has {len(source.classes)}: "
            "give the data it was trained for, --data-dir FOLDER"
        )
