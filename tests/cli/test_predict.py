"""``stillbit predict``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stillbit.data.digits import Digits
from tests.cli.command import call, mistake, refused, works
from tests.cli.deployed_run import exported, run

ALONE = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(name + " is blocked", name=name)

sys.meta_path.insert(0, Blocked())
from stillbit.cli.main import main
main(sys.argv[1:])
"""
BLOCKED = ("timm", "torchvision", "onnx", "onnxruntime", "openvino", "safetensors", "sklearn", "huggingface_hub")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four digits, as their numbers say."""
    folder, digits = tmp_path_factory.mktemp("pictures"), Digits("val")
    for number in (3, 1, 4, 7):
        index = int(np.flatnonzero(digits.labels == number)[2])
        Image.fromarray(digits.pixels[index]).save(folder / f"{number}.png")
    return folder


def found(words: str, *more: object) -> list[dict[str, Any]]:
    held: list[dict[str, Any]] = json.loads(works(f"predict --json {words}", *more))
    return held


def test_it_says_the_likeliest_classes_by_name(pictures: Path) -> None:
    said = works("predict --top 2", exported() / "packed.safetensors", pictures / "3.png").splitlines()
    assert said[0] == str(pictures / "3.png") and len(said) == 3
    shares = [float(line.split("%")[0]) for line in said[1:]]
    assert shares == sorted(shares, reverse=True) and said[1].split()[1] in "0123456789"


def test_a_folder_is_all_pictures_in_it(pictures: Path) -> None:
    held = found("--top 10", exported() / "packed.safetensors", pictures)
    assert [Path(each["picture"]).name for each in held] == ["1.png", "3.png", "4.png", "7.png"]
    assert all(sum(row["probability"] for row in each["classes"]) == pytest.approx(1) for each in held)
    assert sum(each["classes"][0]["name"] == Path(each["picture"]).stem for each in held) >= 2, "it was trained"


@pytest.mark.parametrize("engine", ["exact", "reference"])
def test_every_engine_sees_the_same(engine: str, pictures: Path) -> None:
    usual = found("", exported() / "packed.safetensors", pictures / "3.png")
    other = found(f"--engine {engine}", exported() / "packed.safetensors", pictures / "3.png")
    for one, two in zip(usual[0]["classes"], other[0]["classes"], strict=True):
        assert one["class"] == two["class"] and one["probability"] == pytest.approx(two["probability"], abs=1e-5)


def test_a_graph_sees_the_same(pictures: Path) -> None:
    packed, graph = (found("", exported() / name, pictures / "7.png") for name in ("packed.safetensors", "model.onnx"))
    assert [row["class"] for row in packed[0]["classes"]] == [row["class"] for row in graph[0]["classes"]]


def test_it_needs_torch_numpy_and_pillow_and_nothing_of_training(pictures: Path) -> None:
    code = ALONE.replace("{BLOCKED}", repr(set(BLOCKED)))
    words = ["predict", str(exported() / "packed.safetensors"), str(pictures / "4.png"), "--json"]
    run = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == found("", exported() / "packed.safetensors", pictures / "4.png")


def test_a_picture_that_is_broken_is_named_and_the_others_are_shown(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("an apple")
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(tmp_path / "deep.png")
    said = call("predict --top 1", exported() / "packed.safetensors", tmp_path, pictures / "1.png")
    assert said.code == 2 and said.out.startswith(str(pictures / "1.png"))
    assert said.err.splitlines() == [
        f"stillbit: {tmp_path / 'bad.png'} cannot be used: it is no image",
        f"stillbit: {tmp_path / 'deep.png'} cannot be used: its pixels are no bytes (mode I;16), "
        "convert it to 8 bits a channel",
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("FILE gone.png", "there is no picture gone.png: give a file, or a folder of pictures"),
        ("FILE", "there is nothing to look at: stillbit predict"),
        ("FILE 3.png --top 0", "a picture or a text shows one class at least, got 0: --top 5"),
        ("FILE . --engine openvino", "'openvino' runs another kind of file: packed.safetensors runs on integer"),
        ("gone.onnx .", "there is no file gone.onnx: stillbit export RUN writes one"),
        ("3.png 3.png", "3.png is no deployed file"),
        (". 3.png", ". is a folder: give a file that stillbit export wrote"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    words: str, sentence: str, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures)
    assert sentence in mistake(f"predict {words.replace('FILE', str(exported() / 'packed.safetensors'))}")


def test_a_training_file_is_no_deployed_one(pictures: Path) -> None:
    said = mistake("predict", run() / "model.safetensors", pictures)
    assert "model.safetensors is no deployed file: stillbit export makes one of a run" in said


def test_an_engine_that_is_none_is_told_which_there_are() -> None:
    assert "'onnxruntime'" in refused("predict --engine tensorrt", exported() / "packed.safetensors", "3.png")
