"""What runs through a model: how loud every tensor is, and its range by channel and by token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.analysis.given import Given, mask_of, sentences, unpadded
from stillbit.analysis.parts import WeightLayer, weight_layers
from stillbit.analysis.probabilities import Probabilities
from stillbit.analysis.twin import open_twin

WIDEST, SPREAD = 8, 16
"""Of many channels or tokens, the widest so many are held, and so many more that lie evenly among all."""
USUAL = 0.01
AT_ONCE = 2**22
"""Numbers are sorted so many at a time."""


@dataclass(frozen=True, kw_only=True)
class Flow:
    """One tensor, over all images or texts: the input of a layer, or a head of what query, key and value put out."""

    layer: str
    role: str
    """input, or what was put out: query, key, value."""
    head: int | None
    count: int
    """How many numbers were seen."""
    mean: float
    deviation: float
    magnitude: float
    """Mean of the absolute values."""
    kurtosis: float
    peak: float
    """Largest absolute value over ``magnitude``."""


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """How far the input of a layer reaches, by channel or by token; of many some are held, the widest among them."""

    layer: str
    by: Literal["channel", "token"]
    of: int
    """How many there are in all."""
    index: tuple[int, ...]
    """Which are held, in order."""
    low: tuple[float, ...]
    """Smallest number of all images."""
    low_usual: tuple[float, ...]
    """The 1 % quantile within an image or text (of Swin, within a window), on average."""
    high_usual: tuple[float, ...]
    """The 99 % quantile within an image, on average."""
    high: tuple[float, ...]
    """Largest number of all images."""


def measure(model: nn.Module, pictures: Iterable[Given]) -> tuple[tuple[Flow, ...], tuple[Ranges, ...]]:
    """Run ``pictures`` through a twin of the model, and look at what enters every layer with a weight."""
    opened, watched = open_twin(model), _Watched()
    handles = []
    for layer in weight_layers(model):
        module = opened.get_submodule(layer.name)
        handles.append(module.register_forward_hook(watched.hook(layer)))
    with torch.no_grad(), Probabilities(opened) as looked:  # which makes a family's attention call its linears
        for batch in pictures:
            watched.mask = mask_of(batch)
            opened(*batch.inputs)
            looked.take()
    if not watched.moments:
        raise ValueError("not one layer of this model was reached: give images or texts that run through it")
    flows = tuple(found.flow(*place) for place, found in watched.moments.items())
    return flows, tuple(one for reach in watched.reaches.values() if (one := reach.ranges()) is not None)


@dataclass
class _Moments:
    """Sums of powers, in double precision."""

    count: int = 0
    powers: list[float] = field(default_factory=lambda: [0.0] * 4)
    absolute: float = 0.0
    top: float = 0.0

    def add(self, x: Tensor) -> None:
        x = x.double()
        self.count += x.numel()
        power = x
        for order in range(4):
            self.powers[order] += power.sum().item()
            power = power * x
        self.absolute += x.abs().sum().item()
        self.top = max(self.top, x.abs().max().item())

    def flow(self, layer: str, role: str, head: int | None) -> Flow:
        m1, m2, m3, m4 = (power / self.count for power in self.powers)
        variance = max(m2 - m1 * m1, 0.0)
        fourth = m4 - 4 * m1 * m3 + 6 * m1 * m1 * m2 - 3 * m1**4
        size = self.absolute / self.count
        return Flow(
            layer=layer,
            role=role,
            head=head,
            count=self.count,
            mean=m1,
            deviation=variance**0.5,
            magnitude=size,
            kurtosis=fourth / variance**2 if variance**2 else 0.0,
            peak=self.top / size if size else 0.0,
        )


@dataclass
class _Reach:
    """Extremes of every channel or token, and sums of the quantiles of every image."""

    layer: str
    by: Literal["channel", "token"]
    rows: list[Tensor] = field(default_factory=list)
    images: int = 0
    ragged: bool = False
    """Whether their number changed: texts of several lengths, or a block that cuts its tokens as it likes, have no
    place for each."""

    def add(self, x: Float[Tensor, "images places others"]) -> None:
        ordered = x.sort(dim=-1).values.double()
        usual = [_between(ordered, share).sum(0) for share in (USUAL, 1 - USUAL)]
        found = [ordered[..., 0].amin(0), *usual, ordered[..., -1].amax(0)]
        if self.rows and self.rows[0].shape != found[0].shape:
            self.ragged = True
        elif self.rows:
            low, low_usual, high_usual, high = self.rows
            found = [torch.minimum(low, found[0]), low_usual + found[1], high_usual + found[2], high.maximum(found[3])]
        self.rows, self.images = found, self.images + len(x)

    def ranges(self) -> Ranges | None:
        if self.ragged:
            return None
        low, low_usual, high_usual, high = self.rows
        count = len(low)
        widest = (high - low).topk(min(WIDEST, count)).indices.tolist()
        evenly = [i * (count - 1) // max(SPREAD - 1, 1) for i in range(SPREAD)]
        index = sorted({*widest, *evenly})
        columns = (low, low_usual / self.images, high_usual / self.images, high)
        held = [tuple(column[index].tolist()) for column in columns]
        names = ("low", "low_usual", "high_usual", "high")
        return Ranges(layer=self.layer, by=self.by, of=count, index=tuple(index), **dict(zip(names, held, strict=True)))


def _between(ordered: Float[Tensor, "*places others"], share: float) -> Float[Tensor, "*places"]:
    """The quantile of ordered numbers, on the line between its neighbours; torch's own refuses large tensors."""
    place = share * (ordered.size(-1) - 1)
    below = int(place)
    low, high = ordered[..., below], ordered[..., min(below + 1, ordered.size(-1) - 1)]
    return low + (high - low) * (place - below)


class _Watched:
    """What the hooks of all layers found."""

    def __init__(self) -> None:
        self.moments: dict[tuple[str, str, int | None], _Moments] = {}
        self.reaches: dict[tuple[str, str], _Reach] = {}
        self.mask: Tensor | None = None
        """Which tokens of the texts that run now are no padding."""

    def hook(self, layer: WeightLayer) -> Any:
        def look(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            # A merged attention hands its value projection the tokens with their grid.
            x = inputs[0] if isinstance(inputs[0], Tensor) else inputs[0].x
            if not x.is_floating_point():  # the numbers of words
                return
            self._input(layer, module, x.detach())
            if layer.has_heads and layer.pieces[0].axis == 0:
                for piece in layer.pieces:
                    part = output.detach().narrow(-1, piece.first, piece.length)
                    self._add((layer.name, piece.role, piece.head), unpadded(part, self.mask))

        return look

    def _input(self, layer: WeightLayer, module: nn.Module, x: Tensor) -> None:
        self._add((layer.name, "input", None), unpadded(x, self.mask))
        if self.mask is not None and x.shape[:2] == self.mask.shape:
            for text in sentences(x, self.mask):
                self._reaches(layer, text)
            return
        image = isinstance(module, nn.Conv2d)
        whole = x.flatten(2).mT if image else x.flatten(1, -2) if x.dim() > 2 else x.unsqueeze(1)
        self._reaches(layer, whole, tokens=not image)

    def _reaches(self, layer: WeightLayer, whole: Tensor, *, tokens: bool = True) -> None:
        if whole.size(1) < 2:
            return
        for some in whole.split(max(1, AT_ONCE // whole[0].numel())):
            self._reach(layer.name, "channel").add(some.mT)
            if tokens:
                self._reach(layer.name, "token").add(some)

    def _add(self, place: tuple[str, str, int | None], x: Tensor) -> None:
        self.moments.setdefault(place, _Moments()).add(x)

    def _reach(self, layer: str, by: Literal["channel", "token"]) -> _Reach:
        return self.reaches.setdefault((layer, by), _Reach(layer, by))
