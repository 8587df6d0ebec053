"""Where and with what a run was made, as plain data."""

from __future__ import annotations

import json
import platform
import subprocess
from pathlib import Path

import pytest
import torch

from stillbit.train.environment import environment
from tests.train import tiny


def test_the_record_is_json_and_says_versions_hardware_and_seed() -> None:
    found = environment(tiny.ALONE, 7)
    assert json.loads(json.dumps(found)) == found
    versions, hardware = found["versions"], found["hardware"]
    assert versions["python"] == platform.python_version()
    assert str(torch.__version__).startswith(versions["torch"]) and versions["stillbit"] and versions["timm"]
    assert hardware["cores"] >= 1 and hardware["device"] == "cpu" and hardware["processes"] == 1
    assert hardware["gpu"] is None and found["seed"] == 7 and found["command"]


def test_git_is_asked_for_the_commit_and_for_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        return subprocess.run(["git", *who, *words], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment(tiny.ALONE, 0)["git"] is None
    git("init")
    assert environment(tiny.ALONE, 0)["git"] is None, "there is no commit yet"
    git("commit", "--allow-empty", "-m", "a")
    commit = git("rev-parse", "HEAD").strip()
    assert environment(tiny.ALONE, 0)["git"] == {"commit": commit, "changed": False}
    (tmp_path / "new").write_text("")
    assert environment(tiny.ALONE, 0)["git"] == {"commit": commit, "changed": True}


def test_where_there_is_no_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert environment(tiny.ALONE, 0)["git"] is None
