from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from stillbit.data.batch import PADDING, Batch


def test_padding_counts_for_nothing_in_a_loss() -> None:
    batch = Batch(torch.zeros(2, 3, 4, 4), torch.tensor([1, PADDING]), torch.tensor([7, -1]))
    scores = torch.randn(2, 5)
    assert torch.equal(cross_entropy(scores, batch.targets), cross_entropy(scores[:1], batch.targets[:1]))
