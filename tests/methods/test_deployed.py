"""What a deployed file has to know of its training, and the images that prove it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stillbit.data.look import Look
from stillbit.data.settings import DataSettings
from stillbit.deploy.about import About, Preprocess
from stillbit.methods.deployed import about_of, gallery, look_for
from stillbit.methods.subject import open_subject
from tests.cli.deployed_run import run

LOOK = Look((8, 8), 1, (0.5,), (0.5,))
DIGITS = DataSettings(dataset="digits")


def test_batches_have_every_class_as_often_as_each_other() -> None:
    batches = list(gallery(LOOK, DIGITS, 10, "it").batches(100))
    assert [len(batch.images) for batch in batches] == [64, 36]
    targets = [label for batch in batches for label in batch.targets.tolist()]
    assert {targets.count(label) for label in range(10)} == {10}


def test_portions_are_the_same_as_arrays() -> None:
    held = gallery(LOOK, DIGITS, 10, "it")
    for batch, (images, labels) in zip(held.batches(70), held.portions(70), strict=True):
        assert batch.images.numpy().tobytes() == images.tobytes() and batch.targets.tolist() == labels.tolist()


def test_the_data_is_called_by_its_name_and_not_by_its_place() -> None:
    assert gallery(LOOK, DIGITS, 10, "it").words == "validation images of digits"


def test_data_of_more_classes_than_the_model_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="it tells 4 classes apart and the data has 10: give the data it was trained"):
        gallery(LOOK, DIGITS, 4, "it")


def test_a_run_says_all_it_knows_and_a_file_what_it_can() -> None:
    about = about_of(open_subject(str(run()), device="cpu"), ("a",))
    assert (about.model, about.method, about.bits, about.classes) == ("vit_pico_patch4_32", "lsq", "w2a2", ("a",))
    assert about.facts.keys() >= {"stillbit", "torch", "timm", "run", "seed", "top1", "epochs", "parameters"}
    of_file = about_of(open_subject(str(run() / "model.safetensors"), device="cpu"))
    assert (of_file.model, of_file.method, of_file.bits) == ("vit_pico_patch4_32", "", "")
    assert of_file.preprocess == about.preprocess and "run" not in of_file.facts


def test_a_model_of_a_folder_is_called_by_its_name_and_not_by_its_place(tmp_path: Path) -> None:
    subject = open_subject(str(run()), device="cpu")
    for said, called in ((str(tmp_path / "own"), "own"), ("google/bert_tiny", "google/bert_tiny")):
        recipe = replace(subject.recipe, model=replace(subject.recipe.model, model=said))
        assert about_of(subject._replace(recipe=recipe)).model == called


def test_only_the_best_checkpoint_has_the_accuracy_of_the_run() -> None:
    assert "top1" not in about_of(open_subject(str(run()), checkpoint="last", device="cpu")).facts


def test_how_a_file_wants_its_images_is_a_look() -> None:
    wanted = Preprocess(size=(8, 9), mean=(0.5,), std=(0.25,), interpolation="bilinear", crop_pct=0.9)
    assert look_for(About(preprocess=wanted), "it") == Look((8, 9), 1, (0.5,), (0.25,), "bilinear", 0.9)
    with pytest.raises(ValueError, match="it does not say how it wants its pictures: export it again from its run"):
        look_for(replace(About(preprocess=wanted), preprocess=None), "it")
