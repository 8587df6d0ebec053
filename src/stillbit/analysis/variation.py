"""How much the parts of a model differ: SDAM, outliers, distributions, and the ranges of what runs through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

from torch import nn

from stillbit.analysis.activations import Flow, Ranges, measure
from stillbit.analysis.distributions import Channel, Ridges, Spread, channels, magnitudes, ridges, spread
from stillbit.analysis.finite import check_finite
from stillbit.analysis.given import Given, Kind, aside, kind_of
from stillbit.analysis.parts import weight_layers
from stillbit.analysis.record import Record
from stillbit.analysis.sdam import Deviation, Loudness, over, sdam
from stillbit.analysis.table import Cell, Column, Table
from stillbit.analysis.twin import float_twin

NOTE = (
    "SDAM: the standard deviation of the absolute mean, sqrt(mean (m - mean m)^2) with m = mean |w| of a part. "
    "Modules are the heads of query, key, value and projection, and every other layer; over heads and channels it is "
    "taken layer by layer and averaged. Weights are float, the latent ones of a quantized model."
)


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The SDAM of the weights of one model in a comparison."""

    model: str
    about: str
    """Where its weights are from."""
    parameters: int
    deviations: tuple[Deviation, ...]


@final
@dataclass(frozen=True, kw_only=True)
class Variation(Record):
    """What differs, in the weights and, where images were given, in the activations."""

    kind: ClassVar[str] = "variation"
    about: str
    """Where the weights are from."""
    images: int
    """How many (or texts, see ``what``) the activations were measured with; 0 if they were not."""
    parameters: int
    weights: tuple[Deviation, ...]
    """SDAM of the weights, of the latent ones where the model is quantized."""
    activations: tuple[Deviation, ...]
    """SDAM of what enters the layers, and of queries, keys and values; empty without images."""
    spreads: tuple[Spread, ...]
    """Every part of every weight, in the order of the model."""
    channels: tuple[Channel, ...]
    """The loudest channels of all layers, the loudest first."""
    ridges: tuple[Ridges, ...]
    flows: tuple[Flow, ...]
    """Empty without images."""
    ranges: tuple[Ranges, ...]
    """Empty without images."""
    no_activations: str = ""
    """Why they were not measured, in a sentence; empty where they were."""
    against: tuple[Compared, ...] = ()
    """Other models, and this one first; empty if none was named."""
    what: Kind = "images"
    """What was looked at."""

    def tables(self) -> tuple[Table, ...]:
        """Models side by side if there are several; SDAM, then who is loud, then every part."""
        found = [self._compared()] if self.against else []
        found += [self._deviations(), self._channels(), self._parts()]
        if self.flows:
            found.append(self._flows())
        return tuple(found)

    def _compared(self) -> Table:
        kinds = tuple(dict.fromkeys(one.over for each in self.against for one in each.deviations))
        columns = (
            Column(name="model"),
            Column(name="parameters", kind="count"),
            Column(name="SDAM", kind="number", about="Over modules, in the unit of the weights"),
            *(Column(name=kind, kind="number", about=f"SDAM over {kind}, relative") for kind in kinds),
        )
        rows: list[tuple[Cell, ...]] = []
        for each in self.against:
            held = {one.over: one for one in each.deviations}
            absolute = held["modules"].deviation if "modules" in held else None
            relative = [held[kind].relative if kind in held else None for kind in kinds]
            rows.append((each.model, each.parameters, absolute, *relative))
        weights = "; ".join(f"{each.model}: {each.about}" for each in self.against)
        note = (
            "SDAM over modules as it is, then over modules and other parts in the relative form, every absolute mean "
            f"being divided by the mean of those it is compared with. Weights: {weights}."
        )
        return Table(title="SDAM of the weights of several models", columns=columns, rows=tuple(rows), note=note)

    def _deviations(self) -> Table:
        columns = (
            Column(name="of"),
            Column(name="over", about="What is compared"),
            Column(name="parts", kind="count"),
            Column(name="mean", kind="number", about="Mean of the absolute means"),
            Column(name="SDAM", kind="number", about="Standard deviation of the absolute means"),
            Column(name="relative", kind="number", about="The same, each divided by the mean of its set"),
        )
        both = [("weights", one) for one in self.weights] + [("activations", one) for one in self.activations]
        rows = tuple((of, d.over, d.parts, d.mean, d.deviation, d.relative) for of, d in both)
        without = f" Activations were not measured: {self.no_activations}." if self.no_activations else ""
        seen = f" Activations over {self.images:,} {self.what}{aside(self.what)}." if self.images else without
        return Table(title="Variation (SDAM)", columns=columns, rows=rows, note=NOTE + seen)

    def _channels(self) -> Table:
        columns = (
            Column(name="layer"),
            Column(name="role"),
            Column(name="head"),
            Column(name="side"),
            Column(name="channel", kind="count"),
            Column(name="loudness", kind="number", about="Mean |w| of the channel over that of its layer"),
            Column(name="peak", kind="number", about="Largest |w| of the channel over mean |w| of its layer"),
        )
        rows = tuple((c.layer, c.role, _head(c.head), c.side, c.index, c.loudness, c.peak) for c in self.channels)
        note = "The channels whose weights are largest beside their layer's. Channels count from 0."
        return Table(title="Loudest channels", columns=columns, rows=rows, note=note)

    def _parts(self) -> Table:
        columns = (
            Column(name="layer"),
            Column(name="role"),
            Column(name="head"),
            Column(name="mean |w|", kind="number"),
            Column(name="kurtosis", kind="number", about="3 for normal numbers, 1.8 for uniform ones"),
            Column(name="> 3 sd", kind="share", about="Share further than 3 deviations; 0.27 % of normal numbers"),
            Column(name="> 6 sd", kind="share", about="Share further than 6 deviations"),
            Column(name="peak", kind="number", about="Largest |w| over mean |w|"),
        )
        rows = tuple(
            (s.layer, s.role, _head(s.head), s.magnitude, s.kurtosis, s.beyond3, s.beyond6, s.peak)
            for s in sorted(self.spreads, key=lambda s: -s.kurtosis)
        )
        return Table(
            title="Weights, part by part", columns=columns, rows=rows, note="The heaviest tails first. Heads from 0."
        )

    def _flows(self) -> Table:
        columns = (
            Column(name="layer"),
            Column(name="tensor"),
            Column(name="head"),
            Column(name="mean |a|", kind="number"),
            Column(name="deviation", kind="number"),
            Column(name="kurtosis", kind="number"),
            Column(name="peak", kind="number", about="Largest |a| over mean |a|"),
        )
        rows = tuple(
            (f.layer, f.role, _head(f.head), f.magnitude, f.deviation, f.kurtosis, f.peak)
            for f in sorted(self.flows, key=lambda f: -f.peak)
        )
        over = f"{self.images:,} {self.what}{aside(self.what)}"
        note = (
            f"The widest first, over {over}. Probabilities are left out: a row of "
            "them sums to 1, and has the same mean in every head."
        )
        return Table(title="Activations, tensor by tensor", columns=columns, rows=rows, note=note)


class Extra(NamedTuple):
    """What is looked at beside the weights of a model: its activations, and other models."""

    pictures: Sequence[Given] = ()
    without: str = "no images were given"
    """Why there are no pictures, where there are none."""
    against: Sequence[Compared] = ()


def compute(model: nn.Module, *, subject: str, about: str, extra: Extra | None = None) -> Variation:
    """Of the weights, and of what ``extra`` has."""
    pictures, without, others = extra or Extra()
    check_finite(model, subject)
    layers = weight_layers(model)
    mine = compared(model, subject, about)
    flows, ranges = measure(model, pictures) if pictures else ((), ())
    return Variation(
        subject=subject,
        about=about,
        images=sum(len(batch.targets) for batch in pictures),
        parameters=mine.parameters,
        weights=mine.deviations,
        activations=sdam(Loudness(f.layer, f.role, f.head, f.magnitude, f.count) for f in flows),
        spreads=tuple(spread(part) for layer in layers for part in layer.parts()),
        channels=channels(layers),
        ridges=tuple(plot for layer in layers for plot in ridges(layer)),
        flows=flows,
        ranges=ranges,
        no_activations="" if pictures else without,
        against=(mine, *others) if others else (),
        what=kind_of(pictures),
    )


def compared(model: nn.Module, name: str, about: str) -> Compared:
    """The SDAM of the weights of one model."""
    layers = weight_layers(model)
    parts = [part for layer in layers for part in layer.parts()]
    found = sdam(
        Loudness(p.layer, p.role, p.head, p.weight.double().abs().mean().item(), p.weight.numel()) for p in parts
    )
    by_channel = over("channels", [tuple(magnitudes(layer.weight, 0).tolist()) for layer in layers])
    count = sum(p.numel() for p in float_twin(model).parameters())
    deviations = found if by_channel is None else (*found, by_channel)
    return Compared(model=name, about=about, parameters=count, deviations=deviations)


def _head(head: int | None) -> str:
    return "" if head is None else str(head)
