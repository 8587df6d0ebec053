"""``stillbit export`` of runs about texts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from stillbit.cli.export import Export
from stillbit.cli.export_texts import beside, material
from stillbit.cli.export_work import opened, work_of
from stillbit.deploy import texts
from stillbit.deploy.engine import open_engine
from stillbit.deploy.proof.outcome import Proof
from stillbit.deploy.texts import inputs_of, pieces_of
from tests.cli.command import call, everything, mistake, works
from tests.cli.deployed_run import FEW, number_file, numbers, read_files, reading, run


def said(words: str) -> None:
    """Nobody listens."""


def test_a_file_knows_its_task_its_classes_its_score_and_its_tokenizer() -> None:
    about = open_engine(read_files() / "packed.safetensors").about
    assert (about.model, about.method, about.bits) == ("bert_pico", "lsq", "w1a1") and about.preprocess is None
    assert about.classes == ("entailment", "neutral", "contradiction") and about.text is not None
    assert (about.text.length, about.text.task, about.text.pairs) == (24, "entailment", True)
    assert about.text.inputs == ("input_ids", "attention_mask", "token_type_ids")
    held = json.loads((reading() / "result.json").read_text())
    assert (about.facts["score"], about.facts["top1"]) == (held["score"], held["top1"])
    assert "transformers" in about.facts and "timm" not in about.facts
    assert str(reading().parent) not in json.dumps(about.to_json()), "where it lay is nobody's business"


def test_every_code_of_the_runs_own_validation_texts_is_compared() -> None:
    proof = Proof.read(read_files() / "proof.json")
    assert [each.engine for each in proof.comparisons] == ["training", "exact", "integer", "onnxruntime"]
    assert proof.failure() is None and proof.seen == "validation texts of entailment" and proof.noun == "texts"
    assert [each.judged for each in proof.comparisons] == [20, 4, 20, 20] and not proof.numbers


def test_the_accuracy_is_that_of_the_evaluation(tmp_path: Path) -> None:
    words = f"export --json --samples 2 --length 32 --output {tmp_path}"
    held = json.loads(call(words, reading()).out)["proof"]["comparisons"]
    top1 = json.loads((reading() / "result.json").read_text())["top1"]
    shares = [100 * each["right"] / each["judged"] for each in held if each["judged"] == 24]
    assert shares == pytest.approx([top1, top1])


def test_the_length_is_that_of_the_training_if_nobody_says_another() -> None:
    found = material(opened(reading(), "best"), Export(target=reading(), samples=2, images=0), None)
    assert found.about.text is not None and found.about.text.length == 128
    assert all(each.shape == (2, 128) for each in found.given) and len(found.given) == 3
    assert len(found.notes) == 1 and " is faster" in found.notes[0]


def test_texts_that_are_cut_are_counted_and_positions_that_learned_nothing_are_said() -> None:
    asked, subject = Export(target=reading(), samples=2, images=24), opened(reading(), "best")
    (short,) = material(subject, asked, 10).notes
    assert " of 24 validation texts of entailment lose their end: the longest has " in short
    first = material(subject, asked, 200).notes[0]
    assert (
        first == "note: the run was trained on texts of up to 128 pieces: positions behind these have learned nothing"
    )


def test_noise_is_texts_of_chance_words_and_lengths() -> None:
    work, notes = work_of(opened(reading(), "best"), Export(target=reading(), noise=True, samples=9), said, 16)
    ids, mask, types = work.images
    assert ids.shape == (9, 16) and len(set(mask.sum(1).tolist())) > 3 and mask[0].all() and types.max() == 1
    assert (ids[mask == 0] == 0).all() and work.told.seen == "texts of chance words" and not notes


def test_a_run_that_answers_with_a_number_is_held_to_its_numbers() -> None:
    proof = Proof.read(number_file().with_suffix(".proof.json"))
    assert proof.numbers and proof.failure() is None and proof.seen == "dev texts of " + numbers().parent.name
    assert all(each.judged == 0 and each.same == each.images for each in proof.comparisons)
    about = open_engine(number_file()).about
    assert not about.classes and about.facts["columns"] == ["text"]
    said = works(f"export {FEW} --length 16 --output {number_file()}", numbers())
    assert "same number" in said and "top-1" not in said and "off by at most 1% of the largest" in said


def test_a_folder_for_a_hub_has_a_tokenizer_that_transformers_reads() -> None:
    from transformers import AutoTokenizer

    held = set(everything(read_files()))
    assert held == {
        *("config.json", "tokenizer.json", "tokenizer_config.json", "proof.json", "README.md"),
        *("packed.safetensors", "model.onnx"),
    }
    pair = ("no dogs run", "some poodles sprint outside")
    theirs = AutoTokenizer.from_pretrained(read_files())(
        *pair, padding="max_length", truncation=True, max_length=24, return_tensors="np"
    )
    engine, about = open_engine(read_files() / "model.onnx")
    assert about.text is not None
    ours = inputs_of(about.text, pieces_of(about.text, read_files()), *([text] for text in pair))
    for name, array in zip(about.text.inputs, ours, strict=True):
        assert np.array_equal(theirs[name], array)
    assert engine(*ours).shape == (1, 3)


def test_a_tokenizer_that_is_too_large_for_a_file_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "LONGEST", 100)
    words = f"export --noise --samples 2 --images 0 --length 16 --format folder --output {tmp_path}"
    said = works(words, reading())
    assert f"written: {tmp_path / 'tokenizer.json'}" in said and "keep the two together" in said
    assert (tmp_path / "tokenizer.json").read_bytes() == (reading() / "tokenizer.json").read_bytes()
    works(f"predict {tmp_path / 'packed.safetensors'}", "no dogs run", "some dogs run")
    about = open_engine(tmp_path / "packed.safetensors").about
    subject = opened(reading(), "best")
    assert not beside(subject, about, tmp_path), "it is there"
    (tmp_path / "tokenizer.json").write_text("{}")
    assert "is another tokenizer than that of this model" in beside(subject, about, tmp_path)[0]
    assert (tmp_path / "tokenizer.json").read_text() == "{}", "what is a person's own stays"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("READ --length 7", "a text has room for 8 pieces at least, got 7: --length 128"),
        ("READ --length 513", "the model has 512 positions, too few for texts of 513 pieces: --length 512 or less"),
        ("RUN --length 16", "--length is for texts, and run sees images: leave it out"),
        ("READ --data-dir .", "the sentences of entailment are generated, not read: leave out --data-dir"),
        ("READ --val-split test", "entailment has its own two splits, and none is called 'test'"),
        ("NUMBER --data-dir gone", "there is no folder gone"),
        (
            "READ/model.safetensors",
            "reads texts, and a model alone does not say which, nor in which pieces: give the run",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(
    words: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"READ": reading(), "RUN": run(), "NUMBER": numbers()}
    for name, place in places.items():
        words = words.replace(name, str(place), 1) if words.startswith(name) else words
    assert sentence in mistake(f"export {words}")
    assert not everything(tmp_path)


def test_texts_that_are_gone_are_replaced_by_others_or_by_noise(tmp_path: Path) -> None:
    shutil.copytree(numbers(), tmp_path / "number")
    recipe = json.loads((tmp_path / "number/recipe.json").read_text())
    recipe["data"]["data_dir"] = str(tmp_path / "gone")
    (tmp_path / "number/recipe.json").write_text(json.dumps(recipe))
    said = mistake(f"export {FEW}", tmp_path / "number")
    assert "there is no folder" in said and "or prove it on noise, --noise" in said
    works(f"export {FEW} --length 16 --data-dir {numbers().parent}", tmp_path / "number")
    works("export --noise --samples 2 --images 0 --length 16", tmp_path / "number")
