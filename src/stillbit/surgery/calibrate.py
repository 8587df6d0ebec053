"""Find the start values of every quantizer from data, in one pass of the float model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from stillbit.layers.rectify import Rectify
from stillbit.layers.walk import quantized, quantizers
from stillbit.quantizers.base import Quantizer
from stillbit.quantizers.calibrate import thin
from stillbit.quantizers.granularity import gather
from stillbit.quantizers.snap import Latent

A_BATCH = 65536
"""Elements kept of one quantizer's input a batch (over all its blocks)."""
IN_ALL = 4 * A_BATCH


@dataclass(frozen=True)
class Calibration:
    """What `calibrate` did: how much it saw, and what it noticed."""

    batches: int
    quantizers: int
    notes: tuple[str, ...] = ()


@dataclass
class _Seen:
    """Samples of one quantizer's input, laid out so that every block keeps its own."""

    rows: list[Tensor] = field(default_factory=list)
    kept: int = 0


def calibrate(model: nn.Module, batches: Iterable[Any], rule: str | None = None, *, again: bool = False) -> Calibration:
    """Set every scale and shift of activations from ``batches``.

    Weights have theirs since `quantize`, unless it saw a model without numbers; ``again=True`` finds them anew too.

    A batch is a tensor, a tuple or list whose first entry is one (as a loader of images and labels gives), or a dict of
    keyword arguments. The model runs in float and in eval mode; its own mode is restored. ``rule`` replaces the rule of
    the plan (mse, mean_magnitude, percentile, minmax). Nothing changes unless every batch went well.

    What rectifies query and key begins with the first batch, so that their quantizers see what they will see.
    """
    activations = _check(model, batches, again)
    rectifiers = [module for module in model.modules() if isinstance(module, Rectify)]
    weights = [
        (q, layer.weight.detach())  # type: ignore[operator]
        for _, layer in quantized(model)
        for role, q in layer.quantizers().items()
        if role == "weight" and (again or not q.is_started())
    ]
    names = {id(q): f"{name} ({role})" for name, role, q in quantizers(model)}
    seen = {id(q): _Seen() for q in activations}
    count = 0
    rules = {id(q): rule or getattr(q, "rule", None) for q in activations}
    with _all_or_nothing([*activations, *(q for q, _ in weights), *rectifiers]):
        with _observing(model, seen, names, rules), torch.no_grad():
            for batch in batches:
                _run(model, batch)
                count += 1
        if not count:
            raise ValueError("calibrate got no batch: give it an iterable such as a loader, or [images]")
        notes = _start(activations, weights, seen, names, rule)
    return Calibration(count, len(activations), tuple(notes))


def _check(model: nn.Module, batches: Any, again: bool) -> list[Quantizer]:
    every = list(quantizers(model))
    if not every and not any(True for _ in quantized(model)):
        raise ValueError("calibrate needs a quantized model: call model = stillbit.quantize(model, 'w4a4') first")
    if isinstance(batches, Tensor):
        raise ValueError("calibrate takes an iterable of batches, got one tensor: write calibrate(model, [images])")
    if not isinstance(batches, Iterable):
        raise ValueError(
            f"calibrate takes an iterable of batches, got {type(batches).__name__}: write calibrate(model, [images])"
        )
    activations = [q for _, role, q in every if role != "weight"]
    started = [f"{name} ({role})" for name, role, q in every if role != "weight" and q.is_started()]
    started += [name for name, m in model.named_modules() if isinstance(m, Rectify) and m.is_started()]
    if started and not again:
        raise ValueError(
            f"this model is calibrated already ({started[0]} and {len(started) - 1} more hold values from data): "
            "write calibrate(model, batches, again=True) to find them anew"
        )
    return activations


@contextmanager
def _all_or_nothing(modules: Sequence[nn.Module]) -> Iterator[None]:
    """What goes wrong inside, such as a rule that fails, leaves all of them as they were."""
    before = [{k: v.clone() for k, v in module.state_dict().items()} for module in modules]
    try:
        yield
    except BaseException:
        for module, state in zip(modules, before, strict=True):
            module.load_state_dict(state)
        raise


def _run(model: nn.Module, batch: Any) -> None:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    if isinstance(batch, Mapping):  # a tokenizer's batch is one, and no dict
        model(**{k: v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items()})
        return
    first = batch[0] if isinstance(batch, tuple | list) and batch else batch
    if isinstance(first, Tensor) and not first.numel():
        raise ValueError("calibrate got an empty batch: every batch needs at least one sample")
    if not isinstance(first, Tensor):
        raise ValueError(
            f"a batch is a tensor, a tuple that begins with one, or a dict, got {type(first).__name__}: "
            "write calibrate(model, [images])"
        )
    model(first.to(device))


@contextmanager
def _observing(
    model: nn.Module, seen: dict[int, _Seen], names: dict[int, str], rules: dict[int, str | None]
) -> Iterator[None]:
    """Quantizers that let floats through and look at them; whatever happens, the model is as before afterwards."""
    modes = {module: module.training for module in model.modules()}

    def look(quantizer: nn.Module, args: tuple[Any, ...], ready: Latent) -> Latent:
        x = args[0]
        if id(quantizer) in seen:
            assert isinstance(quantizer, Quantizer), "only quantizers are observed"
            _keep(seen[id(quantizer)], x, quantizer, names[id(quantizer)], rules[id(quantizer)] == "minmax")
        return Latent(x)

    begun: set[int] = set()

    def begin(rectify: Any, args: tuple[Any, ...]) -> None:
        if id(rectify) not in begun:
            rectify.start(args[0])
            begun.add(id(rectify))

    hooks = [q.register_forward_hook(look) for _, _, q in quantizers(model)]
    hooks += [m.register_forward_pre_hook(begin) for m in model.modules() if isinstance(m, Rectify)]
    model.eval()
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training


def _keep(seen: _Seen, x: Tensor, quantizer: Quantizer, name: str, extremes: bool) -> None:
    if not x.isfinite().all():
        raise ValueError(f"calibrate met NaN or infinity in the input of {name}: check the batches and the weights")
    blocks = prod(quantizer.blocks)
    if x.numel() and (extremes or seen.kept < IN_ALL):
        rows = thin(gather(x, quantizer.blocks), max(A_BATCH // blocks, 64), extremes=extremes)
        seen.rows.append(rows.float() if rows.dtype != torch.float64 else rows)
        seen.kept += rows.numel()


def _start(
    activations: list[Quantizer],
    weights: list[tuple[Quantizer, Tensor]],
    seen: dict[int, _Seen],
    names: dict[int, str],
    rule: str | None,
) -> list[str]:
    """Start values for all; what there is to note."""
    notes = []
    for quantizer, weight in weights:
        quantizer.start(weight)
    for quantizer in activations:
        rows = seen[id(quantizer)].rows
        if not rows:
            notes.append(f"{names[id(quantizer)]} was never reached and keeps its default")
            continue
        samples = torch.cat(rows, 1).T.reshape(-1, *quantizer.blocks)
        quantizer.start(samples, rule)
        grid = quantizer.grid
        if grid.signed and not grid.offset and bool((samples >= 0).all() and (samples > 0).any()):
            notes.append(f"{names[id(quantizer)]} saw no negative number: range='unsigned' would save a bit")
    return notes
