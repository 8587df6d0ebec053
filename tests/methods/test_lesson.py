"""Labels and teachers in a run: taken, followed, written down, refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from stillbit.data.digits import Digits
from stillbit.data.look import Look
from stillbit.distill.store import Store
from stillbit.distill.tasks import FromStore, FromTeacher
from stillbit.distill.weights_hash import weights_hash
from stillbit.methods import build, lesson
from stillbit.methods.lesson import followed, open_lesson
from stillbit.methods.recipe import Recipe
from stillbit.models import names
from stillbit.train import checkpoint
from stillbit.train.distributed import Share
from stillbit.train.task import Classify
from tests.distill.lessons import Network, written
from tests.methods import small
from tests.methods.conftest import Ran
from tests.methods.test_perform import files, stopping

ALONE = Share(0, 1, torch.device("cpu"))
LOOK = Look((8, 8), 1, (0.5,), (0.5,))
CROPS = {"scale": (0.6, 1.0), "ratio": (0.8, 1.25), "hflip": 0.0, "vflip": 0.1, "interpolation": "bilinear"}


def write(folder: Path, seed: int = 1, **settings: Any) -> Store:
    """Labels of all training digits."""
    return written(folder, Digits("train"), Network(10, seed, LOOK), LOOK, **({"crops": 4} | CROPS | settings))


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write(tmp_path_factory.mktemp("labels") / "store")


def stored(root: Path, store: Store, method: str = "fp", **settings: Any) -> Recipe:
    """A recipe that learns from a store, and leaves all crops to it."""
    recipe = small.recipe(method, root, distill={"labels": store.folder, "crops": 2})
    return small.change(replace(recipe, augment=type(recipe.augment)()), **settings)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


# -------------------------------------------------------------------------------------------------------- from a store


@pytest.fixture(scope="module")
def run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    recipe = stored(tmp_path_factory.mktemp("run"), store, "lsq")
    return Ran(recipe, *small.run(recipe))


def test_a_run_learns_from_stored_labels_and_says_whose_they_are(run: Ran, store: Store) -> None:
    held = {name: json.loads(text) for name, text in files(run.folder).items() if name.endswith(".json")}
    first, *_, last = [row["loss"] for row in rows(run.folder) if row["kind"] == "step"]
    assert last < first
    assert "labels of 4 views an image by a teacher, in" in run.said
    identity = store.manifest.identity
    said = {"labels": str(store.folder), "teachers": ["a teacher"], "identity": identity}
    assert held["environment.json"]["taught_by"] == held["result.json"]["taught_by"] == said
    assert held["recipe.json"]["taught_by"] == identity


def test_crops_are_those_of_the_store_in_the_record_of_the_run_too(run: Ran) -> None:
    augment = json.loads(files(run.folder)["recipe.json"])["augment"]
    assert {name: augment[name] for name in ("scale", "ratio", "hflip", "vflip")} == {
        name: list(v) if isinstance(v, tuple) else v for name, v in CROPS.items() if name != "interpolation"
    }
    assert augment["train_interpolation"] == "bilinear" and augment["interpolation"] is None


@pytest.mark.parametrize("step", [3, 6])
def test_a_run_that_is_stopped_in_a_pass_and_goes_on_is_the_run_that_was_not(
    step: int, run: Ran, tmp_path: Path
) -> None:
    recipe = small.change(run.recipe, output={"output": tmp_path})
    with pytest.MonkeyPatch.context() as patched:
        stopping(step, patched)
        small.run(recipe)
    result, _ = small.run(small.change(recipe, output={"resume": "auto"}))
    one, other = (checkpoint.read(folder / "last.pt") for folder in (result.folder, run.folder))
    assert one["position"] == other["position"] and one["position"]["step"] == 10
    assert all(torch.equal(v, other["model"][k]) for k, v in one["model"].items())
    assert files(result.folder)["model.safetensors"] == files(run.folder)["model.safetensors"]


def test_parts_of_a_step_and_another_place_of_the_store_change_nothing_that_counts(
    store: Store, tmp_path: Path
) -> None:
    recipe = stored(tmp_path / "whole", store, model={"drop_path": 0.0})
    whole, _ = small.run(recipe)
    (tmp_path / "elsewhere").symlink_to(store.folder)
    parts = small.change(recipe, output={"output": tmp_path / "parts"})
    with pytest.MonkeyPatch.context() as patched:
        stopping(4, patched)
        small.run(parts)
    parts = small.change(
        parts,
        data={"batch_size": 64},
        machine={"grad_accum_steps": 4},
        output={"resume": "auto"},
        distill={"labels": tmp_path / "elsewhere"},
    )
    result, _ = small.run(parts)
    losses = [[row["loss"] for row in rows(r.folder) if row["kind"] == "step"] for r in (result, whole)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4), "the same views, but for the last bits of their sums"


# ------------------------------------------------------------------------------------------------------ from a teacher


@pytest.mark.parametrize(
    "settings", [{}, {"distillation": "hard"}, {"temperature": 3.0, "teacher_share": 0.9}], ids=str
)
def test_a_run_learns_from_a_teacher_that_is_asked(settings: dict[str, Any], float_run: Ran, tmp_path: Path) -> None:
    recipe = small.recipe("lsq", tmp_path, distill={"teacher": str(float_run.folder), **settings})
    result, said = small.run(recipe)
    first, *_, last = [row for row in rows(result.folder) if row["kind"] == "step"]
    assert last["teacher"] < first["teacher"] and "labels" in last and "loss" not in last
    assert f"taught by {float_run.folder}" in said and "labels " in said
    model = small_model(float_run)
    held = json.loads(files(result.folder)["result.json"])["taught_by"]
    assert held == {"teacher": str(float_run.folder), "sha256": weights_hash(model)}
    assert json.loads(files(result.folder)["recipe.json"])["taught_by"] == held["sha256"]


def small_model(ran: Ran) -> Any:
    model = build.bare_model(build.resolved(ran.recipe, build.open_data(ran.recipe)), numbers=False)
    model.load_state_dict(checkpoint.read(ran.folder / "best.pt")["model"])
    return model


def test_with_a_teacher_a_run_that_is_stopped_and_goes_on_is_the_run_that_was_not(
    float_run: Ran, tmp_path: Path
) -> None:
    settings = {"loss": {"mixup": 0.5}, "distill": {"teacher": str(float_run.folder)}}
    whole, _ = small.run(small.recipe("fp", tmp_path / "whole", **settings))
    recipe = small.recipe("fp", tmp_path / "parts", **settings)
    with pytest.MonkeyPatch.context() as patched:
        stopping(7, patched)
        small.run(recipe)
    result, _ = small.run(small.change(recipe, output={"resume": "auto"}))
    assert files(result.folder)["model.safetensors"] == files(whole.folder)["model.safetensors"]


def test_a_two_headed_student_is_trained_with_both_and_judged_by_their_mean(float_run: Ran, tmp_path: Path) -> None:
    model = {"model": "deit_tiny_distilled_patch16_224", "drop_path": 0.0}
    recipe = small.recipe(
        "fp",
        tmp_path,
        model=model,
        schedule={"epochs": 1},
        data={"batch_size": 600},
        distill={"teacher": str(float_run.folder)},
    )
    result, _ = small.run(recipe)
    before = names.create("deit_tiny_distilled_patch16_224", num_classes=10, img_size=16, in_chans=1)
    after = checkpoint.read(result.folder / "last.pt")["model"]
    assert result.best["top1"] > 0 and before.state_dict().keys() == after.keys()
    assert not torch.equal(after["head.bias"], after["head_dist.bias"]), "each learned something else"


def test_tasks_are_what_the_recipe_asks_for(store: Store, float_run: Ran, tmp_path: Path) -> None:
    plain = small.recipe("fp", tmp_path, model={"num_classes": 10})
    student = build.float_model(plain)
    look = build.look_of(plain, student)
    asked = small.change(plain, distill={"teacher": str(float_run.folder)})
    for recipe, kind in ((plain, Classify), (stored(tmp_path, store), FromStore), (asked, FromTeacher)):
        task = lesson.task_of(recipe, open_lesson(recipe), student, look, ALONE)
        assert type(task) is kind


def test_the_float_model_teaches_with_its_own_activation_whatever_the_student_has(
    float_run: Ran, tmp_path: Path
) -> None:
    begun = {"relu": True, "initial_checkpoint": float_run.folder, "num_classes": 10}
    recipe = small.recipe("lsq", tmp_path, model=begun, distill={"teacher": "self"})
    expert = open_lesson(recipe).teacher
    assert expert is not None and type(expert.model.blocks[0].mlp.act).__name__ == "GELU"
    assert type(build.float_model(recipe).blocks[0].mlp.act).__name__ == "ReLU"


def test_a_float_model_that_was_trained_with_relu_teaches_with_it(tmp_path: Path) -> None:
    recipe = small.recipe("fp", tmp_path, model={"relu": True}, schedule={"epochs": 1})
    begun = {"relu": True, "initial_checkpoint": small.run(recipe)[0].folder, "num_classes": 10}
    expert = open_lesson(small.recipe("lsq", tmp_path, model=begun, distill={"teacher": "self"})).teacher
    assert expert is not None and type(expert.model.blocks[0].mlp.act).__name__ == "ReLU"


# -------------------------------------------------------------------------------------------------------- what follows


def test_without_a_lesson_nothing_follows(tmp_path: Path) -> None:
    recipe = small.recipe("fp", tmp_path)
    found = open_lesson(recipe)
    assert followed(recipe, found) == recipe and found.describe() is None and found.words == ""


@pytest.mark.parametrize("name", ["scale", "ratio", "hflip", "vflip", "train_interpolation"])
def test_crops_may_be_said_again_and_not_otherwise(name: str, store: Store, tmp_path: Path) -> None:
    there = CROPS["interpolation" if name == "train_interpolation" else name]
    plain, found = stored(tmp_path, store), open_lesson(stored(tmp_path, store))
    same = small.change(plain, augment={name: there})
    assert followed(same, found) == followed(plain, found)
    other = {"scale": (0.5, 1.0), "ratio": (1.0, 1.0), "hflip": 0.25, "vflip": 0.9, "train_interpolation": "nearest"}
    with pytest.raises(ValueError) as caught:
        followed(small.change(plain, augment={name: other[name]}), found)
    flag = f"--{name.replace('_', '-')}"
    assert f"are of crops with {flag} " in str(caught.value) and str(caught.value).endswith(f"leave out {flag}")


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"augment": {"aa": "rand-m9"}}, "--aa"),
        ({"augment": {"color_jitter": 0.4}}, "--color-jitter"),
        ({"augment": {"reprob": 0.25}}, "--reprob"),
        ({"augment": {"no_aug": True}}, "--no-aug"),
        ({"loss": {"mixup": 0.8}}, "--mixup"),
        ({"loss": {"cutmix": 1.0}}, "--cutmix"),
        ({"loss": {"smoothing": 0.1}}, "--smoothing"),
    ],
)
def test_what_the_teacher_did_not_see_is_refused_with_stored_labels(
    settings: dict[str, Any], flag: str, store: Store, tmp_path: Path
) -> None:
    refused(stored(tmp_path, store, **settings), f"the teacher saw none with {flag}: leave it out")


# -------------------------------------------------------------------------------------------------------------- refused


def refused(recipe: Recipe, *words: str) -> None:
    folder = recipe.output.output / str(recipe.output.experiment)
    before = files(folder) if folder.exists() else None
    with pytest.raises(ValueError) as caught:
        small.run(recipe)
    said = str(caught.value)
    assert "\n" not in said and all(word in said for word in words), said
    assert (files(folder) if folder.exists() else None) == before, "nothing is lost, overwritten, or begun"


def test_another_store_is_refused_by_a_run_that_goes_on(run: Ran, store: Store, tmp_path: Path) -> None:
    other = write(tmp_path / "other", seed=2)
    again = small.change(run.recipe, output={"resume": "auto"})
    here, there = (s.manifest.identity[:12] for s in (other, store))
    refused(
        small.change(again, distill={"labels": other.folder}),
        f"learned from the labels {there} of {store.folder}, and this would be the labels {here} of {other.folder}",
        "give the same --labels or --teacher, or begin a new run",
    )
    plain = small.change(again, distill={"labels": None, "crops": 4}, augment=_of(run))
    refused(plain, "--crops 2 there and 4 here")
    refused(small.change(again, distill={"crops": 1}), "--crops 2 there and 1 here")


def _of(run: Ran) -> dict[str, Any]:
    """The crops that the run wrote down."""
    held = json.loads(files(run.folder)["recipe.json"])["augment"]
    return {k: tuple(v) if isinstance(v, list) else v for k, v in held.items()}


def test_another_teacher_is_refused_by_a_run_that_goes_on(float_run: Ran, low_bit_run: Ran, tmp_path: Path) -> None:
    recipe = small.recipe("fp", tmp_path, distill={"teacher": str(float_run.folder)}, schedule={"epochs": 1})
    small.run(recipe)
    again = small.change(recipe, output={"resume": "auto"})
    refused(
        small.change(again, distill={"teacher": str(low_bit_run.folder)}), "learned from the teacher", "begin a new"
    )
    refused(small.change(again, distill={"teacher": None}), "this would be no teacher")
    small.run(again)


def test_labels_of_other_images_are_refused(tmp_path: Path) -> None:
    other = written(tmp_path / "store", Digits("val"), Network(10, 1, LOOK), LOOK)
    refused(stored(tmp_path, other), "has labels for other images")


def test_labels_that_are_damaged_are_refused_before_anything_begins(tmp_path: Path) -> None:
    held = write(tmp_path / "store")
    shard = held.folder / "shard-00003.npy"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-5] + bytes([whole[-5] ^ 4]) + whole[-4:])
    refused(stored(tmp_path, held), "shard-00003.npy is damaged")


def test_a_student_of_other_outputs_is_refused(store: Store, float_run: Ran, tmp_path: Path) -> None:
    refused(
        stored(tmp_path, store, model={"num_classes": 12}), "has labels for 10 classes, and the model has 12 outputs"
    )
    asked = small.recipe("fp", tmp_path, model={"num_classes": 12}, distill={"teacher": str(float_run.folder)})
    refused(asked, "tells 10 classes apart and the student 12")


def test_a_teacher_that_sees_another_size_or_other_channels_is_refused(float_run: Ran, tmp_path: Path) -> None:
    recipe = small.recipe("fp", tmp_path, distill={"teacher": str(float_run.folder)})
    refused(small.change(recipe, model={"img_size": 32}), "sees 16 x 16 in 1 channels and the student 32 x 32 in 1")
    refused(small.change(recipe, model={"in_chans": 3}), "the student 16 x 16 in 3 channels")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"distill": {"crops": 3}}, "a batch of 256 views cannot hold 3 of every image: --batch-size 255"),
        ({"distill": {"crops": 8}}, "has 4 views of an image; take as many or less"),
        ({"distill": {"labels": Path("nowhere")}}, "nowhere is no store of labels"),
    ],
)
def test_what_the_store_cannot_give_is_refused(
    settings: dict[str, Any], said: str, store: Store, tmp_path: Path
) -> None:
    refused(stored(tmp_path, store, **settings), said)
