"""``stillbit predict`` with texts."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stillbit.methods.subject import open_subject
from tests.cli.command import call, mistake, works
from tests.cli.deployed_run import exported, number_file, numbers, read_files, reading
from tests.cli.test_predict import ALONE, BLOCKED

PAIR = ("no dogs run outside", "some poodles sprint outside")
BLIND = (*(name for name in BLOCKED if name != "torchvision"), "torchvision", "transformers", "PIL")


def found(words: str, *more: object) -> list[dict[str, Any]]:
    held: list[dict[str, Any]] = json.loads(works(f"predict --json {words}", *more))
    return held


def test_two_texts_are_one_pair_and_its_classes_have_names() -> None:
    said = works(f"predict --top 2 {read_files() / 'packed.safetensors'}", *PAIR).splitlines()
    assert said[0] == " | ".join(PAIR) and len(said) == 3
    names = {line.split("%")[1].strip() for line in said[1:]}
    assert names < {"entailment", "neutral", "contradiction"}
    assert len(found(str(read_files() / "packed.safetensors"), *PAIR, *PAIR)) == 2


def test_it_says_what_the_training_model_says() -> None:
    import torch

    (held,) = found(f"--engine exact {read_files() / 'packed.safetensors'}", *PAIR)
    subject = open_subject(str(reading()), device="cpu")
    from stillbit.methods.texts import pieces_of

    cut = pieces_of(subject.recipe).tokenizer.encode(*PAIR)
    given = (torch.tensor([numbers]) for numbers in (cut.ids, cut.attention_mask, cut.type_ids))
    with torch.no_grad():
        wanted = subject.model(*given).logits.softmax(1)[0]
    assert held["pieces"] == len(cut.ids) and not held["cut"]
    for row in held["classes"]:
        assert row["probability"] == pytest.approx(float(wanted[row["class"]]), abs=1e-5)


@pytest.mark.parametrize("name", ["packed.safetensors", "model.onnx"])
def test_every_kind_of_file_says_the_same(name: str) -> None:
    (usual,) = found(str(read_files() / "packed.safetensors"), *PAIR)
    (other,) = found(str(read_files() / name), *PAIR)
    assert [row["class"] for row in usual["classes"]] == [row["class"] for row in other["classes"]]


def test_a_number_is_a_number() -> None:
    assert works(f"predict {number_file()}", "good film").splitlines()[0] == "good film"
    one, other = found(str(number_file()), "good film", "good good good good good film")
    assert isinstance(one["number"], float) and "classes" not in one and one["number"] != other["number"]


def test_a_text_that_is_cut_is_said_to_be() -> None:
    words = " ".join(["dogs"] * 40)
    said = works(f"predict --top 1 {read_files() / 'packed.safetensors'}", PAIR[0], words)
    assert said.splitlines()[-1] == "  cut: it has 47 pieces, and this model reads 24"
    assert found(str(read_files() / "packed.safetensors"), PAIR[0], words)[0]["cut"] is True


def test_lines_of_a_file_are_pairs_with_a_tab_between_and_faults_are_named_by_their_line(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_bytes(b"\xef\xbb\xbfa dog\truns\r\n\nno\xff\tx\nonly one\na\t \na\tb\tc\nthe cat\tsleeps\n\n")
    said = call(f"predict --top 1 {read_files() / 'packed.safetensors'} --lines {path}")
    assert said.code == 2 and [line for line in said.out.splitlines() if "|" in line] == [
        "a dog | runs",
        "the cat | sleeps",
    ]
    assert said.err.splitlines() == [
        f"stillbit: {path}, line 2: it is empty",
        f"stillbit: {path}, line 3: byte 3 of the line is no UTF-8",
        f"stillbit: {path}, line 4: it has 1 of the two texts of a pair, which a tab keeps apart",
        f"stillbit: {path}, line 5: one of its texts is empty",
        f"stillbit: {path}, line 6: it has 3 of the two texts of a pair, which a tab keeps apart",
    ]


def test_lines_come_from_stdin_too_and_say_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"good film\ngood good film")))
    held = found(f"{number_file()} --lines -")
    assert [(each["line"], each["texts"]) for each in held] == [(1, ["good film"]), (2, ["good good film"])]


def test_a_word_that_is_no_utf_8_is_named() -> None:
    said = call(f"predict --top 1 {read_files() / 'packed.safetensors'}", "a", "b\udcff", *PAIR)
    assert said.code == 2 and said.err == "stillbit: pair 1: it is no UTF-8\n" and said.out.startswith(" | ".join(PAIR))


def test_it_needs_torch_numpy_and_tokenizers_and_nothing_of_training() -> None:
    code = ALONE.replace("{BLOCKED}", repr(set(BLIND)))
    words = ["predict", str(read_files() / "packed.safetensors"), *PAIR, "--json"]
    run = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == found(str(read_files() / "packed.safetensors"), *PAIR)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("READ", "there is nothing to look at: stillbit predict"),
        ("READ one", "this model was trained on pairs of texts, and there is 1: give two for each answer"),
        ("READ one two three", "pairs of texts, and there are 3"),
        ("READ one two --lines x", "from the command line or from a file: leave out --lines, or the texts"),
        ("READ --lines gone.tsv", "there is no file gone.tsv: give one with a text a line, or - for stdin"),
        ("READ --lines empty.tsv", "there is no text in empty.tsv: give a text a line"),
        ("READ one two --top 0", "a picture or a text shows one class at least, got 0: --top 5"),
        ("NUMBER --engine openvino good", "'openvino' runs another kind of file"),
        ("PICTURES --lines empty.tsv", "--lines is for texts, and "),
        ("RUN good", " is a folder: give a file that stillbit export wrote, as stillbit export "),
    ],
)
def test_what_cannot_be_is_one_sentence(
    words: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.tsv").write_text("\n\n")
    places = {"READ": read_files() / "packed.safetensors", "NUMBER": number_file(), "RUN": numbers()}
    places["PICTURES"] = exported() / "packed.safetensors"
    first, _, rest = words.partition(" ")
    assert sentence in mistake(f"predict {places[first]} {rest}")


def test_a_file_without_a_tokenizer_says_where_it_looked(tmp_path: Path) -> None:
    from dataclasses import replace

    from stillbit.deploy.file.packed import read, write

    held = read(read_files() / "packed.safetensors")
    assert held.about.text is not None
    bare = replace(held.about, text=replace(held.about.text, tokenizer=""))
    write(replace(held, about=bare), tmp_path / "packed.safetensors")
    assert "the file has no tokenizer in it, and there is none beside it" in mistake(
        f"predict {tmp_path / 'packed.safetensors'}", *PAIR
    )
    shutil.copy(reading() / "tokenizer.json", tmp_path)
    assert found(str(tmp_path / "packed.safetensors"), *PAIR) == found(str(read_files() / "packed.safetensors"), *PAIR)
