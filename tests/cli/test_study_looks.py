"""Several looks at a run in one process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stillbit.cli import info
from stillbit.cli.study_looks import main
from tests.cli.command import PLAIN, works


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    works(f"train lsq {PLAIN} --epochs 1 --bits w2a2 --experiment run --output", folder)
    return folder / "run"


def looked(folder: Path, *looks: dict[str, Any]) -> dict[str, str]:
    main([str(folder / "answers.json"), json.dumps(looks)])
    held: dict[str, str] = json.loads((folder / "answers.json").read_text())
    return held


def test_each_look_is_taken_and_what_one_prints_can_be_its_result(run: Path, tmp_path: Path) -> None:
    words = ["evaluate", str(run), "--latent", "--checkpoint", "last", "--workers", "0", "--json"]
    cost = {"what": "cost", "words": ["analyze", "cost", str(run)], "output": None}
    latent = {"what": "latent", "words": words, "output": str(tmp_path / "latent.json")}
    assert looked(tmp_path, cost, latent) == {"cost": "", "latent": ""}
    assert (run / "analysis" / "cost.json").is_file()
    assert 0 <= json.loads((tmp_path / "latent.json").read_text())["top1"] <= 100


def test_a_look_that_gives_nothing_says_why_and_the_next_is_taken(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(words: object) -> int:
        raise KeyError("a bug")

    monkeypatch.setattr(info, "run", broken)
    found = looked(
        tmp_path,
        {"what": "oscillation", "words": ["analyze", "oscillation", str(run)], "output": None},
        {"what": "odd", "words": ["evaluate", str(run), "--odd"], "output": None},
        {"what": "bug", "words": ["info", str(run)], "output": None},
        {"what": "variation", "words": ["analyze", "variation", str(run), "--images", "0"], "output": None},
    )
    assert "nobody tracked the weights" in found["oscillation"]
    assert found["odd"].endswith("--odd is not understood") and found["bug"] == "KeyError: 'a bug'"
    assert found["variation"] == ""
