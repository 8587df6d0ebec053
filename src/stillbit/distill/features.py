"""What a student can learn from the inside of a teacher: outputs of modules, and how alike two of them are."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Self, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.utils.hooks import RemovableHandle


@final
class Capture:
    """Keeps the last outputs of some modules, by name, from entering to leaving it.

    A model in a wrapper (DDP) is given without it. A block that was compiled runs no hooks of modules inside of it:
    capture the block, or compile afterwards.
    """

    def __init__(self, model: nn.Module, names: Iterable[str]) -> None:
        """``names`` are those of ``model.named_modules()``."""
        self.modules = {name: _module(model, name) for name in names}
        self.outputs: dict[str, Tensor] = {}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        """Begin to listen."""
        self.outputs.clear()
        for name, module in self.modules.items():
            self._handles.append(module.register_forward_hook(self._keep(name)))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; the outputs stay until they are asked for again."""
        while self._handles:
            self._handles.pop().remove()

    def __getitem__(self, name: str) -> Tensor:
        """What a module put out last."""
        if name not in self.outputs:
            raise ValueError(f"{name} has put out nothing: run the model inside of `with capture:`")
        return self.outputs[name]

    def _keep(self, name: str) -> Any:
        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            if not isinstance(output, Tensor):
                raise ValueError(
                    f"{name} puts out {type(output).__name__}, and no tensor: capture a module inside of it"
                )
            self.outputs[name] = output

        return keep


def mimicry(student: Float[Tensor, "*batch width"], teacher: Float[Tensor, "*batch width"]) -> Float[Tensor, ""]:
    """How far the student's features point away from the teacher's: mean of ``|s/|s| - t/|t||^2``, from 0 to 4."""
    _check_alike(student, teacher)
    return (normalize(student.float(), dim=-1) - normalize(teacher.float(), dim=-1)).square().sum(-1).mean()


def relations(x: Float[Tensor, "*batch tokens width"]) -> Float[Tensor, "*batch tokens tokens"]:
    """How alike the tokens of a head are, ``x x^T`` over its Frobenius norm: Q-ViT's G (arXiv 2210.06707)."""
    with torch.autocast(x.device.type, enabled=False):  # which would multiply in bfloat16 again
        products = x.float() @ x.float().mT
        size: Tensor = torch.linalg.matrix_norm(products, keepdim=True)
        return products / size.clamp_min(torch.finfo(torch.float32).tiny)


def similarity(
    student: Float[Tensor, "n heads tokens width"], teacher: Float[Tensor, "n heads tokens other"]
) -> Float[Tensor, ""]:
    """Q-ViT's distillation of queries or keys: ``sum_h |G_teacher - G_student|``, the mean over images.

    Widths may differ, and heads and tokens may not. The authors' code has no such loss; this is the paper's.
    """
    mine, other = relations(student), relations(teacher)
    _check_alike(mine, other)
    apart: Tensor = torch.linalg.matrix_norm(other - mine)
    return apart.sum(-1).mean()


def _module(model: nn.Module, name: str) -> nn.Module:
    try:
        return model.get_submodule(name)
    except AttributeError:
        near = get_close_matches(name, [n for n, _ in model.named_modules()], n=1)
        raise ValueError(f"the model has no module {name}" + (f": did you mean {near[0]}?" if near else "")) from None


def _check_alike(student: Tensor, teacher: Tensor) -> None:
    if student.shape != teacher.shape:
        raise ValueError(
            f"features of shape {tuple(student.shape)} and {tuple(teacher.shape)} cannot be compared: take modules of "
            "one shape, or bring the student's to the teacher's with a linear layer"
        )
