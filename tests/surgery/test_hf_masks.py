"""A mask that hides nothing is made all the same, as long as somebody asks for it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, create_bidirectional_mask

from stillbit.surgery.hf_masks import IMPLEMENTATIONS, always_masked
from tests.surgery import tiny_hf


def made(model: nn.Module, mask: torch.Tensor | None) -> torch.Tensor | None:
    words = torch.zeros(2, 5, 48)
    return create_bidirectional_mask(config=model.config, inputs_embeds=words, attention_mask=mask)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_full_mask_is_made_within_and_left_out_outside(implementation: str) -> None:
    model = tiny_hf.bert(attn_implementation=implementation)
    full = torch.ones(2, 5, dtype=torch.int64)
    assert made(model, full) is None
    with always_masked(model):
        mask = made(model, full)
        assert mask is not None and mask.shape == (2, 1, 5, 5)
        assert made(model, None) is None, "where there is no mask, none is made"
    assert made(model, full) is None


def test_what_was_there_is_there_again_after_an_error() -> None:
    model, before = tiny_hf.bert(), {name: ALL_MASK_ATTENTION_FUNCTIONS[name] for name in IMPLEMENTATIONS}
    with pytest.raises(RuntimeError), always_masked(model):
        assert ALL_MASK_ATTENTION_FUNCTIONS["sdpa"] is not before["sdpa"]
        raise RuntimeError
    assert {name: ALL_MASK_ATTENTION_FUNCTIONS[name] for name in IMPLEMENTATIONS} == before
    assert not ALL_MASK_ATTENTION_FUNCTIONS._local_mapping


def test_a_function_that_somebody_laid_over_stays() -> None:
    def own(**named: object) -> None:
        return None

    ALL_MASK_ATTENTION_FUNCTIONS["sdpa"] = own
    try:
        with always_masked(tiny_hf.bert()):
            pass
        assert ALL_MASK_ATTENTION_FUNCTIONS["sdpa"] is own
    finally:
        del ALL_MASK_ATTENTION_FUNCTIONS["sdpa"]


def test_other_models_are_left_alone() -> None:
    with always_masked(nn.Linear(2, 2)):
        assert not ALL_MASK_ATTENTION_FUNCTIONS._local_mapping
