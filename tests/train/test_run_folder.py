"""A folder is made once, never overwritten, and used by one process at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stillbit.train.run_folder import RunFolder
from stillbit.train.settings import OutputSettings
from tests.train import tiny

RECIPE, WHERE = {"method": "fp"}, {"seed": 1}


def run_folder(root: Path, resume: str | None = None, experiment: str | None = "run") -> RunFolder:
    return RunFolder(OutputSettings(output=root, experiment=experiment, resume=resume), "named")


def refused(root: Path, said: str, resume: str | None = None) -> None:
    before = snapshot(root)
    with pytest.raises(ValueError) as caught:
        run_folder(root, resume).open(RECIPE, WHERE)
    assert said in str(caught.value) and "\n" not in str(caught.value), str(caught.value)
    assert snapshot(root) == before, "what is there stays as it is"


def snapshot(root: Path) -> dict[str, bytes | None]:
    return {str(p): p.read_bytes() if p.is_file() else None for p in root.rglob("*") if p.name != ".lock"}


def begun(root: Path, *files: str, name: str = "run") -> Path:
    folder = root / name
    folder.mkdir()
    for file in files:
        (folder / file).write_text(f"old {file}")
    return folder


def test_a_new_folder_is_named_by_the_user_or_by_the_recipe_and_nothing_is_written_before_it_opens(
    tmp_path: Path,
) -> None:
    assert run_folder(tmp_path / "deep" / "er").path == tmp_path / "deep" / "er" / "run"
    folder = run_folder(tmp_path / "deep" / "er", experiment=None)
    assert folder.path.name == "named" and folder.checkpoint is None and not (tmp_path / "deep").exists()
    folder.open(RECIPE, WHERE)
    assert json.loads((folder.path / "recipe.json").read_text()) == RECIPE
    assert json.loads((folder.path / "environment.json").read_text()) == WHERE
    folder.close()
    assert tiny.files(folder.path) == {"recipe.json", "environment.json"}


def test_an_empty_folder_is_as_good_as_none(tmp_path: Path) -> None:
    begun(tmp_path)
    assert run_folder(tmp_path).checkpoint is None and run_folder(tmp_path, "auto").checkpoint is None


@pytest.mark.parametrize(
    ("files", "resume", "said"),
    [
        (["recipe.json", "last.pt"], None, "go on with --resume auto, or choose another --experiment"),
        (["recipe.json"], None, "it stopped before its first checkpoint: begin again with --resume auto"),
        (["holiday.jpg"], None, "exists and is not empty: choose another --experiment"),
        (["holiday.jpg"], "auto", "it is no run of ours, choose another --experiment"),
    ],
)
def test_a_folder_with_something_in_it_is_never_begun_anew(
    files: list[str], resume: str | None, said: str, tmp_path: Path
) -> None:
    begun(tmp_path, *files)
    refused(tmp_path, said, resume)


def test_what_is_known_may_be_inside(tmp_path: Path) -> None:
    (tmp_path / "run" / "through").mkdir(parents=True)
    for resume in (None, "auto"):
        refused(tmp_path, "choose another --experiment", resume)
        settings = OutputSettings(output=tmp_path, experiment="run", resume=resume)
        assert RunFolder(settings, "named", known=("through",)).checkpoint is None


def test_a_file_where_the_folder_should_be_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    for resume in (None, "auto"):
        refused(tmp_path, "is a file: choose another --experiment", resume)


def test_resume_auto_goes_on_where_there_is_a_checkpoint_and_begins_where_there_is_none(tmp_path: Path) -> None:
    assert run_folder(tmp_path, "auto").checkpoint is None
    folder = begun(tmp_path, "recipe.json")
    assert run_folder(tmp_path, "auto").checkpoint is None
    (folder / "last.pt").write_text("")
    assert run_folder(tmp_path, "auto").checkpoint == folder / "last.pt"


def test_a_run_that_begins_again_gets_its_new_recipe_and_one_that_goes_on_keeps_the_old(tmp_path: Path) -> None:
    folder = begun(tmp_path, "recipe.json")
    again = run_folder(tmp_path, "auto")
    again.open(RECIPE, WHERE)
    again.close()
    assert json.loads((folder / "recipe.json").read_text()) == RECIPE
    (folder / "last.pt").write_text("")
    on = run_folder(tmp_path, "auto")
    on.open({"method": "other"}, {"seed": 2})
    on.close()
    assert json.loads((folder / "recipe.json").read_text()) == RECIPE
    assert json.loads((folder / "environment.json").read_text()) == {"seed": 2}


@pytest.mark.parametrize("named", [lambda folder: folder, lambda folder: folder / "last.pt"])
def test_a_run_or_its_checkpoint_may_be_named(named: Callable[[Path], Path], tmp_path: Path) -> None:
    old = begun(tmp_path, "recipe.json", "last.pt", name="old")
    found = run_folder(tmp_path, str(named(old)))
    assert found.checkpoint == old / "last.pt" and found.path == tmp_path / "run"
    found.open(RECIPE, WHERE)
    found.close()
    assert tiny.files(found.path) == {"recipe.json", "environment.json"}
    assert run_folder(tmp_path, str(named(old)), "old").checkpoint == old / "last.pt", "in its own folder"


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    begun(tmp_path, "recipe.json", name="old")
    for given in (tmp_path / "old", tmp_path / "none.pt", tmp_path / "nowhere"):
        refused(tmp_path, "there is no checkpoint", str(given))


def test_the_checkpoint_of_one_run_does_not_overwrite_another(tmp_path: Path) -> None:
    begun(tmp_path, "recipe.json", "last.pt", name="old")
    begun(tmp_path, "recipe.json", "last.pt")
    refused(tmp_path, "exists and is not empty: choose another --experiment", str(tmp_path / "old"))


def test_a_folder_that_cannot_be_written_to_gets_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot be written to .*: choose another --output"):
        run_folder(tmp_path / "file").open(RECIPE, WHERE)


def test_what_a_killed_process_had_half_written_is_swept_away(tmp_path: Path) -> None:
    folder = begun(tmp_path, "recipe.json", "last.pt", ".last.pt.4711", ".summary.csv.12", ".keep")
    run = run_folder(tmp_path, "auto")
    run.open(RECIPE, WHERE)
    run.close()
    assert tiny.files(folder) == {"recipe.json", "last.pt", "environment.json", ".keep"}


HOLDER = """
import sys
from pathlib import Path
from stillbit.train.run_folder import RunFolder
from stillbit.train.settings import OutputSettings
folder = RunFolder(OutputSettings(output=Path(sys.argv[1]), experiment="run"), "named")
folder.open({}, {})
sys.stdout.write("open\\n")
sys.stdout.flush()
sys.stdin.read()
"""


def test_a_folder_in_which_another_process_trains_is_left_alone_until_that_one_is_gone(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdin is not None and other.stdout is not None
    try:
        assert other.stdout.readline() == "open\n"
        refused(tmp_path, "another process trains in", "auto")
    finally:
        os.kill(other.pid, 9)
        other.wait()
        other.stdin.close()
        other.stdout.close()
    run = run_folder(tmp_path, "auto")
    run.open(RECIPE, WHERE)
    run.close()
    assert tiny.files(tmp_path / "run") == {"recipe.json", "environment.json"}


def test_closing_twice_or_without_opening_does_nothing(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    run.close()
    run.open(RECIPE, WHERE)
    run.close()
    run.close()
