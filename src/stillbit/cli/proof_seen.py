"""What a proof looks at: labelled images or texts, or noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from stillbit.deploy.about import About
from stillbit.deploy.inputs import Given, parts
from stillbit.deploy.program import Array
from stillbit.deploy.proof.run import Told

if TYPE_CHECKING:
    from stillbit.cli.proving import Proving


class Seen(Protocol):
    """Labelled images, or texts."""

    @property
    def words(self) -> str:
        """Which ones they are."""

    def portions(self, count: int, /) -> Iterable[tuple[Given, Array | None]]:
        """So many, as a program takes them in, with their labels."""


Found = TypeVar("Found", bound=Seen)


def shown_by(find: Callable[[], Found]) -> Found:
    """The images or texts, or what to say where there are none."""
    try:
        return find()
    except ValueError as error:
        if "--data-dir FOLDER" not in str(error) or "classes" in str(error):
            raise
        raise ValueError(f"{error}, or prove it on noise, --noise") from None


def looked_at(shown: Seen, asked: Proving) -> tuple[Given, Told]:
    """Those of which every code is compared, and those of which first classes are, read when they are asked for."""
    every, labels = zip(*shown.portions(asked.samples), strict=True)
    more = shown.portions(asked.images) if asked.images > asked.samples else ()
    known = None if labels[0] is None else np.concatenate(labels)
    return _joined(every), Told(seen=shown.words, labels=known, more=more)


def _joined(portions: tuple[Given, ...]) -> Given:
    """One batch of several."""
    columns = zip(*map(parts, portions), strict=True)
    arrays = tuple(np.concatenate(column) for column in columns)
    return arrays if isinstance(portions[0], tuple) else arrays[0]


def noise(about: About, samples: int) -> Array:
    """Pictures of noise, as the model sees pictures."""
    wanted = about.preprocess
    assert wanted is not None, "a run says how it sees pictures"
    pixels = np.random.default_rng(0).integers(0, 256, (samples, len(wanted.mean), *wanted.size))
    mean, std = (np.asarray(numbers)[:, None, None] for numbers in (wanted.mean, wanted.std))
    drawn: Array = ((pixels / 255 - mean) / std).astype(np.float32)
    return drawn
