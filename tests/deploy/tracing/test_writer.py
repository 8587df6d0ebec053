"""What is written down while a model runs: operations in place, what no input led to, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stillbit.deploy.runtime import reference
from stillbit.deploy.runtime.integer import Integer
from stillbit.deploy.tracing.trace import trace
from tests.deploy.does import Does, X, means_the_same, operations


def in_place(x: Tensor) -> Tensor:
    y = x * 2
    y.add_(1).mul_(x).relu_()
    y -= 3
    return y.clamp_(-1, 1)


def on_a_view(x: Tensor) -> Tensor:
    y = x * 2
    y.view(len(x), -1).add_(1)  # and y is not read again
    return x + 1


def mask_of_windows(x: Tensor) -> Tensor:
    mask = torch.zeros(6, 6)
    mask[:3, 2:] = 1
    mask[4].fill_(5)
    mask[:, 1] += 2
    return x + mask.masked_fill(mask > 4, -100.0)


def filled_later(x: Tensor) -> Tensor:
    scale = torch.ones(6)
    y = x * scale
    scale.mul_(7)  # the first product was with ones
    return y + x * scale


def copied(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y.copy_(x[:, :1])
    return y * 2


@pytest.mark.parametrize("function", [in_place, on_a_view, mask_of_windows, filled_later, copied])
def test_operations_in_place_are_those_that_make_a_new_tensor(function: Callable[[Tensor], Tensor]) -> None:
    means_the_same(function)


def base_of_a_view(x: Tensor) -> Tensor:
    y = x * 2
    y[:, 0].add_(1)
    return y + 1


def view_of_a_base(x: Tensor) -> Tensor:
    y = x * 2
    z = y[:, 0]
    y.add_(1)
    return z + 1


def into_what_was_known(x: Tensor) -> Tensor:
    y = torch.zeros(8, 6, 6)
    y[:4] = x[0]
    return x[:, :1] + y


@pytest.mark.parametrize("function", [base_of_a_view, view_of_a_base, into_what_was_known])
def test_a_tensor_that_was_written_to_through_another_is_not_read(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(ValueError, match="reads a tensor that was written to through another: write without in-place"):
        trace(Does(function), X)


def test_what_no_input_led_to_is_no_step() -> None:
    weight = nn.Linear(6, 6)
    program = means_the_same(lambda x: x @ (weight.weight.softmax(0) * weight.bias.exp()).mT.contiguous())
    assert operations(program) == ["matmul"]


def test_what_only_looks_like_the_input_is_known() -> None:
    assert operations(means_the_same(lambda x: x + x.new_ones(6) + torch.zeros_like(x[0, 0]))) == ["add", "add"]


class Inner(nn.Module):
    def __init__(self, does: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.does = does

    def forward(self, x: Tensor) -> Any:
        return self.does(x)


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (lambda x: x if x[0, 0, 0, 0] > 99 else x * 2, "0.1 chooses by what is in its input"),
        (lambda x: x * x.tolist()[0][0][0][0], "0.1 computes mul with numbers that are others for other images"),
        (lambda x: x * len(x), "0.1 computes mul with numbers that are others for other images, or for more of them"),
        (lambda x: x + 1 if len(x) % 2 else x.exp(), "0.1 takes another path for another batch"),
        (lambda x: x + torch.rand(6), "0.1 computes add with numbers that are others"),
        (lambda x: x.double() * 2, "0.1 computes in torch.float64: call model.float()"),
        (lambda x: x.argmax(1), "0.1 computes aten.argmax.default, which"),
        (torch.special.erfinv, "0.1 computes aten.erfinv.default, which stillbit cannot deploy yet"),
    ],
)
def test_what_no_program_can_do_is_said_with_the_layer(does: Callable[[Tensor], Any], said: str) -> None:
    model = nn.Sequential(nn.Sequential(nn.Identity(), Inner(does)), nn.Identity())
    with pytest.raises(ValueError) as caught:
        trace(model, X)
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


@pytest.mark.parametrize("does", [lambda x: (x, x + 1), lambda x: torch.ones(3), lambda x: {"logits": x}, lambda x: x])
def test_a_model_gives_back_one_tensor_that_it_computes(does: Callable[[Tensor], Any]) -> None:
    with pytest.raises(
        ValueError, match="a model to be deployed gives back one tensor that it computes from its input"
    ):
        trace(Does(does), X)


IDS = torch.tensor([[3, 1, 4, 1], [5, 2, 0, 0], [2, 5, 3, 0]])
MASK = (IDS > 0).long()


class Reads(nn.Module):
    """Does something to ids and a mask; has a table of seven rows."""

    def __init__(self, does: Callable[..., Any]) -> None:
        super().__init__()
        self.does = does
        self.table = nn.Embedding(7, 2)
        self.row = nn.Buffer(torch.tensor([[0, 2, 4, 6, 5, 3, 1]]))

    def forward(self, ids: Tensor, mask: Tensor) -> Any:
        return self.does(self, ids, mask)


@pytest.mark.parametrize(
    "does",
    [
        lambda m, ids, mask: m.table(ids) * mask[..., None],
        lambda m, ids, mask: m.table(ids).masked_fill(~mask.bool()[..., None], 0.5),
        lambda m, ids, mask: (ids.float() * 2).add(mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True),
        lambda m, ids, mask: m.table((torch.cumsum(ids.ne(0).int(), 1).type_as(ids) * mask).long() + 1),
        lambda m, ids, mask: m.table(torch.gather(m.row.expand(len(ids), -1), 1, ids)) + ids.eq(2)[..., None],
        lambda m, ids, mask: m.table(ids.roll(1, 1)[:, :2]),
        lambda m, ids, mask: m.table(m.row[:, :4]) + m.table.weight[mask],
        lambda m, ids, mask: m.table(torch.stack([ids, mask], 2)).sum(2),
        lambda m, ids, mask: m.table(torch.zeros_like(ids)) + (mask > 0).unsqueeze(2) * 1.0,
    ],
)
def test_whole_numbers_are_indices_or_exact_floats(does: Callable[..., Any]) -> None:
    model = Reads(does).eval()
    program = trace(model, (IDS[:2], MASK[:2]))
    assert [each.kind for each in program.inputs] == ["indices", "indices"]
    with torch.no_grad():
        want = model(IDS, MASK).numpy()
    found = reference.run(program, (IDS.numpy(), MASK.numpy()))
    np.testing.assert_allclose(found, want, rtol=1e-6, atol=1e-6)
    for exact in (True, False):
        runtime = Integer(program, exact=exact)
        np.testing.assert_allclose(runtime(IDS.numpy(), MASK.numpy()), want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (lambda m, ids, mask: m.table((m.table(ids).sum(2) * 0).long()), "makes whole numbers of floats"),
        (lambda m, ids, mask: m.table(ids) if mask[0, 0] > 0 else m.table(ids) * 2, "chooses by what is in its input"),
        (lambda m, ids, mask: m.table(ids)[:, : int(mask.sum(1)[0])], "chooses by what is in its input"),
        (lambda m, ids, mask: m.table(ids) * float(ids.numpy()[0, 0]), "with numbers that are others"),
        (lambda m, ids, mask: m.table(ids).double(), "computes in torch.float64"),
        (lambda m, ids, mask: ids, "gives back one tensor that it computes"),
    ],
)
def test_what_no_program_does_with_whole_numbers_is_said(does: Callable[..., Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        trace(Reads(does), (IDS, MASK))
