"""Teachers of texts by what a person calls them, and what cannot be one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import stillbit
from stillbit.data.text_generated import generate
from stillbit.data.text_tasks import find_task
from stillbit.data.wordpiece import Pieces, train_pieces
from stillbit.layers.walk import quantizers
from stillbit.methods.readers import open_reader
from stillbit.models import encoders
from tests.methods import readers, small
from tests.methods.conftest import Ran

TASK = find_task("entailment")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float model of a small task."""
    result, _ = small.run(readers.recipe("fp", tmp_path_factory.mktemp("reader")))
    return result.folder


@pytest.fixture(scope="module")
def pieces() -> Pieces:
    texts = generate("entailment", "train", 60)
    return train_pieces([*texts.first, *texts.second], 300)


def test_a_run_reads_with_its_own_tokenizer_as_long_as_it_was_trained(run: Path) -> None:
    reader = open_reader(str(run), TASK)
    assert reader.expert.name == "fp-bert_pico-entailment-seed42", "and not where it lies"
    assert reader.expert.reads is not None and reader.expert.reads.types
    assert reader.expert.reads.tokenizer == reader.pieces.fingerprint
    assert reader.max_length == 32 and reader.tables.outputs == 3
    assert not reader.expert.model.training
    held = load_file(run / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    assert torch.equal(reader.expert.model.bert.embeddings.word_embeddings.weight, held)


def test_a_folder_of_transformers_is_a_teacher_by_its_last_name(tmp_path: Path, pieces: Pieces) -> None:
    path = readers.folder(tmp_path / "my-bert", pieces, TASK.labels)
    reader = open_reader(str(path), TASK)
    assert reader.expert.name == "my-bert" and reader.max_length is None
    assert reader.pieces.fingerprint == pieces.fingerprint
    again = open_reader(str(path), TASK, numbers=False)
    weights = [r.expert.model.bert.embeddings.word_embeddings.weight for r in (reader, again)]
    assert weights[0].shape == weights[1].shape and not torch.equal(*weights)


def test_a_folder_that_stillbit_saved_is_a_quantized_teacher(tmp_path: Path, pieces: Pieces) -> None:
    """Its latent weights alone would be another teacher."""
    path = readers.folder(tmp_path / "bert", pieces, TASK.labels)
    model = open_reader(str(path), TASK).expert.model
    low = stillbit.quantize(model, "w4a32")
    stillbit.save(low.eval(), path)
    assert any(True for _ in quantizers(open_reader(str(path), TASK).expert.model))


def test_a_run_of_another_task_or_of_images_is_refused(run: Path, float_run: Ran) -> None:
    with pytest.raises(ValueError, match=r"was trained on entailment, and this is mnli: give a run of --task mnli"):
        open_reader(str(run), find_task("mnli"))
    with pytest.raises(ValueError, match=r"sees images, and entailment is about texts: give a run of --task entail"):
        open_reader(str(float_run.folder), TASK)


def test_a_name_of_ours_has_nothing_to_teach() -> None:
    with pytest.raises(ValueError, match="bert_pico has random weights and nothing to teach: train it, and give the"):
        open_reader("bert_pico", TASK)


def test_a_folder_for_other_classes_is_refused(tmp_path: Path, pieces: Pieces) -> None:
    two = readers.folder(tmp_path / "two", pieces, ("no", "yes"))
    with pytest.raises(ValueError, match=r"has 3 labels and the model answers with 2: the teacher has to be trained"):
        open_reader(str(two), TASK)
    assert TASK.labels is not None
    turned = readers.folder(tmp_path / "turned", pieces, TASK.labels[::-1])
    with pytest.raises(ValueError, match="the model counts the labels contradiction, neutral, entailment"):
        open_reader(str(turned), TASK)


def test_what_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no folder"):
        open_reader(str(tmp_path / "deep" / "down" / "gone"), TASK)
    (tmp_path / "file.safetensors").touch()
    with pytest.raises(ValueError, match="is a file, and a teacher of texts has a tokenizer too: give the folder"):
        open_reader(str(tmp_path / "file.safetensors"), TASK)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"has no config\.json"):
        open_reader(str(tmp_path / "empty"), TASK)


def test_a_name_that_nobody_knows_is_one_sentence_about_teachers(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> str:
        raise ValueError(f"cannot find the model {name}: give a folder of transformers, or one of bert_pico")

    monkeypatch.setattr(encoders, "config_of", unknown)
    with pytest.raises(ValueError, match="cannot find the teacher nobody: give a run of stillbit train, a folder"):
        open_reader("nobody", TASK)
