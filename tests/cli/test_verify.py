"""``stillbit verify``."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from stillbit.deploy.file.packed import read, write
from tests.cli.command import call, everything, mistake, works
from tests.cli.deployed_run import FEW, exported, floating, number_file, numbers, read_files, reading, run

FILE = "packed.safetensors"


def test_a_file_is_proven_against_its_run() -> None:
    said = works(f"verify {FEW} --against {run()}", exported() / FILE)
    assert [line.split("  ")[0] for line in said.splitlines()[1:4]] == ["training, fp32", "integer, exact", "integer"]
    assert said.endswith(f"proven: {exported() / FILE}\n")


def test_without_a_run_its_engines_are_proven_against_the_reference() -> None:
    held = json.loads(call(f"verify --json --dataset digits {FEW}", exported() / FILE).out)["proof"]
    assert [c["engine"] for c in held["comparisons"]] == ["exact", "integer"]
    assert [c["judged"] for c in held["comparisons"]] == [4, 20]


def test_a_graph_is_proven_against_the_packed_file_beside_it() -> None:
    said = works(f"verify --noise --samples 2 --layers {exported() / 'model.onnx'}")
    assert "onnxruntime" in said and "pictures of noise" in said and "w2 a2u" in said


def test_a_graph_is_proven_against_its_run() -> None:
    held = json.loads(call(f"verify --json {FEW} --against {run()}", exported() / "model.onnx").out)["proof"]
    assert [c["engine"] for c in held["comparisons"]] == ["training", "onnxruntime"]


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = everything(exported())
    works("verify --noise --samples 2", exported() / FILE)
    assert everything(exported()) == before and not everything(tmp_path)


def test_other_weights_are_found_out_and_the_layer_is_named(tmp_path: Path) -> None:
    held = read(exported() / FILE)
    step = next(s for s in held.program.steps if s.op == "product" and s.layer == "blocks.1.mlp.fc1")
    weight = held.program.constants[step.inputs[1]]
    other = {**held.program.constants, step.inputs[1]: replace(weight, array=-1 - weight.array)}
    write(replace(held, program=replace(held.program, constants=other)), tmp_path / FILE)
    said = call(f"verify {FEW} --against {run()}", tmp_path / FILE)
    assert said.code == 2 and "proven" not in said.out
    assert "is not what" in said.err and "first in blocks.1.mlp.fc1: 16,384 of 16,384 codes are others" in said.err
    works("verify --noise --samples 2", tmp_path / FILE)  # as a program of its own it is sound


def test_a_file_of_another_model_is_refused() -> None:
    assert "is not what" in mistake(f"verify {FEW} --against {floating()}", exported() / FILE)


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes((exported() / FILE).read_bytes()[:-100])
    assert FILE in mistake("verify --noise", tmp_path / FILE)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "name it with --data-dir FOLDER, or prove it on noise, --noise"),
        ("--noise --samples 0", "a proof looks at one image or text at least, got 0: --samples 32"),
        ("--dataset digits --against no/where", "there is no run and no file no/where"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    words: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in mistake(f"verify {exported() / FILE} {words}")


def test_a_file_of_texts_is_proven_against_its_run_and_alone_and_by_noise() -> None:
    file = read_files() / FILE
    said = works(f"verify {FEW} --against {reading()}", file)
    assert said.endswith(f"proven: {file}\n") and "validation texts of entailment" in said and "MACs a text" in said
    held = json.loads(call(f"verify --json {FEW}", file).out)["proof"]
    assert [c["judged"] for c in held["comparisons"]] == [4, 20] and held["seen"] == "validation texts of entailment"
    assert "texts of chance words" in works("verify --noise --samples 2", read_files() / "model.onnx")


def test_a_file_that_answers_with_a_number_is_held_to_numbers() -> None:
    said = works(f"verify {FEW} --data-dir {numbers().parent} --val-split dev", number_file())
    assert "same number" in said and "top-1" not in said
    works(f"verify {FEW} --against {numbers()}", number_file())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("TEXT --against IMAGES", "is for texts and run for pictures: name the run it came from"),
        ("PICTURE --against TEXTS", "is for pictures and read for texts: name the run it came from"),
        ("TEXT --against NUMBERS", "has another tokenizer than the run: export it again, or name another run"),
        ("TEXT --data-dir .", "are generated, not read: leave out --data-dir"),
        ("NUMBER", "name it with --data-dir FOLDER, or fetch GLUE from Hugging Face"),
    ],
)
def test_texts_and_pictures_are_told_apart(words: str, sentence: str) -> None:
    places = {"TEXTS": reading(), "NUMBERS": numbers(), "IMAGES": run(), "TEXT": read_files() / FILE}
    places |= {"NUMBER": number_file(), "PICTURE": exported() / FILE}
    said = [str(places.get(word, word)) for word in words.split()]
    assert sentence in mistake(f"verify {' '.join(said)}")


def test_a_graph_alone_is_told_what_it_lacks(tmp_path: Path) -> None:
    shutil.copy(exported() / "model.onnx", tmp_path)
    said = mistake("verify --noise", tmp_path / "model.onnx")
    assert "is a graph, and there is no packed.safetensors beside it to compare with: name the run" in said
