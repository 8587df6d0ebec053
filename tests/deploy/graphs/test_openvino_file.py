from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from stillbit.deploy.about import About
from stillbit.deploy.graphs.openvino_engine import OpenVino
from stillbit.deploy.graphs.openvino_file import write_openvino
from tests.deploy import programs

ABOUT = About(model="tiny", classes=('a "cat"', "<dög> & co"))


def test_the_graph_and_its_weights_lie_side_by_side(tmp_path: Path) -> None:
    size = write_openvino(programs.everything(), ABOUT, tmp_path / "model.xml")
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["model.bin", "model.xml"]
    assert size == sum(file.stat().st_size for file in files)


def test_the_graph_says_what_it_is(tmp_path: Path) -> None:
    write_openvino(programs.everything(), ABOUT, tmp_path / "model.xml")
    assert OpenVino(tmp_path / "model.xml").about == ABOUT


def test_weights_are_bytes(tmp_path: Path) -> None:
    made = programs.Written(64)
    summed = made.add("product", made.quantize("input"), made.codes(64, 64), offsets=[0.0, 0.0])
    write_openvino(made.program(summed), ABOUT, tmp_path / "model.xml")
    assert 64 * 64 <= (tmp_path / "model.bin").stat().st_size < 2 * 64 * 64


@pytest.mark.parametrize("fails", [1, 2], ids=["at the first", "between the two"])
def test_an_interrupted_export_leaves_both_old_files(
    fails: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.xml"
    write_openvino(programs.linear(), ABOUT, path)
    before = [file.read_bytes() for file in sorted(tmp_path.iterdir())]
    calls, replace = [0], os.replace

    def interrupted(source: Any, target: Any) -> None:
        calls[0] += 1
        if calls[0] == fails:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr("os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_openvino(programs.everything(), ABOUT, path)
    assert [file.read_bytes() for file in sorted(tmp_path.iterdir())] == before


def test_an_interrupted_first_export_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_openvino(programs.linear(), ABOUT, tmp_path / "model.xml")
    assert list(tmp_path.iterdir()) == []


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"write .*model\.xml"):
        write_openvino(programs.linear(), ABOUT, tmp_path / "model.onnx")


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ValueError, match=r'pip install "stillbit\[openvino\]"'):
        write_openvino(programs.linear(), ABOUT, tmp_path / "model.xml")
