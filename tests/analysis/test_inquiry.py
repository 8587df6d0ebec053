"""What may be asked, and with which plans it is answered."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stillbit import quantize
from stillbit.data.batch import Batch
from stillbit.layers.walk import quantizers
from stillbit.surgery.plan import Plan
from tests.analysis.lowered import asked, batch, vit


@pytest.mark.parametrize(("bits", "high"), [("w2a2", "w8a8"), ("w3a32", "w8a32"), ("w32a4", "w32a8"), ("w4a8", "w8a8")])
def test_the_rest_has_eight_bits_where_it_has_few_and_stays_float_where_it_is(bits: str, high: str) -> None:
    assert asked(bits=bits).high == high


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"bits": "w8a8"}, "w8a8 lowers nothing, since the rest has 8 bits: use --bits w4a4, or ask --keep"),
        ({"bits": "w32a8"}, "w32a8 lowers nothing"),
        ({"bits": "three"}, "such as 'w4a4'"),
    ],
)
def test_what_would_measure_nothing_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        asked(**settings)


def test_eight_bits_may_be_what_a_group_is_kept_from() -> None:
    assert asked(bits="w8a8", question="keep").high == "w8a8"


def test_in_the_low_plan_the_ends_are_low_too_and_in_the_high_one_all_has_eight() -> None:
    low, high = (quantize(vit(), plan) for plan in asked(bits="w3a2").plans())
    widths = {(role == "weight", q.grid.bits) for _, role, q in quantizers(low)}
    assert widths == {(True, 3), (False, 2)}
    assert {q.grid.bits for _, _, q in quantizers(high)} == {8}


def test_a_plan_of_the_users_makes_the_low_bits() -> None:
    low, _ = asked(bits="w2a2", plan=Plan.uniform(2, 2, weight="statsq")).plans()
    kinds = {
        type(q).__name__ for name, role, q in quantizers(quantize(vit(), low)) if role == "weight" and "mlp" in name
    }
    assert kinds == {"StatsQ"}


def test_images_are_cut_into_chunks_in_their_order() -> None:
    given = [batch(5), batch(4)]
    chunks = asked(chunk=3).chunks(given)
    assert [len(chunk.targets) for chunk in chunks] == [3, 2, 3, 1]
    assert torch.equal(torch.cat([c.images for c in chunks]), torch.cat([b.images for b in given]))
    assert [len(chunk.targets) for chunk in asked().chunks([batch(12)])] == [8, 4]
    assert len(asked(chunk=3, calibration_images=4).first(chunks)) == 2


def test_images_of_one_class_are_refused() -> None:
    images = torch.randn(4, 3, 16, 16)
    with pytest.raises(ValueError, match="all images are of one class, among which every answer is right: give images"):
        asked().chunks([Batch(images, torch.ones(4, dtype=torch.long), torch.arange(4))])
