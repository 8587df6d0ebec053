"""Measure what quantizers do to what passes through them, and to the gradients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import log10
from typing import Any

import torch
from torch import Tensor, nn

from stillbit.analysis.error import Errors, GradientAgreement, TensorError
from stillbit.analysis.finite import check_finite
from stillbit.analysis.given import Given, kind_of, mask_of, unpadded
from stillbit.analysis.gradient import check_classes, counted, gradients
from stillbit.analysis.untouched import untouched
from stillbit.layers.walk import QuantizedWeight, quantized
from stillbit.layers.walk import weights as walked
from stillbit.quantizers.base import Quantizer
from stillbit.quantizers.granularity import spread
from stillbit.quantizers.learned_bits import LearnedBits
from stillbit.quantizers.snap import Latent
from stillbit.surgery.swap import dequantize
from stillbit.train.evaluate import scored

BEYOND = 0.5 + 1e-4
"""Steps: what is farther from its value was clipped. Half a step and what floats make of it is rounding."""


def errors(model: nn.Module, batches: Sequence[Given], *, subject: str, about: str) -> Errors:
    """The errors of a quantized model, those of activations and gradients on ``batches``."""
    if not any(layer.quantizers() for _, layer in quantized(model)):
        raise ValueError(f"{subject} is float, and has no error of quantization: give a run with bits")
    check_finite(model, subject)
    origin, device = dequantize(model), batches[0].targets.device
    with untouched(model):
        check_classes(model, batches, subject)
        every = tuple(walked(model))
        whole, pieces = _weights(every)
        with _listening(model) as (heard, tokens):
            loss = scored(model, tokens.told(batches), device=device)["eval_loss"]
        agreements, agreement = _gradients(model, origin, every, batches)
    return Errors(
        subject=subject,
        about=about,
        images=counted(batches),
        loss=loss,
        float_loss=scored(origin.eval(), batches, device=device)["eval_loss"],
        weights=whole,
        pieces=pieces,
        activations=tuple(noise.told(*place) for place, noise in heard.items() if noise.elements),
        gradients=agreements,
        agreement=agreement,
        what=kind_of(batches),
    )


@dataclass
class _Noise:
    """Sums over what passed so far."""

    bits: float
    error: float = 0.0
    signal: float = 0.0
    clipped: float = 0.0
    elements: int = 0

    def add(self, x: Tensor, value: Tensor, beyond: Tensor) -> None:
        """What went in, what came out, and what was clipped."""
        x, value = x.double(), value.double()
        self.error += (value - x).square().sum().item()
        self.signal += x.square().sum().item()
        self.clipped += beyond.sum().item()
        self.elements += x.numel()

    def told(self, layer: str, role: str, head: int | None = None) -> TensorError:
        """As plain numbers."""
        relative = self.error / self.signal if self.signal else None
        return TensorError(
            layer=layer,
            role=role,
            head=head,
            bits=self.bits,
            relative=relative,
            sqnr=-10 * log10(relative) if relative else None,
            clipped=self.clipped / self.elements,
            elements=self.elements,
        )


class _Tokens:
    """Which tokens of the batch that runs now are no padding."""

    mask: Tensor | None = None

    def told(self, batches: Iterable[Given]) -> Iterator[Given]:
        """The batches, each of them noted before it runs."""
        for batch in batches:
            self.mask = mask_of(batch)
            yield batch


def _bits(quantizer: Quantizer) -> float:
    parts = quantizer.parts()
    return sum(part.mean_bits() for part in parts) / len(parts)


def _beyond(quantizer: Quantizer, x: Tensor, latent: Latent, value: Tensor) -> Tensor:
    """Which elements lie beyond the outermost levels."""
    assert latent.scale is not None, "what snaps has a scale"
    # Learned bits clip before they snap; all others move or squash what they snap, and nothing else.
    before = x if any(isinstance(part, LearnedBits) for part in quantizer.parts()) else latent.x
    return (before - value).abs() > BEYOND * spread(latent.scale, tuple(x.shape))


@torch.no_grad()
def _weights(every: Sequence[QuantizedWeight]) -> tuple[tuple[TensorError, ...], tuple[TensorError, ...]]:
    """Of whole layers, and of their pieces."""
    whole, pieces = [], []
    for weight in every:
        latent = weight.latent()
        x, value = weight.parameter, latent.value()
        beyond = _beyond(weight.quantizer, x, latent, value)
        noise = _Noise(_bits(weight.quantizer))
        noise.add(x, value, beyond)
        whole.append(noise.told(weight.name, "weight"))
        for piece in weight.pieces():
            noise = _Noise(_bits(weight.quantizer))
            noise.add(*(piece.of(tensor) for tensor in (x, value, beyond)))
            pieces.append(noise.told(weight.name, piece.role, piece.head))
    return tuple(whole), tuple(pieces)


@contextmanager
def _listening(model: nn.Module) -> Iterator[tuple[dict[tuple[str, str], _Noise], _Tokens]]:
    """What passes through the quantizers of activations inside the block, where it is no padding."""
    heard: dict[tuple[str, str], _Noise] = {}
    tokens = _Tokens()

    def listen(place: tuple[str, str]) -> Any:
        def hook(quantizer: Quantizer, args: tuple[Any, ...], latent: Latent) -> None:
            value = latent.value()
            found = (args[0], value, _beyond(quantizer, args[0], latent, value))
            heard[place].add(*(unpadded(tensor, tokens.mask) for tensor in found))

        return hook

    hooks = []
    for name, layer in quantized(model):
        for role, quantizer in layer.quantizers().items():
            if role != "weight":
                heard[name, role] = _Noise(_bits(quantizer))
                hooks.append(quantizer.register_forward_hook(listen((name, role))))
    try:
        yield heard, tokens
    finally:
        for hook in hooks:
            hook.remove()


def _gradients(
    model: nn.Module, origin: nn.Module, every: Sequence[QuantizedWeight], batches: Sequence[Given]
) -> tuple[tuple[GradientAgreement, ...], float | None]:
    """Layer by layer, and over all; the float model has the same weights under the same names."""
    names = [f"{weight.name}.weight".lstrip(".") for weight in every]
    mine, theirs = (_of(side, {name: side.get_parameter(name) for name in names}, batches) for side in (model, origin))
    found = [GradientAgreement(layer=w.name, **_alike(mine[n], theirs[n])) for w, n in zip(every, names, strict=True)]
    whole = [torch.cat([gradient.flatten() for gradient in side.values()]) for side in (mine, theirs)]
    return tuple(found), _alike(*whole)["cosine"]


def _of(model: nn.Module, parameters: Mapping[str, nn.Parameter], batches: Sequence[Given]) -> dict[str, Tensor]:
    with untouched(model):
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        return gradients(model, parameters, batches)


def _alike(mine: Tensor, theirs: Tensor) -> dict[str, float | None]:
    """Cosine and ratio of norms."""
    lengths = float(mine.norm()), float(theirs.norm())
    return {
        "cosine": float((mine * theirs).sum()) / (lengths[0] * lengths[1]) if all(lengths) else None,
        "ratio": lengths[0] / lengths[1] if lengths[1] else None,
    }
