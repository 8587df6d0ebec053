"""How far a job is: a small file beside its folder, because a folder of a run holds nothing but the run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from stillbit.data.plain import from_plain
from stillbit.train.files import write_json

Status = Literal["waiting", "begun", "stopped", "failed", "done"]
"""Begun is what a job is called while it runs, and after all was killed; stopped has saved how far it came."""
Number = float | None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the study knows of a job."""

    hash: str
    """Of the job as it was when it ran."""
    status: Status = "waiting"
    error: str = ""
    """The last words of a job that failed."""
    seconds: float = 0.0
    """All that it took, starting, measuring and interrupted tries included."""
    unmeasured: dict[str, str] = field(default_factory=dict)
    """What could not be measured, and why."""


def load(path: Path) -> Standing | None:
    """What stands in a file; None if there is none."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        held = None
    if not isinstance(held, dict):
        raise ValueError(f"{path} is damaged: remove it, and its cell goes on where it was")
    unmeasured = held.pop("unmeasured", {})
    made = from_plain(Standing, held, f"standing in {path}")
    return Standing(**{**asdict(made), "unmeasured": {str(k): str(v) for k, v in dict(unmeasured).items()}})


def store(standing: Standing, path: Path) -> None:
    """The file whole, or the one before it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, asdict(standing))
