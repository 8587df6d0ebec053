"""``stillbit info``."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.cli.command import PLAIN, mistake, works
from tests.cli.deployed_run import reading


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    works(f"train lsq {PLAIN} --epochs 1 --bits w3a4 --experiment run --output", folder)
    return folder / "run"


def rows(said: str) -> dict[str, str]:
    return dict(re.findall(r"^(\S+(?: \S+)?)  +(.*?) *$", said, re.M))


def test_without_a_target_it_says_what_is_installed() -> None:
    said = rows(works("info"))
    assert said["torch"] == version("torch") and said["timm"] == version("timm")
    assert said.keys() >= {"python", "stillbit", "numpy", "platform", "cores", "device", "processes"}


def test_a_run_says_what_it_was_made_of_and_how_far_it_came(folder: Path) -> None:
    said = works("info", folder)
    held = rows(said)
    assert held["run"] == str(folder) and held["method"] == "lsq" and held["bits"] == "w3a4"
    assert held["epochs"] == "1 of 1" and re.fullmatch(r"top1 \d+\.\d\d %, loss \d\.\d{4}", held["last"])
    assert "QuantViTAttention" in said and "weight 3 LSQ" in said and "not calibrated" not in said


def test_a_run_about_texts_says_its_task_and_what_built_it() -> None:
    said = works("info", reading())
    assert "task       entailment" in said and "transformers " in said and "timm" not in said and "score " in said


def test_a_file_of_stillbit_says_what_is_inside(folder: Path) -> None:
    assert works("info", folder / "model.safetensors") in works("info", folder)


def test_the_name_of_a_model_says_its_size_and_its_work() -> None:
    assert works("info vit_pico_patch4_32") == "VisionTransformer: 0.27 M parameters, 0.0149 G MACs a sample, float\n"


def test_a_name_with_bits_says_what_it_would_be() -> None:
    said = works("info vit_pico_patch4_32 --bits w2a3")
    assert re.search(r"blocks.\{0-3\}.attn.qkv +QuantLinear +weight 2 LSQ/192  input 3 LSQ/1", said)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("vit_pico_patch4_33", "did you mean vit_pico_patch4_32"),
        (".", ". is no run: it has no recipe.json; give the folder that stillbit train wrote to"),
        ("no/where", "there is no run and no file no/where: give a run, a .safetensors file, or a model's name"),
        ("gone.safetensors", "gone.safetensors"),
        ("vit_pico_patch4_32 --bits w9a9", "from 1 to 8, or 32 for float, got 9"),
    ],
)
def test_what_is_nowhere_is_one_sentence(
    words: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in mistake(f"info {words}")
