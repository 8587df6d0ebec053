"""How one view lies in a file: a record of fixed size, which numpy reads without us.

    box             4 x u16   top, left, height, width, in 65535ths of the image's height and width
    flags           u8        1: flipped, 2: upside down, 128: no label, the image was damaged
    classes         k x u16   the classes listed, likeliest first (u32 where there are more than 65536 classes)
    probabilities   k x f16   theirs

All little-endian and without gaps. Text has neither box nor flags; ``full`` lists no classes, ``hard`` no
probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from stillbit.distill.kinds import KINDS, MOST, Kind, kept, shares_rest

FLIP, UPSIDE_DOWN, UNLABELLED = 1, 2, 128
FLAGS = FLIP | UPSIDE_DOWN | UNLABELLED
LARGEST = 2**32
"""The most classes."""
FULLEST = 2**20
"""The most classes of which all probabilities are stored: 2 MiB a view."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a record is made of."""

    kind: Kind
    top_k: int
    """How many classes the marginal kinds list."""
    classes: int
    """How many classes there are."""
    boxes: bool = True
    """Whether a view is a crop of an image; text has none."""

    def __post_init__(self) -> None:
        """Refuse labels of nothing."""
        if self.kind not in KINDS:
            raise ValueError(f"there are no labels of kind {self.kind!r}: use one of {', '.join(KINDS)}")
        if not 1 <= self.classes <= LARGEST:
            raise ValueError(f"labels need 1 to {LARGEST} classes, got {self.classes}")
        if not 1 <= self.top_k <= MOST:
            raise ValueError(f"a label lists 1 to {MOST} classes, got {self.top_k}: --top-k 5")
        if self.kind == "full" and self.classes > FULLEST:
            raise ValueError(f"full labels have at most {FULLEST} classes, got {self.classes}: list the likeliest, "
                             "--label-kind marginal_smoothing")  # fmt: skip

    @property
    def kept(self) -> int:
        """How many classes a record lists."""
        return kept(self.kind, self.top_k, self.classes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The record."""
        fields: list[tuple[str, str, tuple[int, ...]]] = []
        if self.boxes:
            fields += [("box", "<u2", (4,)), ("flags", "|u1", ())]
        if self.kind != "full":
            fields.append(("classes", "<u2" if self.classes <= 2**16 else "<u4", (self.kept,)))
        if self.kind != "hard":
            fields.append(("probabilities", "<f2", (self.kept,)))
        return np.dtype(fields)

    @property
    def bytes_a_view(self) -> int:
        """The size of a record."""
        return self.dtype.itemsize


@torch.no_grad()
def fill(records: ndarray[Any, Any], probabilities: Float[Tensor, "views classes"], layout: Layout) -> None:
    """Write the labels of these views; their boxes and flags are left as they are."""
    values, classes = probabilities, None
    if layout.kind != "full":
        values, classes = probabilities.topk(layout.kept)
    held = values.half().cpu().numpy()
    # Of what is no number, topk would make a label like any other.
    if not ((held >= 0) & (held <= 1)).all():
        raise ValueError("the teacher's answer is no probability: its logits are too large or no numbers; try fp32")
    if classes is not None:
        records["classes"] = classes.cpu().numpy()
    if layout.kind != "hard":
        records["probabilities"] = held


def dense(records: ndarray[Any, Any], layout: Layout) -> Float[ndarray, "*views classes"]:
    """The whole label of every view in float64, as training understands it; zero where there is none.

    For looking, not for training.
    """
    if layout.kind == "full":
        return np.asarray(records["probabilities"], np.float64)
    shape, k, count = records.shape, layout.kept, layout.classes
    values = np.ones((*shape, k)) if layout.kind == "hard" else np.asarray(records["probabilities"], np.float64)
    if layout.kind == "marginal_renorm":
        # The sum is zero only where all that is kept is too small for 16 bits; what is zero stays so.
        values = values / np.maximum(values.sum(-1, keepdims=True), np.finfo(np.float16).smallest_subnormal)
    rest = np.zeros((*shape, 1))
    if shares_rest(layout.kind) and count > k:
        rest = np.maximum(1 - values.sum(-1, keepdims=True), 0) / (count - k)
    label: ndarray[Any, Any] = np.broadcast_to(rest, (*shape, count)).copy()
    np.put_along_axis(label, np.asarray(records["classes"], np.int64), values, -1)
    if layout.boxes:
        label[(records["flags"] & UNLABELLED) != 0] = 0
    return label
