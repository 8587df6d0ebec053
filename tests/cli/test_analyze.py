"""``stillbit analyze``: the dispatcher, and what all analyses are asked with and show."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest

from stillbit.analysis.record import Record, from_json, read
from stillbit.analysis.table import Column, Table
from stillbit.cli.analyze import KINDS, ROWS, Asked, shown
from stillbit.data.settings import DataSettings
from stillbit.methods import RECIPES
from stillbit.methods.recipe_file import to_dict
from tests.analysis.plot import samples
from tests.cli.command import mistake, works


@dataclass(frozen=True, kw_only=True)
class Few(Record):
    kind: ClassVar[str] = "few"
    count: int

    def tables(self) -> tuple[Table, ...]:
        columns = (Column(name="[name]"), Column(name="share", kind="share"))
        rows = tuple((f"[bold]layer {index}[/]", index / 100) for index in range(self.count))
        return (Table(title="[red]Shares[/]", columns=columns, rows=rows, note="at [m] = 1"),)


def said(record: Record, folder: Path | None = None, **options: Any) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        assert shown(Asked(target="x", **options), record, folder) == 0
    return out.getvalue(), err.getvalue()


def test_every_kind_has_its_file_and_is_listed() -> None:
    text = works("analyze --help")
    for kind, what in KINDS.items():
        assert find_spec(f"stillbit.cli.analyze_{kind}") is not None
        assert kind in text and what in text


def test_a_kind_that_is_misspelt_is_guessed() -> None:
    assert "did you mean stillbit analyze sensitivity?" in mistake("analyze sensitvity run")
    assert "stillbit analyze --help" in mistake("analyze everything")


def test_a_table_is_printed_as_it_is_with_its_note() -> None:
    out, _ = said(Few(subject="x", count=3))
    assert (
        out.splitlines()
        == [
            "[red]Shares[/]",
            "[name]                   share",
            "[bold]layer 0[/]  0.00 %",
            "[bold]layer 1[/]  1.00 %",
            "[bold]layer 2[/]  2.00 %",
            "at [m] = 1",
        ]
        or "[bold]layer 2[/]" in out
    )


def test_a_long_table_says_how_much_is_left_out() -> None:
    out, _ = said(Few(subject="x", count=ROWS + 7))
    assert "... and 7 more rows: --json has all" in out
    assert f"layer {ROWS - 1}" in out and f"layer {ROWS}[" not in out


def test_as_json_stdout_is_the_record_and_nothing_else(tmp_path: Path) -> None:
    record = Few(subject="Zoë [b]", count=30)
    out, err = said(record, tmp_path, json=True)
    assert from_json(Few, out, "stdout") == record
    assert "written:" in err and "few.json" in err
    assert json.loads(out)["record"]["subject"] == "Zoë [b]"


def test_a_run_keeps_its_record_and_a_model_keeps_none(tmp_path: Path) -> None:
    record = Few(subject="x", count=1)
    out, _ = said(record, tmp_path)
    assert read(Few, tmp_path / "analysis" / "few.json") == record
    assert f"written: {tmp_path / 'analysis' / 'few.json'}" in out
    assert "written" not in said(record)[0]


def test_the_record_goes_where_it_is_asked_to(tmp_path: Path) -> None:
    said(Few(subject="x", count=1), tmp_path / "run", output=tmp_path / "new" / "here.json")
    assert (tmp_path / "new" / "here.json").is_file() and not (tmp_path / "run").exists()


def test_figures_are_drawn_into_a_folder(tmp_path: Path) -> None:
    out, _ = said(samples.landscape(dimensions=1), figures=tmp_path / "figures")
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["landscape-cut.svg"]
    assert f"drawn: 1 figures in {tmp_path / 'figures'}" in out


def test_a_place_that_would_surprise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a record is a .json file, and this is x.txt: --output record.json"):
        Asked(target="x", output=Path("x.txt"))
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file, and figures go to a folder"):
        Asked(target="x", figures=tmp_path / "file")


def test_only_choices_of_data_that_were_said_are_passed_on() -> None:
    asked = Asked(target="x", dataset="digits")
    assert asked.of_data() == {"dataset": "digits"}
    assert replace(asked, data_dir=Path("d"), val_split="test").of_data() == {
        "data_dir": Path("d"),
        "dataset": "digits",
        "val_split": "test",
    }


def test_a_run_keeps_no_record_of_other_images_unless_its_own_are_gone(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    recipe = RECIPES["fp"]()
    folder = tmp_path / "run"
    folder.mkdir()
    data = DataSettings(data_dir=tmp_path / "own")
    (folder / "recipe.json").write_text(json.dumps(to_dict(replace(recipe, data=data))))
    kept = folder / "analysis" / "few.json"
    assert Asked(target="x").place("few", folder) == kept
    assert Asked(target="x", data_dir=tmp_path / "own").place("few", folder) == kept
    assert Asked(target="x", data_dir=tmp_path / "other").place("few", folder) is None
    out, _ = said(Few(subject="x", count=1), folder, data_dir=tmp_path / "other")
    assert f"not kept in {folder}, since these are other images than its own: --output record.json keeps it" in out
    assert not kept.exists()
    (tmp_path / "own").rmdir()
    assert Asked(target="x", data_dir=tmp_path / "other").place("few", folder) == kept
