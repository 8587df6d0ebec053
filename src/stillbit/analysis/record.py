"""What an analysis found, as a frozen value: exact in JSON, a table on demand."""

from __future__ import annotations

import json
from abc import abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from stillbit.analysis.table import Table
from stillbit.data.plain import from_plain
from stillbit.data.whole import whole

VERSION = 1
"""Of the files. One with another version is not read."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """Numbers, words, tuples and frozen dataclasses of these; no tensors, so that equal records are equal in JSON."""

    kind: ClassVar[str]
    """What ``stillbit analyze`` calls it, and what its file is called."""
    subject: str
    """What was looked at, such as a run."""

    @abstractmethod
    def tables(self) -> tuple[Table, ...]:
        """What a person should see, the most important first."""


R = TypeVar("R", bound=Record)


def to_json(record: Record) -> str:
    """The record with its kind; numbers come back as they were, to the bit."""
    try:
        said = json.dumps(asdict(record), indent=1, allow_nan=False, ensure_ascii=False)
    except ValueError:
        raise ValueError(
            f"the {record.kind} of {record.subject} is not finite: the weights or the inputs are broken"
        ) from None
    return f'{{"analysis": {json.dumps(record.kind)}, "version": {VERSION}, "record": {said}}}\n'


def from_json(kind: type[R], text: str, what: str) -> R:
    """The inverse of `to_json`; ``what`` names the text in a message."""
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{what} is not JSON: write it again, stillbit analyze {kind.kind}") from None
    if not isinstance(held, dict) or held.get("analysis") != kind.kind or not isinstance(held.get("record"), dict):
        raise ValueError(f"{what} is no {kind.kind} analysis: write it again, stillbit analyze {kind.kind}")
    if held.get("version") != VERSION:
        raise ValueError(
            f"{what} is of version {held.get('version')!r:.20} and this stillbit reads {VERSION}: write it again, "
            f"stillbit analyze {kind.kind}"
        )
    return from_plain(kind, held["record"], f"{kind.kind} analysis in {what}")


def write(record: Record, path: Path) -> None:
    """The file whole, or not there."""
    said = to_json(record)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as temporary:
        temporary.write_text(said, encoding="utf-8")


def read(kind: type[R], path: Path) -> R:
    """The record of a file that `write` wrote."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text: write it again, stillbit analyze {kind.kind}") from None
    return from_json(kind, text, str(path))
