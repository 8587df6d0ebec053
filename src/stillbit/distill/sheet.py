"""A contact sheet: some images of a store with the boxes of their views, and beside them what the teacher saw and said.

Nothing finds a mistake in crops, flips or classes as quickly as looking.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont

from stillbit.data.chance import permutation
from stillbit.data.crops import cut, pixels_of, size_of
from stillbit.data.settings import Interpolation
from stillbit.data.source import DamagedImage, Picture, Source
from stillbit.distill.boxes import crop_of
from stillbit.distill.layout import FLIP, UNLABELLED, UPSIDE_DOWN, dense
from stillbit.distill.matches import matches
from stillbit.distill.replay import interpolation_of
from stillbit.distill.store import Store

ROWS, VIEWS, GUESSES = 6, 5, 3
"""Images of a sheet, views of each, and likeliest classes of a view."""
_COLOURS = ("#ff595e", "#ff924c", "#f2b705", "#1982c4", "#8a5cd6")
_INK, _PALE, _BAR, _RIGHT, _RIGHT_BAR = "#22262b", "#7c8794", "#e3e9f0", "#1d7a3a", "#cdecd5"
_PICTURE, _TILE, _LINE, _GAP, _EDGE = (236, 150), 132, 19, 18, 28
_HEAD = 62
_CELL = _TILE + 8 + GUESSES * _LINE
_SMALL = 64
"""Pixels a side, below which each is shown as a square."""
_CHOICE = 11  # what the random numbers are for: the first part of their key


class Guess(NamedTuple):
    """A class that a label lists."""

    name: str
    probability: float
    right: bool


def sheet(store: Store, source: Source) -> Image.Image:
    """Draw one for a store of labels and the images that it is of."""
    if not store.layout.boxes:
        raise ValueError(f"{store.folder} has labels of no images, so there is nothing to draw: leave out --sheet")
    matches(store, source)
    samples = _samples(store)
    shown = min(VIEWS, store.views)
    width = 2 * _EDGE + _PICTURE[0] + shown * (_GAP + _TILE)
    page = Image.new("RGB", (width, _HEAD + _EDGE + len(samples) * (_CELL + _GAP)), "white")
    draw = ImageDraw.Draw(page)
    said = store.manifest
    teachers = " + ".join(teacher.name for teacher in said.teachers)
    draw.text((_EDGE, 20), _fitting(draw, store.folder.absolute().name, 21, _PICTURE[0]), _INK, _font(21))
    about = (
        f"{said.layout.kind} of {teachers}, {shown} of {store.views} views of {len(samples)} of {len(store):,} images"
    )
    draw.text(
        (_EDGE + _PICTURE[0] + _GAP, 27),
        _fitting(draw, about, 13, width - 2 * _EDGE - _PICTURE[0] - _GAP),
        _PALE,
        _font(13),
    )
    truths = store.targets()
    for row, sample in enumerate(samples):
        _row(page, _HEAD + row * (_CELL + _GAP), store, source, (sample, int(truths[sample])))
    return page


def guesses(record: ndarray[Any, Any], store: Store, target: int, names: tuple[str, ...] = ()) -> list[Guess]:
    """The likeliest classes of a view, with their names where they have any."""
    label = dense(record, store.layout)
    listed = label.argsort(kind="stable")[::-1][: min(GUESSES, store.layout.kept)]
    if store.layout.kind != "full":
        listed = np.asarray(record["classes"][:GUESSES], np.int64)
    return [Guess(names[c] if names else str(c), float(label[c]), c == target) for c in listed.tolist()]


def _samples(store: Store) -> list[int]:
    """Images by chance, the same ones every time; those that have no labels are passed over."""
    found: list[int] = []
    for sample in permutation(len(store), _CHOICE).tolist():
        found += [sample] * (not store.records(sample, 0, 1)["flags"][0] & UNLABELLED)
        if len(found) == ROWS:
            break
    if not found:
        raise ValueError(f"{store.folder} has no labels at all, for every image was damaged: nothing to draw")
    return sorted(found)


def _row(page: Image.Image, top: int, store: Store, source: Source, image: tuple[int, int]) -> None:
    """One image, and its views."""
    (sample, target), draw = image, ImageDraw.Draw(page)
    try:
        picture = source.image(sample, 0)
    except DamagedImage as fault:
        raise ValueError(f"{fault.name} cannot be used: {fault.reason}; repair it") from None
    records = store.records(sample, 0, min(VIEWS, store.views))
    seen, factor = _fitted(picture)
    page.paste(seen, (_EDGE, top))
    height, width = size_of(picture)
    for colour, record in reversed(list(zip(_COLOURS, records, strict=False))):
        crop = crop_of(record["box"], 0, height, width)
        corner = _EDGE + crop.left * factor, top + crop.top * factor
        box = (*corner, corner[0] + crop.width * factor - 1, corner[1] + crop.height * factor - 1)
        draw.rectangle(box, outline="white", width=4)
        draw.rectangle(box, outline=colour, width=3)
    name = source.classes[target] if source.classes else str(target)
    below = top + _PICTURE[1] + 6
    draw.text((_EDGE, below), _fitting(draw, name, 15, _PICTURE[0]), _RIGHT, _font(15))
    where = f"image {sample:,}, {width} x {height} pixels"
    draw.text((_EDGE, below + 21), _fitting(draw, where, 12, _PICTURE[0]), _PALE, _font(12))
    for number, record in enumerate(records):
        left = _EDGE + _PICTURE[0] + _GAP + number * (_TILE + _GAP)
        _view(
            page,
            (left, top),
            (picture, record, _COLOURS[number]),
            store,
            guesses(record, store, target, source.classes),
        )


def _view(
    page: Image.Image,
    at: tuple[int, int],
    view: tuple[Picture, ndarray[Any, Any], str],
    store: Store,
    said: list[Guess],
) -> None:
    """What the teacher saw, and its guesses below."""
    (left, top), (picture, record, colour), draw = at, view, ImageDraw.Draw(page)
    page.paste(_tile(picture, record, store), (left, top))
    draw.rectangle((left, top, left + _TILE - 1, top + _TILE - 1), outline=colour, width=4)
    turned = "flipped" * bool(record["flags"] & FLIP) + " upside down" * bool(record["flags"] & UPSIDE_DOWN)
    if turned:
        edge = draw.textlength(turned.strip(), _font(11)) + 10
        draw.rectangle((left, top, left + edge, top + 17), fill=colour)
        draw.text((left + 5, top + 2), turned.strip(), "white", _font(11))
    for line, guess in enumerate(said):
        y = top + _TILE + 6 + line * _LINE
        bar = left + int((_TILE - 1) * guess.probability)
        draw.rectangle((left, y, bar, y + _LINE - 4), fill=_RIGHT_BAR if guess.right else _BAR)
        share, ink = f"{100 * guess.probability:.0f} %", _RIGHT if guess.right else _INK
        end = draw.textlength(share, _font(12))
        draw.text((left + 4, y + 1), _fitting(draw, guess.name, 12, _TILE - end - 14), ink, _font(12))
        draw.text((left + _TILE - end - 3, y + 1), share, ink, _font(12))


def _tile(picture: Picture, record: ndarray[Any, Any], store: Store) -> Image.Image:
    """The pixels that the teacher saw, or would see, at the size of a tile."""
    size = store.manifest.teachers[0].size or (_TILE, _TILE)
    crop = crop_of(record["box"], int(record["flags"]), *size_of(picture))
    interpolation: Interpolation = interpolation_of(store)
    seen = _image(cut(picture, crop, size, interpolation).numpy())
    return seen.resize((_TILE, _TILE), _filter(seen.size))


def _fitted(picture: Picture) -> tuple[Image.Image, float]:
    """A picture as large as its place, and by what factor it grew."""
    height, width = size_of(picture)
    factor = min(_PICTURE[0] / width, _PICTURE[1] / height)
    size = max(1, int(width * factor)), max(1, int(height * factor))
    return _image(pixels_of(picture).numpy()).resize(size, _filter((width, height))), factor


def _image(pixels: Int[ndarray, "c h w"]) -> Image.Image:
    """Three channels, whatever there were."""
    return Image.fromarray(np.broadcast_to(pixels, (3, *pixels.shape[1:])).transpose(1, 2, 0).copy())


def _filter(size: tuple[int, int]) -> Image.Resampling:
    return Image.Resampling.NEAREST if max(size) < _SMALL else Image.Resampling.LANCZOS


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _fitting(draw: ImageDraw.ImageDraw, text: str, size: int, room: float) -> str:
    """The text, or as much of it as there is room for."""
    if draw.textlength(text, _font(size)) <= room:
        return text
    while text and draw.textlength(text + "...", _font(size)) > room:
        text = text[:-1]
    return text + "..."
