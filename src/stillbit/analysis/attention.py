"""Where a model looks: attention maps over images, and how far they are from those of the float model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import fsum, log
from typing import ClassVar, NamedTuple, final

import torch
from torch import Tensor, nn

from stillbit.analysis.finite import check_finite
from stillbit.analysis.maps import Grid, Reading, fused, reading, rollout
from stillbit.analysis.probabilities import Attended, Probabilities
from stillbit.analysis.record import Record
from stillbit.analysis.rows import entropy, silent, spearman
from stillbit.analysis.table import Column, Table
from stillbit.analysis.thumbnail import thumbnail
from stillbit.analysis.twin import open_twin
from stillbit.data.batch import Batch
from stillbit.data.look import Look
from stillbit.surgery.survey import survey

AT_ONCE = 8
"""Images: the probabilities of all layers and models are held at the same time."""
CLASS = "what the class token attends to"
MEAN = "what all tokens attend to, on average"


@dataclass(frozen=True, kw_only=True)
class Looks:
    """How one attention distributes itself, on average over images and queries."""

    layer: str
    keys: int
    """How many tokens can be looked at; the entropy is at most their logarithm."""
    entropy: tuple[float, ...]
    """Nats, a head."""
    silent: tuple[float, ...]
    """Share of queries whose every probability snapped to zero, a head; the entropy is over the others."""
    correlation: tuple[float, ...]
    """Spearman's with the float model's attention over the keys, a head; a silent query correlates 0."""


@dataclass(frozen=True, kw_only=True)
class Map:
    """One image's attention, over the patches."""

    fused: tuple[tuple[float, ...], ...]
    """The last attention, the largest of all heads; rows of the picture from the top, summing to 1."""
    rollout: tuple[tuple[float, ...], ...]
    """Attention rollout through all layers (Abnar and Zuidema 2020); summing to 1."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One model: the float one, or the same at some bits."""

    name: str
    about: str
    layers: tuple[Looks, ...]
    fused_correlation: float | None
    """Spearman's of the fused map with the float model's, mean over the images; None where there are no maps."""
    rollout_correlation: float | None
    maps: tuple[Map, ...]
    """One a picture of the record; empty where there are no maps."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image that maps are shown over."""

    number: int
    """In its data."""
    target: int
    """Its class."""
    png: str
    """The image as the model sees it, as a PNG in base64, at most 96 pixels high and wide."""


@final
@dataclass(frozen=True, kw_only=True)
class Attention(Record):
    """Models side by side, the float one first."""

    kind: ClassVar[str] = "attention"
    images: int
    """How many the numbers are means over."""
    reads: str
    """Whose attention a map is: the class token's, or the mean over all tokens."""
    no_maps: str
    """Why there are no maps, in a sentence; empty where there are."""
    models: tuple[Seen, ...]
    pictures: tuple[Picture, ...]

    def tables(self) -> tuple[Table, ...]:
        """The models first, then the attentions that changed most."""
        return self._models(), self._layers()

    def _models(self) -> Table:
        columns = (
            Column(name="model"),
            Column(name="what"),
            Column(name="entropy", kind="number", about="Nats, mean over heads and layers"),
            Column(name="silent", kind="share", about="Queries whose every probability snapped to zero"),
            Column(name="correlation", kind="number", about="Spearman's with float, mean over heads and layers"),
            Column(name="fused", kind="number", about="Spearman's of the fused maps with those of float"),
            Column(name="rollout", kind="number", about="Spearman's of the rollout maps with those of float"),
        )
        rows = tuple(
            (
                m.name,
                m.about,
                _mean(e for one in m.layers for e in one.entropy),
                _mean(s for one in m.layers for s in one.silent),
                _mean(c for one in m.layers for c in one.correlation),
                m.fused_correlation,
                m.rollout_correlation,
            )
            for m in self.models
        )
        maps = f"There are no maps: {self.no_maps}." if self.no_maps else f"Maps show {self.reads}."
        note = (
            f"Probabilities as they meet the values, means over {self.images:,} images. Correlations are Spearman's "
            f"with the first model, query by query over the keys. {maps}"
        )
        return Table(title="Attention", columns=columns, rows=rows, note=note)

    def _layers(self) -> Table:
        columns = (
            Column(name="model"),
            Column(name="layer"),
            Column(name="entropy", kind="number", about="Nats, mean over heads"),
            Column(name="of most", kind="share", about="Entropy over that of looking at all keys alike"),
            Column(name="silent", kind="share"),
            Column(name="correlation", kind="number", about="Mean over heads"),
            Column(name="worst", kind="number", about="Correlation of the head that changed most"),
            Column(name="head", kind="count", about="Which head that is"),
        )
        rows = tuple(
            (
                name,
                one.layer,
                _mean(one.entropy),
                _mean(one.entropy) / log(one.keys) if one.keys > 1 else None,
                _mean(one.silent),
                _mean(one.correlation),
                min(one.correlation),
                one.correlation.index(min(one.correlation)),
            )
            for name, one in sorted(
                ((m.name, one) for m in self.models for one in m.layers), key=lambda row: _mean(row[1].correlation)
            )
        )
        note = "The attentions that rank the keys least like float first. Heads count from 0."
        return Table(title="Attention, layer by layer", columns=columns, rows=rows, note=note)


class Shown(NamedTuple):
    """A model to look at, and what it is called."""

    name: str
    about: str
    model: nn.Module


def compute(
    models: Sequence[Shown], pictures: Sequence[Batch], *, subject: str, look: Look, keep: int = 4
) -> Attention:
    """Side by side, the first being what the others are compared with; maps of the first ``keep`` pictures are kept."""
    for shown in models:
        check_finite(shown.model, shown.name)
    watched = [_Watched(shown) for shown in models]
    read: Reading | str | None = None
    seen = 0
    for batch in pictures:
        for some in batch.images.split(AT_ONCE):
            first = watched[0].look(some)
            read = reading(watched[0].opened, first, len(some)) if read is None else read
            true = _Maps.of(first, read)
            for number, one in enumerate(watched):
                held = first if number == 0 else one.look(some)
                _check_same(first, held, one.shown.name)
                maps = true if number == 0 else _Maps.of(held, read)
                one.add(held, first, maps, true, keep - seen)
            seen += len(some)
    if read is None:
        raise ValueError("attention is looked at over images: give one at least")
    return Attention(
        subject=subject,
        images=seen,
        reads="" if isinstance(read, str) else CLASS if read.by_class else MEAN,
        no_maps=read if isinstance(read, str) else "",
        models=tuple(one.seen() for one in watched),
        pictures=() if isinstance(read, str) else _pictures(pictures, look, keep),
    )


class _Maps(NamedTuple):
    fused: Grid
    rollout: Grid

    @classmethod
    def of(cls, held: Mapping[str, Attended], read: Reading | str) -> _Maps | None:
        if isinstance(read, str):
            return None
        layers = list(held.values())
        return cls(read.of(fused(layers)), read.of(rollout(layers)))


class _Watched:
    """One model, and sums over the images."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.opened = open_twin(shown.model)
        self.probabilities = Probabilities(self.opened)
        self.sums: dict[str, Tensor] = {}
        self.keys: dict[str, int] = {}
        self.alike: list[tuple[float, float]] = []
        self.maps: list[Map] = []
        if not self.probabilities.layers:
            unknown = [name for name, why in survey(shown.model).floats.items() if "known to no family" in why]
            why = f"that of {unknown[0]} is known to no family" if unknown else "it has none"
            raise ValueError(f"{shown.name} shows no attention ({why}): give a vision transformer of timm's")

    def look(self, images: Tensor) -> dict[str, Attended]:
        with torch.no_grad(), self.probabilities:
            self.opened(images)
            return self.probabilities.take()

    def add(
        self, held: Mapping[str, Attended], true: Mapping[str, Attended], maps: _Maps | None, float_maps: _Maps | None,
        keep: int,
    ) -> None:  # fmt: skip
        for name, attended in held.items():
            quiet = silent(attended)
            numbers = (~quiet * entropy(attended), quiet, spearman(attended, true[name]), torch.ones_like(quiet))
            found = torch.stack([n.double().sum((0, 2)) for n in numbers])
            self.sums[name] = self.sums[name] + found if name in self.sums else found
            self.keys[name] = attended.size(-1)
        if maps is None or float_maps is None:
            return
        pairs = [spearman(a.flatten(1), b.flatten(1)).tolist() for a, b in zip(maps, float_maps, strict=True)]
        self.alike += list(zip(*pairs, strict=True))
        for one, rolled in zip(maps.fused[: max(keep, 0)].tolist(), maps.rollout[: max(keep, 0)].tolist(), strict=True):
            self.maps.append(Map(fused=_frozen(one), rollout=_frozen(rolled)))

    def seen(self) -> Seen:
        fused_ones, rolled = zip(*self.alike, strict=True) if self.alike else ((), ())
        return Seen(
            name=self.shown.name,
            about=self.shown.about,
            layers=tuple(self._looks(name, sums) for name, sums in self.sums.items()),
            fused_correlation=_mean(fused_ones) if fused_ones else None,
            rollout_correlation=_mean(rolled) if rolled else None,
            maps=tuple(self.maps),
        )

    def _looks(self, name: str, sums: Tensor) -> Looks:
        spread, quiet, alike, rows = sums
        heard = (rows - quiet).clamp_min(1)
        columns = {"entropy": spread / heard, "silent": quiet / rows, "correlation": alike / rows}
        return Looks(layer=name, keys=self.keys[name], **{k: tuple(v.tolist()) for k, v in columns.items()})


def _check_same(first: Mapping[str, Attended], held: Mapping[str, Attended], name: str) -> None:
    if {k: v.shape for k, v in first.items()} != {k: v.shape for k, v in held.items()}:
        raise ValueError(f"{name} has other attentions than the model it is compared with: give the same model")


def _pictures(pictures: Sequence[Batch], look: Look, keep: int) -> tuple[Picture, ...]:
    every = ((b.images[i], b.targets[i], b.indices[i]) for b in pictures for i in range(len(b.images)))
    return tuple(
        Picture(number=int(number), target=int(target), png=thumbnail(image, look))
        for image, target, number in islice(every, keep)
    )


def _frozen(rows: list[list[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in rows)


def _mean(numbers: Iterable[float]) -> float:
    held = tuple(numbers)
    return fsum(held) / len(held)
