"""What a person points at: a run, a file, or a model's name. And the model behind it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from stillbit.data.text_settings import TaskSettings
from stillbit.deploy.file.packed import FORMAT
from stillbit.layers.walk import quantizers
from stillbit.methods import build
from stillbit.methods.recipe import ModelSettings, Recipe
from stillbit.methods.recipe_file import read
from stillbit.methods.result import trained
from stillbit.models import encoders
from stillbit.surgery.file import load
from stillbit.surgery.hf_folder import CONFIG
from stillbit.surgery.swap import dequantize


class Target(NamedTuple):
    """A model ready for use, and the recipe that it came from or that describes it."""

    model: Any
    recipe: Recipe
    about: str
    """Where the numbers are from."""


def open_target(said: str, *, checkpoint: str = "best", pretrained: bool = False, classes: int | None = None) -> Target:
    """The model that ``said`` points at, in eval mode."""
    path = Path(said)
    if path.is_dir() and not (path / "recipe.json").is_file() and (path / CONFIG).is_file():
        return Target(of_folder(path), Recipe(method="file"), str(path))
    if path.is_dir():
        recipe, held = of_run(path, checkpoint)
        return Target(trained(recipe, held), recipe, str(held))
    if path.suffix == ".safetensors" or path.is_file():
        return Target(_of_file(path), Recipe(method="file"), str(path))
    if path.suffix in (".pt", ".pth") or (len(path.parts) > 1 and ":" not in said):
        raise ValueError(f"there is no run and no file {said}: give a run, a .safetensors file, or a model's name")
    recipe = Recipe(method="fp", model=ModelSettings(model=said, pretrained=pretrained, num_classes=classes))
    return Target(build.float_model(recipe).eval(), recipe, "timm's weights" if pretrained else "random weights")


def _of_file(path: Path) -> Any:
    if path.suffix == ".pt" and (path.parent / "recipe.json").is_file():
        raise ValueError(f"{path} is a checkpoint: name its run, {path.parent} --checkpoint {path.stem}")
    try:
        return load(path).eval()
    except ValueError as error:
        if "no stillbit structure" not in str(error):
            raise
        if FORMAT.encode() in path.read_bytes()[:4096]:
            raise ValueError(f"{path} is deployed, and no model to look into: give the run it came from") from None
        raise ValueError(
            f"{path} holds float weights, and not what model they are of: give the run they came from"
        ) from None


def of_folder(path: Path) -> Any:
    """The model in a folder as transformers lays one out: quantized, if stillbit saved it, or float."""
    deployed = path / "packed.safetensors"
    if deployed.is_file():
        raise ValueError(f"{path} is deployed: stillbit verify {deployed} judges it; or give the run it came from")
    try:
        return load(path).eval()
    except ValueError as error:
        if "no stillbit structure" not in str(error) and "there is no file" not in str(error):
            raise
    return encoders.fetch(str(path), encoders.config_of(str(path))).eval()


def asked_of(target: Target, said: str, task: str) -> Target:
    """A model of texts that comes without a run, asked what ``task`` is about; its tokenizer lies in its folder."""
    path = Path(said)
    if target.recipe.reads:
        raise ValueError(f"{said} knows what it was trained on, {target.recipe.text.task}: leave out --task")
    if not is_reader(target.model):
        raise ValueError(f"--task is for models of texts, and {said} is none: leave it out")
    if task in ("classify", "regress"):
        raise ValueError(f"which columns to {task}, a run knows: give the run that {said} came from")
    config = encoders.config_of(str(path if path.is_dir() else path.parent))
    text = TaskSettings(task=task, tokenizer=path if path.is_dir() else path.parent)
    recipe = replace(target.recipe, text=text, model=replace(target.recipe.model, config=config))
    return target._replace(recipe=recipe)


def is_reader(model: Any) -> bool:
    """Whether a model takes in texts."""
    return getattr(model, "main_input_name", "") == "input_ids"


def of_run(folder: Path, checkpoint: str) -> tuple[Recipe, Path]:
    """The recipe of a run and one of its checkpoints; refused where it is no run, or has none."""
    if not (folder / "recipe.json").is_file():
        raise ValueError(f"{folder} is no run: it has no recipe.json; give the folder that stillbit train wrote to")
    recipe = read(folder)
    if recipe.reads:
        recipe = replace(recipe, text=replace(recipe.text, tokenizer=folder))
    path = folder / f"{checkpoint}.pt"
    if not path.is_file():
        there = sorted(p.stem for p in folder.glob("*.pt"))
        has = f"it has {', '.join(there)}" if there else "it stopped before its first one"
        raise ValueError(f"{folder} has no {checkpoint} checkpoint: {has}")
    return recipe, path


def latent(target: Target) -> Target:
    """The target's latent weights as a float model: what was trained, before it snaps to any grid."""
    if not any(True for _ in quantizers(target.model)):
        raise ValueError(f"{target.about} holds a float model, and has no weights but its own: leave out --latent")
    return target._replace(model=dequantize(target.model).eval(), about=f"the latent weights of {target.about}")


def with_data(recipe: Recipe, **said: Any) -> Recipe:
    """The recipe, with those choices of data that were said."""
    return replace(recipe, data=replace(recipe.data, **{k: v for k, v in said.items() if v is not None}))
