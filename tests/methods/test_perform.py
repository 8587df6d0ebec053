"""From a recipe to a folder with everything in it; stopped, resumed, refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from stillbit.methods import build, perform
from stillbit.train import checkpoint
from stillbit.train.distributed import Share
from stillbit.train.progress import Progress
from stillbit.train.state import Training
from tests.methods import small
from tests.methods.conftest import Ran

WRITTEN = {
    *("recipe.json", "environment.json", "metrics.jsonl", "summary.csv"),
    *("last.pt", "best.pt", "model.safetensors", "result.json"),
}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(params=["float_run", "low_bit_run"])
def ran(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def test_a_run_leaves_a_folder_that_says_all_about_it(ran: Ran) -> None:
    assert set(files(ran.folder)) == WRITTEN and ran.result.model == ran.folder / "model.safetensors"
    environment = json.loads((ran.folder / "environment.json").read_text())
    assert environment["data"]["train"]["kind"] == "digits" and environment["seed"] == 42
    assert len((ran.folder / "summary.csv").read_text().splitlines()) == 3
    assert ran.result.signal == 0 and ran.result.best["top1"] > 0
    assert "epoch 2/2" in ran.said and "best" in ran.said
    result = json.loads((ran.folder / "result.json").read_text())
    assert result["top1"] == ran.result.best["top1"] and result["epochs"] == 2 and result["seconds"] > 0
    assert result["parameters"] > 100_000 and (ran.recipe.quant is None) is (
        result["weight_bytes"] == 4 * result["parameters"]
    )


def test_a_run_learns_something(float_run: Ran) -> None:
    rows = [json.loads(line) for line in (float_run.folder / "metrics.jsonl").read_text().splitlines()]
    first, *_, last = [row["loss"] for row in rows if row["kind"] == "step"]
    assert last < first


def stopping(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if somebody pressed Ctrl-C during a step."""
    tick = Progress.tick

    def ticks(self: Progress, training: Training) -> None:
        tick(self, training)
        if training.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Progress, "tick", ticks)


@pytest.mark.parametrize(("method", "step"), [("fp", 3), ("lsq", 5)])
def test_a_run_that_is_stopped_and_goes_on_is_the_run_that_was_not(
    method: str, step: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    whole: Ran = request.getfixturevalue({"fp": "float_run", "lsq": "low_bit_run"}[method])
    recipe = small.change(whole.recipe, output={"output": tmp_path})
    with pytest.MonkeyPatch.context() as patched:
        stopping(step, patched)
        stopped, _ = small.run(recipe)
    assert stopped.signal == signal.SIGTERM and stopped.model is None
    assert checkpoint.read(stopped.folder / "last.pt")["position"]["step"] == step
    torch.rand(3)
    result, _ = small.run(small.change(recipe, output={"resume": "auto"}))
    assert set(files(result.folder)) == WRITTEN and result.best == whole.result.best
    for name in ("best.pt", "last.pt"):
        one, other = (checkpoint.read(folder / name) for folder in (result.folder, whole.folder))
        for part in ("model", "ema") if one["ema"] else ("model",):
            assert all(torch.equal(v, other[part][k]) for k, v in one[part].items())
    assert files(result.folder)["model.safetensors"] == files(whole.folder)["model.safetensors"]


def test_asked_again_while_it_saves_a_run_saves_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchrun passes on what the terminal has sent already."""
    stopping(2, monkeypatch)
    written = checkpoint.write

    def disturbed(held: Any, target: Path) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        written(held, target)

    monkeypatch.setattr(checkpoint, "write", disturbed)
    result, _ = small.run(small.recipe("fp", tmp_path))
    assert result.signal == signal.SIGTERM and "last.pt" in files(result.folder)


def test_a_run_that_has_ended_may_be_asked_to_go_on_and_stays_what_it_is(float_run: Ran, tmp_path: Path) -> None:
    shutil.copytree(float_run.folder, tmp_path / "run")
    before = files(tmp_path / "run")
    result, _ = small.run(small.change(float_run.recipe, output={"resume": "auto", "output": tmp_path}))
    assert result.best == float_run.result.best and set(files(result.folder)) == WRITTEN
    for name in WRITTEN - {"environment.json", "result.json"}:
        assert files(result.folder)[name] == before[name]


# ---------------------------------------------------------------------------------------------------------- refused


def refused(recipe: Any, *words: str) -> None:
    folder = recipe.output.output / recipe.output.experiment
    before = files(folder) if folder.exists() else None
    with pytest.raises(ValueError) as caught:
        small.run(recipe)
    said = str(caught.value)
    assert "\n" not in said and all(word in said for word in words), said
    assert (files(folder) if folder.exists() else None) == before, "nothing is lost, overwritten, or begun"


def test_a_second_run_does_not_overwrite_the_first(float_run: Ran) -> None:
    refused(float_run.recipe, "exists and is not empty: go on with --resume auto, or choose another --experiment")


def test_a_checkpoint_of_another_recipe_is_refused_with_the_flags_that_differ(float_run: Ran) -> None:
    again = small.change(float_run.recipe, output={"resume": "auto"})
    refused(small.change(again, optim={"lr": 0.5}), "another recipe (--lr 0.003 there and 0.5 here)", "same options")
    longer = small.change(again, schedule={"epochs": 5}, machine={"seed": 1})
    refused(longer, "--epochs 2 there and 5 here", "--seed 42 there and 1 here")
    quantized = small.change(small.recipe("lsq", Path()), output={"output": again.output.output, "resume": "auto"})
    refused(quantized, "--method fp there and lsq here", "--bits None there and w2a2 here")


def test_a_step_of_another_number_of_images_is_refused(float_run: Ran) -> None:
    other = small.change(float_run.recipe, output={"resume": "auto"}, data={"batch_size": 128})
    refused(other, "trained with 256 images a step, and this would be 128", "--batch-size")


def test_the_same_images_a_step_may_be_dealt_out_otherwise(tmp_path: Path, float_run: Ran) -> None:
    recipe = small.change(float_run.recipe, output={"output": tmp_path})
    with pytest.MonkeyPatch.context() as patched:
        stopping(5, patched)
        small.run(recipe)
    smaller = small.change(
        recipe, output={"resume": "auto", "log_interval": 1}, data={"batch_size": 64}, machine={"grad_accum_steps": 4}
    )
    result, _ = small.run(smaller)
    assert result.model is not None
    one, other = (checkpoint.read(folder / "last.pt")["model"] for folder in (result.folder, float_run.folder))
    assert one.keys() == other.keys() and all(v.shape == other[k].shape for k, v in one.items())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"data": {"dataset": "folder", "data_dir": Path("nowhere")}}, "there is no folder nowhere"),
        ({"data": {"batch_size": 5000}}, "a batch of 5000 is larger than the data"),
        ({"model": {"model": "vit_piko_patch4_32"}}, "did you mean vit_pico_patch4_32"),
        ({"model": {"num_classes": 4}}, "--num-classes 4 is too few: the data has 10 classes"),
        ({"optim": {"opt": "adamww"}}, "near it: adamw"),
        ({"machine": {"fsdp": True}}, "start several with torchrun"),
        ({"model": {"initial_checkpoint": Path("none.pth")}}, "there are no weights none.pth"),
    ],
)
def test_a_mistake_is_found_before_anything_is_written(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    refused(small.recipe("fp", tmp_path, **settings), said)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"bits": "w2"}, "w4a4"),
        ({"weight": "lsk"}, "unknown quantizer 'lsk'"),
        ({"reach": "bits"}, "the quantizer 'lsq' has no option 'reach'"),
    ],
)
def test_a_plan_that_cannot_be_meant_is_found_before_anything_is_written(
    settings: dict[str, Any], said: str, tmp_path: Path
) -> None:
    refused(small.recipe("lsq", tmp_path, quant=settings), said)
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------------ start values


def test_start_values_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    found = []
    for world, batch in ((1, 256), (2, 128), (4, 32)):
        recipe = small.recipe("lsq", tmp_path, data={"batch_size": batch})
        data = build.open_data(recipe)
        torch.rand(world)
        model, _ = perform.start(build.resolved(recipe, data), data, Share(0, world, torch.device("cpu")), fresh=True)
        found.append(model.state_dict())
    assert all(bool(v) for k, v in found[0].items() if k.endswith("started")), "all have a start value"
    for other in found[1:]:
        assert all(torch.equal(v, other[k]) for k, v in found[0].items())


def test_a_run_that_goes_on_does_not_look_for_start_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small.recipe("lsq", tmp_path)
    data = build.open_data(recipe)
    recipe = build.resolved(recipe, data)
    monkeypatch.setattr(build, "start_activations", None)
    model, look = perform.start(recipe, data, Share(0, 1, torch.device("cpu")), fresh=False)
    assert look.size == (16, 16) and look.channels == 1 and model.num_classes == 10
