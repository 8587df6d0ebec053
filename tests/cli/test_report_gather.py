"""Which analyses a report takes, makes, or says how to make."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from stillbit.analysis.record import read, write
from stillbit.analysis.report import Run
from stillbit.cli import report_gather
from stillbit.cli.report import Report
from stillbit.cli.report_gather import CHEAP, CLASSES, check, gather, is_stale, named
from tests.analysis.plot import samples

RECORDS = {record.kind: record for record in samples.every()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.pt").touch()
    (tmp_path / "run" / "last.pt").touch()
    return tmp_path / "run"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The words of every analysis that is made; what comes out are samples."""
    calls: list[list[str]] = []

    def make(kind: str, words: list[str], path: Path | None) -> Any:
        calls.append([kind, *words])
        if path is not None:
            write(RECORDS[kind], path)
        return RECORDS[kind]

    monkeypatch.setattr(report_gather, "_made", make)
    return calls


def gathered(folder: Path, *, heard: list[str] | None = None, **options: Any) -> Run:
    tell = (heard if heard is not None else []).append
    return gather(folder, "run", Report(runs=(folder,), **options), tell)


def keep(folder: Path, kind: str, age: float = 0.0) -> Path:
    path = folder / "analysis" / f"{kind}.json"
    write(RECORDS[kind], path)
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
    return path


def test_there_is_a_record_and_a_section_for_every_analysis() -> None:
    from stillbit.analysis.report import TOPICS
    from stillbit.cli.analyze import KINDS

    assert CLASSES.keys() == KINDS.keys() == TOPICS.keys()
    assert all(type(RECORDS[kind]).__name__ == name for kind, name in CLASSES.items())


def test_cheap_ones_are_made_and_for_the_others_the_command_is_said(folder: Path, made: list[list[str]]) -> None:
    run = gathered(folder)
    assert [call[0] for call in made] == [kind for kind in CLASSES if kind in CHEAP]
    assert {one.kind: one.command for one in run.missing} == {
        kind: f"stillbit analyze {kind} {folder}" for kind in ("sensitivity", "landscape", "attention")
    }
    assert not (folder / "analysis").exists(), "what is made on the spot stays nowhere"


def test_what_the_run_has_is_taken_as_it_is(folder: Path, made: list[list[str]]) -> None:
    for kind in CLASSES:
        keep(folder, kind)
    run = gathered(folder)
    assert made == [] and run.missing == () and run.stale == ()
    assert run.records == tuple(RECORDS[kind] for kind in CLASSES)


def test_a_dear_one_that_is_wanted_is_made_and_stays_in_the_run(folder: Path, made: list[list[str]]) -> None:
    heard: list[str] = []
    run = gathered(folder, heard=heard, with_=("landscape",), dataset="digits", device="cpu")
    (words,) = (call for call in made if call[0] == "landscape")
    assert words == ["landscape", str(folder), *["--device", "cpu", "--checkpoint", "best", "--dataset", "digits"]]
    assert read(type(RECORDS["landscape"]), folder / "analysis" / "landscape.json") == RECORDS["landscape"]
    assert "run: landscape ..." in heard
    assert "landscape" not in {one.kind for one in run.missing}


def test_choices_of_data_go_only_to_those_who_look_at_images(folder: Path, made: list[list[str]]) -> None:
    gathered(folder, dataset="digits")
    assert {call[0] for call in made if "--dataset" in call} == {"error"}


def test_a_dear_one_that_is_older_than_its_checkpoint_is_shown_and_marked(folder: Path, made: list[list[str]]) -> None:
    keep(folder, "sensitivity", age=60)
    run = gathered(folder)
    assert [one.command for one in run.stale] == [f"stillbit analyze sensitivity {folder}"]
    assert run.record("sensitivity") == RECORDS["sensitivity"]
    assert "sensitivity" not in [call[0] for call in made]


def test_one_that_is_stale_is_made_anew_if_it_is_cheap_or_wanted(folder: Path, made: list[list[str]]) -> None:
    keep(folder, "sensitivity", age=60)
    keep(folder, "cost", age=60)
    run = gathered(folder, full=True)
    assert run.stale == ()
    assert {"sensitivity", "cost"} <= {call[0] for call in made}


def test_what_the_record_is_about_decides_whether_it_is_stale(folder: Path) -> None:
    path = keep(folder, "oscillation", age=60)
    os.utime(folder / "last.pt", (0, 0))
    assert not is_stale(path, folder, "oscillation", "best"), "it is about the last checkpoint"
    assert is_stale(path, folder, "cost", "best")
    assert not is_stale(path, folder, "curves", "best"), "there is no log"


def test_an_analysis_that_is_refused_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: str, words: list[str], path: Path | None) -> Any:
        if kind == "oscillation" and "--latents-only" in words:
            return samples.oscillation(tracked=False)
        if kind in ("oscillation", "error"):
            raise ValueError(f"no {kind}: do this")
        return RECORDS[kind]

    monkeypatch.setattr(report_gather, "_made", refuse)
    run = gathered(folder)
    assert {one.kind: one.reason for one in run.missing if one.reason} == {
        "oscillation": "no oscillation: do this",
        "error": "no error: do this",
    }
    assert run.record("oscillation") == samples.oscillation(tracked=False), "latents are there without a tracker"


def test_names_are_as_long_as_they_have_to_be(tmp_path: Path) -> None:
    assert named([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    assert named([tmp_path / "x" / "run", tmp_path / "y" / "run"]) == ["x/run", "y/run"]


@pytest.mark.parametrize(
    ("there", "sentence"),
    [
        ((), "has no recipe.json; give the folder that stillbit train wrote to"),
        (("recipe.json",), "is no recipe"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path: Path, there: tuple[str, ...], sentence: str) -> None:
    for name in there:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=sentence):
        check(tmp_path, "best")
    with pytest.raises(ValueError, match="there is no folder"):
        check(tmp_path / "nowhere", "best")


@pytest.mark.parametrize("text", ["[]", "{oops", '{"analysis": "KIND", "version": 99, "record": {}}'])
def test_a_damaged_record_is_told_and_stops_nothing(folder: Path, made: list[list[str]], text: str) -> None:
    for kind in ("cost", "sensitivity"):
        path = keep(folder, kind)
        path.write_text(text.replace("KIND", kind), encoding="utf-8")
    run = gathered(folder)
    assert run.record("cost") == RECORDS["cost"] and "cost" in [call[0] for call in made]
    (broken,) = run.damaged
    assert broken.kind == "cost" and "write it again, stillbit analyze cost" in broken.reason
    (lack,) = (one for one in run.missing if one.kind == "sensitivity")
    assert "write it again, stillbit analyze sensitivity" in lack.reason


def test_a_damaged_record_that_is_wanted_is_made_anew(folder: Path, made: list[list[str]]) -> None:
    keep(folder, "sensitivity").write_text("{oops", encoding="utf-8")
    run = gathered(folder, with_=("sensitivity",))
    assert run.record("sensitivity") == RECORDS["sensitivity"] and run.damaged == ()


def test_a_landscape_that_is_old_or_damaged_is_begun_anew(folder: Path, made: list[list[str]]) -> None:
    keep(folder, "landscape", age=60)
    assert [one.command for one in gathered(folder).stale] == [f"stillbit analyze landscape {folder} --fresh"]
    keep(folder, "landscape").write_text("{oops", encoding="utf-8")
    assert gathered(folder, with_=("landscape",)).record("landscape") == RECORDS["landscape"]
    assert "--fresh" in next(call for call in made if call[0] == "landscape")
