"""The smallest encoder of every family of transformers, of one block, and words for those that read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DeiTConfig,
    DeiTForImageClassification,
    Dinov2Config,
    Dinov2ForImageClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    ViTConfig,
    ViTForImageClassification,
)

WORDS, PAD = 64, 1
READER = {
    "hidden_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 3,
    "intermediate_size": 96,
    "vocab_size": WORDS,
    "max_position_embeddings": 20,
    "pad_token_id": PAD,
    "num_labels": 10,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
SEER = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 3,
    "num_labels": 10,
}


def bert(**options: Any) -> Any:
    return BertForSequenceClassification(BertConfig(**{**READER, **options}))


def roberta(**options: Any) -> Any:
    return RobertaForSequenceClassification(RobertaConfig(**{**READER, **options}))


def electra(**options: Any) -> Any:
    return ElectraForSequenceClassification(ElectraConfig(**{**READER, "embedding_size": 24, **options}))


def distilbert(**options: Any) -> Any:
    own = {"dim": 48, "n_layers": 1, "n_heads": 3, "hidden_dim": 96, "dropout": 0.0, "attention_dropout": 0.0}
    shared = {name: READER[name] for name in ("vocab_size", "max_position_embeddings", "pad_token_id", "num_labels")}
    return DistilBertForSequenceClassification(
        DistilBertConfig(**{**own, **shared, "seq_classif_dropout": 0.0, **options})
    )


def vit(**options: Any) -> Any:
    return ViTForImageClassification(ViTConfig(**{**SEER, "intermediate_size": 96, **options}))


def deit(**options: Any) -> Any:
    return DeiTForImageClassification(DeiTConfig(**{**SEER, "intermediate_size": 96, **options}))


def dinov2(**options: Any) -> Any:
    return Dinov2ForImageClassification(Dinov2Config(**{**SEER, "mlp_ratio": 2, "use_mask_token": False, **options}))


def dinov2_gated() -> Any:
    return dinov2(use_swiglu_ffn=True)


READERS: dict[str, Callable[..., Any]] = {m.__name__: m for m in (bert, roberta, electra, distilbert)}
SEERS: dict[str, Callable[..., Any]] = {m.__name__: m for m in (vit, deit, dinov2, dinov2_gated)}
EVERY = {**READERS, **SEERS}


def sentences(count: int = 3, length: int = 12) -> dict[str, Tensor]:
    """Sentences of their own random state, the first full, the others padded more and more."""
    words = torch.randint(PAD + 1, WORDS, (count, length), generator=torch.Generator().manual_seed(7))
    lengths = torch.arange(length, 0, -max(1, length // count))[:count]
    seen = torch.arange(length) < lengths[:, None]
    return {"input_ids": words.masked_fill(~seen, PAD), "attention_mask": seen.long()}


def batch(family: str) -> dict[str, Tensor]:
    """What a model of this family takes in."""
    if family in READERS:
        return sentences()
    return {"pixel_values": torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(7))}


class Seen(nn.Module):
    """A model of transformers inside another, from images to logits; a reader takes some pixels for words."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: Tensor) -> Tensor:
        if self.inside.main_input_name == "pixel_values":
            return self.inside(pixel_values=x).logits
        words = x[:, 0].flatten(1)[:, ::85].float().abs().mul(20).long().clamp(PAD + 1, WORDS - 1)
        mask = torch.ones_like(words)
        mask[::2, 8:] = 0
        return self.inside(input_ids=words, attention_mask=None if x.is_meta else mask).logits


FAMILIES: dict[str, Callable[[], nn.Module]] = {
    f"hf_{name}": (lambda make=make: Seen(make()))  # type: ignore[misc]
    for name, make in EVERY.items()
    if name not in ("electra", "dinov2_gated")
}
"""What the tests that every family has to pass are run with: they are many."""
