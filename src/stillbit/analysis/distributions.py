"""How the numbers of a tensor are distributed: moments, outliers, and histograms that can be laid over each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from stillbit.analysis.parts import Part, WeightLayer

QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)
"""Those that a ridge holds; the first and the last are the extremes."""
BINS = 32
REACH = 4.0
"""A ridgeline plot spans so many standard deviations of its layer to either side of zero."""
LINES = 12
"""So many channels of a layer become lines."""
LOUDEST = 64
"""So many channels are held of a model, and so many of one layer at most."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """One part of a weight: a head of a role, or a whole layer."""

    layer: str
    role: str
    head: int | None
    count: int
    """How many numbers."""
    mean: float
    deviation: float
    magnitude: float
    """Mean of the absolute values."""
    kurtosis: float
    """E[((w - mean) / deviation)^4]: 1.8 for uniform numbers, 3 for normal ones, more with heavy tails."""
    beyond3: float
    """Share of numbers further than 3 deviations from the mean; 0.0027 of normal ones."""
    beyond6: float
    """Share further than 6 deviations; 2e-9 of normal ones."""
    peak: float
    """Largest absolute value over ``magnitude``."""


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One channel of a weight, beside its layer."""

    layer: str
    role: str
    head: int | None
    side: Literal["output", "input"]
    """A row of the weight, or a column."""
    index: int
    loudness: float
    """Mean |w| of the channel over mean |w| of its layer."""
    peak: float
    """Largest |w| of the channel over mean |w| of its layer."""


@dataclass(frozen=True, kw_only=True)
class Ridge:
    """One line of a ridgeline plot: how often the numbers of a part fall between two edges of its plot."""

    role: str
    index: int
    """Of the head, or of the output channel."""
    counts: tuple[int, ...]
    quantiles: tuple[float, ...]
    """At `QUANTILES`."""


@dataclass(frozen=True, kw_only=True)
class Ridges:
    """A ridgeline plot of one layer; its lines share their edges."""

    layer: str
    by: Literal["head", "channel"]
    of: int
    """How many lines there are in all; of channels some are held, from the quietest to the loudest."""
    edges: tuple[float, ...]
    """One more than counts; what lies outside counts to the outermost."""
    lines: tuple[Ridge, ...]


def spread(part: Part) -> Spread:
    """Moments, and how heavy the tails are."""
    w = part.weight.double()
    away = w - w.mean()
    variance = away.square().mean().item()
    size = w.abs().mean().item()
    steps = away.abs() / variance**0.5 if variance else torch.zeros_like(w)
    return Spread(
        layer=part.layer,
        role=part.role,
        head=part.head,
        count=w.numel(),
        mean=w.mean().item(),
        deviation=variance**0.5,
        magnitude=size,
        kurtosis=steps.pow(4).mean().item(),
        beyond3=(steps > 3).double().mean().item(),
        beyond6=(steps > 6).double().mean().item(),
        peak=w.abs().max().item() / size if size else 0.0,
    )


def magnitudes(weight: Float[Tensor, "*shape"], axis: int) -> Float[Tensor, " channels"]:
    """Mean |w| of every channel along ``axis``."""
    return weight.double().abs().transpose(0, axis).flatten(1).mean(1)


def channels(layers: Iterable[WeightLayer]) -> tuple[Channel, ...]:
    """The loudest of all, rows and columns, the loudest first; the order of the model breaks ties."""
    found = [channel for layer in layers for axis in (0, 1) for channel in _loud(layer, axis)]
    return tuple(sorted(found, key=lambda channel: -channel.loudness)[:LOUDEST])


def ridges(layer: WeightLayer) -> tuple[Ridges, ...]:
    """A plot of its heads, where there are some, and one of its output channels."""
    weight = layer.weight.double()
    reach = REACH * weight.std(correction=0).item() or 1.0
    edges = torch.linspace(-reach, reach, BINS + 1, dtype=torch.float64)
    rows = magnitudes(weight, 0)
    order = rows.argsort(stable=True).tolist()
    last, lines = len(order) - 1, min(LINES, len(order))
    picked = [order[i * last // max(lines - 1, 1)] for i in range(lines)]
    by_channel = tuple(_ridge(layer.output(i)[0], i, weight[i], edges) for i in picked)
    said = tuple(edges.tolist())
    found = Ridges(layer=layer.name, by="channel", of=len(order), edges=said, lines=by_channel)
    if not layer.has_heads:
        return (found,)
    by_head = tuple(_ridge(p.role, p.head or 0, p.of(weight), edges) for p in layer.pieces)
    return Ridges(layer=layer.name, by="head", of=len(by_head), edges=said, lines=by_head), found


def _ridge(role: str, index: int, part: Tensor, edges: Tensor) -> Ridge:
    numbers = part.flatten()
    places = torch.bucketize(numbers, edges[1:-1].to(numbers.device), right=True)
    counts = torch.bincount(places, minlength=len(edges) - 1)
    at = torch.tensor(QUANTILES, dtype=numbers.dtype, device=numbers.device)
    quantiles = torch.quantile(numbers, at)
    return Ridge(role=role, index=index, counts=tuple(counts.tolist()), quantiles=tuple(quantiles.tolist()))


def _loud(layer: WeightLayer, axis: int) -> list[Channel]:
    if layer.weight.size(axis) < 2:
        return []
    whole = layer.weight.double().abs().mean().item()
    means = magnitudes(layer.weight, axis)
    tops = layer.weight.double().abs().transpose(0, axis).flatten(1).amax(1)
    held = means.topk(min(LOUDEST, len(means)))
    found = []
    for size, index in zip(held.values.tolist(), held.indices.tolist(), strict=True):
        role, head = layer.output(index) if axis == 0 else layer.input(index)
        loud, peak = (n / whole if whole else 0.0 for n in (size, tops[index].item()))
        side: Literal["output", "input"] = "output" if axis == 0 else "input"
        found.append(Channel(layer=layer.name, role=role, head=head, side=side, index=index, loudness=loud, peak=peak))
    return found
