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
    anew: ClassVar[str] = ""
    """What ``stillbit analyze`` has to be told to write a record where another one lies."""
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


def from_json(kind: type[R], text: str, what: str, run: str = "RUN") -> R:
    """The inverse of `to_json`; ``what`` names the text in a message, and ``run`` what it was about."""
    again = f"write it again, stillbit analyze {kind.kind} {run} {kind.anew}".rstrip()
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{what} is not JSON: {again}") from None
    if not isinstance(held, dict) or held.get("analysis") != kind.kind or not isinstance(held.get("record"), dict):
        raise ValueError(f"{what} is no {kind.kind} analysis: {again}")
    if held.get("version") != VERSION:
        raise ValueError(f"{what} is of version {held.get('version')!r:.20} and this stillbit reads {VERSION}: {again}")
    return from_plain(kind, held["record"], f"{kind.kind} analysis in {what}")


def write(record: Record, path: Path) -> None:
    """The file whole, or not there."""
    said = to_json(record)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(
            f"{path.parent} is a file, and a record goes into a folder of that name: move it away, or say --output "
            "record.json"
        ) from None
    with whole(path) as temporary:
        temporary.write_text(said, encoding="utf-8")


def read(kind: type[R], path: Path) -> R:
    """The record of a file that `write` wrote."""
    run = str(path.parent.parent) if path.parent.name == "analysis" else "RUN"
    # What is not text is not JSON either.
    return from_json(kind, path.read_bytes().decode("utf-8", errors="replace"), str(path), run)
