"""Texts through Hugging Face's datasets: a folder that it saved, or a data set of its hub."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from stillbit.data.text_source import Fault, Row, Texts, gather
from stillbit.data.text_tasks import GLUE, Layout, TextTask

_STATE = "state.json"
"""What the package writes beside the tables of a split."""


def saved_split(task: TextTask, root: Path, split: str) -> Path | None:
    """The folder of a split that ``save_to_disk`` wrote, if there is one."""
    if (root / _STATE).is_file():
        raise ValueError(f"{root} is one split: give the folder above it, --data-dir {root.parent}")
    folders = [folder / split for folder in (root / (task.folder or task.name), root / task.name, root)]
    return next((folder for folder in folders if (folder / _STATE).is_file()), None)


def from_disk(task: TextTask, folder: Path, corrupt: Literal["fatal", "skip"] = "fatal") -> Texts:
    """The examples of a split that ``save_to_disk`` wrote."""
    package = _package(str(folder))
    return _examples(task, _opened(lambda: package.load_from_disk(str(folder)), str(folder)), str(folder), corrupt)


def from_hub(
    task: TextTask, name: str, split: str, cache: Path | None, corrupt: Literal["fatal", "skip"] = "fatal"
) -> Texts:
    """The examples of a split of ``name``, a data set of the hub, fetched if it is not here yet; ``cache`` keeps it."""
    package = _package(f"hfds/{name}")
    part = task.name if task in GLUE and name.rpartition("/")[2] == "glue" else None
    origin = f"hfds/{name}, {f'{part}, ' if part else ''}{split}"
    where = None if cache is None else str(cache)
    found = _opened(lambda: package.load_dataset(name, part, split=split, cache_dir=where), origin)
    return _examples(task, found, origin, corrupt)


def _package(origin: str) -> Any:
    if find_spec("datasets") is None:
        raise ValueError(f"{origin} needs Hugging Face's package: pip install datasets")
    import datasets

    return datasets


def _opened(load: Any, origin: str) -> Any:
    try:
        return load()
    except Exception as error:  # the package has many kinds of them: no such set, split or file, no network
        raise ValueError(f"cannot open {origin}: {' '.join(str(error).split())}") from None


def _examples(task: TextTask, table: Any, origin: str, corrupt: Literal["fatal", "skip"]) -> Texts:
    layout = _layout(task, table.column_names, origin)
    labels = _labels(task, table, layout.label, origin)
    texts = [list(table[column]) for column in layout.columns]
    return gather(task, _rows(layout, texts, labels), origin=origin, unit="row", corrupt=corrupt)


def _rows(layout: Layout, texts: list[list[str | None]], labels: list[object]) -> Iterator[Row | Fault]:
    for number, (label, *said) in enumerate(zip(labels, *texts, strict=True)):
        # A cell may be missing, which for a text is the same as empty.
        missing = next((column for column, text in zip(layout.columns, said, strict=True) if text is None), None)
        if missing or label is None:
            yield Fault(number, f"the {missing or layout.label} is empty")
        else:
            yield Row(number, tuple(str(text) for text in said), label)


def _labels(task: TextTask, table: Any, column: str, origin: str) -> list[object]:
    """Labels as the task names them: two data sets may number the same classes in two ways."""
    labels = list(table[column])
    if task.labels is None:
        return labels
    if labels and all(label == -1 for label in labels):
        raise ValueError(f"{origin} keeps its labels secret: choose another split")
    names = getattr(table.features[column], "names", None)
    if names is not None and set(names) == set(task.labels):
        return [names[label] if isinstance(label, int) and 0 <= label < len(names) else label for label in labels]
    if names is not None and len(names) != len(task.labels):
        raise ValueError(
            f"{origin} has the labels {', '.join(names[:6])} and {task.name} {', '.join(task.labels)}: "
            f"choose the task that it is for, or --task classify --class-names {' '.join(names[:6])}"
        )
    return labels


def _layout(task: TextTask, columns: list[str], origin: str) -> Layout:
    for layout in task.layouts:
        if {*layout.columns, layout.label} <= set(columns):
            return layout
    wanted = (*task.layouts[0].columns, task.layouts[0].label)
    raise ValueError(
        f"{origin} has the columns {', '.join(columns[:8])} and not {', '.join(wanted)}: name yours with "
        "--task classify --columns COLUMN ... --label-column COLUMN"
    )
