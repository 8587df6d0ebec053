"""What quantizing promises for every family of models, as a user meets it."""

from __future__ import annotations

from contextlib import nullcontext
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import timm.optim
import torch
from torch import Tensor, nn

import stillbit
from stillbit.layers.linear import QuantLinear
from stillbit.layers.walk import quantized, quantizers
from stillbit.surgery.swap import record_of
from tests.surgery import tiny, tiny_hf

MAKE = {**tiny.FAMILIES, **tiny_hf.FAMILIES}
FAMILIES = tuple(MAKE)
WHOLE = ("vit", "deit", "registers", "swin", "swin_v2", "eva", "beit", "sret", "mixer", *tiny_hf.FAMILIES)
CONVOLUTIONAL = ("timm_resnet", "timm_vgg", "vision_resnet", "vision_vgg")
STAYS_FLOAT = {
    "cait": {
        "blocks.0.attn": "TalkingHeadAttn are known to no family",
        "blocks_token_only.0.attn": "ClassAttn are known to no family",
    },
    "multihead": {
        "inside.attention": "MultiheadAttention are known to no family",
        "inside.attention.out_proj": "MultiheadAttention reads its weight past its forward",
    },
    "past_forward": {"inside.fc": "PastForward reads its weight past its forward"},
    "parametrized": {"inside.0": "its weight is parametrized"},
}
every_family = pytest.mark.parametrize("family", FAMILIES)


def float_model(family: str) -> nn.Module:
    torch.manual_seed(3)
    model = MAKE[family]()
    with torch.no_grad():  # timm starts biases, tokens and branches at zero: what is dropped would not be missed
        for name, parameter in model.named_parameters():
            if parameter.dim() < 2 or "token" in name:
                parameter.add_(torch.randn(parameter.shape) * 0.1)
    return model


@lru_cache
def _calibrated(family: str, plan: str) -> nn.Module:
    model = stillbit.quantize(float_model(family), plan)
    stillbit.calibrate(model, [tiny.images(4)])
    return model


@lru_cache
def _fresh(family: str) -> nn.Module:
    torch.manual_seed(9)
    return stillbit.quantize(MAKE[family](), "w4a4")


def fresh(family: str) -> Any:
    """A quantized model with other numbers, that has seen nothing."""
    return deepcopy(_fresh(family))


def calibrated(family: str, plan: str = "w4a4") -> Any:
    return deepcopy(_calibrated(family, plan))


def output(model: nn.Module, x: Tensor) -> Tensor:
    torch.manual_seed(4)  # dropout and drop path
    y = model(x)
    return torch.cat(y) if isinstance(y, tuple) else y


def same_numbers(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


# --------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("training", [False, True])
@every_family
def test_a_plan_at_32_bits_changes_no_output_bit(family: str, training: bool) -> None:
    model = float_model(family).train(training)
    quantized_model = stillbit.quantize(model, "w32a32")
    for context in (nullcontext(), torch.autocast("cpu", torch.bfloat16)):
        with context:
            assert torch.equal(output(quantized_model, tiny.images()), output(model, tiny.images()))
    assert same_numbers(dict(quantized_model.state_dict()), dict(model.state_dict()))


@every_family
def test_a_4_bit_model_trains_a_step_and_every_parameter_gets_a_finite_gradient(family: str) -> None:
    model = calibrated(family).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    y = output(model, tiny.images())
    assert y.shape[-1] == 10
    (y * torch.randn_like(y)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    optimizer.step()
    assert output(model, tiny.images()).isfinite().all()
    assert any(not torch.equal(p, before[name]) for name, p in model.named_parameters())


@every_family
def test_a_step_in_bfloat16_goes_where_the_step_in_float32_goes(family: str) -> None:
    model = calibrated(family, "w8a8")
    grads = []
    for dtype in (torch.float32, torch.bfloat16):
        model.zero_grad()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss = output(model, tiny.images(4)).float().log_softmax(-1)[:, 3].mean()
        loss.backward()
        weights = [m.weight.grad for _, m in quantized(model) if hasattr(m, "weight")]
        grads.append(torch.cat([g.flatten() for g in weights]))
    assert torch.cosine_similarity(grads[0], grads[1], dim=0) > 0.9


@every_family
def test_8_bits_are_close_to_float_before_any_training(family: str) -> None:
    model, rounded = float_model(family).eval(), calibrated(family, "w8a8").eval()
    x = tiny.images(4)
    with torch.no_grad():
        exact, found = output(model, x), output(rounded, x)
    assert (found - exact).norm() <= 0.05 * exact.norm()


@pytest.mark.parametrize("family", ["vit", "registers", "swin", "eva", "sret"])
def test_checkpointing_of_activations_gives_the_same_gradients(family: str) -> None:
    model = calibrated(family).train()
    grads = []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        output(model, tiny.images()).sum().backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


# ----------------------------------------------------------------------------------------------------------- state


@every_family
def test_the_float_model_is_left_as_it_was(family: str) -> None:
    model = float_model(family)
    before = deepcopy(model.state_dict())
    layers = [(name, type(module), id(module)) for name, module in model.named_modules()]
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    stillbit.quantize(model, "w4a4")
    assert [(name, type(module), id(module)) for name, module in model.named_modules()] == layers
    assert {name: set(vars(module)) for name, module in model.named_modules()} == attributes
    assert same_numbers(dict(model.state_dict()), before)


@every_family
def test_names_of_the_float_checkpoint_survive_and_it_loads(family: str) -> None:
    model = float_model(family)
    other = fresh(family)
    theirs = set(model.state_dict())
    ours = set(other.state_dict())
    assert theirs <= ours
    assert all("_quantizer." in name for name in ours - theirs)
    missing, unexpected = other.load_state_dict(model.state_dict(), strict=False)
    assert not unexpected and all("_quantizer." in name for name in missing)


@every_family
def test_a_quantized_checkpoint_loads_strictly_before_any_forward_pass(family: str) -> None:
    trained = calibrated(family)
    other = fresh(family)
    other.load_state_dict(trained.state_dict(), strict=True)
    assert torch.equal(output(other.eval(), tiny.images()), output(trained.eval(), tiny.images()))
    assert all(q.is_started() for _, _, q in quantizers(other))


@every_family
def test_what_is_saved_is_loaded_to_the_bit(family: str, tmp_path: Path) -> None:
    model = calibrated(family).eval()
    path = stillbit.save(model, tmp_path / "model.safetensors")
    loaded = stillbit.load(path, MAKE[family]()).eval()
    assert same_numbers(dict(loaded.state_dict()), dict(model.state_dict()))
    assert torch.equal(output(loaded, tiny.images()), output(model, tiny.images()))
    assert repr(loaded) == repr(model) and record_of(loaded) == record_of(model)
    assert [p.requires_grad for p in loaded.parameters()] == [p.requires_grad for p in model.parameters()]


@every_family
def test_dequantize_gives_the_float_model_back_to_the_bit(family: str) -> None:
    model = float_model(family).eval()
    back = stillbit.dequantize(calibrated(family)).eval()
    assert type(back) is type(model)
    # By name: torch makes a new class for every parametrized module.
    assert [type(m).__qualname__ for m in back.modules()] == [type(m).__qualname__ for m in model.modules()]
    assert same_numbers(dict(back.state_dict()), dict(model.state_dict()))
    assert torch.equal(output(back, tiny.images()), output(model, tiny.images()))
    assert not list(quantizers(back)) and "_stillbit" not in vars(back)


@every_family
def test_a_model_can_be_quantized_in_place(family: str) -> None:
    model = float_model(family)
    weights = {id(p) for p in model.parameters()}
    result = stillbit.quantize(model, "w4a4", inplace=True)
    assert result is model
    assert weights <= {id(p) for p in result.parameters()}
    assert stillbit.dequantize(result, inplace=True) is model
    assert {id(p) for p in model.parameters()} == weights


@every_family
def test_a_deep_copy_is_a_model_of_its_own(family: str) -> None:
    model = calibrated(family).eval()
    twin = deepcopy(model)
    expected = output(model, tiny.images())
    assert torch.equal(output(twin, tiny.images()), expected)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(1.5)
    assert torch.equal(output(model, tiny.images()), expected)
    assert repr(twin) == repr(model) and record_of(twin) == record_of(model)


@every_family
def test_a_model_without_numbers_can_be_quantized(family: str) -> None:
    with torch.device("meta"):
        model = MAKE[family]()
    ghost = stillbit.quantize(model, "w4a4")
    assert all(t.is_meta for t in (*ghost.parameters(), *ghost.buffers()))
    shapes = {name: tuple(t.shape) for name, t in ghost.state_dict().items()}
    assert shapes == {name: tuple(t.shape) for name, t in calibrated(family).state_dict().items()}


@every_family
def test_training_and_eval_mode_are_kept(family: str) -> None:
    model = stillbit.quantize(float_model(family).eval(), "w4a4")
    assert not any(module.training for module in model.modules())
    stillbit.calibrate(model, [tiny.images(1)])
    assert not any(module.training for module in model.modules())
    assert not any(module.training for module in stillbit.dequantize(model).modules())
    assert all(module.training for module in fresh(family).modules())


# --------------------------------------------------------------------------------------------------------- honesty


@pytest.mark.parametrize("family", (*WHOLE, *CONVOLUTIONAL, "plain", "shared"))
def test_every_multiplication_runs_on_codes(family: str) -> None:
    said = stillbit.summary(calibrated(family), tiny.images(1))
    assert said.macs is not None and said.macs > 0
    assert said.macs_on_codes == said.macs
    assert not [row for row in said.rows if row.note.startswith("float")]


@pytest.mark.parametrize("family", STAYS_FLOAT)
def test_what_stays_float_is_said_with_the_reason(family: str) -> None:
    said = stillbit.summary(calibrated(family), tiny.images(1))
    notes = {row.module: row.note for row in said.rows if row.note}
    assert notes.keys() == STAYS_FLOAT[family].keys()
    for module, why in STAYS_FLOAT[family].items():
        assert notes[module].startswith("float: ") and why in notes[module]
    assert said.macs is not None and said.macs_on_codes is not None and said.macs_on_codes < said.macs


@pytest.mark.parametrize("family", [f for f in FAMILIES if f not in STAYS_FLOAT])
def test_no_linear_or_convolution_is_forgotten(family: str) -> None:
    layers = {name for name, m in float_model(family).named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    assert layers <= {name for name, _ in quantized(calibrated(family))}


@pytest.mark.parametrize("family", CONVOLUTIONAL)
def test_what_a_relu_made_is_quantized_unsigned(family: str) -> None:
    signed = [name for name, role, q in quantizers(calibrated(family)) if role == "input" and q.grid.signed]
    assert len(signed) == 1, "only the image has a sign"


@pytest.mark.parametrize("family", ["vit", "deit", "swin", "swin_v2", "sret", "mixer"])
def test_what_a_gelu_made_is_unsigned_with_a_learned_shift(family: str) -> None:
    inputs = {name: q for name, role, q in quantizers(calibrated(family)) if role == "input" and name.endswith("fc2")}
    assert inputs and all(not q.grid.signed and hasattr(q, "shift") for q in inputs.values())


def test_a_layer_in_two_places_stays_one_layer() -> None:
    model = calibrated("shared")
    assert isinstance(model.inside.first, QuantLinear)
    assert model.inside.second[1] is model.inside.first
    back = stillbit.dequantize(model)
    assert type(back.inside.first) is nn.Linear and back.inside.second[1] is back.inside.first


@pytest.mark.parametrize("training", [False, True])
def test_torchs_own_encoder_layer_does_not_slip_back_to_float(training: bool) -> None:
    """In eval mode without gradients its fast path reads the weights of linear1 and linear2 itself."""
    torch.manual_seed(0)
    encoder = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
    model = nn.Sequential(nn.Linear(32, 32), encoder, nn.Linear(32, 32)).train(training)
    rounded = stillbit.quantize(model, stillbit.Plan.uniform(2, 2, ends=2))
    x = torch.randn(2, 5, 32)
    stillbit.calibrate(rounded, [x])
    with torch.no_grad():
        alone = rounded(x)
    torch.testing.assert_close(alone, rounded(x).detach(), rtol=1e-5, atol=1e-5)


# ------------------------------------------------------------------------------------------------------ timm's own


@pytest.fixture(scope="module")
def registered() -> Any:
    """A model timm knows by name, made small."""
    options: dict[str, Any] = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 1, "num_classes": 10}
    return timm.create_model("vit_tiny_patch16_224", **options)


def test_the_api_of_timm_works_on_a_quantized_model(registered: Any) -> None:
    model = stillbit.quantize(registered, "w4a4")
    stillbit.calibrate(model, [tiny.images()])
    assert model.pretrained_cfg == registered.pretrained_cfg
    assert model.default_cfg["architecture"] == "vit_tiny_patch16_224"
    assert timm.data.resolve_model_data_config(model) == timm.data.resolve_model_data_config(registered)
    features = model.forward_features(tiny.images())
    assert features.shape == (2, 17, 48)
    assert torch.equal(model.forward_head(features), model(tiny.images()))
    assert model.get_classifier() is model.head and isinstance(model.head, QuantLinear)
    final, inside = model.forward_intermediates(tiny.images())
    assert torch.equal(final, features) and len(inside) == 1
    assert model.no_weight_decay() == registered.no_weight_decay()
    assert timm.optim.param_groups_weight_decay(model)


def test_a_new_classifier_is_float_and_said_so(registered: Any) -> None:
    model = stillbit.quantize(registered, "w4a4")
    stillbit.calibrate(model, [tiny.images()])
    model.reset_classifier(7)
    assert model(tiny.images()).shape == (2, 7)
    notes = {row.module: row.note for row in stillbit.summary(model).rows}
    assert notes["head"].startswith("float: ")


def test_a_model_with_a_new_classifier_can_be_saved_and_loaded(registered: Any, tmp_path: Path) -> None:
    model = stillbit.quantize(registered, "w4a4")
    stillbit.calibrate(model, [tiny.images()])
    model.reset_classifier(7)
    path = stillbit.save(model, tmp_path / "model.safetensors")
    other = deepcopy(registered)
    other.reset_classifier(7)
    loaded = stillbit.load(path, other)
    assert torch.equal(loaded.eval()(tiny.images()), model.eval()(tiny.images()))


def test_the_resnet_of_timm_keeps_its_api() -> None:
    model = calibrated("timm_resnet")
    assert model.forward_features(tiny.images()).shape == (2, 32, 1, 1)
    model.reset_classifier(0)
    assert model(tiny.images()).shape == (2, 32)


# ------------------------------------------------------------------------------------------------------ compilation


def step(model: nn.Module, run: Any, x: Tensor) -> list[Tensor]:
    """Output and gradients of one training step."""
    model.zero_grad()
    y = run(x)
    (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
    return [y.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


SMALL = {
    "vit": lambda: tiny.vit(depth=1),
    "swin": lambda: tiny.swin(depths=(2,), num_heads=(2,)),  # a plain window and a shifted one
    "swin_v2": tiny.swin_v2,
    "timm_resnet": tiny.timm_resnet,
}


def ready_to_compile(family: str) -> nn.Module:
    torch._dynamo.reset()
    model = stillbit.quantize(SMALL[family](), "w4a4")
    stillbit.calibrate(model, [tiny.images()])
    return model.train()


def assert_compiled_equals_eager(family: str, backend: str, dtype: torch.dtype, tolerance: float) -> None:
    model = ready_to_compile(family).to(dtype)
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    x = tiny.images(2, dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    compiled(x).sum().backward()
    with torch._dynamo.config.patch(error_on_recompile=True):
        for _ in range(3):
            for eager, fast in zip(step(model, model, x), step(model, compiled, x), strict=True):
                assert (eager - fast).abs().max() <= tolerance * max(1.0, float(eager.abs().max()))
            optimizer.step()


@pytest.mark.parametrize("family", ["vit", "swin"])
def test_a_compiled_training_step_equals_eager_and_is_compiled_once(family: str) -> None:
    # In float64 no code flips because a sum was added up in another order, so equal means equal.
    assert_compiled_equals_eager(family, "aot_eager", torch.float64, 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("family", list(SMALL))
def test_a_training_step_compiled_to_machine_code_equals_eager(family: str) -> None:
    assert_compiled_equals_eager(family, "inductor", torch.float64, 1e-10)


@pytest.mark.slow
def test_a_compiled_training_step_works_in_bfloat16() -> None:
    model = ready_to_compile("vit")
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    results = []
    for run in (model, compiled):
        with torch.autocast("cpu", torch.bfloat16):
            results.append(step(model, run, tiny.images()))
    for eager, fast in zip(*results, strict=True):
        assert (eager - fast).norm() <= 0.05 * eager.norm() + 1e-6


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch hides it itself
@pytest.mark.slow
def test_compiled_blocks_of_windows_share_a_compilation_for_each_kind() -> None:
    torch._dynamo.reset()
    model = stillbit.quantize(tiny.swin(depths=(4,), num_heads=(2,)), "w4a4")
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    stillbit.compile_blocks(model, backend=counter)
    model(tiny.images()).sum().backward()
    assert counter.frame_count == 2, "plain windows and shifted ones"
