"""What only moves elements, against torch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stillbit.deploy.tracing.trace import trace
from tests.deploy.does import Does, X, means_the_same

ORDER = torch.tensor([5, 0, 3])
ROW = torch.arange(6.0)
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "moves": lambda x: torch.cat([x.permute(0, 1, 3, 2).flatten(1), x.unflatten(1, (2, 2))[:, 1].flatten(1)], 1),
    "pieces": lambda x: x.unbind(1)[2] + x.split([1, 3], 1)[1].chunk(3, 1)[0].squeeze(1) + x[:, 1:-1].select(1, 0),
    "stack and roll": lambda x: torch.stack([x, x.roll((1, -2), (2, 3))], 2).flatten(1),
    "every other": lambda x: x[:, 1::2] + x[:, ::2],
    "padding": lambda x: F.pad(x, (1, 2, 0, 3)) + F.pad(x, (1, 2, 0, 3), value=0.5),
    "elements asked for": lambda x: (
        x[:, :, ORDER].repeat_interleave(2, 1) + x.index_select(2, ORDER).repeat(1, 2, 1, 1)
    ),
    "wide": lambda x: x[:, :, :1].expand(-1, -1, 6, -1) + x,
    "again": lambda x: (
        x.repeat(1, 2, 1, 3) + ROW.repeat(len(x), 1, 1, 3) + ROW.expand(len(x), 1, 1, 6).repeat(1, 1, 1, 3)
    ),
    "by other names": lambda x: x.movedim(1, 2).swapaxes(1, 2).narrow(2, 1, 3).ravel().view(len(x), -1),
    "turned by torch itself": lambda x: torch.einsum("bchw,bcwv->bhvc", x, x),
    "the same of each": lambda x: x[torch.arange(len(x))[:, None], ORDER % 4] + x[torch.arange(len(x)), 1].unsqueeze(1),
    "opposites": lambda x: (~(x > 0)).permute(0, 2, 1, 3).flatten(1).float() + x.flatten(1),
    "as many as there are images": lambda x: torch.cat(
        [x.new_zeros(len(x), 1, 6, 6), torch.ones(len(x), 1, 6, 6), x], 1
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_move_means_what_torch_means(name: str) -> None:
    means_the_same(FUNCTIONS[name])


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), "the model cannot be deployed: padding by reflect"),
        (lambda x: x[:, ORDER - 3, :, ORDER], "an index along several axes"),
        (lambda x: x[torch.arange(len(x)), x[:, 0, 0, 0].gt(0) * 1], "elements that differ from image to image"),
        (lambda x: x.gather(3, torch.zeros_like(x).long()), "makes whole numbers of floats"),
        (lambda x: torch.cat([x > 0, ~(x > 1)], 1).float(), "moves yes and no together with their opposites"),
        (lambda x: F.dropout(x), "dropout that goes on in eval mode"),
        (lambda x: x + torch.arange(len(x)).view(-1, 1, 1, 1), "with the numbers of the images in a batch"),
    ],
)
def test_what_cannot_be_deployed_is_said(function: Callable[[Tensor], Tensor], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        trace(Does(function), X)
    assert said in str(caught.value) and "\n" not in str(caught.value)
