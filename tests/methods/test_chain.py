"""A run for each width, whose model is the next one's start and teacher."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from stillbit.distill.settings import BEFORE, SELF, DistillSettings
from stillbit.distill.weights_hash import weights_hash
from stillbit.dynamics.settings import AnnealSettings, DynamicsSettings, PenaltySettings
from stillbit.methods import build, chain, perform
from stillbit.methods.bit import bit
from stillbit.methods.chain import has_ended, links, words
from stillbit.methods.dry_run import dry_run
from stillbit.methods.perform import Result
from stillbit.methods.recipe import QuantSettings, Recipe
from stillbit.methods.recipe_file import read
from stillbit.methods.target import open_target
from stillbit.train import checkpoint
from stillbit.train.settings import OutputSettings
from tests.cli.command import PLAIN, start
from tests.end_to_end.test_torchrun import codes, together
from tests.methods import small
from tests.methods.conftest import Ran
from tests.methods.test_perform import stopping

WIDTHS = {"through": ("w32a32", "w1a2"), "through_epochs": (2, 1), "through_lr": (3e-3, 1e-3)}
TAUGHT = {"teacher": BEFORE, "teacher_share": 1.0, "hidden": 1.0}


def recipe(root: Path, **settings: Any) -> Recipe:
    """Digits at one bit, two epochs of two steps; before it, two of float and one of two-bit activations."""
    model = {"relu": True, "img_size": 8, "drop_path": 0.0}
    made = small.recipe("bit", root, quant=WIDTHS, model=model, data={"batch_size": 600})
    return small.change(made, **settings)


def said_of(folder: Path, name: str = "recipe") -> dict[str, Any]:
    return dict(json.loads((folder / f"{name}.json").read_text()))


# ------------------------------------------------------------------------------------------------------------ planned


def test_each_link_begins_where_the_one_before_ends_and_is_taught_by_it(tmp_path: Path) -> None:
    made = links(recipe(tmp_path))
    run = tmp_path / "run"
    assert [link.folder for link in made] == [run / "through" / "1-w32a32", run / "through" / "2-w1a2", run]
    assert [link.bits for link in made] == ["w32a32", "w1a2", "w1a1"]
    assert words(recipe(tmp_path)) == "w32a32, then w1a2, then w1a1"
    first, second, third = (link.recipe for link in made)
    assert first.quant is None and first.distill == DistillSettings() and first.model.initial_checkpoint is None
    for before, behind in ((made[0], second), (made[1], third)):
        assert behind.model.initial_checkpoint == before.folder and behind.distill.teacher == str(before.folder)
    assert [one.schedule.epochs for one in (first, second, third)] == [2, 1, 2]
    assert [one.optim.lr for one in (first, second, third)] == [3e-3, 1e-3, 3e-3]
    assert not first.model.relu and second.model.relu, "the float model keeps its own activation"
    assert made[-1].said == recipe(tmp_path)


def test_what_only_one_bit_has_is_learned_scales_at_more(tmp_path: Path) -> None:
    wide = {"through": ("w4a4", "w1a2"), "through_epochs": (), "through_lr": (), "ste": "clipped"}
    first, second, third = (link.recipe.quant for link in links(recipe(tmp_path, quant=wide, distill={"teacher": "t"})))
    assert first and second and third
    assert (first.weight, first.activation, first.ste) == ("lsq", "lsq", None)
    assert (second.weight, second.activation, second.ste) == ("sign", "lsq", "clipped")
    assert (third.weight, third.activation, third.ste) == ("sign", "elastic", "clipped")


def test_a_warm_up_keeps_its_share_and_one_number_is_for_all(tmp_path: Path) -> None:
    quant = {"through_epochs": (5,), "through_lr": ()}
    made = links(recipe(tmp_path, quant=quant, schedule={"epochs": 20, "warmup_epochs": 2}))
    assert [link.recipe.schedule.warmup_epochs for link in made] == [0.5, 0.5, 2]
    assert [link.recipe.optim.lr for link in made] == [3e-3] * 3


def test_weights_are_steered_where_they_have_codes_and_annealed_at_the_end(tmp_path: Path) -> None:
    dynamics = DynamicsSettings(anneal=AnnealSettings(anneal_epochs=1), penalty=PenaltySettings(dampen=1e-4))
    first, second, third = links(replace(recipe(tmp_path), dynamics=dynamics))
    assert first.recipe.dynamics == DynamicsSettings() and third.recipe.dynamics == dynamics
    assert second.recipe.dynamics == replace(dynamics, anneal=AnnealSettings())


def test_a_run_of_this_task_takes_the_place_of_the_widths_down_to_its_own(float_run: Ran, tmp_path: Path) -> None:
    begun = {"initial_checkpoint": float_run.folder}
    made = links(recipe(tmp_path, model=begun))
    assert [link.bits for link in made] == ["w1a2", "w1a1"]
    assert made[0].folder.name == "1-w1a2" and made[0].recipe.schedule.epochs == 1, "numbers stay with their widths"
    assert made[0].recipe.distill.teacher == str(float_run.folder) == str(made[0].recipe.model.initial_checkpoint)
    (alone,) = links(
        recipe(tmp_path, model=begun, quant={"through": ("w32a32",), "through_epochs": (), "through_lr": ()})
    )
    assert alone.recipe.distill.teacher == str(float_run.folder) and alone.folder == tmp_path / "run"


def test_a_run_of_another_task_is_where_the_float_model_begins(float_run: Ran, tmp_path: Path) -> None:
    made = links(recipe(tmp_path, model={"initial_checkpoint": float_run.folder}, data={"dataset": "fractals"}))
    assert [link.bits for link in made] == ["w32a32", "w1a2", "w1a1"]
    assert made[0].recipe.model.initial_checkpoint == float_run.folder


def test_one_teacher_may_teach_all_widths(tmp_path: Path) -> None:
    made = links(recipe(tmp_path, distill={"teacher": "somebody"}))
    assert [link.recipe.distill.teacher for link in made] == [None, "somebody", "somebody"]


def test_weights_that_are_there_teach_the_first_width(tmp_path: Path) -> None:
    quant = {"through": ("w1a2",), "through_epochs": (), "through_lr": ()}
    first, second = links(recipe(tmp_path, quant=quant, model={"pretrained": True}))
    assert first.recipe.distill.teacher == SELF and first.recipe.model.pretrained
    assert second.recipe.distill.teacher == str(first.folder) and not second.recipe.model.pretrained


def test_a_recipe_that_goes_through_nothing_is_its_only_link(tmp_path: Path) -> None:
    for method in ("fp", "lsq"):
        plain = small.recipe(method, tmp_path)
        assert links(plain) == (chain.Link(plain, plain),)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"distill": {"teacher": SELF}}, "with --through are those of the width before: --teacher before"),
        ({"output": {"resume": "run/last.pt"}}, "--through makes several: --resume auto finds them"),
        ({"quant": {"weights_last": True}}, "--weights-last leaves weights float, and --through trains them"),
        (
            {"quant": {"through": ("w1a2",), "through_epochs": (), "through_lr": ()}},
            "--teacher before: nothing is before the first width; train the float model too, --through w32a32",
        ),
    ],
)
def test_what_has_two_meanings_in_a_chain_is_refused(settings: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        small.run(recipe(tmp_path, **settings))
    assert sentence in str(caught.value) and not list(tmp_path.iterdir())


def test_stored_labels_and_float_models_have_no_width_before(tmp_path: Path) -> None:
    stored = replace(recipe(tmp_path), distill=DistillSettings(labels=tmp_path))
    with pytest.raises(ValueError, match="with --through each width has its own: leave out one of them"):
        links(stored)
    plain = replace(small.recipe("fp", tmp_path), distill=DistillSettings(teacher=BEFORE))
    with pytest.raises(ValueError, match="--teacher before is the model of the width before, and a float model has"):
        links(plain)


# ---------------------------------------------------------------------------------------------------------- performed


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    wanted = recipe(tmp_path_factory.mktemp("chain"))
    return Ran(wanted, *small.run(wanted))


def folders(run: Path) -> list[Path]:
    return [run / "through" / "1-w32a32", run / "through" / "2-w1a2", run]


def weights_of(run: Path) -> list[dict[str, Any]]:
    return [checkpoint.read(folder / "last.pt")["model"] for folder in folders(run)]


def test_each_width_is_a_run_of_its_own_whose_teacher_is_the_one_before(ran: Ran) -> None:
    first, second, third = folders(ran.folder)
    assert [said_of(folder, "result")["epochs"] for folder in (first, second, third)] == [2, 1, 2]
    for before, behind in ((first, second), (second, third)):
        taught = said_of(behind, "environment")["taught_by"]
        assert taught == {"teacher": str(before), "sha256": weights_hash(open_target(str(before)).model)}
    assert read(first).quant is None and "taught_by" not in said_of(first, "result")
    assert f"1 of 3: w32a32, in {first}" in ran.said and f"3 of 3: w1a1, in {third}" in ran.said


def test_a_width_begins_with_the_latent_weights_of_the_one_before(ran: Ran) -> None:
    second = read(folders(ran.folder)[1])
    began = build.bare_model(second, numbers=True)
    held = open_target(str(folders(ran.folder)[0])).model.state_dict()
    shared = {name: value for name, value in began.state_dict().items() if name in held}
    assert len(shared) == len(held) and all(torch.equal(value, held[name]) for name, value in shared.items())


def test_the_recipe_of_the_run_is_that_of_the_whole_chain(ran: Ran, tmp_path: Path) -> None:
    held = read(ran.folder)
    assert held.quant is not None and held.quant.through == ("w32a32", "w1a2")
    assert held.distill.teacher == BEFORE and held.model.initial_checkpoint is None
    elsewhere = replace(held, output=replace(held.output, output=tmp_path))
    assert [link.bits for link in links(elsewhere)] == ["w32a32", "w1a2", "w1a1"]


@pytest.mark.parametrize(
    ("number", "step"), [(0, 3), (1, 1), (2, 2)], ids=["in the first", "in the second", "in the last"]
)
def test_a_chain_that_is_stopped_and_goes_on_is_the_chain_that_was_not(
    number: int, step: int, ran: Ran, tmp_path: Path
) -> None:
    wanted = small.change(ran.recipe, output={"output": tmp_path})
    with pytest.MonkeyPatch.context() as patched:
        _stopping_in(number, step, patched)
        stopped, _ = small.run(wanted)
    assert stopped.signal and stopped.model is None
    assert stopped.folder == folders(tmp_path / "run")[number]
    result, said = small.run(small.change(wanted, output={"resume": "auto"}))
    assert result.signal == 0 and result.folder == tmp_path / "run"
    assert said.count("has ended already") == number
    for one, other in zip(weights_of(result.folder), weights_of(ran.folder), strict=True):
        assert all(torch.equal(value, other[name]) for name, value in one.items())


def _stopping_in(number: int, step: int, patched: pytest.MonkeyPatch) -> None:
    """As if somebody pressed Ctrl-C in that step of that width."""
    inner, calls = perform._perform, []

    def one(*said: Any) -> Result:
        if len(calls) == number:
            stopping(step, patched)
        calls.append(said)
        return inner(*said)

    patched.setattr(perform, "_perform", one)


def test_a_chain_that_has_ended_is_left_as_it_is(ran: Ran) -> None:
    before = [(folder / "model.safetensors").stat().st_mtime_ns for folder in folders(ran.folder)[:2]]
    result, said = small.run(small.change(ran.recipe, output={"resume": "auto"}))
    after = [(folder / "model.safetensors").stat().st_mtime_ns for folder in folders(ran.folder)[:2]]
    assert before == after and result.best == ran.result.best
    assert said.count("has ended already") == 3
    assert all(has_ended(link) for link in links(ran.recipe))


def test_another_recipe_is_not_the_one_that_has_ended(ran: Ran) -> None:
    other = small.change(ran.recipe, machine={"seed": 1}, output={"resume": "auto"})
    assert not any(has_ended(link) for link in links(other))
    with pytest.raises(ValueError, match=r"1-w32a32/last.pt is of another recipe \(--seed 42 there and 1 here\)"):
        small.run(other)


def test_a_chain_that_is_there_is_never_begun_anew(ran: Ran, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="exists and is not empty: go on with --resume auto"):
        small.run(ran.recipe)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("all of it")
    with pytest.raises(ValueError, match=r"run exists and is not empty: choose another --experiment"):
        small.run(recipe(tmp_path))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"], "not even the first width began"


def test_what_the_last_width_could_not_be_is_found_before_the_first_begins(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no option 'gradscale'"):
        small.run(recipe(tmp_path, quant={"gradscale": "by_magnitude"}))
    assert not list(tmp_path.iterdir())


def test_a_dry_run_counts_all_widths_and_writes_nothing(tmp_path: Path) -> None:
    names, values = (list(column.cells) for column in dry_run(recipe(tmp_path)).columns)
    found = dict(zip(map(str, names), map(str, values), strict=True))
    assert found["through"] == "w32a32, then w1a2, then w1a1" and found["teaching"] == "taught by the model of w1a2"
    assert found["steps (w32a32)"] == "4: 2 epochs of 2, 600 images each"
    assert found["steps (w1a2)"] == "2: 1 epoch of 2, 600 images each" and "a step (w1a1)" in found
    assert "6 checkpoints" in found["disk"] and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_processes_go_through_the_widths_together(tmp_path: Path) -> None:
    words = f"train bit {PLAIN} --epochs 1 --batch-size 64 --amp --experiment run"
    assert codes(together(f"{words} --output {tmp_path / 'two'}", tmp_path)) == [0, 0]
    alone = start(f"{words} --batch-size 128 --output {tmp_path / 'one'}", log=tmp_path / "alone")
    alone.join(60)
    assert alone.exitcode == 0
    for one, two in zip(folders(tmp_path / "one" / "run"), folders(tmp_path / "two" / "run"), strict=True):
        here, there = (said_of(folder, "result") for folder in (one, two))
        assert here["epochs"] == there["epochs"] == 1 and abs(here["top1"] - there["top1"]) < 15


def test_bit_needs_nobody_to_give_a_teacher() -> None:
    made = links(replace(bit(), output=OutputSettings(experiment="run")))
    assert [link.recipe.distill.teacher is None for link in made] == [True, False, False]
    assert QuantSettings(bits="w1a1").at("w1a2") == QuantSettings(bits="w1a2")
