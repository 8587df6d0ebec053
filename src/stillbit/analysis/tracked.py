"""From the state of a run's tracker to plain numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stillbit.analysis.logged import Row, finite
from stillbit.analysis.oscillation import HeadPair, LayerPast, Moment, Path, Tracked, Unsettled
from stillbit.dynamics.oscillation import Oscillation, PieceReport
from stillbit.dynamics.settings import TrackSettings
from stillbit.layers.walk import QuantizedWeight
from stillbit.quantizers.snap import to_code

WINDOW = 250
"""Looks that a path goes back, of those that the tracker kept."""


def tracked(
    model: nn.Module, state: Mapping[str, Any], settings: TrackSettings, *, step: int, epochs: Sequence[Row] = ()
) -> Tracked:
    """What the tracker saw whose ``state`` a checkpoint kept after ``step`` steps; ``epochs`` are rows of the log."""
    tracker = Oscillation(model, settings)
    tracker.load_state(dict(state))
    bits = {weight.name: weight.bits for weight in tracker.weights}
    layers = tuple(_unsettled(found, bits, whole=True) for found in tracker.layers())
    pieces = tuple(_unsettled(found, bits) for found in tracker.report().pieces)
    weights = sum(layer.weights for layer in layers)
    past, pairs = tracker.history.past(), head_pairs(pieces)
    names = [weight.name for weight in tracker.weights]
    return Tracked(
        momentum=settings.track_momentum,
        threshold=settings.track_threshold,
        every=settings.track_every,
        looks=tracker.looks,
        step=step,
        weights=weights,
        oscillating=sum(layer.oscillating * layer.weights for layer in layers) / weights,
        layers=layers,
        pieces=pieces,
        moments=_moments(epochs, step),
        past_steps=tuple(past.steps.tolist()),
        past=_pasts(names, past.shares, past.scales) if len(past.steps) else (),
        path_steps=_path_steps(tracker),
        paths=tuple(path for weight in tracker.weights for path in _paths(tracker, weight)),
        pairs=pairs,
        together=pearson([pair.query for pair in pairs], [pair.key for pair in pairs]),
    )


def _unsettled(found: PieceReport, bits: Mapping[str, int], *, whole: bool = False) -> Unsettled:
    return Unsettled(
        layer=found.layer,
        role=None if whole else found.role,
        head=found.head,
        bits=bits[found.layer],
        weights=found.weights,
        oscillating=found.oscillating,
        frequency=found.frequency,
        flips=found.flips,
        moved=found.moved,
        upward=found.upward,
    )


def _moments(epochs: Sequence[Row], step: int) -> tuple[Moment, ...]:
    """Up to the checkpoint: the run may have gone on behind it."""
    told = [row for row in epochs if row["step"] <= step and finite(row.get("oscillating"))]
    return tuple(
        Moment(epoch=row["epoch"], step=row["step"], oscillating=float(row["oscillating"]), moved=float(row["moved"]))
        for row in told
    )


def _pasts(names: Sequence[str], shares: Tensor, scales: Tensor) -> tuple[LayerPast, ...]:
    columns = zip(names, shares.T.tolist(), scales.T.tolist(), strict=True)
    return tuple(LayerPast(layer=n, oscillating=tuple(share), scale=tuple(scale)) for n, share, scale in columns)


def _path_steps(tracker: Oscillation) -> tuple[int, ...]:
    steps, _ = tracker.paths.path(tracker.weights[0].name)
    return tuple(steps[-WINDOW:].tolist())


def _paths(tracker: Oscillation, weight: QuantizedWeight) -> list[Path]:
    grid = weight.quantizer.grid
    _, every = tracker.paths.path(weight.name)
    kept = every[-WINDOW:]
    codes = to_code(kept + grid.offset, torch.ones(1), grid)
    flips = (codes[1:] != codes[:-1]).sum(0).tolist()
    # The shortest decimals that name these float32 numbers, in place of the seventeen digits of their float64 twins.
    columns = [tuple(float(str(number)) for number in column) for column in kept.T.numpy()]
    indices = tracker.paths.indices[weight.name].tolist()
    return [
        Path(layer=weight.name, index=index, low=grid.low, high=grid.high, positions=column, flips=count)
        for index, column, count in zip(indices, columns, flips, strict=True)
    ]


def head_pairs(pieces: Sequence[Unsettled]) -> tuple[HeadPair, ...]:
    """Query and key of every head that has both; a key that several queries share belongs to none of them."""
    shares: dict[str, dict[str, list[float]]] = {"query": {}, "key": {}}
    for piece in pieces:
        if piece.role in shares and piece.head is not None:
            attention = piece.layer.rpartition(".")[0]
            shares[piece.role].setdefault(attention, []).append(piece.oscillating)
    return tuple(
        HeadPair(layer=attention, head=head, query=query, key=key)
        for attention, queries in shares["query"].items()
        if len(shares["key"].get(attention, ())) == len(queries)
        for head, (query, key) in enumerate(zip(queries, shares["key"][attention], strict=True))
    )


def pearson(first: Sequence[float], second: Sequence[float]) -> float | None:
    """The correlation of two lists; None below three pairs, or where one of the lists is the same number throughout."""
    if len(first) < 3 or len(set(first)) == 1 or len(set(second)) == 1:
        return None
    both = torch.tensor([list(first), list(second)], dtype=torch.float64)
    return float(torch.corrcoef(both)[0, 1].clamp(-1, 1))
