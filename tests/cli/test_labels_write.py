"""``stillbit labels write``: what it offers, what it says, and what it refuses in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stillbit.distill.store import Store
from stillbit.models import names
from stillbit.train import weights
from tests.cli.command import call, everything, mistake, refused, works
from tests.cli.pictures import pictures, text
from tests.cli.test_train import shown

FLAGS = """
--batch-size --class-names --columns --corrupt --crops --data-dir --dataset --device --dry-run --examples --help --hflip
--interpolation --label-column --label-kind --max-length --output --precision --ratio --scale --seed --shard-samples
--task --teacher --teacher-weights --text-seed --top-k --torchcompile --train-split --vflip --workers
"""
"""People have these in their scripts: to rename one is to break them."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of pictures, and weights of a teacher for them."""
    made = pictures(tmp_path_factory.mktemp("pictures"))
    weights.save(names.create("vit_pico_patch4_32", num_classes=2), made / "teacher.safetensors")
    return made


@pytest.fixture
def words(folder: Path) -> str:
    teacher = f"--teacher vit_pico_patch4_32 --teacher-weights {folder}/teacher.safetensors"
    return (
        f"labels write {teacher} --data-dir {folder} --crops 3 --batch-size 16 --shard-samples 5 --workers 0 --output"
    )


def test_the_flags_are_those_that_people_have_in_their_scripts() -> None:
    assert sorted(shown("labels write")) == FLAGS.split()


def test_a_store_is_written_and_said_what_it_is_and_what_to_do_with_it(
    words: str, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "store"
    said = works(f"{words} {out}").splitlines()
    assert said[0] == f"{out}: 16 images x 3 crops, 0.00 MB, 17 bytes a view"
    assert said[1].startswith("The teacher's first guess is the true class in ") and said[1].endswith(
        " % of the crops."
    )
    assert said[2] == f"stillbit train fp --labels {out} --data-dir {folder}"
    assert len(said) == 3
    store = Store(out)
    store.check()
    assert store.manifest.teachers[0].name == "vit_pico_patch4_32"


def test_a_finished_store_is_left_and_another_request_refused(words: str, tmp_path: Path) -> None:
    out = tmp_path / "store"
    works(f"{words} {out}")
    before = everything(out)
    assert works(f"{words} {out}").startswith("It was finished already.\n")
    said = mistake(f"{words} {out} --seed 1 --top-k 1")
    assert said == (
        f"stillbit: {out} is another store (--top-k 5 there and 1 here; --seed 0 there and 1 here): "
        "give the same options, or choose another --output\n"
    )
    assert everything(out) == before


def test_a_dry_run_says_what_it_would_cost_and_writes_nothing(words: str, tmp_path: Path) -> None:
    said = works(f"{words} {tmp_path / 'store'} --dry-run")
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in said.splitlines() if line and line[0] != " "}
    assert list(rows) == ["teacher", "views", "disk", "speed", "time"]
    assert rows["views"] == "48: 16 images of 2 classes x 3 crops"
    assert rows["teacher"].startswith("vit_pico_patch4_32, 0.2 M parameters, sees 32 x 32, bf16")
    assert rows["disk"].startswith("0.00 MB, 17 bytes a view; ") and "views/s here" in rows["speed"]
    assert "for one such process" in rows["time"]
    assert not list(tmp_path.iterdir())


def test_a_damaged_image_is_one_sentence_or_left_without_labels(words: str, folder: Path, tmp_path: Path) -> None:
    data = pictures(tmp_path / "data")
    broken = data / "train" / "b" / "3.jpg"
    text(broken, None)  # type: ignore[arg-type]
    other = f"{tmp_path / 'store'} --data-dir {data}"
    assert f"{broken} cannot be used: it is no image; repair" in mistake(f"{words} {other}")
    said = works(f"{words} {other} --corrupt skip")
    assert said.startswith(f"left without labels: {broken} (it is no image)\n")


def test_the_store_holds_no_path_of_this_machine(words: str, folder: Path, tmp_path: Path) -> None:
    works(f"{words} {tmp_path / 'store'}")
    held = (tmp_path / "store" / "manifest.json").read_text()
    assert json.loads(held)["data"]["classes"] == ["a", "b"]
    assert str(folder) not in held and str(tmp_path) not in held


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--crops 0", "--crops is at least 1, got 0"),
        ("--top-k 101", "a label keeps 1 to 100 classes, got 101"),
        ("--label-kind hard --top-k 3", "--top-k is for the marginal kinds, and this is hard: leave it out"),
        ("--scale 0 1", "--scale 0.08 1"),
        ("--seed -1", "--seed is a number from 0 to"),
        ("--batch-size 0", "--batch-size is at least 1"),
        ("--label-kind soft", "invalid choice"),
        ("--teacher a b", "--teacher-weights is for one teacher"),
    ],
)
def test_options_that_mean_nothing_are_refused(more: str, said: str, words: str, tmp_path: Path) -> None:
    text = " ".join(refused(f"{words} {tmp_path / 'store'} {more}").replace("│", " ").split())
    assert said in text and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--teacher-weights nowhere.pth", "there are no weights nowhere.pth"),
        ("--data-dir nowhere", "there is no folder nowhere"),
        ("--train-split test", "there is no folder test in"),
        ("--device tpu", "--device 'tpu' is no device of torch"),
        (
            "--teacher vit_piko_patch4_32",
            "there is no model named 'vit_piko_patch4_32': did you mean vit_pico_patch4_32",
        ),
        ("--dataset digits", "leave out --data-dir"),
    ],
)
def test_what_is_not_there_is_one_sentence(more: str, said: str, words: str, tmp_path: Path) -> None:
    assert said in mistake(f"{words} {tmp_path / 'store'} {more}")
    assert not list(tmp_path.iterdir())


def test_a_teacher_of_other_classes_is_refused(words: str, folder: Path, tmp_path: Path) -> None:
    file = weights.save(names.create("vit_pico_patch4_32", num_classes=5), tmp_path / "five.safetensors")
    said = mistake(f"{words} {tmp_path / 'store'} --teacher-weights {file}")
    assert "is of a model for other classes than the 2 of the data" in said


def test_without_a_teacher_or_a_place_it_says_what_is_missing(tmp_path: Path) -> None:
    assert call("labels write").code == 2
    assert "--teacher" in refused("labels write --output x")
