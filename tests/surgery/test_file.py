"""One file, all of it or nothing; and a file that is not what it should be gets one sentence."""

from __future__ import annotations

import json
import os
import pickle
import stat
import struct
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

import stillbit
from stillbit import LayerSpec, Plan, Rule, Spec, per_channel
from stillbit.quantizers.spec import METHODS
from stillbit.surgery import file as under_test
from tests.surgery import tiny


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


def quantized(model: nn.Module, plan: Any = "w4a4", size: int = 6) -> Any:
    result = stillbit.quantize(model, plan)
    stillbit.calibrate(result, [torch.randn(4, size)])
    return result


@pytest.fixture
def model() -> Any:
    return quantized(small())


@pytest.fixture
def saved(model: nn.Module, tmp_path: Path) -> Path:
    return stillbit.save(model, tmp_path / "model.safetensors")


def about(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        return dict(json.loads(file.metadata()["stillbit"]))


def rewritten(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The same tensors with another structure."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    found = about(path)
    changed = change(found)
    metadata = {"stillbit": json.dumps(found if changed is None else changed)}
    save_file(tensors, path, metadata=metadata)
    return path


def one_sentence(path: Path, *words: str, model: nn.Module | None = None) -> None:
    """Loading fails with a ValueError that names the file, in one line."""
    with pytest.raises(ValueError) as caught:
        stillbit.load(path, small() if model is None else model)
    said = str(caught.value)
    assert str(path) in said and "\n" not in said
    assert all(word in said for word in words), said


# ---------------------------------------------------------------------------------------------------- there and back


def test_a_model_comes_back_to_the_bit(model: Any, saved: Path) -> None:
    loaded = stillbit.load(saved, small())
    x = torch.randn(4, 6)
    assert torch.equal(loaded(x), model(x))
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in loaded.state_dict().items())
    assert stillbit.summary(loaded) == stillbit.summary(model)


def test_the_float_model_that_is_passed_is_left_as_it_is(saved: Path) -> None:
    other = small()
    before = deepcopy(other.state_dict())
    loaded = stillbit.load(saved, other)
    assert type(other[0]) is nn.Linear and all(torch.equal(v, before[k]) for k, v in other.state_dict().items())
    assert not {p.data_ptr() for p in loaded.parameters()} & {p.data_ptr() for p in other.parameters()}


@pytest.mark.parametrize("name", ["model.safetensors", "model", "ein modell.bin"])
def test_a_path_may_have_any_name_and_be_a_string(name: str, model: Any, tmp_path: Path) -> None:
    path = stillbit.save(model, str(tmp_path / name))
    assert path == tmp_path / name and path.is_file()
    stillbit.load(str(path), small())


@pytest.mark.parametrize("padding", range(40))
def test_whatever_length_the_header_has_a_saved_model_is_loaded(padding: int, tmp_path: Path) -> None:
    """The length of the header is the first thing in the file; by chance it looks like the beginning of a pickle."""
    plan = Plan((Rule("*", LayerSpec(Spec(4), Spec(4))), Rule("x" * 8 * padding, None, optional=True)))
    path = stillbit.save(quantized(small(), plan), tmp_path / "model.safetensors")
    stillbit.load(path, small())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_every_type_comes_back(dtype: torch.dtype, tmp_path: Path) -> None:
    model = stillbit.quantize(small().to(dtype), "w4a4")
    stillbit.calibrate(model, [torch.randn(4, 6, dtype=dtype)])
    loaded = stillbit.load(stillbit.save(model, tmp_path / "m"), small().to(dtype))
    x = torch.randn(4, 6, dtype=dtype)
    assert loaded[0].weight.dtype == dtype and torch.equal(loaded(x), model(x))


def test_a_bfloat16_model_built_by_name_has_all_its_buffers_in_bfloat16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Swin v2 makes buffers that no file holds."""
    monkeypatch.setattr(under_test.timm_names, "describe", lambda model: {"name": "tiny", "options": {}})
    monkeypatch.setattr(under_test.timm_names, "create", lambda made: tiny.swin_v2())
    x = tiny.images(dtype=torch.bfloat16)
    model = stillbit.quantize(tiny.swin_v2().bfloat16(), "w4a4")
    stillbit.calibrate(model, [x])
    loaded = stillbit.load(stillbit.save(model, tmp_path / "m"))
    assert loaded.patch_embed.proj.weight.dtype == torch.bfloat16
    assert torch.equal(loaded(x), model(x))


def test_a_merged_model_comes_back(tmp_path: Path) -> None:
    model = stillbit.quantize(tiny.vit(depth=1), Plan.uniform(4, 4, merge=True))
    stillbit.calibrate(model, [tiny.images()])
    loaded = stillbit.load(stillbit.save(model, tmp_path / "m"), tiny.vit(depth=1))
    assert torch.equal(loaded(tiny.images()), model(tiny.images()))


def test_what_is_frozen_in_the_model_that_is_passed_is_frozen_in_the_loaded_one(saved: Path) -> None:
    frozen = small()
    frozen[0].requires_grad_(False)
    loaded = stillbit.load(saved, frozen)
    names = {name for name, p in loaded.named_parameters() if not p.requires_grad}
    assert names == {"0.weight", "0.bias"}


def test_tied_weights_are_tied_again_after_loading(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.out = nn.Embedding(7, 6), nn.Linear(6, 7, bias=False)
            self.out.weight = self.table.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.table(x))

    model = stillbit.quantize(Tied(), "w4a4")
    stillbit.calibrate(model, [torch.arange(7)])
    loaded = stillbit.load(stillbit.save(model, tmp_path / "m"), Tied())
    assert loaded.out.weight is loaded.table.weight


def test_a_file_holds_weights_scales_and_structure_and_no_code(model: Any, saved: Path) -> None:
    found = about(saved)
    assert found["format"] == under_test.FORMAT and found["class"] == "Sequential"
    assert Plan.from_dict(found["plan"]) == Plan.uniform(4, 4)
    with safe_open(saved, framework="pt") as file:
        assert set(file.keys()) == set(model.state_dict())
    assert b"\x80\x02" not in saved.read_bytes()[:16]


def test_a_saved_file_can_be_read_by_whom_the_umask_lets(saved: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(saved.stat().st_mode) == 0o666 & ~mask


# -------------------------------------------------------------------------------------------------- models of timm's


def small_timm(**options: Any) -> Any:
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 1, "num_classes": 10}
    return timm.create_model("vit_tiny_patch16_224", **{**small, **options})


def test_a_model_timm_cannot_build_by_name_asks_for_the_float_model(tmp_path: Path) -> None:
    changed = small_timm()
    model = stillbit.quantize(changed, "w4a4")
    path = stillbit.save(model, tmp_path / "m")
    with pytest.raises(ValueError, match=r"VisionTransformer that timm cannot build by name: pass .*model=your_model"):
        stillbit.load(path)
    stillbit.load(path, small_timm())


@pytest.fixture(scope="module")
def resnet() -> Any:
    return timm.create_model("resnet10t", num_classes=10)


def test_a_model_timm_knows_by_name_needs_nothing_else(resnet: Any, tmp_path: Path) -> None:
    model = stillbit.quantize(resnet.eval(), "w4a4")
    stillbit.calibrate(model, [tiny.images()])
    loaded = stillbit.load(stillbit.save(model, tmp_path / "m")).eval()
    assert torch.equal(loaded(tiny.images()), model(tiny.images()))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet10t", {"global_pool": "max"}),
        ("resnet10t", {"output_stride": 8}),
        ("vit_tiny_patch16_224", {"num_heads": 6, "img_size": 64}),
        ("vit_tiny_patch16_224", {"num_heads": 6, "img_size": 64, "dynamic_img_size": True}),
    ],
)
def test_an_option_that_no_shape_shows_is_never_lost(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    """Either the file brings the option back or it asks for the model; another function is not what was saved."""
    original = timm.create_model(name, num_classes=10, **options).eval()
    model = stillbit.quantize(original, Plan.uniform(8, 8, weight="minmax"))
    x = torch.randn(1, 3, 64, 64)
    path = stillbit.save(model, tmp_path / "m")
    try:
        loaded = stillbit.load(path).eval()
    except ValueError as error:
        assert "pass the float model" in str(error)
        loaded = stillbit.load(path, original).eval()
    assert torch.equal(loaded(x), model(x))


def test_the_pretrained_config_comes_back(tmp_path: Path) -> None:
    """Mean and standard deviation of the images are in it, and differ between weights of one architecture."""
    original = timm.create_model("vit_tiny_patch16_224.augreg_in21k", img_size=64, num_classes=4)
    model = stillbit.quantize(original, Plan.uniform(8, 8, weight="minmax"))
    loaded = stillbit.load(stillbit.save(model, tmp_path / "m"))
    assert isinstance(loaded, type(original))
    assert loaded.pretrained_cfg["tag"] == "augreg_in21k"
    assert timm.data.resolve_model_data_config(loaded) == timm.data.resolve_model_data_config(original)


# ------------------------------------------------------------------------------------------------ all of it or nothing


@pytest.mark.parametrize("where", ["save_file", "os.replace", "os.chmod"])
@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt()])
def test_a_save_that_is_interrupted_leaves_the_old_file_and_nothing_else(
    where: str, error: BaseException, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def fail(*args: Any, **kwargs: Any) -> None:
        if where == "save_file":
            Path(args[1]).write_bytes(b"half a file")
        raise error

    monkeypatch.setattr(under_test, where, fail) if where == "save_file" else monkeypatch.setattr(where, fail)
    other = quantized(small())
    with pytest.raises(type(error)):
        stillbit.save(other, saved)
    monkeypatch.undo()
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]
    stillbit.load(saved, small())


def test_saving_over_an_old_file_replaces_it(saved: Path) -> None:
    other = quantized(small(), "w3a3")
    stillbit.save(other, saved)
    assert Plan.from_dict(about(saved)["plan"]) == Plan.uniform(3, 3)
    assert list(saved.parent.iterdir()) == [saved]


def test_saving_does_not_change_the_model(model: Any, tmp_path: Path) -> None:
    versions = [p._version for p in model.parameters()]
    stillbit.save(model, tmp_path / "m")
    assert [p._version for p in model.parameters()] == versions


def test_a_float_model_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"call model = stillbit.quantize\(model, 'w4a4'\) first"):
        stillbit.save(small(), tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_said(model: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no folder .*nowhere: make it first"):
        stillbit.save(model, tmp_path / "nowhere" / "m")


def test_a_folder_in_place_of_a_file_is_said(model: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is a folder: name a file, such as .*model.safetensors"):
        stillbit.save(model, tmp_path)
    with pytest.raises(ValueError, match="there is no file"):
        stillbit.load(tmp_path)


# ------------------------------------------------------------------------------------------------------- wrong files


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    one_sentence(tmp_path / "gone", "there is no file")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4)),
            "2.weight is (3, 5) there and (4, 5) here",
        ),
        (lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3), nn.Linear(3, 3)), "it has no 3.weight"),
        (lambda: nn.Sequential(nn.Linear(6, 5)), "it also has 2."),
        (lambda: nn.Sequential(nn.ReLU()), ""),
        (lambda: nn.Sequential(nn.Linear(6, 5, bias=False), nn.ReLU(), nn.Linear(5, 3)), "it also has 0.bias"),
    ],
)
def test_the_file_of_another_model_is_said_to_be_so(other: Any, words: str, saved: Path) -> None:
    one_sentence(saved, "holds another model (Sequential)", words, model=other())


def test_a_plan_that_does_not_fit_the_model_is_said_to_be_of_another(tmp_path: Path) -> None:
    plan = Plan((Rule("2", LayerSpec(Spec(4), Spec(4))),))
    path = stillbit.save(quantized(small(), plan), tmp_path / "m")
    one_sentence(path, "holds another model", "it also has 2.", model=nn.Sequential(nn.Linear(6, 5)))


def test_a_model_that_is_quantized_already_is_not_called_another(model: Any, saved: Path) -> None:
    with pytest.raises(ValueError) as caught:
        stillbit.load(saved, model)
    assert "quantized already" in str(caught.value) and "another model" not in str(caught.value)


def test_a_file_without_structure_is_said_to_be_no_work_of_stillbits(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "m")
    one_sentence(tmp_path / "m", "no stillbit structure", "stillbit.save(model, path)")


def test_a_truncated_file_is_said_to_be_so_wherever_it_ends(saved: Path) -> None:
    whole = saved.read_bytes()
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    for end in (0, 1, 7, 8, 9, 100, header // 2, header - 1, header, header + 1, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:end])
        one_sentence(saved, "truncated")


def test_a_file_with_something_after_its_end_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes() + b"more")
    one_sentence(saved)


def test_a_flipped_bit_among_the_numbers_is_noticed(saved: Path) -> None:
    whole = saved.read_bytes()
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    for place in range(header, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        saved.write_bytes(damaged)
        one_sentence(saved, "damaged")


def test_a_flipped_bit_in_the_header_is_noticed_or_changes_nothing(model: Any, saved: Path) -> None:
    whole = saved.read_bytes()
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    wanted = under_test.record_of(model)
    silent, loud = [], []
    for place in range(0, header, 3):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 7
        saved.write_bytes(damaged)
        try:
            loaded = stillbit.load(saved, small())
        except ValueError:
            continue
        except Exception as error:
            loud.append((bytes(damaged[max(place - 12, 0) : place + 12]), repr(error)))
            continue
        same = all(torch.equal(v, model.state_dict()[k]) for k, v in loaded.state_dict().items())
        if not same or under_test.record_of(loaded) != wanted:
            silent.append(bytes(damaged[max(place - 12, 0) : place + 12]))
    assert not silent, f"{len(silent)} damaged files were loaded as other models, such as {silent[:3]}"
    assert not loud, f"{len(loud)} damaged files gave no sentence, such as {loud[:3]}"


def test_a_file_of_a_newer_stillbit_says_what_to_install(saved: Path) -> None:
    rewritten(saved, lambda found: found.update(format=under_test.FORMAT + 1))
    one_sentence(saved, "newer stillbit (format 2, this one reads up to 1)", "pip install --upgrade stillbit")


def test_a_newer_file_may_have_a_structure_nobody_here_knows(saved: Path) -> None:
    rewritten(saved, lambda found: {"format": 99, "everything": "else"})
    one_sentence(saved, "newer stillbit")


@pytest.mark.parametrize("key", ["model", "class", "plan", "checksum"])
def test_a_structure_that_lacks_something_is_said_to(key: str, saved: Path) -> None:
    rewritten(saved, lambda found: {k: v for k, v in found.items() if k != key})
    one_sentence(saved, f"lacks {key}")


@pytest.mark.parametrize("structure", [[], "text", 3, None, {}, {"format": "new"}, {"format": None}])
def test_a_structure_that_is_none_is_said_to_be_damaged(structure: Any, saved: Path) -> None:
    rewritten(saved, lambda found: {"is": structure} if structure is None else structure)
    one_sentence(saved, "damaged")


@pytest.mark.parametrize("plan", [{}, {"rules": [{}]}, {"rules": [{"pattern": "*", "spec": {"kind": "layer"}}]}, 3])
def test_a_plan_that_cannot_be_read_is_said_to_be_damaged(plan: Any, saved: Path) -> None:
    rewritten(saved, lambda found: found.update(plan=plan))
    one_sentence(saved, "damaged")


def test_a_plan_for_a_quantizer_nobody_here_knows_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "home-made", METHODS["lsq"])
    plan = Plan((Rule("*", LayerSpec(Spec(4, "home-made"), Spec(4))),))
    path = stillbit.save(quantized(small(), plan), tmp_path / "m")
    stillbit.load(path, small())
    monkeypatch.undo()
    with pytest.raises(ValueError, match="unknown quantizer 'home-made': use one of lsq"):
        stillbit.load(path, small())


# --------------------------------------------------------------------------------------------------------- pickles


class Trap:
    """Would do harm if it were unpickled."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle was opened",))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_never_opened(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(Trap(), protocol))
    one_sentence(path, "is a pickle, which stillbit never opens", "stillbit.save(model, path)")


@pytest.mark.parametrize("new", [False, True])
def test_a_file_of_torchs_own_is_never_opened(new: bool, model: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=new)
    one_sentence(path, "is a pickle, which stillbit never opens")


@pytest.mark.parametrize("protocol", [0, 1])
def test_a_pickle_of_the_first_kinds_is_not_opened_either(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(Trap(), protocol))
    one_sentence(path, "no safetensors file")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 64, b"\xff" * 64, b"{" * 64])
def test_a_file_of_something_else_is_said_to_be_so(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    one_sentence(path, "truncated or no safetensors file")


def test_a_table_of_scales_for_channels_comes_back(tmp_path: Path) -> None:
    plan = Plan((Rule("*", LayerSpec(Spec(2, "statsq", per_channel, options={"reach": "bits"}), Spec(3, "pact"))),))
    model = quantized(small(), plan)
    loaded = stillbit.load(stillbit.save(model, tmp_path / "m"), small())
    x = torch.randn(4, 6)
    assert torch.equal(loaded(x), model(x)) and loaded[0].weight_quantizer.reach == model[0].weight_quantizer.reach


def test_a_loaded_model_is_what_was_saved_though_the_roles_have_moved(tmp_path: Path) -> None:
    """Without its classifier the last layer is another one; read anew, the plan would give that one eight bits."""
    model = stillbit.quantize(tiny.vit(), "w2a2")
    stillbit.calibrate(model, [tiny.images()])
    model.reset_classifier(0)
    other = tiny.vit()
    other.reset_classifier(0)
    loaded = stillbit.load(stillbit.save(model, tmp_path / "m"), other)
    assert loaded.blocks[1].mlp.fc2.weight_quantizer.grid.bits == 2
    assert torch.equal(loaded.eval()(tiny.images()), model.eval()(tiny.images()))
