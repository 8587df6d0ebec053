"""``stillbit bench``: a table or JSON, mistakes in a sentence, and what is measured when it is stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stillbit.deploy.bench import rounds as bench
from stillbit.deploy.bench.rounds import Asked, Report, Row
from tests.cli.command import call, mistake, works


def report(**changes: Any) -> Report:
    rows = [
        Row(name="torch fp32, vit", model="vit", bytes=None, libraries=500, peak=10**9, seconds={1: [0.2], 32: [4.0]}),
        Row(
            name="integer, a.safetensors", model="vit", bytes=1842569, peak=6 * 10**8, seconds={1: [0.0123], 32: [1.0]}
        ),
    ]
    made: dict[str, Any] = {"hardware": "a machine", "threads": 1, "batches": (1, 32), "rounds": 1, "rows": rows}
    return Report(**{**made, **changes})


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """What was asked; the answer is `report`."""
    heard: list[Asked] = []

    def answer(asked: Asked, tell: Any) -> Report:
        heard.append(asked)
        tell("round 1")
        return report(notes=["no bf16"])

    monkeypatch.setattr(bench, "bench", answer)
    return heard


def test_a_row_an_engine_with_what_was_deployed_first(pretended: list[Asked]) -> None:
    lines = works("bench a.safetensors b.onnx --batches 1 32 32 --threads 2 --rounds 3 --compiled").splitlines()
    assert lines[0].split()[:2] == ["engine", "ms,"] and "32 images" in lines[0]
    numbers = "12.3 (12.3-12.3) 0.06 81 1000 (1000-1000) 0.25 32 1.84 MB 600 MB 600 MB"
    assert " ".join(lines[1].split()) == f"integer, a.safetensors {numbers}"
    assert lines[2].startswith("torch fp32, vit") and "1.00" in lines[2]
    assert lines[3] == "a machine; 1 thread each, 1 round: median (lowest-highest)." and lines[-1] == "no bf16"
    (asked,) = pretended
    assert asked == Asked(
        files=(Path("a.safetensors"), Path("b.onnx")), batches=(1, 32), rounds=3, threads=2, compiled=True
    )


def test_json_is_alone_on_stdout(pretended: list[Asked]) -> None:
    data = json.loads(works("bench a.safetensors --json --alone"))
    assert data["rows"][1]["milliseconds"]["1"]["median"] == pytest.approx(12.3) and data["notes"] == ["no bf16"]
    assert pretended[0].alone


def test_what_is_measured_before_ctrl_c_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    half = report(stopped=True, rounds=9)
    half.rows[1].seconds.pop(32)
    monkeypatch.setattr(bench, "bench", lambda asked, tell: half)
    said = call("bench a.safetensors")
    assert said.code == 130 and "stopped after 1 of 9 rounds" in said.out
    monkeypatch.setattr(bench, "bench", lambda asked, tell: report(stopped=True, rows=[]))
    assert call("bench a.safetensors").code == 130


def test_a_mistake_is_a_sentence(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"nothing")
    assert "there is no file" in mistake("bench", tmp_path / "nothing.onnx")
    assert "is no deployed file" in mistake("bench", tmp_path / "nothing.txt")
    assert "damaged.safetensors" in mistake("bench", damaged)
    assert "there is no file to measure" in mistake("bench")
    assert "at least one" in mistake("bench a.onnx --rounds 0")
