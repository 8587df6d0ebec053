"""Every method trains on texts: what a run of them leaves, how it goes on, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForSequenceClassification

import stillbit
from stillbit.data.loaders import Place
from stillbit.data.text import TextBatch
from stillbit.data.wordpiece import train_pieces, write_pieces
from stillbit.methods import build, texts
from stillbit.methods.judge import judge
from stillbit.methods.target import open_target
from stillbit.train.distributed import Share
from tests.methods import reading, small
from tests.methods.test_perform import stopping

ALONE = Share(rank=0, world=1, device=torch.device("cpu"))


def result(folder: Path) -> Any:
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float run."""
    root = tmp_path_factory.mktemp("float")
    small.run(reading.recipe("fp", root))
    return root / "run"


def test_a_float_run_is_a_folder_that_transformers_reads(parent: Path) -> None:
    found, held = open_target(str(parent)), AutoModelForSequenceClassification.from_pretrained(parent)
    said = AutoTokenizer.from_pretrained(parent)("every dog sees a cat", "a dog sees a cat", return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(found.model(**said).logits, held.eval()(**said).logits)
    assert held.config.id2label == {0: "entailment", 1: "neutral", 2: "contradiction"}


def test_a_run_is_judged_by_the_score_of_its_task(parent: Path) -> None:
    held = result(parent)
    assert {"score", "top1", "epoch"} <= set(held) and held["score"] == held["top1"], "entailment has accuracy alone"
    scores, left_out = judge(open_target(str(parent)))
    assert scores["score"] == held["score"] and scores["images"] == 60 and left_out == {}


METHODS = {
    "lsq": {"granularity": "head", "gradscale": "by_magnitude"},
    "lsq_plus": {},
    "statsq": {},
    "pact": {},
    "dorefa": {},
}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_begins_with_the_float_run_and_ends(method: str, parent: Path, tmp_path: Path) -> None:
    begun = reading.recipe(method, tmp_path, model={"initial_checkpoint": parent}, quant=METHODS[method])
    _, said = small.run(begun)
    assert "180 + 60 examples of entailment, 3 classes" in said and "text/s" in said
    run = tmp_path / "run"
    assert (
        texts.pieces_of(open_target(str(run)).recipe).fingerprint
        == texts.pieces_of(open_target(str(parent)).recipe).fingerprint
    ), "weights keep the pieces that they were trained for"
    model = stillbit.load(run).eval()
    (batch,) = next(iter(inputs(begun, run, 8)))
    with torch.no_grad():
        assert torch.equal(model(*batch.inputs).logits, open_target(str(run)).model(*batch.inputs).logits)


def inputs(recipe: Any, run: Path, count: int) -> list[tuple[TextBatch]]:
    held = open_target(str(run)).recipe
    exam = texts.open_exam(small.change(held, data={"batch_size": count}), Place())
    return [(batch,) for loader in exam.loaders.values() for batch in loader.epoch(0)]


def test_probabilities_are_not_shifted_where_padding_has_to_be_zero(parent: Path, tmp_path: Path) -> None:
    begun = reading.recipe("lsq_plus", tmp_path, model={"initial_checkpoint": parent})
    model = build.bare_model(build.resolved(begun, build.open_data(begun)), numbers=False)
    attention = model.bert.encoder.layer[0].attention.self
    assert not hasattr(attention.probability_quantizer, "shift") and hasattr(attention.query_quantizer, "shift")


@pytest.mark.parametrize("method", ["vvtq", "still", "ofq", "gplq"])
def test_methods_with_a_teacher_ask_it_about_texts(method: str, parent: Path, tmp_path: Path) -> None:
    words: dict[str, Any] = {
        "model": {"initial_checkpoint": parent},
        "distill": {"teacher": "self", "taught": True},
        "schedule": {"epochs": 1},
    }
    if method == "ofq":
        words |= {"quant": {"merge_qk": False, "activation_granularity": "tensor"}}
        words |= {"dynamics": {"anneal": replace(reading.recipe("ofq", tmp_path).dynamics.anneal, anneal_epochs=0)}}
    _, said = small.run(reading.recipe(method, tmp_path, **words))
    assert "taught by self" in said and "teacher" in said.splitlines()[-2]


def test_a_run_that_stops_goes_on_as_if_nothing_had_happened(parent: Path, tmp_path: Path) -> None:
    words = {"model": {"initial_checkpoint": parent}, "text": {"bucket": 2}}
    whole = reading.recipe("lsq", tmp_path / "a", **words)
    small.run(whole)
    first = small.change(whole, output={"output": tmp_path / "b", "resume": "auto"})
    with pytest.MonkeyPatch.context() as patched:
        stopping(7, patched)
        stopped, _ = small.run(first)
    assert stopped.model is None
    small.run(first)
    ends = [open_target(str(tmp_path / name / "run"), checkpoint="last").model.state_dict() for name in "ab"]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_mnli_is_judged_on_two_splits(tmp_path: Path) -> None:
    folder = reading.files("mnli", tmp_path / "MNLI")
    task = {"task": "mnli", "examples": 20_000, "val_examples": 2_000}
    _, said = small.run(reading.recipe("fp", tmp_path, text=task, data={"data_dir": folder, "batch_size": 16}))
    assert "40 + 80 examples of mnli" in said
    row = dict(
        zip(
            *(line.split(",") for line in (tmp_path / "run" / "summary.csv").read_text().splitlines()[::2]), strict=True
        )
    )
    assert (float(row["accuracy_matched"]) + float(row["accuracy_mismatched"])) / 2 == pytest.approx(
        float(row["score"])
    )


def test_a_number_is_learned_too(tmp_path: Path) -> None:
    folder = reading.files("stsb", tmp_path / "STS-B")
    task = {"task": "stsb", "examples": 20_000, "val_examples": 2_000}
    words = {"text": task, "data": {"data_dir": folder, "batch_size": 16}}
    small.run(reading.recipe("fp", tmp_path / "a", **words))
    begun = {"model": {"initial_checkpoint": tmp_path / "a" / "run"}, "distill": {"teacher": "self"}}
    _, said = small.run(reading.recipe("lsq", tmp_path, **words, **begun))
    assert "numbers to find" in said and "top1" not in said
    assert "top1" not in result(tmp_path / "run") and "score" in result(tmp_path / "run")


def test_a_folder_of_transformers_gives_its_weights_and_its_pieces(tmp_path: Path) -> None:
    home = tmp_path / "theirs"
    pieces = train_pieces([" ".join(reading.WORDS)], size=60)
    write_pieces(pieces, home, longest=24)
    config = BertConfig(
        vocab_size=60,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=24,
        pad_token_id=0,
    )
    theirs = BertForSequenceClassification(config)
    theirs.save_pretrained(home)
    task = {"task": "sst2", "examples": 20_000, "val_examples": 2_000, "vocabulary": 1000}
    words: dict[str, Any] = {"data": {"data_dir": reading.files("sst2", tmp_path / "SST-2"), "batch_size": 16}}
    words |= {"text": task, "model": {"model": str(home)}}
    recipe = reading.recipe("fp", tmp_path, **words)
    data = build.open_data(recipe)
    assert isinstance(data, texts.TextData)
    assert data.pieces.fingerprint == pieces.fingerprint
    model = build.float_model(build.resolved(recipe, data))
    table = model.bert.embeddings.word_embeddings.weight
    assert torch.equal(table, theirs.bert.embeddings.word_embeddings.weight)
    small.run(recipe)
    assert open_target(str(tmp_path / "run")).recipe.text.tokenizer == tmp_path / "run"
    other = replace(recipe.text, tokenizer=_other(tmp_path / "other", 90))
    with pytest.raises(ValueError, match="the tokenizer has 90 pieces and the model embeddings for 60"):
        build.open_data(replace(recipe, text=other))


def _other(folder: Path, size: int) -> Path:
    pieces = train_pieces([f"{a}{b}" for a in reading.WORDS for b in reading.WORDS], size=size)
    write_pieces(pieces, folder, longest=24)
    return folder


def test_the_first_examples_give_start_values_and_padding_is_known_to_be_none(tmp_path: Path) -> None:
    recipe = reading.recipe("lsq", tmp_path)
    data = build.open_data(recipe)
    assert isinstance(data, texts.TextData)
    seen = list(texts.first_inputs(recipe, data, ALONE, 70))
    assert [len(each["input_ids"]) for each in seen] == [64, 6]
    assert set(seen[0]) == {"input_ids", "attention_mask", "token_type_ids"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"model": {"img_size": 32}}, "--img-size is for images, and --task entailment is about texts: leave it out"),
        ({"model": {"drop_path": 0.1}}, "--drop-path is for images"),
        ({"loss": {"mixup": 0.2}}, "--mixup is for images"),
        ({"augment": {"hflip": 0.1}}, "--no-aug, --scale and their like is for images"),
        ({"model": {"num_classes": 7}}, "the task entailment has 3 outputs, got 7: leave out --num-classes"),
        ({"text": {"max_length": 600}}, "512 positions, too few for sequences of 600: --max-length 512 or less"),
        ({"text": {"vocabulary": 20}}, "need .* pieces: --vocabulary "),
        ({"text": {"task": "mnl"}}, "unknown task 'mnl': did you mean mnli"),
        ({"text": {"task": ""}}, "--examples is about texts: say which ones, --task NAME, or leave it out"),
        ({"model": {"model": "bert-pico"}}, "there is no model 'bert-pico': did you mean bert_pico"),
    ],
)
def test_what_cannot_be_is_one_sentence(words: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=sentence):
        build.open_data(reading.recipe("fp", tmp_path, **words))
    assert not any(tmp_path.iterdir())


def test_a_line_that_is_no_text_is_named_by_its_number(tmp_path: Path) -> None:
    folder = reading.files("sst2", tmp_path / "SST-2")
    with (folder / "train.tsv").open("ab") as file:
        file.write(b"caf\xe9\t1\n")
    task = {"task": "sst2", "examples": 20_000, "val_examples": 2_000}
    recipe = reading.recipe("fp", tmp_path, text=task, data={"data_dir": folder})
    with pytest.raises(ValueError, match=r"line 42.*UTF-8.*--corrupt skip"):
        build.open_data(recipe)
    skipped = build.open_data(small.change(recipe, data={"corrupt": "skip"}))
    assert len(skipped.train) == 40
