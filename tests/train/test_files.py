from __future__ import annotations

import json
from pathlib import Path

import pytest

from stillbit.train.files import write_json, write_text
from tests.train import tiny


def test_text_and_json_come_back(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "größer\n")
    write_text(tmp_path / "a.txt", "kleiner\n")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "kleiner\n"
    data = {"a": [1, None, 0.5], "b": "ü"}
    write_json(tmp_path / "b.json", data)
    text = (tmp_path / "b.json").read_text(encoding="utf-8")
    assert json.loads(text) == data and text.endswith("}\n")
    assert tiny.files(tmp_path) == {"a.txt", "b.json"}


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a.txt", "before")
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.txt", {"a": object()})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ValueError, match="make room"):
        write_text(tmp_path / "a.txt", "after")
    assert (tmp_path / "a.txt").read_text() == "before" and tiny.files(tmp_path) == {"a.txt"}
