"""How a model is called while it is looked at."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stillbit.deploy.program import Input
from stillbit.deploy.tracing.call import answer, batch_of, check_example, inputs_of, ordered, others
from tests.deploy.reading import encoder, sentences

IDS, MASK = sentences(3)
CPU = torch.device("cpu")


class Reads(nn.Module):
    def forward(self, ids: Tensor, c0: Tensor | None = None, *, other: Any = None) -> Any:
        self.heard = (ids, c0, other)
        return SimpleNamespace(logits=ids.float())


def test_inputs_have_the_names_of_the_forward_pass() -> None:
    model = encoder("bert", "float")
    inputs = inputs_of(model, (IDS, MASK, MASK))
    assert [each.name for each in inputs] == ["input_ids", "attention_mask", "token_type_ids"]
    assert inputs[0] == Input(name="input_ids", dims=(-1, 12), kind="indices")
    assert [each.name for each in inputs_of(torch.compile(model), (IDS,))] == ["input_ids"]
    assert inputs_of(Reads(), torch.zeros(2, 3)) == (Input(name="input", dims=(-1, 3)),)
    assert [each.name for each in inputs_of(nn.Sequential(), (IDS, MASK))] == ["input0", "input1"]


def test_a_name_that_a_program_has_for_itself_is_not_taken() -> None:
    assert [each.name for each in inputs_of(Reads(), (IDS, MASK))] == ["ids", "c0_"]


def test_what_a_tokenizer_gives_is_handed_on_by_name() -> None:
    model = Reads()
    example = {"other": MASK, "ids": IDS}
    in_order = ordered(model, example)
    assert list(in_order) == ["ids", "other"] and in_order["ids"] is IDS
    assert answer(model, inputs_of(model, in_order), (IDS, MASK)).shape == (3, 12) and model.heard == (IDS, None, MASK)
    bert = encoder("bert", "float")
    named = ordered(bert, {"token_type_ids": MASK, "input_ids": IDS})
    with torch.no_grad():
        found = answer(bert, inputs_of(bert, named), tuple(named.values()))
        assert torch.equal(found, bert(IDS, token_type_ids=MASK).logits)


def test_an_image_is_handed_on_by_its_place_and_logits_are_unwrapped() -> None:
    model, x = Reads(), torch.ones(2, 3)
    assert torch.equal(answer(model, inputs_of(model, x), (x,)), x)
    assert model.heard == (x, None, None)


def test_a_batch_is_the_example_again_and_again() -> None:
    ids, mask = batch_of((IDS.int(), MASK.bool()), 5, CPU)
    assert ids.dtype == mask.dtype == torch.int64
    assert torch.equal(ids, IDS[[0, 1, 2, 0, 1]]) and torch.equal(mask, MASK[[0, 1, 2, 0, 1]])
    (floats,) = batch_of(torch.ones(2, 3, dtype=torch.float64), 1, CPU)
    assert floats.dtype == torch.float32


def test_others_differ_and_stay_where_there_are_rows() -> None:
    ids, mask = others((IDS, MASK), 2)
    assert len(ids) == 2 and not torch.equal(ids, IDS[1:])
    assert IDS.min() <= ids.min() and ids.max() <= IDS.max()
    assert set(mask.unique().tolist()) == {0, 1} and not torch.equal(mask, MASK[1:])
    ones, zeros = others((torch.ones(1, 6), torch.zeros(1, 6, dtype=torch.int64)), 1)
    assert not torch.equal(ones, torch.ones(1, 6)) and not zeros.any()
    (full,) = others((torch.ones(1, 6, dtype=torch.int64),), 1)
    assert set(full.unique().tolist()) == {0, 1}, "of a mask that hides nothing, one that hides something"


@pytest.mark.parametrize(
    ("example", "said"),
    [
        ("text", "this one is str"),
        (7, "this one is int"),
        ((), "this one has nothing in it"),
        (torch.ones(3), r"this one is \(3,\) of torch.float32"),
        ((IDS, MASK[:2]), "this one has 3 and 2 in it"),
        ((IDS, None), "this one is NoneType"),
        ((IDS[:0],), r"this one is \(0, 12\)"),
        ({"input_ids": [[1, 2]]}, "this one is list"),
    ],
)
def test_what_is_no_batch_is_said(example: Any, said: str) -> None:
    with pytest.raises(ValueError, match=rf"or \(input_ids, attention_mask\), and {said}"):
        check_example(example)
