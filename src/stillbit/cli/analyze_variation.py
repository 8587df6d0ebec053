"""``stillbit analyze variation``: how much the parts of a model differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stillbit.cli.analyze import Asked, shown
from stillbit.cli.options import parse

if TYPE_CHECKING:
    from stillbit.analysis.given import Given
    from stillbit.analysis.variation import Compared

IMAGES = 32


@dataclass(frozen=True, kw_only=True)
class AskedVariation(Asked):
    """How much weights and activations differ between layers, roles, heads and channels (SDAM), and their outliers."""

    images: int | None = None
    """Images, or texts, that activations are measured on, as many of every class; 0 looks at weights alone. If not
    given, 32 where the target knows its data."""
    batch_size: int = 16
    """Images or texts at a time."""
    against: tuple[str, ...] = ()
    """Other targets whose weights stand beside these in a table, such as resnet18 vgg11_bn."""

    def __post_init__(self) -> None:
        """Refuse what is no number of images."""
        super().__post_init__()
        if self.images is not None and self.images < 0:
            raise ValueError(f"there are no {self.images} images to look at: --images {IMAGES}, or 0 for weights alone")
        if self.images == 0 and self.of_data():
            raise ValueError("without images there is no use for data: leave out --images 0, or the choices of data")


def run(words: Sequence[str]) -> int:
    """The variation of one model, beside others if there are some."""
    asked = parse(AskedVariation, words, prog="stillbit analyze variation")
    from stillbit.analysis.variation import Extra, Variation, compute
    from stillbit.methods.subject import open_subject

    subject = open_subject(asked.target, checkpoint=asked.checkpoint, pretrained=asked.pretrained, device=asked.device)
    against = tuple(_compared(said, asked) for said in asked.against)
    batches, without = _pictures(subject, asked)
    extra = Extra(batches, without, against)
    path = asked.place(Variation.kind, subject.folder)
    if without and asked.images is None and path is not None and path.is_file():
        raise ValueError(
            f"{path} may hold activations, and the images are not to be had now ({without}): --images 0 writes weights "
            "alone in its place"
        )
    record = compute(subject.model, subject=subject.name, about=subject.about, extra=extra)
    return shown(asked, record, subject.folder)


def _pictures(subject: Any, asked: AskedVariation) -> tuple[tuple[Given, ...], str]:
    """Images, or why there are none: only who asked for images is told by an error that there are none."""
    from stillbit.methods.subject import pictures

    if asked.images == 0:
        return (), "they were not asked for"
    try:
        return pictures(subject, asked.images or IMAGES, batch_size=asked.batch_size, **asked.of_data()), ""
    except (ValueError, OSError) as error:
        if asked.images is not None or asked.of_data():
            raise
        return (), str(error)


def _compared(said: str, asked: AskedVariation) -> Compared:
    from stillbit.analysis.variation import compared
    from stillbit.methods.subject import open_subject

    other = open_subject(said, checkpoint=asked.checkpoint, pretrained=asked.pretrained, device=asked.device)
    return compared(other.model, other.name, other.about)
