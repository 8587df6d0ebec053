"""``stillbit report``."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stillbit.cli.report import MOST, Report
from tests.cli.command import PLAIN, mistake, works
from tests.cli.deployed_run import numbers, reading


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float run whose name is markup, and a tracked quantized one that comes from it."""
    folder = tmp_path_factory.mktemp("runs")
    works(f"train fp {PLAIN} --epochs 1 --batch-size 128 --experiment <b>float --output", folder)
    start = f"--initial-checkpoint {folder / '<b>float'}"
    works(
        f"train lsq {PLAIN} --epochs 2 --batch-size 128 --bits w2a2 --track {start} --experiment lsq --output", folder
    )
    return folder


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    """A page of both, beside which every figure lies."""
    said = works(
        "report --figures", folder / "figures", "-o", folder / "page.html", folder / "<b>float", folder / "lsq"
    )
    assert f"written: {folder / 'page.html'} (" in said and "figures in" in said
    return (folder / "page.html").read_text(encoding="utf-8")


def test_both_runs_are_on_the_page_under_their_names(text: str) -> None:
    assert "<title>2 runs side by side</title>" in text
    assert 'data-name="lsq"' in text and 'data-name="&lt;b&gt;float"' in text
    assert "<b>float" not in text


def test_what_is_cheap_was_measured_on_the_spot_and_nothing_was_left_in_the_runs(text: str, folder: Path) -> None:
    assert text.count("<h4>Where weights do not settle</h4>") == 1
    assert text.count("<h4>Heavy tails</h4>") == 2
    assert text.count("<h4>Gradients</h4>") == 1
    assert text.count("<h4>Accuracy against cost</h4>") == 1
    assert not (folder / "lsq" / "analysis").exists()


def test_what_is_dear_names_its_command_and_what_makes_no_sense_its_reason(text: str, folder: Path) -> None:
    assert f"<code>stillbit analyze sensitivity {folder / 'lsq'}</code>" in text
    assert text.count("is float") >= 2, "a float run has no codes that oscillate, and no error"


def test_the_figures_lie_in_their_folder(text: str, folder: Path) -> None:
    names = {path.name for path in (folder / "figures").iterdir()}
    assert {"accuracy-bitops.svg", "lsq-oscillation-layers.svg", "b-float-variation-tails.svg"} <= names


def test_an_analysis_that_is_wanted_is_made_and_stays_in_the_run(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "lsq", tmp_path / "lsq")
    said = works("report --with attention --output", tmp_path / "one.html", tmp_path / "lsq")
    assert "one.html" in said
    assert (tmp_path / "lsq" / "analysis" / "attention.json").is_file()
    assert "How sharp the looks are" in (tmp_path / "one.html").read_text(encoding="utf-8")


def test_a_page_of_runs_about_texts_says_their_task_and_score(tmp_path: Path) -> None:
    works("report -o", tmp_path / "page.html", reading(), numbers())
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    for part in ("entailment", "regress", "of the task, best, on the validation texts", "BitOPs a text"):
        assert part.lower() in text.lower()


def test_a_run_that_cannot_be_read_is_named_before_anything_is_computed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = mistake("report -o", tmp_path / "page.html", folder / "lsq", tmp_path / "empty")
    assert "empty is no run: it has no recipe.json" in said
    assert not (tmp_path / "page.html").exists()
    (tmp_path / "empty" / "recipe.json").write_bytes((folder / "lsq" / "recipe.json").read_bytes())
    assert "has no best checkpoint: it stopped before its first one" in mistake("report", tmp_path / "empty")


def test_what_makes_no_page_is_refused(tmp_path: Path) -> None:
    runs = tuple(tmp_path / str(index) for index in range(MOST + 1))
    with pytest.raises(ValueError, match="a page holds up to 10 runs, and these are 11: make two pages"):
        Report(runs=runs)
    with pytest.raises(ValueError, match="is named twice"):
        Report(runs=(tmp_path / "a", tmp_path / "b" / ".." / "a"))
    with pytest.raises(ValueError, match=r"a report is an .html file, and this is x.pdf: -o report.html"):
        Report(runs=runs[:1], output=Path("x.pdf"))
    with pytest.raises(ValueError, match="a report is about runs"):
        Report(runs=())
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file, and figures go to a folder"):
        Report(runs=runs[:1], figures=tmp_path / "file")


def test_full_means_all_that_are_dear() -> None:
    assert Report(runs=(Path("a"),), full=True).wanted == ("sensitivity", "landscape", "attention")
    assert Report(runs=(Path("a"),), with_=("landscape",)).wanted == ("landscape",)
