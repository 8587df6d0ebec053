"""Q-ViT's distribution-guided distillation (DGD, arXiv 2210.06707): heads whose tokens relate as the teacher's do."""

from __future__ import annotations

from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.data.batch import Batch
from stillbit.distill.features import Capture, similarity
from stillbit.distill.tasks import FromTeacher, Losses

Heads = Float[Tensor, "n heads tokens width"]


@final
class Related:
    """A task with a teacher, and beside its losses the sum over layers and heads of ``|G_teacher - G_student|``.

    G is taken of queries and of keys, as they are before they are quantized: rectified ones, where there are such.
    """

    def __init__(self, task: FromTeacher, student: nn.Module, strength: float) -> None:
        """``student`` comes bare; it and the teacher must have attentions of the same names, heads and tokens."""
        self.task, self.strength = task, strength
        self.mine, self.theirs = _attentions(student), _attentions(task.teacher)
        heads, others = ({name: m.num_heads for name, m in found.items()} for found in (self.mine, self.theirs))
        if not heads or heads != others:
            raise ValueError(
                "relations are compared head by head, and the teacher's attentions are not the student's "
                f"({_counted(others)}, and {_counted(heads)}): take a teacher of the student's kind, such as "
                "--teacher self, or leave the relations out, --relations 0"
            )
        own = [place for name, layer in self.mine.items() for place in _places(name, layer)]
        self.seen = Capture(student, own), Capture(task.teacher, [f"{name}.qkv" for name in self.theirs])

    def prepare(self, batch: Batch) -> Batch:
        """As the task inside does."""
        return self.task.prepare(batch)

    def __call__(self, model: nn.Module, batch: Batch) -> Losses:
        """The losses of the task inside, and the relations."""
        here, there = self.seen
        with here, there:
            losses = self.task(model, batch)
        apart = [
            similarity(mine, other)
            for name in self.mine
            for mine, other in zip(
                _queries_and_keys(name, self.mine[name], here),
                _queries_and_keys(name, self.theirs[name], there),
                strict=True,
            )
        ]
        return losses | {"relations": self.strength * torch.stack(apart).sum()}


def _attentions(model: nn.Module) -> dict[str, Any]:
    """Attentions with a fused qkv, by name."""
    return {n: m for n, m in model.named_modules() if hasattr(m, "qkv") and hasattr(m, "num_heads")}


def _counted(heads: dict[str, int]) -> str:
    return f"{len(heads)} with {sum(heads.values())} heads" if heads else "none with queries and keys"


def _rectified(layer: Any) -> bool:
    return isinstance(getattr(layer, "query_rectify", None), nn.Module)


def _places(name: str, layer: Any) -> list[str]:
    """Which modules put out the queries and keys of an attention."""
    return [f"{name}.query_rectify", f"{name}.key_rectify"] if _rectified(layer) else [f"{name}.qkv"]


def _queries_and_keys(name: str, layer: Any, seen: Capture) -> tuple[Heads, Heads]:
    if _rectified(layer):
        return seen[f"{name}.query_rectify"], seen[f"{name}.key_rectify"]
    query, key, _ = seen[f"{name}.qkv"].unflatten(-1, (3, layer.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    return query, key
