"""A run, a file or a name: each becomes a model in eval mode."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import stillbit
from stillbit.layers.walk import quantized
from stillbit.methods.target import asked_of, is_reader, latent, of_folder, open_target, with_data
from tests.cli.deployed_run import reading
from tests.methods.conftest import Ran

IMAGES = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def test_a_run_is_its_best_checkpoint_or_the_one_that_was_asked_for(low_bit_run: Ran) -> None:
    best = open_target(str(low_bit_run.folder))
    last = open_target(str(low_bit_run.folder), checkpoint="last")
    assert best.about.endswith("best.pt") and last.about.endswith("last.pt")
    assert best.recipe.method == "lsq" and best.recipe.data.dataset == "digits" and not best.model.training


def test_a_file_is_the_model_in_it(low_bit_run: Ran) -> None:
    found = open_target(str(low_bit_run.folder / "model.safetensors"))
    assert not found.model.training and found.recipe.method == "file"
    with torch.no_grad():
        assert torch.equal(found.model(IMAGES), open_target(str(low_bit_run.folder)).model(IMAGES))


def test_the_latent_weights_are_a_float_model_of_what_was_trained(low_bit_run: Ran) -> None:
    found = open_target(str(low_bit_run.folder))
    trained = dict(found.model.named_parameters())
    bare = latent(found)
    assert not list(quantized(bare.model)) and bare.about == f"the latent weights of {found.about}"
    assert all(torch.equal(value, trained[name]) for name, value in bare.model.named_parameters())


def test_a_float_model_has_no_latent_weights(float_run: Ran) -> None:
    with pytest.raises(ValueError, match="holds a float model"):
        latent(open_target(str(float_run.folder)))


def test_a_folder_that_was_saved_is_a_model_without_a_recipe(tmp_path: Path) -> None:
    model = open_target(str(reading())).model
    stillbit.save(model, tmp_path / "saved")
    found = open_target(str(tmp_path / "saved"))
    assert found.recipe.method == "file" and is_reader(found.model) and not found.model.training
    assert all(torch.equal(a, b) for a, b in zip(found.model.parameters(), model.parameters(), strict=True))
    asked = asked_of(found, str(tmp_path / "saved"), "entailment")
    assert asked.recipe.reads and asked.recipe.text.tokenizer == tmp_path / "saved" and asked.recipe.model.config


def test_a_folder_of_transformers_is_a_float_model(tmp_path: Path) -> None:
    model = latent(open_target(str(reading()))).model
    model.save_pretrained(tmp_path)
    found = of_folder(tmp_path)
    assert not list(quantized(found)) and not found.training
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), model.parameters(), strict=True))


def test_only_a_model_of_texts_without_a_run_is_asked(low_bit_run: Ran, tmp_path: Path) -> None:
    pictures = open_target(str(low_bit_run.folder))
    with pytest.raises(ValueError, match="--task is for models of texts, and it is none: leave it out"):
        asked_of(pictures, "it", "sst2")
    with pytest.raises(ValueError, match="it knows what it was trained on, entailment: leave out --task"):
        asked_of(open_target(str(reading())), "it", "sst2")
    bare = open_target(str(reading()))
    with pytest.raises(ValueError, match="which columns to classify, a run knows: give the run that it came from"):
        asked_of(bare._replace(recipe=pictures.recipe), "it", "classify")


def test_an_exported_folder_is_no_model_to_train(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "packed.safetensors").touch()
    with pytest.raises(ValueError, match=r"is deployed: stillbit verify .*packed\.safetensors judges it; or give the"):
        open_target(str(tmp_path))


def test_a_name_is_a_fresh_model() -> None:
    found = open_target("vit_pico_patch4_32", classes=7)
    assert found.model.num_classes == 7 and found.about == "random weights" and not found.model.training


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("none.pt", "there is no run and no file none.pt: give a run, a .safetensors file, or a model's name"),
        ("runs/none", "there is no run and no file runs/none"),
        ("none.safetensors", "there is no file none.safetensors"),
        ("vit_piko_patch4_32", "did you mean vit_pico_patch4_32"),
    ],
)
def test_what_is_nothing_gets_one_sentence(said: str, answer: str) -> None:
    with pytest.raises(ValueError) as caught:
        open_target(said)
    assert answer in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_that_is_no_run_or_has_no_checkpoint_gets_one_sentence(float_run: Ran, tmp_path: Path) -> None:
    def said(**options: Any) -> str:
        with pytest.raises(ValueError) as caught:
            open_target(str(tmp_path), **options)
        return str(caught.value)

    assert "is no run: it has no recipe.json" in said()
    shutil.copy(float_run.folder / "recipe.json", tmp_path)
    assert "has no best checkpoint: it stopped before its first one" in said()
    shutil.copy(float_run.folder / "last.pt", tmp_path)
    assert "has no best checkpoint: it has last" in said()


def test_data_that_was_said_replaces_that_of_the_recipe(float_run: Ran) -> None:
    recipe = with_data(float_run.recipe, data_dir=Path("x"), batch_size=None, workers=0)
    assert recipe.data.data_dir == Path("x") and recipe.data.batch_size == 256
    assert with_data(float_run.recipe) == float_run.recipe
