"""The small text files of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stillbit.data.whole import whole


def write_text(target: Path, text: str) -> None:
    """Replace ``target`` by ``text``."""
    try:
        with whole(target) as path:
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ValueError(
            f"{target} could not be written ({error.strerror}): make room, or choose another --output"
        ) from error


def write_json(target: Path, data: Any) -> None:
    """The same, as JSON."""
    write_text(target, json.dumps(data, indent=2) + "\n")
