"""Which weights do not settle, where, and since when: what a run's tracker saw, and where the latents lie now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from stillbit.analysis.latent import BAND, NEAR, Latents
from stillbit.analysis.record import Record
from stillbit.analysis.table import Column, Table


@dataclass(frozen=True, kw_only=True)
class Unsettled:
    """A layer, a role of it, or a head of a role."""

    layer: str
    role: str | None
    """None: the layer as a whole."""
    head: int | None
    """None: not of one head."""
    bits: int
    weights: int
    oscillating: float
    """Share of the weights whose frequency of oscillation is above the threshold."""
    frequency: float
    """Mean frequency."""
    flips: int
    """Changes of code since the tracker began, summed over the weights."""
    moved: float
    """Share of the weights whose code is another one than at the beginning."""
    upward: float
    """Of the weights that ever changed, the share whose last change went up; one half if none did."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The model as a whole, at the end of an epoch."""

    epoch: int
    step: int
    oscillating: float
    moved: float


@dataclass(frozen=True, kw_only=True)
class LayerPast:
    """A layer at the steps of `Tracked.past_steps`."""

    layer: str
    oscillating: tuple[float, ...]
    """Share of its weights."""
    scale: tuple[float, ...]
    """Mean of its scales: learned or computed, whichever its quantizer has."""


@dataclass(frozen=True, kw_only=True)
class Path:
    """Where one weight went, in units of codes: code k reaches from k - 1/2 to k + 1/2."""

    layer: str
    index: int
    """Which one, in the flattened weight."""
    low: int
    """The smallest code."""
    high: int
    """The largest code."""
    positions: tuple[float, ...]
    """At the steps of `Tracked.path_steps`, which are consecutive looks."""
    flips: int
    """Changes of code along these positions."""


@dataclass(frozen=True, kw_only=True)
class HeadPair:
    """Query and key of one head."""

    layer: str
    head: int
    query: float
    """Share of the weights of the query that oscillate."""
    key: float
    """Share of those of the key."""


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """What the tracker of a run saw, with the choices without which its numbers mean nothing."""

    momentum: float
    """The weight m of a look in the running frequency f = m o + (1 - m) f."""
    threshold: float
    """A weight oscillates where f is above this."""
    every: int
    """Steps between two looks."""
    looks: int
    step: int
    """Of the checkpoint."""
    weights: int
    """All that were looked at: those of up to four bits."""
    oscillating: float
    """Share of all of them."""
    layers: tuple[Unsettled, ...]
    pieces: tuple[Unsettled, ...]
    """The same by role, and by head where there are heads."""
    moments: tuple[Moment, ...]
    """The model as a whole, epoch by epoch."""
    past_steps: tuple[int, ...]
    """Steps of the moments that are kept of every layer; none if the run is of a stillbit that kept none."""
    past: tuple[LayerPast, ...]
    path_steps: tuple[int, ...]
    paths: tuple[Path, ...]
    """Of a few weights a layer, drawn at random when the training began."""
    pairs: tuple[HeadPair, ...]
    """Empty where query and key are not apart, or have no heads."""
    together: float | None
    """Pearson's correlation between query and key shares over all heads; None below three heads, or without spread."""


@final
@dataclass(frozen=True, kw_only=True)
class Oscillations(Record):
    """What the tracker saw, and the histograms of the latents."""

    kind: ClassVar[str] = "oscillation"
    about: str
    """Which checkpoint."""
    tracked: Tracked | None
    """None where only the latents were asked for."""
    latents: tuple[Latents, ...]
    """Of every layer of up to four bits."""

    def tables(self) -> tuple[Table, ...]:
        """Layers, roles and heads, then what query and key have in common, then the latents."""
        return (*(() if self.tracked is None else _seen(self.tracked)), _lying(self.latents))


def _seen(found: Tracked) -> tuple[Table, ...]:
    whole = f"{100 * found.oscillating:.2f} % of {found.weights:,} weights after {found.step:,} steps"
    note = (
        f"A weight oscillates where the running frequency of its reversals, f = m o + (1 - m) f with m = "
        f"{found.momentum:g}, is above {found.threshold:g}; {found.looks:,} looks, one every "
        f"{'step' if found.every == 1 else f'{found.every} steps'}. "
        "Flips are changes of code since the beginning."
    )
    layers = _table(f"Oscillation by layer: {whole}", found.layers, note)
    pieces = _table("Oscillation by role and head", found.pieces, note)
    return (layers, pieces, *((_pairs(found, note),) if found.pairs else ()))


def _table(title: str, found: tuple[Unsettled, ...], note: str) -> Table:
    by_piece = any(piece.role is not None for piece in found)
    columns = (
        Column(name="layer"),
        *((Column(name="role"), Column(name="head", kind="count")) if by_piece else ()),
        Column(name="bits", kind="count"),
        Column(name="weights", kind="count"),
        Column(name="oscillating", kind="share", about="Share of the weights that oscillate"),
        Column(name="frequency", kind="number", about="Mean over the weights"),
        Column(name="flips a weight", kind="number"),
        Column(name="moved", kind="share", about="Share of the weights that are on another code than at the beginning"),
    )
    worst = sorted(found, key=lambda piece: (-piece.oscillating, -piece.frequency))
    rows = tuple(
        (
            piece.layer,
            *((piece.role, piece.head) if by_piece else ()),
            piece.bits,
            piece.weights,
            piece.oscillating,
            piece.frequency,
            piece.flips / piece.weights,
            piece.moved,
        )
        for piece in worst
    )
    return Table(title=title, columns=columns, rows=rows, note=note)


def _pairs(found: Tracked, note: str) -> Table:
    columns = (
        Column(name="attention"),
        Column(name="head", kind="count"),
        Column(name="query", kind="share", about="Share of the weights of the query that oscillate"),
        Column(name="key", kind="share", about="Share of the weights of the key that oscillate"),
    )
    worst = sorted(found.pairs, key=lambda pair: -(pair.query + pair.key))
    told = "is not defined" if found.together is None else f"is {found.together:+.3f}"
    return Table(
        title=f"Query and key: the correlation of their shares over {len(found.pairs)} heads {told}",
        columns=columns,
        rows=tuple((pair.layer, pair.head, pair.query, pair.key) for pair in worst),
        note=note,
    )


def _lying(latents: tuple[Latents, ...]) -> Table:
    columns = (
        Column(name="layer"),
        Column(name="bits", kind="count"),
        Column(name="weights", kind="count"),
        Column(name="near a threshold", kind="share"),
        Column(name="undecided", kind="share", about="In the band of OFQ's annealing"),
        Column(name="clipped", kind="share", about="More than half a step beyond the outermost bin centres"),
    )
    rows = tuple(
        (h.layer, h.bits, h.weights, h.near, h.undecided, h.clipped) for h in sorted(latents, key=lambda h: -h.near)
    )
    note = (
        f"Near is within {NEAR:g} of a step, undecided within {BAND:g}. Positions are latents over their scales; "
        "thresholds lie between codes."
    )
    return Table(title="Where the latent weights lie", columns=columns, rows=rows, note=note)
