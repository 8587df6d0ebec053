"""Where a model looks: attention maps over images or texts, and how far they are from those of the float model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import exp, fsum, log
from typing import ClassVar, NamedTuple, final

import torch
from torch import Tensor, nn

from stillbit.analysis.finite import check_finite
from stillbit.analysis.given import Given, Kind, aside, kind_of, split
from stillbit.analysis.maps import Grid, Reading, fused, reading, rollout
from stillbit.analysis.probabilities import Attended, Probabilities
from stillbit.analysis.record import Record
from stillbit.analysis.rows import entropy, silent, spearman
from stillbit.analysis.sentence import SHOWN, Sentence, Words, cuts, reading_of_text, sentences_of
from stillbit.analysis.table import Column, Table
from stillbit.analysis.thumbnail import thumbnail
from stillbit.analysis.twin import open_twin
from stillbit.data.batch import Batch
from stillbit.data.look import Look
from stillbit.data.text import TextBatch
from stillbit.surgery.survey import survey

AT_ONCE = 8
"""Images or texts: the probabilities of all layers and models are held at the same time."""
CLASS = "what the class token attends to"
FIRST = "what the first token attends to, from which the model answers"
MEAN = "what all tokens attend to, on average"


@dataclass(frozen=True, kw_only=True)
class Looks:
    """How one attention distributes itself, on average over images or texts, and queries."""

    layer: str
    keys: float
    """How many tokens can be looked at, a geometric mean over the queries of texts; the entropy is at most its
    logarithm."""
    entropy: tuple[float, ...]
    """Nats, a head."""
    silent: tuple[float, ...]
    """Share of queries whose every probability snapped to zero, a head; the entropy is over the others."""
    correlation: tuple[float, ...]
    """Spearman's with the float model's attention over the keys, a head; a silent query correlates 0."""


@dataclass(frozen=True, kw_only=True)
class Map:
    """One image's attention, over the patches; or one text's, over its tokens, in one row."""

    fused: tuple[tuple[float, ...], ...]
    """The last attention, the largest of all heads; rows of the picture from the top, summing to 1."""
    rollout: tuple[tuple[float, ...], ...]
    """Attention rollout through all layers (Abnar and Zuidema 2020); summing to 1."""
    heads: tuple[tuple[tuple[float, ...], ...], ...] = ()
    """Of a text: every head of the last attention, what each token (a row) attends to, to four digits."""


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
    """One a picture or sentence of the record; empty where there are no maps."""


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
    """How many the numbers are means over; or texts, see ``what``."""
    reads: str
    """Whose attention a map is: the class token's, or the mean over all tokens."""
    no_maps: str
    """Why there are no maps, in a sentence; empty where there are."""
    models: tuple[Seen, ...]
    pictures: tuple[Picture, ...]
    sentences: tuple[Sentence, ...] = ()
    """Of texts, in place of pictures."""
    what: Kind = "images"
    """What was looked at."""

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
            f"Probabilities as they meet the values, means over {self.images:,} {self.what}{aside(self.what)}. "
            f"Correlations are Spearman's with the first model, query by query over the keys. {maps}"
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
    models: Sequence[Shown],
    given: Sequence[Given],
    *,
    subject: str,
    look: Look | None = None,
    words: Words | None = None,
    keep: int = 4,
) -> Attention:
    """Side by side, the first being what the others are compared with; maps of the first ``keep`` samples are kept.

    ``look`` is how images were normalised; ``words`` tells the pieces of texts by their numbers.
    """
    for shown in models:
        check_finite(shown.model, shown.name)
    watched = [_Watched(shown) for shown in models]
    read: Reading | str | None = None
    seen = 0
    for batch in given:
        for some in split(batch, AT_ONCE):
            first = watched[0].look(some)
            read = _reading(watched[0].opened, first, some) if read is None else read
            true = _parts(first, some, read)
            for number, one in enumerate(watched):
                held = first if number == 0 else one.look(some)
                _check_same(first, held, one.shown.name)
                parts = true if number == 0 else _parts(held, some, read)
                one.add(parts, true, keep)
            seen += len(some.targets)
    if read is None:
        raise ValueError("attention is looked at over images or texts: give one at least")
    what = kind_of(given)
    return Attention(
        subject=subject,
        images=seen,
        reads="" if isinstance(read, str) else _reads(read, what),
        no_maps=read if isinstance(read, str) else "",
        models=tuple(one.seen() for one in watched),
        pictures=() if isinstance(read, str) or what == "texts" else _pictures(given, look, keep),
        sentences=sentences_of(given, words, keep),
        what=what,
    )


def _reading(model: nn.Module, attended: Mapping[str, Attended], given: Given) -> Reading | str:
    return reading_of_text(model) if isinstance(given, TextBatch) else reading(model, attended, len(given.targets))


def _reads(read: Reading, what: Kind) -> str:
    return MEAN if not read.by_class else FIRST if what == "texts" else CLASS


class _Maps(NamedTuple):
    fused: Grid
    rollout: Grid

    @classmethod
    def of(cls, held: Mapping[str, Attended], read: Reading | str) -> _Maps | None:
        if isinstance(read, str):
            return None
        layers = list(held.values())
        return cls(read.of(fused(layers)), read.of(rollout(layers)))


class _Part(NamedTuple):
    """What belongs together: the images of a batch, or one text."""

    held: Mapping[str, Attended]
    maps: _Maps | None
    is_text: bool


def _parts(held: Mapping[str, Attended], given: Given, read: Reading | str) -> list[_Part]:
    return [_Part(cut, _Maps.of(cut, read), isinstance(given, TextBatch)) for cut in cuts(held, given)]


class _Watched:
    """One model, and sums over the images."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.opened = open_twin(shown.model)
        self.probabilities = Probabilities(self.opened)
        self.sums: dict[str, Tensor] = {}
        self.keys: dict[str, dict[int, int]] = {}
        """How many rows of how many keys there were."""
        self.alike: list[tuple[float, float]] = []
        self.maps: list[Map] = []
        if not self.probabilities.layers:
            unknown = [name for name, why in survey(shown.model).floats.items() if "known to no family" in why]
            why = f"that of {unknown[0]} is known to no family" if unknown else "it has none"
            raise ValueError(
                f"{shown.name} shows no attention ({why}): give a vision transformer of timm's, or "
                "an encoder of transformers"
            )

    def look(self, batch: Given) -> dict[str, Attended]:
        with torch.no_grad(), self.probabilities:
            self.opened(*batch.inputs)
            return self.probabilities.take()

    def add(self, parts: Sequence[_Part], true: Sequence[_Part], keep: int) -> None:
        for part, real in zip(parts, true, strict=True):
            for name, attended in part.held.items():
                self._add(name, attended, real.held[name])
            if part.maps is not None and real.maps is not None:
                pairs = [
                    spearman(a.flatten(1), b.flatten(1)).tolist() for a, b in zip(part.maps, real.maps, strict=True)
                ]
                self.alike += list(zip(*pairs, strict=True))
                self.maps += _kept(part, keep - len(self.maps))

    def _add(self, name: str, attended: Attended, true: Attended) -> None:
        quiet = silent(attended)
        numbers = (~quiet * entropy(attended), quiet, spearman(attended, true), torch.ones_like(quiet))
        found = torch.stack([n.double().sum((0, 2)) for n in numbers])
        self.sums[name] = self.sums[name] + found if name in self.sums else found
        keys, rows = self.keys.setdefault(name, {}), attended.size(0) * attended.size(2)
        keys[attended.size(-1)] = keys.get(attended.size(-1), 0) + rows

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
        return Looks(layer=name, keys=_geometric(self.keys[name]), **{k: tuple(v.tolist()) for k, v in columns.items()})


def _check_same(first: Mapping[str, Attended], held: Mapping[str, Attended], name: str) -> None:
    if {k: v.shape for k, v in first.items()} != {k: v.shape for k, v in held.items()}:
        raise ValueError(f"{name} has other attentions than the model it is compared with: give the same model")


def _geometric(rows: Mapping[int, int]) -> float:
    """The mean number of keys, such that its logarithm is the mean of theirs."""
    if len(rows) == 1:
        return next(iter(rows))
    return exp(fsum(count * log(keys) for keys, count in rows.items()) / sum(rows.values()))


def _kept(part: _Part, keep: int) -> Iterator[Map]:
    """The maps of the first images; or of the text, as far as its tokens are shown."""
    assert part.maps is not None, "only what has maps keeps them"
    shown = SHOWN if part.is_text else None
    last = list(part.held.values())[-1]
    for index in range(min(max(keep, 0), len(last))):
        fused_one, rolled = (_frozen(grid[index, :, :shown].tolist()) for grid in part.maps)
        heads = [_short(rows) for rows in last[index, :, :SHOWN, :SHOWN].tolist()] if part.is_text else []
        yield Map(fused=fused_one, rollout=rolled, heads=tuple(heads))


def _pictures(given: Sequence[Given], look: Look | None, keep: int) -> tuple[Picture, ...]:
    if look is None:
        raise ValueError("images are shown as they were before they were normalised: say how, look=Look(...)")
    images = (batch for batch in given if isinstance(batch, Batch))
    every = ((b.images[i], b.targets[i], b.indices[i]) for b in images for i in range(len(b.images)))
    return tuple(
        Picture(number=int(number), target=int(target), png=thumbnail(image, look))
        for image, target, number in islice(every, keep)
    )


def _short(rows: list[list[float]]) -> tuple[tuple[float, ...], ...]:
    """To four digits: there are many of these."""
    return tuple(tuple(float(f"{value:.4g}") for value in row) for row in rows)


def _frozen(rows: list[list[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in rows)


def _mean(numbers: Iterable[float]) -> float:
    held = tuple(numbers)
    return fsum(held) / len(held)
