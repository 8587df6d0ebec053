"""``stillbit labels import-fkd``: a store out of the label files that FKD published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stillbit.cli.options import parse
from stillbit.data.settings import DataSettings
from stillbit.distill.settings import ImportSettings

_LOW = 0.1
"""A teacher that is right less often was asked about other classes."""


@dataclass(frozen=True, kw_only=True)
class LabelsImport:
    """Make a store of FKD's label files; nothing that is in them runs. Stopped, the same command goes on."""

    folder: tyro.conf.Positional[Path]
    """The folder with FKD's labels: CLASS/NAME.tar, or one or two folders above."""
    settings: ImportSettings
    data_dir: Path
    """The folder with the images that the labels are of; only their names and sizes are read."""
    train_split: str = "train"
    """The split of the images."""


def run(words: Sequence[str]) -> int:
    """Make the store, and say what to do with it."""
    asked = parse(LabelsImport, words, prog="stillbit labels import-fkd")
    from stillbit.cli.labels import size
    from stillbit.data.sources import open_source
    from stillbit.distill.about import agreement
    from stillbit.distill.fkd_store import Published, import_labels
    from stillbit.distill.store import Store

    console, output = Console(), asked.settings.output
    published = Published(asked.folder, open_source(_data(asked), "train"))
    columns = TextColumn("reading"), BarColumn(30), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        import_labels(published, asked.settings, lambda done, of: bar.update(task, completed=done, total=of))
    store = Store(output)
    right = agreement(store)
    for line in (
        f"{output}: {len(store):,} images x {store.views} crops, {size(store.bytes)}, "
        f"{store.layout.bytes_a_view} bytes a view",
        f"The teacher's first guess is the true class in {100 * right:.2f} % of the crops.",
        *["That is little: are the class folders those that FKD labelled, and all of them?"] * (right < _LOW),
        f"stillbit train fp --labels {output} --data-dir {asked.data_dir}",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def _data(asked: LabelsImport) -> DataSettings:
    return DataSettings(data_dir=asked.data_dir, train_split=asked.train_split)
