"""Stored labels and teachers in a training on texts: taken, written down, refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from stillbit.data.settings import DataSettings
from stillbit.data.text_settings import TaskSettings
from stillbit.data.wordpiece import read_pieces
from stillbit.distill.settings import TeacherSettings, WriteSettings
from stillbit.distill.store import Store
from stillbit.distill.tasks import FromStore, FromTeacher
from stillbit.methods import build
from stillbit.methods.dry_run import dry_run
from stillbit.methods.labels import Asked, write
from stillbit.methods.lesson import check_lesson, open_lesson, task_of
from stillbit.methods.recipe import Recipe
from stillbit.train.distributed import Share
from tests.distill.stores import small as small_store
from tests.methods import readers, small

ALONE = Share(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher."""
    return small.run(readers.recipe("fp", tmp_path_factory.mktemp("teacher")))[0].folder


@pytest.fixture(scope="module")
def store(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its labels."""
    folder = tmp_path_factory.mktemp("labels") / "store"
    text = TaskSettings(task="entailment", examples=96)
    said = TeacherSettings(teacher=(str(run),))
    write(Asked(teachers=said, data=DataSettings(), write=WriteSettings(output=folder), text=text), lambda _: None)
    return folder


def learning(root: Path, labels: Path, **settings: Any) -> Recipe:
    return readers.recipe("fp", root, **{"distill": {"labels": labels}, **settings})


def refused(recipe: Recipe, root: Path) -> str:
    with pytest.raises(ValueError) as caught:
        small.run(recipe)
    assert not (root / "run").exists()
    said = str(caught.value)
    assert "\n" not in said and len(said) < 400
    return said


def test_a_training_learns_from_the_store_and_writes_down_which_it_was(store: Path, tmp_path: Path) -> None:
    result, said = small.run(learning(tmp_path, store))
    assert f"labels of 96 texts by fp-bert_pico-entailment-seed42, in {store}" in said
    held = json.loads((result.folder / "environment.json").read_text())["taught_by"]
    assert held["identity"] == Store(store).manifest.identity
    assert held["teachers"] == ["fp-bert_pico-entailment-seed42"]


def test_what_is_learned_are_the_answers_of_the_store(store: Path, tmp_path: Path) -> None:
    recipe = learning(tmp_path, store)
    data = build.open_data(recipe)
    recipe = build.resolved(recipe, data)
    lesson = open_lesson(recipe)
    model = build.bare_model(recipe)
    task = task_of(recipe, lesson, model, None, ALONE)
    assert isinstance(task, FromStore)
    loader, exam = build.loaders(recipe, data, None, ALONE, lesson.store)
    batch = next(iter(loader.epoch(0)))
    for row, number in enumerate(batch.indices.tolist()):
        (record,) = Store(store).records(number)
        assert batch.probabilities[row].tolist() == record["probabilities"].tolist()
        assert batch.classes[row].tolist() == record["classes"].tolist()
    judged = next(iter(next(iter(exam.loaders.values())).epoch(0)))
    assert judged.probabilities is None, "what it is judged by is the truth"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"text": {"examples": 95}}, "has labels for other texts: 96 and not 95"),
        ({"text": {"text_seed": 1}}, "but changed or in another order; give the texts it was made from"),
        ({"text": {"max_length": 64}}, "at most 32 pieces a sequence, and this reads 64: --max-length 32"),
        ({"text": {"vocabulary": 150}}, "of texts cut by another tokenizer: give the one of the teacher"),
        ({"text": {"task": "paraphrase"}}, "has labels for the task entailment, and this is paraphrase"),
        ({"loss": {"smoothing": 0.1}}, "--smoothing is for true labels, and stored ones are learned as they are"),
    ],
)
def test_what_does_not_belong_to_the_store_is_one_sentence(
    changed: dict[str, Any], said: str, store: Path, tmp_path: Path
) -> None:
    assert said in refused(learning(tmp_path, store, **changed), tmp_path)


def test_crops_mean_nothing_for_texts(store: Path, tmp_path: Path) -> None:
    recipe = learning(tmp_path, store, distill={"labels": store, "crops": 2})
    assert "--crops is about images, and --task entailment is about texts" in refused(recipe, tmp_path)


def test_a_store_of_images_is_refused_for_texts_and_one_of_texts_for_images(store: Path, tmp_path: Path) -> None:
    images = small_store(tmp_path / "images")
    assert "has labels for images, and this is about texts" in refused(learning(tmp_path, images), tmp_path)
    recipe = small.recipe("fp", tmp_path, distill={"labels": store})
    assert "has labels for text, and this trains on images" in refused(
        small.change(recipe, augment={"scale": (0.08, 1.0), "hflip": 0.5}), tmp_path
    )


def test_a_damaged_store_is_refused_before_the_training_begins(store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in store.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    shard = copy / "shard-00000.npy"
    held = bytearray(shard.read_bytes())
    held[-1] ^= 1
    shard.write_bytes(bytes(held))
    assert "is damaged: its checksum is another" in refused(learning(tmp_path, copy), tmp_path)


def test_a_dry_run_says_who_teaches_and_finds_what_does_not_match(store: Path, tmp_path: Path) -> None:
    file = io.StringIO()
    Console(file=file, width=200).print(dry_run(learning(tmp_path, store)))
    assert "labels of 96 texts by fp-bert_pico-entailment-seed42" in file.getvalue()
    with pytest.raises(ValueError, match="has labels for other texts"):
        dry_run(learning(tmp_path, store, text={"text_seed": 3}))


def test_numbers_are_learned_from_a_teacher_and_not_from_a_store(store: Path, tmp_path: Path) -> None:
    lines = "".join(f"a dog {n}\ta cat\t{n / 2}\n" for n in range(8))
    for split in ("train", "dev"):
        (tmp_path / f"{split}.tsv").write_text(f"sentence1\tsentence2\tscore\n{lines}", encoding="utf-8")
    changed = {"text": {"task": "stsb", "examples": 20_000, "val_examples": 2_000}, "data": {"data_dir": tmp_path}}
    said = refused(learning(tmp_path, store, **changed), tmp_path)
    assert "stsb has a number for each example and no classes, and a store keeps probabilities" in said


# ------------------------------------------------------------------------------- a teacher that is asked at every step


def test_a_teacher_that_reads_the_same_pieces_is_asked_about_them(run: Path, tmp_path: Path) -> None:
    recipe = readers.recipe("fp", tmp_path, distill={"teacher": str(run)})
    data = build.open_data(recipe)
    recipe = build.resolved(recipe, data)
    lesson = open_lesson(recipe)
    check_lesson(recipe, lesson, data)
    model = build.bare_model(recipe)
    task = task_of(recipe, lesson, model, None, ALONE)
    assert isinstance(task, FromTeacher)
    batch = next(iter(build.loaders(recipe, data, None, ALONE)[0].epoch(0)))
    with torch.no_grad():
        assert torch.equal(task.ask(*batch.inputs), lesson.teacher.model(*batch.inputs).logits)
    result, _ = small.run(recipe)
    assert result.model is not None


def test_a_teacher_with_another_tokenizer_is_refused_with_the_way_out(run: Path, tmp_path: Path) -> None:
    recipe = readers.recipe("fp", tmp_path, distill={"teacher": str(run)}, text={"vocabulary": 150})
    said = refused(recipe, tmp_path)
    assert "was trained with another tokenizer" in said and f"--tokenizer {run}" in said
    assert small.run(small.change(recipe, text={"tokenizer": run}))[0].model is not None


def test_a_teacher_that_is_told_what_the_student_is_not_is_refused(run: Path, tmp_path: Path) -> None:
    from transformers import DistilBertConfig

    pieces = read_pieces(run)
    config = DistilBertConfig(vocab_size=pieces.rows, dim=64, n_layers=1, n_heads=2, hidden_dim=64, pad_token_id=0)
    held = json.dumps({**config.to_diff_dict(), "model_type": config.model_type})
    path = readers.folder(tmp_path / "distil", pieces, ("entailment", "neutral", "contradiction"), held)
    recipe = readers.recipe("fp", tmp_path, distill={"teacher": str(path)})
    assert "the student is told which of two texts a piece is of and the teacher is not" in refused(recipe, tmp_path)


def test_a_teacher_of_texts_is_refused_for_images(run: Path, tmp_path: Path) -> None:
    recipe = small.recipe("fp", tmp_path, distill={"teacher": str(run)})
    assert "reads texts, and this trains on images: --task entailment" in refused(recipe, tmp_path)


def test_weights_in_a_folder_teach_by_themselves_and_with_their_own_activation(run: Path, tmp_path: Path) -> None:
    held = readers.folder(tmp_path / "model", read_pieces(run), ("entailment", "neutral", "contradiction"))
    asked = readers.recipe("lsq", tmp_path, model={"model": str(held), "relu": True}, distill={"teacher": "self"})
    recipe = build.resolved(asked, build.open_data(asked))
    student, expert = build.float_model(recipe), open_lesson(recipe).teacher
    assert expert is not None and expert.model.config.hidden_act == "gelu" and student.config.hidden_act == "relu"
    for name, value in student.state_dict().items():
        assert torch.equal(value, expert.model.state_dict()[name]), name
