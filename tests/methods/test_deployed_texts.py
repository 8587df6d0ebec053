"""How a deployed file reads texts, and those that it is proven on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillbit.data.text_settings import TaskSettings
from stillbit.deploy.about import About, Reading
from stillbit.deploy.proof.noise import noise
from stillbit.methods.build import look_of
from stillbit.methods.deployed import about_of
from stillbit.methods.deployed_texts import (
    check_same_pieces,
    class_names,
    library_of_file,
    library_of_run,
    reading_for,
    trained_length,
    wanted_of,
)
from stillbit.methods.subject import open_subject, pictures
from tests.cli.deployed_run import numbers, reading


@pytest.fixture(scope="module")
def subject() -> Any:
    return open_subject(str(reading()), device="cpu")


@pytest.fixture(scope="module")
def own() -> Any:
    return open_subject(str(numbers()), device="cpu")


def test_a_file_reads_as_long_texts_as_the_training_or_as_it_is_told(subject: Any) -> None:
    recipe = subject.recipe
    assert reading_for(recipe).length == trained_length(recipe) == 128
    short = replace(recipe, text=replace(recipe.text, max_length=40))
    assert reading_for(short).length == 40 and reading_for(short, 16).length == 16
    with pytest.raises(ValueError, match="has 512 positions, too few for texts of 600 pieces: --length 512 or less"):
        reading_for(recipe, 600)


def test_it_knows_its_task_and_what_it_is_given(subject: Any, own: Any) -> None:
    said = reading_for(subject.recipe, 16)
    assert (said.task, said.pairs, said.inputs[-1], len(said.inputs)) == ("entailment", True, "token_type_ids", 3)
    assert said.config == subject.recipe.model.config, "by which bench builds the float model"
    alone = reading_for(own.recipe, 16)
    assert (alone.task, alone.pairs) == ("regress", False) and alone.tokenizer != said.tokenizer
    assert class_names(subject.recipe) == ("entailment", "neutral", "contradiction") and class_names(own.recipe) == ()


def test_the_inputs_are_those_of_the_evaluation_but_filled_up(subject: Any) -> None:
    held = library_of_run(subject.recipe, reading_for(subject.recipe, 32))
    (batch,) = pictures(subject, 24)
    ((given, labels),) = held.portions(24)
    assert labels is not None and labels.tolist() == batch.targets.tolist()
    for ours, theirs in zip(given, batch.inputs, strict=True):
        assert np.array_equal(ours[:, : theirs.shape[1]], theirs.numpy()) and not ours[:, theirs.shape[1] :].any()
    assert held.lengths(24).tolist() == batch.mask.sum(1).tolist()


def test_every_class_comes_as_often_as_another_and_no_text_twice(subject: Any) -> None:
    held = library_of_run(subject.recipe, reading_for(subject.recipe, 32))
    labels = [label for _, found in held.portions(9) for label in found.tolist()]
    assert [labels.count(each) for each in range(3)] == [3, 3, 3]
    assert sum(len(found) for _, found in held.portions(9999)) == 24 and held.words == "validation texts of entailment"


def test_what_has_a_number_has_no_class(own: Any) -> None:
    held = library_of_run(own.recipe, reading_for(own.recipe, 16))
    assert [labels for _, labels in held.portions(12)] == [None]
    assert held.words == f"dev texts of {numbers().parent.name}"


def test_what_a_program_will_take_in_is_known_before_there_is_one(subject: Any) -> None:
    wanted = wanted_of(subject.recipe, reading_for(subject.recipe, 16))
    assert wanted.limits["token_type_ids"] == 2 and wanted.limits["input_ids"] > 100
    assert [each.shape for each in wanted.taken(noise(wanted, 5))] == [(5, 16)] * 3


def test_a_file_finds_the_texts_of_its_run_again(subject: Any, own: Any) -> None:
    about = about_of(subject, text=reading_for(subject.recipe, 32))
    again, first = library_of_file(about, Path()), library_of_run(subject.recipe, reading_for(subject.recipe, 32))
    assert again.texts.first == first.texts.first and len(again.texts) == 24, "as many as its run was judged by"
    about = about_of(own, text=reading_for(own.recipe, 16))
    held = library_of_file(about, Path(), data_dir=numbers().parent, val_split="dev", dataset=None)
    assert held.texts.first == library_of_run(own.recipe, reading_for(own.recipe, 16)).texts.first


def test_a_file_that_does_not_say_its_task_is_one_sentence(own: Any) -> None:
    bare = Reading(length=8, inputs=("input_ids", "attention_mask"))
    for text in (bare, replace(bare, task="regress")):
        with pytest.raises(ValueError, match="does not say what it was trained to tell of texts: --against RUN"):
            library_of_file(About(text=text), Path())
    about = about_of(own, text=reading_for(own.recipe, 16))
    with pytest.raises(ValueError, match="what the file says of its texts is damaged: export it again"):
        library_of_file(replace(about, facts={"columns": 3}), Path())


def test_another_tokenizer_is_another_file(subject: Any, own: Any) -> None:
    check_same_pieces(subject.recipe, About(text=reading_for(subject.recipe, 16)), Path("a/file"))
    with pytest.raises(ValueError, match="a/file has another tokenizer than the run: export it again"):
        check_same_pieces(subject.recipe, About(text=reading_for(own.recipe, 16)), Path("a/file"))


def test_texts_are_not_looked_at(subject: Any) -> None:
    assert subject.recipe.text != TaskSettings()
    with pytest.raises(AssertionError):
        look_of(subject.recipe, subject.model)
    assert about_of(subject, text=reading_for(subject.recipe)).preprocess is None
