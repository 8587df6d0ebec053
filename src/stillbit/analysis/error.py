"""How far quantized numbers are from float ones: of weights, of activations, and of the gradients that train them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from stillbit.analysis.given import Kind, aside
from stillbit.analysis.record import Record
from stillbit.analysis.table import Column, Table


@dataclass(frozen=True, kw_only=True)
class TensorError:
    """What went into a quantizer against what came out of it, where it stands: its input is quantized upstream already.

    With x and q: relative = sum (q - x)^2 / sum x^2, and the signal-to-noise ratio is -10 log10 of that.
    """

    layer: str
    role: str
    """weight, or a part of one such as query or fc1; of activations input, query, key, value or probability."""
    head: int | None
    """None: not of one head."""
    bits: float
    """Of a code; an average where bits are learned."""
    relative: float | None
    """None where all numbers are zero, and there is nothing to be relative to."""
    sqnr: float | None
    """In dB; None where there is no error at all, or nothing but zeros."""
    clipped: float
    """Share of the elements that lie more than half a step beyond the outermost levels."""
    elements: int


@dataclass(frozen=True, kw_only=True)
class GradientAgreement:
    """The gradient of a layer's latent weight against that of the same weight in the float model."""

    layer: str
    cosine: float | None
    """None where one of the two gradients is zero."""
    ratio: float | None
    """Norm in the quantized model over norm in the float one; None where that is zero."""


@final
@dataclass(frozen=True, kw_only=True)
class Errors(Record):
    """Layer by layer."""

    kind: ClassVar[str] = "error"
    about: str
    """Which checkpoint."""
    images: int
    """For activations and gradients; or texts, see ``what``."""
    loss: float
    """Of the quantized model on them."""
    float_loss: float
    """Of the float model with the same latent weights."""
    weights: tuple[TensorError, ...]
    """One a layer."""
    pieces: tuple[TensorError, ...]
    """Of weights, by role and head."""
    activations: tuple[TensorError, ...]
    gradients: tuple[GradientAgreement, ...]
    agreement: float | None
    """The cosine over the weights of all layers at once."""
    what: Kind = "images"
    """What was looked at."""

    def tables(self) -> tuple[Table, ...]:
        """Weights, activations, gradients: the worst first."""
        on = f"{self.images} {self.what}{aside(self.what)}"
        local = f"{DEFINITION} Each quantizer is measured on what reaches it, on {on}."
        return (
            _table(f"Error of the weights of {self.subject}", self.weights, DEFINITION),
            _table("Error of the activations", self.activations, local),
            _agreement(self),
            _table("Error of the weights by role and head", self.pieces, DEFINITION),
        )


DEFINITION = "Relative is the sum of squared errors over the sum of squares; SQNR is -10 log10 of it, in dB."


def _table(title: str, found: tuple[TensorError, ...], note: str) -> Table:
    headed = any(e.head is not None for e in found)
    columns = (
        Column(name="layer"),
        Column(name="role"),
        *((Column(name="head", kind="count"),) if headed else ()),
        Column(name="bits", kind="number"),
        Column(name="SQNR dB", kind="number", about="Signal-to-noise ratio: the higher, the nearer to float"),
        Column(name="relative", kind="share", about="Sum of squared errors over sum of squares"),
        Column(name="clipped", kind="share", about="Elements more than half a step beyond the outermost levels"),
        Column(name="elements", kind="count"),
    )
    worst = sorted(found, key=lambda e: -(e.relative or 0.0))
    numbers = (((e.bits, e.sqnr, e.relative, e.clipped, e.elements), e) for e in worst)
    rows = tuple((e.layer, e.role, *((e.head,) if headed else ()), *cells) for cells, e in numbers)
    return Table(title=title, columns=columns, rows=rows, note=note)


def _agreement(found: Errors) -> Table:
    columns = (
        Column(name="layer"),
        Column(name="cosine", kind="number", about="Between the two gradients of its weight"),
        Column(name="norm ratio", kind="number", about="Quantized over float"),
    )
    worst = sorted(found.gradients, key=lambda g: 2.0 if g.cosine is None else g.cosine)
    whole = "" if found.agreement is None else f": cosine {found.agreement:.3f} over all weights"
    note = (
        f"Gradients of the cross-entropy on {found.images} {found.what} in the latent weights, straight-through, "
        f"against those of the float model with the same weights. The loss is {found.loss:.4g} quantized and "
        f"{found.float_loss:.4g} float."
    )
    rows = tuple((g.layer, g.cosine, g.ratio) for g in worst)
    return Table(title=f"Agreement of gradients with float{whole}", columns=columns, rows=rows, note=note)
