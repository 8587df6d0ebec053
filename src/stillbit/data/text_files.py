"""Texts from files: tab-separated as GLUE gives them out, comma-separated, or one JSON object a line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Literal

from stillbit.data.text_source import Fault, Row, Texts, gather
from stillbit.data.text_tasks import MATCHED, MISMATCHED, VALIDATION, Layout, TextTask

_ENDINGS = (".tsv", ".csv", ".jsonl")
_NAMES = {
    VALIDATION: ("dev", "validation", "val", "valid"),
    MATCHED: ("dev_matched", MATCHED),
    MISMATCHED: ("dev_mismatched", MISMATCHED),
}
"""How a split may be called; GLUE calls validation dev."""
_BOM = b"\xef\xbb\xbf"
"""Microsoft's file of MRPC begins with it."""
_Line = tuple[int, str | Fault]
_Reader = Callable[[Iterator[_Line], Path], Iterator[tuple[int, list[str] | Fault]]]


def read_texts(task: TextTask, path: Path, corrupt: Literal["fatal", "skip"] = "fatal") -> Texts:
    """The examples of a file; its ending says what it is."""
    if path.suffix not in _ENDINGS:
        raise ValueError(f"{path} does not say what it is: let its name end in {', '.join(_ENDINGS)}")
    if not path.is_file():
        raise ValueError(f"there is no file {path}: name the folder with it, --data-dir FOLDER")
    rows = _objects(task, path) if path.suffix == ".jsonl" else _table(task, path)
    return gather(task, rows, origin=str(path), corrupt=corrupt)


def find_file(task: TextTask, root: Path, split: str) -> Path:
    """The file of a split, in ``root`` or in the task's folder there."""
    if not root.is_dir():
        raise ValueError(f"there is no folder {root}: name the one with the files of {task.name}, --data-dir FOLDER")
    folders = [folder for folder in (root / (task.folder or task.name), root / task.name, root) if folder.is_dir()]
    names = _NAMES.get(split, (split,))
    for folder in folders:
        for name in names:
            for ending in _ENDINGS:
                if (folder / (name + ending)).is_file():
                    return folder / (name + ending)
    there = sorted(entry.name for entry in folders[0].iterdir())
    shown = ", ".join(there[:6]) + (", ..." if len(there) > 6 else "") if there else "nothing"
    raise ValueError(
        f"there is no {names[0]}.tsv, .csv or .jsonl in {folders[0]}, but {shown}: "
        f"give the folder with the files of {task.name}, --data-dir FOLDER, or name the split"
    )


def _lines(path: Path) -> Iterator[_Line]:
    """Lines end with a line feed and nothing else: a text may hold any other character that Unicode calls an end."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            raw = line.removeprefix(_BOM) if number == 1 else line
            try:
                yield number, raw.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                yield number, Fault(number, f"byte {error.start + 1} of the line is no UTF-8")


def _without_blank_end(lines: Iterator[_Line]) -> Iterator[_Line]:
    """An empty line is a fault, unless nothing follows."""
    empty: list[int] = []
    for number, line in lines:
        if isinstance(line, str) and not line.strip():
            empty.append(number)
            continue
        yield from ((blank, Fault(blank, "it is empty")) for blank in empty)
        empty.clear()
        yield number, line


def _tabbed(lines: Iterator[_Line], path: Path) -> Iterator[tuple[int, list[str] | Fault]]:
    """GLUE quotes nothing: a quotation mark is a character of the text."""
    for number, line in lines:
        yield number, line if isinstance(line, Fault) else line.split("\t")


def _quoted(lines: Iterator[_Line], path: Path) -> Iterator[tuple[int, list[str] | Fault]]:
    """A text in quotation marks may go over several lines, so nothing can be left out of such a file line by line."""

    def plain() -> Iterator[str]:
        for number, line in lines:
            if isinstance(line, Fault):
                raise ValueError(f"{path}, line {number}: {line.reason}; save the file as UTF-8")
            yield line + "\n"

    reader = csv.reader(plain(), strict=True)
    while True:
        begin = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(
                f"{path}, line {begin}: {error}; quote its texts as CSV does, or save it as .tsv"
            ) from None
        if fields:
            yield begin, fields


def _table(task: TextTask, path: Path) -> Iterator[Row | Fault]:
    read: _Reader = _tabbed if path.suffix == ".tsv" else _quoted
    lines = _without_blank_end(_lines(path)) if path.suffix == ".tsv" else _lines(path)
    records = read(lines, path)
    number, header = next(records, (1, []))
    if isinstance(header, Fault):
        raise ValueError(f"{path}, line {number}: {header.reason}; save the file as UTF-8")
    layout, unnamed = _layout(task, header, path)
    if unnamed:
        records = chain([(number, header)], records)
        header = list(layout.unnamed or ())
    places, label = [header.index(column) for column in layout.columns], header.index(layout.label)
    for number, fields in records:
        if isinstance(fields, Fault):
            yield fields
        elif len(fields) != len(header):
            yield Fault(number, f"it has {_columns(len(fields))} and not {len(header)}")
        else:
            yield Row(number, tuple(fields[place] for place in places), fields[label])


def _objects(task: TextTask, path: Path) -> Iterator[Row | Fault]:
    layout: Layout | None = None
    for number, line in _without_blank_end(_lines(path)):
        if isinstance(line, Fault):
            yield line
            continue
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            yield Fault(number, "it is no JSON object")
            continue
        layout = layout or _layout(task, list(found), path)[0]
        missing = [column for column in (*layout.columns, layout.label) if found.get(column) is None]
        if missing:
            yield Fault(number, f"it has no {missing[0]}")
        else:
            yield Row(number, tuple(str(found[column]) for column in layout.columns), found[layout.label])


def _layout(task: TextTask, header: list[str], path: Path) -> tuple[Layout, bool]:
    """The layout that fits, and whether ``header`` is none but the first example."""
    for layout in task.layouts:
        if {*layout.columns, layout.label} <= set(header):
            return layout, False
    for layout in task.layouts:
        if layout.unnamed is not None and len(layout.unnamed) == len(header):
            return layout, True
    if any(set(layout.columns) <= set(header) for layout in task.layouts):
        raise ValueError(f"{path} has no column {task.layouts[-1].label}, so no labels: choose another split")
    wanted = (*task.layouts[0].columns, task.layouts[0].label)
    shown = ", ".join(field[:30] for field in header[:8]) or "none"
    raise ValueError(
        f"{path} has the columns {shown} and not {', '.join(wanted)}: name yours with "
        "--task classify --columns COLUMN ... --label-column COLUMN"
    )


def _columns(count: int) -> str:
    return f"{count} column" + ("s" if count != 1 else "")
