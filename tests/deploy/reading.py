"""The smallest encoders of transformers at the widths that are deployed, and sentences for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import stillbit
from stillbit import LayerSpec, Plan, Rule, Spec, per_channel
from tests.surgery import tiny_hf

BITS = ("w8a8", "w4a4", "w2a2", "w1a1")


def sentences(count: int = 4, length: int = 12, *, types: bool = False) -> tuple[Tensor, ...]:
    """Ids, mask and, where asked, types: the first is full, the others padded more and more."""
    batch = tiny_hf.sentences(count, length)
    given = (batch["input_ids"], batch["attention_mask"])
    return (*given, torch.arange(length).ge(length // 2).long().expand(count, -1) * given[1]) if types else given


def binary() -> Plan:
    """One bit for weights, words and activations, as docs/hugging_face.md has it."""
    row = LayerSpec(Spec(1, "sign", per_channel), Spec(1, "elastic"))
    return Plan.uniform(1, 1, weight="sign", activation="elastic").but(Rule("@word", row))


def encoder(family: str, bits: str, **options: Any) -> Any:
    """A model of the family with start values, nothing left at zero or one, thresholds moved as training moves them."""
    torch.manual_seed(0)
    model = tiny_hf.READERS[family](**options).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    if bits == "float":
        return model
    model = stillbit.quantize(model, binary() if bits == "w1a1" else bits)
    ids, mask = sentences()
    stillbit.calibrate(model, [{"input_ids": ids, "attention_mask": mask}])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("shift", "threshold")):
                parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()
