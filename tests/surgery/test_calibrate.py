"""Start values from data: all of them or none, and whatever happens the model is as it was otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import stillbit
from stillbit import AttentionSpec, LayerSpec, Plan, Rule, Spec, per_channel, per_head
from stillbit.layers.rectify import Rectify
from stillbit.layers.walk import quantizers
from tests.surgery import tiny


def fresh(plan: Any = "w4a4", **options: Any) -> Any:
    torch.manual_seed(0)
    return stillbit.quantize(tiny.vit(depth=1, **options), plan)


def state(model: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


def assert_untouched(model: nn.Module, before: dict[str, Tensor], training: bool = True) -> None:
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert {m.training for m in model.modules()} == {training}
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert not any(q.is_started() for _, role, q in quantizers(model) if role != "weight")


# ------------------------------------------------------------------------------------------------------- what it does


def test_every_activation_gets_its_start_value_and_nothing_else_changes() -> None:
    model = fresh().train()
    before = state(model)
    done = stillbit.calibrate(model, [tiny.images(), tiny.images()])
    assert (done.batches, done.quantizers) == (2, sum(role != "weight" for _, role, _ in quantizers(model)))
    assert all(q.is_started() for _, _, q in quantizers(model))
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and all(k.rsplit(".", 1)[1] in ("scale", "shift", "started") for k in changed)
    assert not any("weight_quantizer" in k for k in changed)
    assert {m.training for m in model.modules()} == {True}
    assert not any(m._forward_hooks for m in model.modules())


def test_the_float_model_is_observed_not_the_quantized_one() -> None:
    model, seen = fresh().eval(), []
    expected = stillbit.dequantize(model)(tiny.images())
    model.register_forward_hook(lambda m, a, y: seen.append(y))
    stillbit.calibrate(model, [tiny.images()])
    assert (seen[0] - expected).abs().max() <= 1e-5


def test_the_start_value_is_the_one_the_rule_finds_in_all_batches_together() -> None:
    model = stillbit.quantize(nn.Sequential(nn.Linear(8, 4)), Plan.uniform(4, 4, ends=4))
    batches = [torch.randn(3, 8) * size for size in (1.0, 10.0, 0.1)]
    stillbit.calibrate(model, batches)
    twin = deepcopy(model[0].input_quantizer)
    twin.start(torch.cat(batches))
    assert torch.equal(twin.scale, model[0].input_quantizer.scale)


def test_every_block_sees_its_own_numbers() -> None:
    spec = LayerSpec(Spec(4), Spec(4, granularity=per_channel))
    model = stillbit.quantize(nn.Sequential(nn.Linear(3, 2)), Plan((Rule("*", spec),)))
    stillbit.calibrate(model, [torch.randn(100, 3) * torch.tensor([1.0, 100.0, 1e-3])], rule="minmax")
    scale = model[0].input_quantizer.scale
    assert 1e-4 < scale[0] / scale[1] < 1e-1 and 1e-7 < scale[2] / scale[1] < 1e-4


def test_a_large_batch_is_thinned_the_same_way_every_time() -> None:
    x = torch.randn(4000, 64)
    scales = []
    for _ in range(2):
        model = stillbit.quantize(nn.Sequential(nn.Linear(64, 4)), Plan.uniform(4, 4, ends=4))
        torch.rand(1)
        stillbit.calibrate(model, [x])
        scales.append(model[0].input_quantizer.scale.item())
    exact = deepcopy(model[0].input_quantizer)
    exact.start(x)
    assert scales[0] == scales[1] == pytest.approx(exact.scale.item(), rel=0.02)


@pytest.mark.parametrize("rule", ["mse", "mean_magnitude", "percentile", "minmax"])
def test_another_rule_replaces_that_of_the_plan(rule: str) -> None:
    model, other = fresh(), fresh()
    stillbit.calibrate(model, [tiny.images()], rule=rule)
    stillbit.calibrate(other, [tiny.images()])
    same = torch.equal(model.head.input_quantizer.scale, other.head.input_quantizer.scale)
    assert same == (rule == "mse")


def test_the_random_state_is_left_alone() -> None:
    model = fresh()
    before = torch.get_rng_state()
    stillbit.calibrate(model, [tiny.images()])
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_and_batch_norm_rest_while_it_looks() -> None:
    model = stillbit.quantize(tiny.timm_resnet(), "w4a4").train()
    before = {k: v.clone() for k, v in model.state_dict().items() if "running" in k}
    stillbit.calibrate(model, [tiny.images()])
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items() if "running" in k)
    dropped = fresh(proj_drop_rate=0.5, attn_drop_rate=0.5, drop_path_rate=0.5)
    plain = fresh()
    for m in (dropped, plain):
        stillbit.calibrate(m.train(), [tiny.images()])
    assert torch.equal(dropped.head.input_quantizer.scale, plain.head.input_quantizer.scale)


def test_modules_keep_their_own_modes() -> None:
    model = fresh().train()
    model.blocks.eval()
    before = {name: m.training for name, m in model.named_modules()}
    stillbit.calibrate(model, [tiny.images()])
    assert {name: m.training for name, m in model.named_modules()} == before


def test_all_zero_inputs_leave_finite_scales() -> None:
    model = fresh()
    stillbit.calibrate(model, [torch.zeros(2, 3, 32, 32)])
    assert all(q.scale.isfinite().all() and (q.scale > 0).all() for _, _, q in quantizers(model))
    assert model(tiny.images()).isfinite().all()


class Half(nn.Module):
    """Only one of its two layers is ever reached."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.idle = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


def test_what_was_never_reached_is_said_and_keeps_its_default() -> None:
    model = stillbit.quantize(Half(), "w4a4")
    before = model.idle.input_quantizer.scale.clone()
    notes = stillbit.calibrate(model, [torch.randn(3, 4)]).notes
    assert notes == ("idle (input) was never reached and keeps its default",)
    assert torch.equal(model.idle.input_quantizer.scale, before)


def test_an_input_without_negative_numbers_on_a_signed_grid_is_noticed() -> None:
    model = stillbit.quantize(nn.Sequential(nn.Linear(4, 4)), "w4a4")
    notes = stillbit.calibrate(model, [torch.rand(3, 4)]).notes
    assert notes == ("0 (input) saw no negative number: range='unsigned' would save a bit",)


# ----------------------------------------------------------------------------------------------------- kinds of batch


def test_a_batch_is_a_tensor_a_tuple_a_list_or_keyword_arguments() -> None:
    x = tiny.images()
    scales = set()
    for batch in (x, (x, torch.zeros(2)), [x, None], {"x": x}):
        model = fresh()
        assert stillbit.calibrate(model, [batch]).batches == 1
        scales.add(model.head.input_quantizer.scale.item())
    assert len(scales) == 1


def test_a_loader_and_a_generator_are_iterables() -> None:
    data = TensorDataset(tiny.images(4), torch.zeros(4))
    assert stillbit.calibrate(fresh(), DataLoader(data, batch_size=2)).batches == 2
    assert stillbit.calibrate(fresh(), (x for x in [tiny.images()])).batches == 1


# ---------------------------------------------------------------------------------------------------------- bad input


def test_an_empty_iterator_is_refused_and_nothing_changes() -> None:
    model = fresh().train()
    before = state(model)
    with pytest.raises(ValueError, match=r"calibrate got no batch: give it an iterable .*, or \[images\]"):
        stillbit.calibrate(model, iter([]))
    assert_untouched(model, before)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_batch_that_is_not_finite_is_refused_and_nothing_changes(number: float) -> None:
    model = fresh().train()
    before = state(model)
    bad = tiny.images()
    bad[1, 2, 3, 4] = number
    with pytest.raises(ValueError, match=r"NaN or infinity in the input of patch_embed.proj \(input\): check"):
        stillbit.calibrate(model, [tiny.images(), bad])
    assert_untouched(model, before)
    stillbit.calibrate(model, [tiny.images()])


def test_a_model_that_is_not_quantized_is_refused() -> None:
    with pytest.raises(ValueError, match=r"call model = stillbit.quantize\(model, 'w4a4'\) first"):
        stillbit.calibrate(tiny.vit(depth=1), [tiny.images()])


def test_a_second_time_is_refused_unless_asked_for() -> None:
    model = fresh()
    stillbit.calibrate(model, [tiny.images()])
    before = state(model)
    with pytest.raises(ValueError, match=r"calibrated already .* write calibrate\(model, batches, again=True\)"):
        stillbit.calibrate(model, [tiny.images() * 2])
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    stillbit.calibrate(model, [tiny.images() * 2], again=True)
    name = "patch_embed.proj.input_quantizer.scale"
    torch.testing.assert_close(model.state_dict()[name], 2 * before[name])


def test_a_bare_tensor_is_refused_with_the_corrected_call() -> None:
    model = fresh().train()
    before = state(model)
    with pytest.raises(ValueError, match=r"got one tensor: write calibrate\(model, \[images\]\)"):
        stillbit.calibrate(model, tiny.images())
    assert_untouched(model, before)


@pytest.mark.parametrize("batch", ["images", 3, None, (), np.zeros((1, 3, 32, 32), np.float32), ("a", torch.zeros(1))])
def test_a_batch_of_another_kind_is_refused_with_the_corrected_call(batch: Any) -> None:
    model = fresh().train()
    before = state(model)
    with pytest.raises(ValueError, match=r"a batch is a tensor, a tuple .* write calibrate\(model, \[images\]\)"):
        stillbit.calibrate(model, [batch])
    assert_untouched(model, before)


@pytest.mark.parametrize("batches", [None, 3])
def test_what_is_no_iterable_is_refused_with_the_corrected_call(batches: Any) -> None:
    with pytest.raises(ValueError, match="iterable"):
        stillbit.calibrate(fresh(), batches)


def test_an_unknown_rule_is_refused_and_nothing_changes() -> None:
    model = fresh().train()
    before = state(model)
    with pytest.raises(ValueError, match="unknown start 'best': use one of mse, mean_magnitude, percentile, minmax"):
        stillbit.calibrate(model, [tiny.images()], rule="best")
    assert_untouched(model, before)


def test_an_error_of_the_model_passes_through_and_nothing_changes() -> None:
    model = fresh().train()
    before = state(model)
    with pytest.raises(AssertionError):
        stillbit.calibrate(model, [tiny.images(), torch.zeros(1, 3, 16, 16)])
    assert_untouched(model, before)


def test_an_interrupted_loader_changes_nothing() -> None:
    def interrupted() -> Iterator[Tensor]:
        yield tiny.images()
        raise KeyboardInterrupt

    model = fresh().train()
    before = state(model)
    with pytest.raises(KeyboardInterrupt):
        stillbit.calibrate(model, interrupted())
    assert_untouched(model, before)


def test_a_weight_that_is_not_finite_fails_before_anything_changes() -> None:
    model = stillbit.quantize(Half(), "w4a4")
    stillbit.calibrate(model, [torch.randn(3, 4)])
    with torch.no_grad():
        model.idle.weight[0, 0] = float("nan")
    before = state(model)
    with pytest.raises(ValueError, match="NaN or infinity"):
        stillbit.calibrate(model, [torch.randn(3, 4) * 5], again=True)
    assert all(torch.equal(v.nan_to_num(), before[k].nan_to_num()) for k, v in model.state_dict().items())


def test_a_rule_that_fails_for_one_quantizer_leaves_all_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fresh().train()
    before = state(model)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise ValueError("no")

    monkeypatch.setattr(model.head.input_quantizer, "start", fail)
    with pytest.raises(ValueError, match="no"):
        stillbit.calibrate(model, [tiny.images()])
    monkeypatch.undo()
    assert_untouched(model, before)


# --------------------------------------------------------------------------------------------------------- rectified

RECTIFIED = Plan.uniform(4, 4).but(Rule("@attention", AttentionSpec.all(Spec(4), rectify=True)))


def test_rectification_begins_with_the_first_batch_and_quantizers_see_it() -> None:
    model = fresh(RECTIFIED)
    attention = model.blocks[0].attn
    seen: list[torch.Tensor] = []
    attention.query_quantizer.register_forward_pre_hook(lambda q, args: seen.append(args[0]))
    raw: list[torch.Tensor] = []
    attention.query_rectify.register_forward_pre_hook(lambda r, args: raw.append(args[0]))
    stillbit.calibrate(model, [tiny.images(4), 3 * tiny.images(2)], "minmax")
    alone = Rectify(3)
    alone.start(raw[0])
    assert torch.equal(alone.gamma, attention.query_rectify.gamma) and attention.query_rectify.is_started()
    assert torch.equal(seen[1], alone(raw[1]))
    largest = max(x.abs().max().item() for x in seen)
    assert attention.query_quantizer.scale.item() == pytest.approx(largest / 7, rel=1e-6)


def test_rectification_is_calibrated_once_unless_asked_again() -> None:
    attention, weights = AttentionSpec.all(Spec(32), rectify=True), LayerSpec(Spec(4), Spec(32))
    model = fresh(Plan((Rule("@attention", attention), Rule("head", weights))))
    stillbit.calibrate(model, [tiny.images(2)])
    before = state(model)
    with pytest.raises(ValueError, match=r"calibrated already \(blocks.0.attn.query_rectify and 1 more"):
        stillbit.calibrate(model, [2 * tiny.images(4)])
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    stillbit.calibrate(model, [2 * tiny.images(4)], again=True)
    assert not torch.equal(model.blocks[0].attn.key_rectify.gamma, before["blocks.0.attn.key_rectify.gamma"])


def test_a_batch_that_fails_late_leaves_the_rectification_as_it_was() -> None:
    model = fresh(RECTIFIED)
    before = state(model)
    with pytest.raises(ValueError, match="NaN or infinity"):
        stillbit.calibrate(model, [tiny.images(), tiny.images() / 0])
    assert_untouched(model, before)


# ---------------------------------------------------------------------------------------------------------- compiled


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch hides it itself
@pytest.mark.parametrize("ran_before", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_model_with_compiled_blocks_can_be_calibrated(ran_before: bool) -> None:
    torch._dynamo.reset()
    model, plain = fresh(plan := Plan.uniform(4, 4, granularity=per_head)), fresh(plan)
    stillbit.calibrate(plain, [tiny.images()])
    model.blocks[0].compile(fullgraph=True, backend="eager")
    if ran_before:
        model(tiny.images())
    assert not stillbit.calibrate(model, [tiny.images()]).notes
    assert torch.equal(model.blocks[0].attn.key_quantizer.scale, plain.blocks[0].attn.key_quantizer.scale)
    assert torch.equal(model.head.input_quantizer.scale, plain.head.input_quantizer.scale)


def test_a_plan_that_leaves_everything_float_has_nothing_to_find_and_says_so_by_doing_nothing() -> None:
    model = stillbit.quantize(nn.Sequential(nn.Linear(4, 3)), stillbit.Plan.uniform(32, 32, ends=32))
    assert stillbit.calibrate(model, [torch.randn(2, 4)]).quantizers == 0
