"""What a person points at, its float origin, and images for it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from stillbit.data.source import DamagedImage
from stillbit.data.text import TextBatch
from stillbit.layers.walk import quantized, weights
from stillbit.methods.subject import (
    Subject,
    float_of,
    is_quantized,
    lessons,
    need_folder,
    need_quantized,
    open_subject,
    pictures,
    reads,
    words_of,
)
from tests.methods import readers, small
from tests.methods.conftest import Ran

IMAGES = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def sentence(call: Callable[[], Any]) -> str:
    with pytest.raises(ValueError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_run_is_called_by_its_folder_and_its_records_lie_inside(low_bit_run: Ran) -> None:
    subject = open_subject(str(low_bit_run.folder), device="cpu")
    assert subject.name == "run" and subject.folder == low_bit_run.folder and not subject.model.training
    assert is_quantized(subject) and need_folder(subject, "a curve") == low_bit_run.folder
    need_quantized(subject, "a histogram")


def test_a_file_and_a_name_are_models_without_a_run(low_bit_run: Ran) -> None:
    file = open_subject(str(low_bit_run.folder / "model.safetensors"), device="cpu")
    name = open_subject("vit_pico_patch4_32", device="cpu")
    assert file.folder is None and file.name.endswith("model.safetensors") and is_quantized(file)
    assert name.name == "vit_pico_patch4_32" and not is_quantized(name)


def test_a_float_subject_comes_from_itself_and_is_not_lent_out(float_run: Ran) -> None:
    subject = open_subject(str(float_run.folder), device="cpu")
    origin = float_of(subject)
    assert origin.about == "the model itself" and origin.model is not subject.model
    with torch.no_grad():
        assert torch.equal(origin.model(IMAGES), subject.model(IMAGES))


def test_a_quantized_run_comes_from_the_float_weights_it_began_with(
    low_bit_run: Ran, float_run: Ran, tmp_path: Path
) -> None:
    subject, floats = (open_subject(str(ran.folder), device="cpu") for ran in (low_bit_run, float_run))
    with torch.no_grad():
        for begun in (float_run.folder, float_run.folder / "model.safetensors"):
            origin = float_of(_begun_with(subject, begun))
            assert origin.about == f"the float weights it began with, {begun}" and not any(quantized(origin.model))
            assert torch.equal(origin.model(IMAGES), floats.model(IMAGES))
    gone = float_of(_begun_with(subject, tmp_path / "gone"))
    assert gone.about == "its own latent weights, unquantized"


def _begun_with(subject: Subject, path: Path) -> Subject:
    return subject._replace(recipe=small.change(subject.recipe, model={"initial_checkpoint": path}))


def test_where_these_are_gone_or_knew_other_classes_it_comes_from_its_latents(low_bit_run: Ran, float_run: Ran) -> None:
    subject = open_subject(str(low_bit_run.folder), device="cpu")
    other = small.change(subject.recipe, model={"initial_checkpoint": float_run.folder, "num_classes": 7})
    for one in (subject, subject._replace(recipe=other)):
        origin = float_of(one)
        assert origin.about == "its own latent weights, unquantized" and not any(quantized(origin.model))
        for weight in weights(subject.model):
            assert torch.equal(origin.model.get_submodule(weight.name).weight, weight.parameter)
    assert is_quantized(subject)


def test_pictures_are_the_same_each_time_as_many_of_every_class_and_as_evaluation_sees_them(low_bit_run: Ran) -> None:
    subject = open_subject(str(low_bit_run.folder), device="cpu")
    first, again = (pictures(subject, 35, batch_size=size) for size in (10, 35))
    assert [len(batch.targets) for batch in first] == [10, 10, 10, 5] and len(again) == 1
    assert torch.equal(torch.cat([batch.images for batch in first]), again[0].images)
    often = Counter(again[0].targets.tolist())
    assert len(often) == 10 and max(often.values()) - min(often.values()) == 1
    assert again[0].images.shape[1:] == (1, 16, 16)
    assert sum(len(batch.targets) for batch in pictures(subject, 10_000)) == 450


def test_lessons_are_training_images_without_end_and_the_same_each_time(low_bit_run: Ran) -> None:
    subject = open_subject(str(low_bit_run.folder), device="cpu")
    first, again = (list(islice(lessons(subject, batch_size=500), 4)) for _ in range(2))
    assert all(torch.equal(a.images, b.images) for a, b in zip(first, again, strict=True))
    assert len({tuple(batch.indices[:9].tolist()) for batch in first}) == 4


def test_what_cannot_be_looked_at_gets_one_sentence(float_run: Ran, low_bit_run: Ran, tmp_path: Path) -> None:
    floats = open_subject(str(float_run.folder), device="cpu")
    named = open_subject("vit_pico_patch4_32", device="cpu")
    assert "a histogram needs a quantized model, and run is float: give" in sentence(
        lambda: need_quantized(floats, "a histogram")
    )
    assert "a curve needs a run, and vit_pico_patch4_32 is a model" in sentence(lambda: need_folder(named, "a curve"))
    assert "lies in a folder: name it with --data-dir FOLDER" in sentence(lambda: pictures(named, 4))
    assert "--images 256" in sentence(lambda: pictures(floats, 0))
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "is no run: it has no recipe.json" in sentence(lambda: open_subject(str(empty)))
    assert "there is no run and no file" in sentence(lambda: open_subject(str(tmp_path / "gone")))


def test_a_run_whose_data_is_gone_is_told_how_to_say_where_it_is(low_bit_run: Ran, tmp_path: Path) -> None:
    subject = open_subject(str(low_bit_run.folder), device="cpu")
    gone = subject._replace(recipe=small.change(subject.recipe, data={"dataset": "folder", "data_dir": tmp_path / "x"}))
    assert f"there is no folder {tmp_path / 'x'}: name the one with the images, --data-dir" in sentence(
        lambda: pictures(gone, 4)
    )


def test_broken_weights_are_named(low_bit_run: Ran, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(low_bit_run.folder, folder)
    held = torch.load(folder / "best.pt", weights_only=True)
    for state in (held["model"], held["ema"]):
        state["blocks.1.mlp.fc1.weight"][0, 0] = float("nan")
    torch.save(held, folder / "best.pt")
    assert sentence(lambda: open_subject(str(folder))).startswith(
        "the weights of broken are broken, blocks.1.mlp.fc1.weight holds NaN or infinity"
    )


def test_a_model_of_fewer_classes_than_the_data_has_is_refused(low_bit_run: Ran) -> None:
    subject = open_subject(str(low_bit_run.folder), device="cpu")
    subject.model.num_classes = 4
    said = sentence(lambda: pictures(subject, 4))
    assert "run tells 4 classes apart and the data has 10: give the data it was trained for" in said


def test_damaged_images_are_left_out_where_that_was_asked_for(
    low_bit_run: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stillbit.data.digits import Digits

    def damaged(self: Digits, index: int, epoch: int) -> Any:
        raise DamagedImage(self.name(index), "it is empty")

    monkeypatch.setattr(Digits, "image", damaged)
    subject = open_subject(str(low_bit_run.folder), device="cpu")
    assert "cannot be used: it is empty" in sentence(lambda: pictures(subject, 4))
    skipping = replace(subject.recipe, data=replace(subject.recipe.data, corrupt="skip"))
    assert "not one of 4 images could be read" in sentence(lambda: pictures(subject._replace(recipe=skipping), 4))


@pytest.fixture(scope="module")
def reading_run(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    recipe = readers.recipe("lsq", tmp_path_factory.mktemp("read"))
    return Ran(recipe, *small.run(recipe))


def test_texts_are_the_same_each_time_and_as_many_of_every_class(reading_run: Ran) -> None:
    subject = open_subject(str(reading_run.folder), device="cpu")
    one, other = (pictures(subject, 9, batch_size=4) for _ in range(2))
    assert reads(subject) and all(isinstance(batch, TextBatch) for batch in one)
    assert [len(batch.targets) for batch in one] == [4, 4, 1]
    for mine, theirs in zip(one, other, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine.inputs, theirs.inputs, strict=True))
    assert Counter(int(t) for batch in one for t in batch.targets) == {0: 3, 1: 3, 2: 3}
    words = [words_of(subject)(int(piece)) for piece in one[0].inputs[0][0]]
    assert words[0] == "[CLS]" and "[SEP]" in words


def test_texts_to_learn_from_come_without_end(reading_run: Ran) -> None:
    subject = open_subject(str(reading_run.folder), device="cpu")
    found = list(islice(lessons(subject, batch_size=32), 7))  # three batches an epoch
    again = list(islice(lessons(subject, batch_size=32), 7))
    assert all(torch.equal(a.inputs[0], b.inputs[0]) for a, b in zip(found, again, strict=True))
    assert not torch.equal(found[0].targets, found[3].targets)


def test_the_float_origin_of_a_model_of_texts_is_its_latent_weights(reading_run: Ran) -> None:
    subject = open_subject(str(reading_run.folder), device="cpu")
    origin, (batch,) = float_of(subject), pictures(subject, 4)
    assert "latent" in origin.about
    with torch.no_grad():
        assert origin.model(*batch.inputs).logits.shape == (4, 3)


def test_a_model_of_texts_without_a_run_has_no_texts(reading_run: Ran) -> None:
    subject = open_subject(str(reading_run.folder / "model.safetensors"), device="cpu")
    said = sentence(lambda: pictures(subject, 4))
    assert said.endswith(
        "reads texts, and a model alone does not say which, nor in which pieces: give the run it came from"
    )
    assert sentence(lambda: next(lessons(subject))) == said
