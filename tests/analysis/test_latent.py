from __future__ import annotations

import pytest
import torch

from stillbit import LayerSpec, Plan, Rule, Spec, per_channel, quantize
from stillbit.analysis.latent import BAND, NEAR, latents
from tests.analysis import texts
from tests.dynamics import small


@pytest.mark.parametrize(
    ("bits", "method"), [(2, "lsq"), (3, "lsq"), (4, "lsq"), (2, "statsq"), (3, "dorefa"), (1, "sign")]
)
def test_bars_count_what_a_loop_over_all_weights_counts(bits: int, method: str) -> None:
    model = small.vit(bits, method)
    found = latents(model)
    assert [h.layer for h in found] == list(small.low(model))
    for held, weight in zip(found, small.low(model).values(), strict=True):
        latent = weight.latent()
        assert latent.scale is not None and latent.grid is not None
        steps = latent.x.detach() / latent.scale.detach() - latent.grid.offset
        counts, below, above, near, undecided = [0] * len(held.counts), 0, 0, 0, 0
        thresholds = [code + 0.5 for code in range(held.low, held.high)]
        for step in steps.flatten().tolist():
            bar = int((step - held.first) * held.per_code // 1)
            below, above = below + (bar < 0), above + (bar >= len(counts))
            if 0 <= bar < len(counts):
                counts[bar] += 1
            away = min(abs(step - threshold) for threshold in thresholds)
            near, undecided = near + (away <= NEAR), undecided + (away <= BAND)
        assert (list(held.counts), held.below, held.above) == (counts, below, above)
        assert held.near == pytest.approx(near / held.weights)
        assert held.undecided == pytest.approx(undecided / held.weights)
        assert held.weights == sum(counts) + below + above


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_bars_lie_between_thresholds_and_never_across_one(bits: int) -> None:
    held = latents(small.vit(bits, "lsq" if bits > 1 else "statsq"))[0]
    assert held.per_code % 2 == 0 and held.first == held.low - 1
    assert len(held.counts) == (held.high - held.low + 2) * held.per_code
    assert 60 <= len(held.counts) <= 130


@pytest.mark.parametrize("bits", [2, 3])
def test_bars_add_up_to_codes(bits: int) -> None:
    model = small.vit(bits)
    for held, codes in zip(latents(model), small.codes(model).values(), strict=True):
        for code in range(held.low + 1, held.high):  # those inside: the outermost ones hold what is clipped too
            begin = int((code - 0.5 - held.first) * held.per_code)
            assert abs(sum(held.counts[begin : begin + held.per_code]) - int((codes == code).sum())) <= 2


def test_what_a_scale_clips_is_said() -> None:
    model = small.vit(2)
    weight = small.low(model)["blocks.0.mlp.fc1"]
    with torch.no_grad():
        weight.quantizer.get_parameter("scale").fill_(1.0)
        weight.parameter.fill_(0.0)
        weight.parameter.flatten()[:23] = 1.7
        weight.parameter.flatten()[23:30] = -9.0
    held = next(h for h in latents(model) if h.layer == "blocks.0.mlp.fc1")
    assert held.clipped == 30 / held.weights and held.below == 7 and held.above == 0


def test_a_model_of_eight_bits_has_none_to_show() -> None:
    with pytest.raises(ValueError, match="for weights of 1 to 4 bits, and this model has 8"):
        latents(small.vit(8))


def test_looking_changes_nothing() -> None:
    model = small.vit(3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    latents(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_broken_weights_are_named() -> None:
    model = small.vit(2)
    model.blocks[0].mlp.fc1.weight.data[3, 3] = torch.nan
    with pytest.raises(ValueError, match=r"weights of it are broken, blocks\.0\.mlp\.fc1\.weight holds NaN"):
        latents(model, "it")


@pytest.mark.parametrize("name", ["bert.encoder.layer.0.attention.self.query", "bert.embeddings.word_embeddings"])
def test_a_sign_has_its_threshold_at_the_mean_of_its_row(name: str) -> None:
    """Weights of one bit in a model of texts, a table of words among them: by hand, and to the last weight."""
    row = LayerSpec(Spec(1, "sign", per_channel), Spec(1, "elastic"))
    plan = Plan.uniform(1, 1, weight="sign", activation="elastic").but(Rule("@word", row), Rule("@query", row))
    model = quantize(texts.reader(), plan)
    held = next(one for one in latents(model) if one.layer == name)
    weight = model.get_submodule(name).weight.detach()
    away = (weight - weight.mean(1, keepdim=True)).abs() / (2 * weight.abs().mean(1, keepdim=True))
    away = away.nan_to_num(0)  # the row of padding is zero, and on its threshold
    assert (held.bits, held.low, held.high) == (1, -1, 0)
    assert held.near == pytest.approx(float((away <= NEAR).double().mean()))
    assert held.undecided == pytest.approx(float((away <= BAND).double().mean()))
    assert held.clipped == pytest.approx(float((away > 1).double().mean()))
