"""The optimizer, and which parameter belongs to which group."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

from timm.optim import create_optimizer_v2, get_optimizer_info, list_optimizers
from torch import nn
from torch.optim import Optimizer

from stillbit.train.settings import OptimSettings


def build(model: nn.Module, settings: OptimSettings, apart: Collection[str] = ()) -> Optimizer:
    """An optimizer over the groups of `groups`."""
    _check(settings)
    options = {"betas": settings.opt_betas, "eps": settings.opt_eps}
    try:
        optimizer: Optimizer = create_optimizer_v2(
            groups(model, settings, apart),
            opt=settings.opt,
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            momentum=settings.momentum,
            **{k: v for k, v in options.items() if v is not None},
        )
    except (AssertionError, ImportError) as error:  # it needs a package or a GPU that is not here
        raise ValueError(f"--opt {settings.opt} cannot be had here ({error}): take adamw") from None
    return optimizer


def _check(settings: OptimSettings) -> None:
    """Refuse what timm does not know, and what it would silently leave out."""
    name = settings.opt.lower().removeprefix("lookahead_")
    if name not in list_optimizers():
        near = get_close_matches(name, list_optimizers(), n=3)
        hint = f"near it: {', '.join(near)}" if near else "see timm.optim.list_optimizers()"
        raise ValueError(f"timm has no optimizer {settings.opt!r}; {hint}")
    about = get_optimizer_info(name)
    if about.second_order:
        raise ValueError(f"--opt {settings.opt} wants second derivatives, which the loop does not take: take adamw")
    if settings.opt_eps is not None and not about.has_eps:
        raise ValueError(f"{settings.opt} has no epsilon: leave out --opt-eps")
    if settings.opt_betas is not None and not (about.has_betas and about.num_betas == 2):
        raise ValueError(f"{settings.opt} does not have two betas: leave out --opt-betas")


def groups(model: nn.Module, settings: OptimSettings, apart: Collection[str] = ()) -> list[dict[str, Any]]:
    """Weights, then what does not decay (biases, norms, what the model says), then the parameters named in ``apart``.

    Those named in ``apart`` are the scales and offsets of quantizers: they never decay, and may have their own
    learning rate.
    """
    kept: set[str] = getattr(model, "no_weight_decay", set)()
    weights, plain, scales = [], [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name in apart:
            scales.append(parameter)
        elif parameter.ndim <= 1 or name in kept:
            plain.append(parameter)
        else:
            weights.append(parameter)
    scale_lr = settings.lr if settings.scale_lr is None else settings.scale_lr
    made: list[dict[str, Any]] = [
        {"name": "weights", "params": weights},
        {"name": "plain", "params": plain, "weight_decay": 0.0},
        {"name": "scales", "params": scales, "weight_decay": 0.0, "lr": scale_lr},
    ]
    made = [group for group in made if group["params"]]
    if not made:
        raise ValueError("no parameter of this model learns: set requires_grad on some of them")
    return made
