"""What a deployed file has to know of its training, and the images that it is proven on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from itertools import chain
from json import loads
from pathlib import Path
from typing import Any, NamedTuple

from stillbit.data.batch import Batch
from stillbit.data.loaders import Loader
from stillbit.data.look import Look
from stillbit.data.order import PADDED
from stillbit.data.picked import Picked, evenly
from stillbit.data.settings import DataSettings
from stillbit.data.source import Source
from stillbit.data.sources import open_source
from stillbit.data.text_settings import TaskSettings
from stillbit.deploy.about import About, Reading
from stillbit.deploy.picture import preprocess_of
from stillbit.deploy.program import Array
from stillbit.methods.build import sight_of
from stillbit.methods.subject import Subject

PORTION = 64
"""Images at a time."""


OF_TEXTS = ("columns", "label_column", "val_examples", "text_seed")
"""What a run knows of the texts it is judged by, and no name of a task says."""


class Gallery(NamedTuple):
    """Labelled images as evaluation sees them, and what they are called."""

    source: Source
    look: Look
    settings: DataSettings

    @property
    def words(self) -> str:
        """Which data they are of, without where it lies on this machine."""
        kind, folder = self.settings.dataset, self.settings.data_dir
        return f"validation images of {kind if folder is None else folder.name}"

    def batches(self, images: int) -> Iterator[Batch]:
        """So many images, all classes as often as each other; all there are, if there are fewer."""
        picked = Picked(self.source, evenly(self.source, images))
        settings = replace(self.settings, batch_size=PORTION, workers=0)
        found = (batch for batch in Loader(picked, self.look, settings).epoch(0) if int(batch.indices[0]) != PADDED)
        first = next(found, None)
        if first is None:
            raise ValueError(f"not one of {len(picked)} images could be read: every one is damaged")
        return chain([first], found)

    def portions(self, images: int) -> Iterator[tuple[Array, Array]]:
        """The same as arrays, with their labels; read when they are asked for."""
        for batch in self.batches(images):
            yield batch.images.numpy(), batch.targets.numpy()


def gallery(look: Look, settings: DataSettings, outputs: int, who: str) -> Gallery:
    """The validation images for a model with so many outputs; ``who`` is what it is called."""
    source = open_source(settings, "val")
    if outputs < len(source.classes):
        raise ValueError(
            f"{who} tells {outputs} classes apart and the data has {len(source.classes)}: "
            "give the data it was trained for, --data-dir FOLDER"
        )
    return Gallery(source, look, settings)


def about_of(subject: Subject, classes: tuple[str, ...] = (), text: Reading | None = None) -> About:
    """What a deployed file says of itself; ``classes`` are their names, where they are known, ``text`` is for texts."""
    recipe, look = subject.recipe, None if text is not None else sight_of(subject.recipe, subject.model)
    of_run = subject.folder is not None
    config = getattr(subject.model, "pretrained_cfg", None) or {}
    bits = "float" if recipe.quant is None else recipe.quant.bits
    return About(
        model=_named(recipe.model.model) if of_run else str(config.get("architecture") or type(subject.model).__name__),
        method=recipe.method if of_run else "",
        bits=bits if of_run else "",
        classes=classes,
        preprocess=None if look is None else preprocess_of(look),
        text=text,
        facts=_facts(subject),
    )


def _named(model: str) -> str:
    """What the model is called, without where it lay on this machine."""
    return Path(model).name if Path(model).is_absolute() or Path(model).is_dir() else model


def look_for(about: About, who: str) -> Look:
    """How a deployed file wants its images."""
    wanted: Any = about.preprocess
    if wanted is None:
        raise ValueError(f"{who} does not say how it wants its pictures: export it again from its run")
    return Look(wanted.size, len(wanted.mean), wanted.mean, wanted.std, wanted.interpolation, wanted.crop_pct)


def _facts(subject: Subject) -> dict[str, Any]:
    """Versions, what the run came to, if it has ended, and which texts it was judged by."""
    text, trained = subject.recipe.text, "transformers" if subject.recipe.reads else "timm"
    facts: dict[str, Any] = {name: version(name) for name in ("stillbit", "torch", trained)}
    if subject.folder is None:
        return facts
    facts |= {"run": subject.name, "seed": subject.recipe.machine.seed}
    facts |= {name: held for name in OF_TEXTS if (held := getattr(text, name)) != getattr(TaskSettings, name)}
    path = subject.folder / "result.json"
    if path.is_file() and subject.about.endswith("best.pt"):
        ended = loads(path.read_text(encoding="utf-8"))
        facts |= {name: ended[name] for name in ("score", "top1", "epochs", "parameters") if name in ended}
    return facts
