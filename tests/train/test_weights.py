"""Weights from files of several kinds; and one sentence for a file that is another model's."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

import stillbit
from stillbit.train.weights import load, save
from tests.surgery import tiny as families
from tests.train.test_checkpoint import Bomb
from tests.train.tiny import files


def vit(seed: int = 0, **options: Any) -> Any:
    torch.manual_seed(seed)
    return families.vit(depth=1, **options)


def same(one: nn.Module, other: nn.Module, but: str = " ") -> bool:
    there = other.state_dict()
    return all(torch.equal(v, there[k]) for k, v in one.state_dict().items() if not k.startswith(but))


WAYS: dict[str, Callable[[dict[str, Tensor], Path], Path]] = {
    "safetensors": lambda held, folder: written(held, folder / "x.safetensors", save_file),
    "plain": lambda held, folder: written(held, folder / "x.pth", torch.save),
    "state_dict": lambda held, folder: written({"state_dict": held, "epoch": 3}, folder / "x.pth", torch.save),
    "model": lambda held, folder: written({"model": held}, folder / "x.pth.tar", torch.save),
    "module": lambda held, folder: written({f"module.{k}": v for k, v in held.items()}, folder / "x.pt", torch.save),
    "run": lambda held, folder: written(held, folder / "model.safetensors", save_file).parent,
}


def written(held: Any, path: Path, way: Callable[[Any, Path], Any]) -> Path:
    way(held, path)
    return path


@pytest.mark.parametrize("kind", WAYS)
def test_weights_come_from_files_of_every_kind(kind: str, tmp_path: Path) -> None:
    model, other = vit(), vit(1)
    assert load(other, WAYS[kind](model.state_dict(), tmp_path)) == []
    assert same(model, other)


def test_what_is_saved_is_read_again_and_by_others(tmp_path: Path) -> None:
    model, other = vit(), vit(1)
    target = save(model, tmp_path / "model.safetensors")
    assert load(other, target) == [] and same(model, other)
    assert load_file(target).keys() == model.state_dict().keys() and files(tmp_path) == {"model.safetensors"}


def test_weights_that_are_shared_are_saved_too(tmp_path: Path) -> None:
    model = families.shared()
    other = families.shared()
    load(other, save(model, tmp_path / "x.safetensors"))
    assert same(model, other)


def test_when_writing_fails_the_file_before_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    target = save(vit(), tmp_path / "x.safetensors")
    before = target.read_bytes()
    monkeypatch.setattr("os.replace", fails)
    with pytest.raises(OSError, match="No space"):
        save(vit(1), target)
    assert target.read_bytes() == before and files(tmp_path) == {"x.safetensors"}


def test_with_another_number_of_classes_the_classifier_stays_fresh_and_the_rest_is_loaded(tmp_path: Path) -> None:
    model, other = vit(), vit(1, num_classes=4)
    head = other.head.weight.clone()
    assert load(other, save(model, tmp_path / "x.safetensors")) == ["head.weight", "head.bias"]
    assert torch.equal(other.head.weight, head) and same(other, model, but="head.")


def test_a_model_with_two_classifiers_keeps_both_fresh(tmp_path: Path) -> None:
    other = families.deit(num_classes=4)
    other.pretrained_cfg = {"classifier": ("head", "head_dist")}
    new = load(other, save(families.deit(), tmp_path / "x.safetensors"))
    assert new == ["head.weight", "head.bias", "head_dist.weight", "head_dist.bias"]


def test_from_a_quantized_model_come_its_weights_without_its_quantizers(tmp_path: Path) -> None:
    model, other = vit(), vit(1)
    quantized = stillbit.quantize(model, "w4a4")
    stillbit.calibrate(quantized, [families.images()])
    assert load(other, stillbit.save(quantized, tmp_path / "x.safetensors")) == []
    assert same(model, other)


def test_positions_of_another_image_size_are_interpolated_as_timm_does_it(tmp_path: Path) -> None:
    model, larger = vit(), vit(img_size=64)
    assert load(larger, save(model, tmp_path / "x.safetensors")) == []
    assert same(model, larger, but="pos_embed")
    want = resample_abs_pos_embed(model.pos_embed, larger.patch_embed.grid_size, num_prefix_tokens=1)
    assert torch.equal(larger.pos_embed, want)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda: vit(embed_dim=24), "is (1, 1, 48) there and (1, 1, 24) here"),
        (lambda: families.vit(depth=2), "it has no blocks.1."),
        (lambda: families.vit(depth=0), "it also has blocks.0."),
    ],
)
def test_weights_of_another_model_change_nothing_and_get_one_sentence(
    other: Callable[[], Any], said: str, tmp_path: Path
) -> None:
    model = other()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ValueError) as caught:
        load(model, save(vit(), tmp_path / "x.safetensors"))
    assert "x.safetensors holds another model" in str(caught.value) and said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_file_that_is_not_there_or_damaged_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there are no weights .*give a run, a .safetensors or a .pth file"):
        load(vit(), tmp_path / "none.pth")
    with pytest.raises(ValueError, match=r"there are no weights .*that run has not ended yet"):
        load(vit(), tmp_path)
    whole = save(vit(), tmp_path / "x.safetensors").read_bytes()
    for name in ("y.safetensors", "y.pth"):
        for damaged in (b"", whole[: len(whole) // 2], os.urandom(200)):
            (tmp_path / name).write_bytes(damaged)
            with pytest.raises(ValueError, match="is damaged or holds no weights") as caught:
                load(vit(), tmp_path / name)
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("held", [torch.ones(3), [torch.ones(3)], 7])
def test_a_file_that_holds_something_else_gets_one_sentence(held: Any, tmp_path: Path) -> None:
    torch.save(held, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="is damaged or holds no weights"):
        load(vit(), tmp_path / "x.pth")


def test_a_number_where_a_weight_should_be_gets_one_sentence(tmp_path: Path) -> None:
    torch.save({**vit().state_dict(), "head.bias": 3}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"x.pth is damaged or holds no weights"):
        load(vit(), tmp_path / "x.pth")


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    proof, path = tmp_path / "proof", tmp_path / "x.pth"
    torch.save({"state_dict": {"head.weight": Bomb(proof)}}, path)
    with pytest.raises(ValueError, match="is damaged or holds no weights"):
        load(vit(), path)
    path.write_bytes(pickle.dumps(Bomb(proof)))
    with pytest.raises(ValueError, match="is damaged or holds no weights"):
        load(vit(), path)
    assert not proof.exists()
