"""Maps over a picture beside loops over tokens and layers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from stillbit.analysis.maps import Reading, fused, reading, rollout

TOKENS = 5


def layers(count: int = 3, images: int = 2) -> list[Tensor]:
    return [torch.rand(images, 4, TOKENS, TOKENS).softmax(-1) for _ in range(count)]


def by_loop(attended: list[Tensor], image: int) -> list[list[float]]:
    rolled = [[float(i == j) for j in range(TOKENS)] for i in range(TOKENS)]
    for one in attended:
        mixed = []
        for i in range(TOKENS):
            row = [sum(one[image, h, i, j].item() for h in range(4)) / 4 for j in range(TOKENS)]
            row = [0.5 * row[j] + 0.5 * (i == j) for j in range(TOKENS)]
            mixed.append([value / sum(row) for value in row])
        rolled = [
            [sum(mixed[i][k] * rolled[k][j] for k in range(TOKENS)) for j in range(TOKENS)] for i in range(TOKENS)
        ]
    return rolled


def test_rollout_is_that_of_a_loop() -> None:
    held = layers()
    found = rollout(held)
    for image in range(2):
        torch.testing.assert_close(found[image], torch.tensor(by_loop(held, image), dtype=torch.float64))


def test_rows_of_a_rollout_sum_to_1() -> None:
    torch.testing.assert_close(rollout(layers()).sum(-1), torch.ones(2, TOKENS, dtype=torch.float64))


def test_tokens_that_look_at_themselves_or_at_nothing_roll_out_to_themselves() -> None:
    itself = torch.eye(TOKENS, dtype=torch.float64).expand(1, TOKENS, TOKENS)
    torch.testing.assert_close(rollout([itself.float()[:, None]] * 3), itself)
    torch.testing.assert_close(rollout([torch.zeros(1, 2, TOKENS, TOKENS)] * 3), itself)


def test_fused_is_the_largest_of_all_heads_of_the_last_layer() -> None:
    held = layers()
    found = fused(held)
    assert all(found[1, i, j] == max(held[-1][1, :, i, j].tolist()) for i in range(TOKENS) for j in range(TOKENS))


def test_a_map_is_read_from_the_class_token_or_from_all() -> None:
    attended = torch.rand(2, TOKENS, TOKENS)
    by_class = Reading((2, 2), 1, by_class=True).of(attended)
    row = attended[1, 0, 1:].double()
    torch.testing.assert_close(by_class[1].flatten(), row / row.sum())
    by_all = Reading((2, 2), 1, by_class=False).of(attended)
    mean = attended[1].double().mean(0)[1:]
    torch.testing.assert_close(by_all[1].flatten(), mean / mean.sum())
    assert by_all.shape == (2, 2, 2)


def test_who_looks_at_nothing_looks_everywhere_alike() -> None:
    assert Reading((2, 2), 1, by_class=True).of(torch.zeros(1, TOKENS, TOKENS)).unique().tolist() == [0.25]


def test_the_top_left_patch_is_the_first_token() -> None:
    attended = torch.zeros(1, 7, 7)
    attended[0, 0, 1], attended[0, 0, 3] = 3.0, 1.0
    found = Reading((2, 3), 1, by_class=True).of(attended)
    assert found[0].tolist() == [[0.75, 0.0, 0.25], [0.0, 0.0, 0.0]]


def shown(tokens: int, **model: Any) -> Reading | str:
    return reading(SimpleNamespace(**model), {"a": torch.zeros(2, 3, tokens, tokens)}, 2)


def test_a_model_says_how_its_tokens_lie() -> None:
    embed = SimpleNamespace(grid_size=(2, 8))
    assert shown(17, num_prefix_tokens=1, global_pool="token", patch_embed=embed) == Reading((2, 8), 1, True)
    assert shown(17, num_prefix_tokens=1, global_pool="avg") == Reading((4, 4), 1, False)
    assert shown(16) == Reading((4, 4), 0, False)


def test_tokens_that_are_no_grid_have_no_map() -> None:
    said = shown(7)
    assert said == "its 7 tokens are no grid of patches"


@pytest.mark.parametrize(
    ("shapes", "why"),
    [
        ([(8, 3, 4, 4)], "no token looks at the whole image"),
        ([(2, 3, 16, 16), (2, 3, 4, 4)], "tokens change from block to block"),
        ([(2, 3, 1, 16)], "tokens change from block to block"),
    ],
)
def test_windows_and_stages_have_no_map(shapes: list[tuple[int, ...]], why: str) -> None:
    said = reading(SimpleNamespace(), {str(i): torch.zeros(shape) for i, shape in enumerate(shapes)}, 2)
    assert isinstance(said, str) and why in said
