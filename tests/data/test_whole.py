from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from stillbit.data.whole import draft, whole


def test_a_file_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with whole(tmp_path / "a") as temporary:
        temporary.write_text("new")
        assert (tmp_path / "a").read_text() == "old"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "new")]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt), whole(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


def test_two_machines_that_share_a_disk_do_not_write_to_one_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = set()
    for machine in ("one", "two"):
        monkeypatch.setattr("platform.node", lambda machine=machine: machine)
        with whole(tmp_path / "a") as temporary:
            temporary.write_text(machine)
            names.add(temporary)
    assert len(names) == 2


def test_what_a_killed_process_left_is_swept_away_by_the_next_and_nothing_else_is(tmp_path: Path) -> None:
    here = platform.node()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    others = [f".a.1@{here}", f".a.{gone.pid}@elsewhere", f".b.{gone.pid}@{here}", f".a.x@{here}"]
    for name in [*others, f".a.{gone.pid}@{here}"]:
        (tmp_path / name).write_text("half")
    with whole(tmp_path / "a") as temporary:
        temporary.write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "a"])


def test_drafts_that_a_killed_process_left_are_swept_away_with_all_their_endings(tmp_path: Path) -> None:
    here = platform.node()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    mine = f".m.{gone.pid}@{here}"
    others = [f".m.1@{here}.xml", f".m.{gone.pid}@elsewhere.xml", f".m-2.{gone.pid}@{here}.xml", f"{mine}.md", "m.xml"]
    for name in [*others, f"{mine}.xml", f"{mine}.bin", f".{mine}.xml.{gone.pid}@{here}"]:
        (tmp_path / name).write_text("half")
    (tmp_path / f".{mine}.xml.ab_12xyz").mkdir()
    (tmp_path / f".{mine}.xml.ab_12xyz/m.bin").write_text("half")
    assert draft(tmp_path, "m", ".xml", ".bin").suffix == ".xml"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
