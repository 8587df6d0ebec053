"""``stillbit study``."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from stillbit.study import perform
from tests.cli.command import call, mistake, refused, works
from tests.study.small import PROGRAM

FLAGS = "--budget --devices --dry-run --help --list --output --retry --stop-after --summary-only"
TINY = """
seeds = [0, 1, 2]
child = "--lr 50 --epochs 1"
baseline = "lsq"
[switches]
fast = { words = "--lr 60", for = ["lsq"] }
[[cells]]
models = "vit_pico_patch4_32"
methods = ["lsq", "statsq"]
bits = "w2a2"
switches = ["plain", "fast"]
[claims]
faster = "fast > lsq"
same = "statsq = lsq within 1"
"""


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command is called; its cells are done by a worker that takes no time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(perform, "NAP", 0.01)
    working(PROGRAM, monkeypatch)
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path


def working(program: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands call this program in place of stillbit."""
    defaults = perform.Work.__init__.__kwdefaults__
    assert defaults is not None
    for name in ("program", "looker"):
        monkeypatch.setitem(defaults, name, program)


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "output" / "tiny" / "runs.csv").read_text().splitlines()))


def test_the_flags_are_those_that_people_have_in_their_scripts() -> None:
    said = works("study --help")
    assert [flag for flag in FLAGS.split() if flag not in said] == []
    assert said.count("--") - said.count("--help") >= len(FLAGS.split()) - 1


def test_a_study_does_its_cells_and_judges_its_claims(empty_folder: Path) -> None:
    said = works("study tiny.toml --devices cpu,cpu")
    assert "9 of 9 cells are done: output/tiny/index.html" in said
    assert [row["top1"] for row in rows(empty_folder) if row["switch"] == "fast"] == ["60.0", "61.0", "62.0"]
    claims = (empty_folder / "output/tiny/claims.md").read_text()
    assert "2 judgements of 2 claims: 2 held." in claims
    assert works("study tiny.toml").count("begins") == 0


def test_dry_run_and_list_say_how_it_stands_and_do_nothing(empty_folder: Path) -> None:
    said = works("study tiny.toml --dry-run")
    assert "runs/lsq-vit_pico_patch4_32-w2a2-seed0" in said and "9 of which nothing is known" in said
    assert not (empty_folder / "output").exists()
    works("study tiny.toml")
    assert "52.00 %" in works("study tiny.toml --list")
    assert works("study tiny.toml --dry-run").split()[-3:] == ["together", "0", "s"]


def test_everything_is_drawn_anew_from_the_csv(empty_folder: Path) -> None:
    works("study tiny.toml")
    folder = empty_folder / "output" / "tiny"
    text = (folder / "runs.csv").read_text()
    (folder / "runs.csv").write_text(text.replace(",60.0,", ",10.0,", 1))
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*")}
    works("study tiny.toml --summary-only")
    assert "35.67" not in text and "| lsq+fast | 44.33 " in (folder / "table.md").read_text()
    assert {path.name: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*")} == before


def test_words_that_cannot_be_are_refused_before_anything_is_trained(empty_folder: Path) -> None:
    (empty_folder / "tiny.toml").write_text(TINY.replace('"--lr 60"', '"--lr wrong"'))
    assert "lsq+fast-vit_pico_patch4_32-w2a2-seed0: " in (said := mistake("study tiny.toml")) and "wrong" in said
    assert not (empty_folder / "output").exists()


def test_what_failed_is_left_until_it_is_asked_for(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = (*PROGRAM[:-1], "-c", "import sys; sys.exit('stillbit: too little memory')")
    with monkeypatch.context() as patch:
        working(broken, patch)
        said = call("study tiny.toml")
    assert said.code == 1 and "failed: too little memory" in said.out
    assert "9 failed: stillbit study tiny.toml --retry does them again." in said.out
    assert {row["error"] for row in rows(empty_folder)} == {"too little memory"}
    assert call("study tiny.toml").code == 1
    assert "9 of 9 cells are done" in works("study tiny.toml --retry")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("none.toml", "there is no study none.toml"),
        ("tiny.toml --budget 0", "--budget is so many minutes, above 0"),
        ("tiny.toml --list --dry-run", "are different questions: take one of them"),
        ("tiny.toml --devices cpu,", "--devices are words with commas between them"),
        ("tiny.toml --summary-only", "run the study first"),
    ],
)
def test_a_mistake_is_one_sentence(words: str, sentence: str) -> None:
    assert sentence in mistake(f"study {words}")


def test_a_claim_about_what_is_not_there_is_refused_before_anything_is_trained(empty_folder: Path) -> None:
    (empty_folder / "tiny.toml").write_text(TINY.replace("fast > lsq", "slow > lsq"))
    assert "claims.faster (slow > lsq): no cell is 'slow'" in mistake("study tiny.toml")
    assert not (empty_folder / "output").exists()


def test_a_file_has_to_be_named() -> None:
    refused("study")


SMALLEST = """
seeds = [0, 1]
words = "--data-dir @pictures --batch-size 16 --workers 0 --log-interval 1 --scale 0.5 1"
child = "--initial-checkpoint @float --epochs 2 --track --calibration-images 16"
measure = ["cost", "oscillation", "variation", "error", "latent"]
[data]
pictures = "--classes 2 --images 32 --val-images 16 --workers 1"
[parents]
float = "fp --epochs 2 --warmup-epochs 0 --seed 0"
[labels]
crops = "--teacher @float --data-dir @pictures --crops 4 --workers 0 --precision fp32 --scale 0.5 1"
[methods]
taught = "lsq --labels @crops"
[[cells]]
models = "vit_pico_patch4_32"
methods = ["taught"]
bits = "w2a2"
"""


@pytest.mark.slow
def test_a_real_study_trains_measures_and_draws(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data, a parent, its labels, and two cells: nothing in it is pretended."""
    monkeypatch.undo()
    monkeypatch.chdir(empty_folder)
    (empty_folder / "tiny.toml").write_text(SMALLEST)
    assert "2 of 2 cells are done" in works("study tiny.toml --devices cpu")
    cells = [row for row in rows(empty_folder) if row["kind"] == "cell"]
    numbers = ("top1", "oscillation", "sdam", "weight_error", "latent", "gbitops", "weight_bytes", "steps_per_second")
    assert all(float(row[name]) >= 0 for row in cells for name in numbers) and not any(row["error"] for row in cells)
    run = empty_folder / "output/tiny/runs/taught-vit_pico_patch4_32-w2a2-seed1"
    assert json.loads((run / "recipe.json").read_text())["machine"]["seed"] == 1
    figures = {path.name for path in (empty_folder / "output/tiny/figures").iterdir()}
    assert {"accuracy-bits-vit_pico_patch4_32.svg", "curves-w2a2-top1.svg"} <= figures
    assert "begins" not in works("study tiny.toml --devices cpu")
