"""``stillbit labels write``: ask a teacher once about many crops of every image, or about texts; keep what it says."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.table import Table

from stillbit.cli.labels import size
from stillbit.cli.labels_texts import TextOptions
from stillbit.cli.options import parse
from stillbit.data.settings import DataSettings
from stillbit.distill.settings import TeacherSettings, WriteSettings

if TYPE_CHECKING:
    from stillbit.distill.write import Written
    from stillbit.methods.labels import Asked, Estimate


@dataclass(frozen=True, kw_only=True)
class LabelsWrite:
    """Write a store of labels. Stopped, the same command goes on where it was; finished, it is left as it is."""

    teachers: TeacherSettings
    write: WriteSettings
    texts: TextOptions
    data_dir: Path | None = None
    """The folder with the images (an ImageFolder, tars, or what `stillbit data fractals` made) or the texts."""
    dataset: str = "folder"
    """What is there: folder, fractals, digits, wds (tars), or hfds/NAME (Hugging Face datasets)."""
    train_split: str = "train"
    """The split whose images or texts get labels."""
    workers: int = 2
    """Processes that load images, beside each that asks the teacher; texts need none."""
    corrupt: Literal["fatal", "skip"] = "fatal"
    """A damaged image ends the writing, or gets no labels and is named; a damaged line of text is left out."""
    dry_run: bool = False
    """Label a few batches, say what the store would cost, and write nothing."""


def run(words: Sequence[str]) -> int:
    """Write a store, or say what it would cost."""
    about = "Under torchrun, or started again elsewhere, processes share the work: no server, any number of them."
    asked = parse(LabelsWrite, words, prog="stillbit labels write", about=f"{LabelsWrite.__doc__} {about}")
    console = Console(quiet=os.environ.get("RANK", "0") != "0")
    from stillbit.cli.labels_progress import Progress
    from stillbit.methods.labels import Asked, estimate, write

    data = DataSettings(
        data_dir=asked.data_dir,
        dataset=asked.dataset,
        train_split=asked.train_split,
        workers=asked.workers,
        corrupt=asked.corrupt,
    )
    wanted = Asked(teachers=asked.teachers, data=data, write=asked.write, text=asked.texts.settings())
    if asked.dry_run:
        console.print(_bill(wanted, estimate(wanted)))
        return 0
    with Progress(console, int(os.environ.get("WORLD_SIZE", "1"))) as progress:
        outcome = write(wanted, progress.tell)
    if outcome.written is None:
        _say(
            console, f"Stopped at {progress.percent}: the same command goes on, and redoes what was not in a file yet."
        )
        return 128 + outcome.signal
    for line in _ended(wanted, outcome.written, asked.texts.words):
        _say(console, line)
    return 0


def _bill(asked: Asked, cost: Estimate) -> Table:
    """What the store would take."""
    made, folder = cost.manifest, asked.write.output
    views = made.count * made.views
    needed = views * made.layout.bytes_a_view
    free = shutil.disk_usage(next(p for p in (folder, *folder.absolute().parents) if p.exists())).free
    teachers = " + ".join(teacher.name for teacher in made.teachers)
    seen = f"sees {' x '.join(str(side) for side in made.teachers[0].size or ())}"
    of = f"{made.count:,} images of {made.layout.classes} classes x {made.views} crops"
    loading = f", with {asked.data.workers} processes that load"
    if made.reading is not None:
        seen = f"reads {made.reading.max_length} pieces at most"
        of, loading = f"a text each, of {made.layout.classes} classes", ""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    for row in (
        ("teacher", f"{teachers}, {cost.parameters / 1e6:.1f} M parameters, {seen}, {made.precision}"),
        ("views", f"{views:,}: {of}"),
        ("disk", f"{size(needed)}, {made.layout.bytes_a_view} bytes a view; {size(free)} are free"),
        ("speed", f"{cost.rate:,.0f} views/s here{loading}"),
        ("time", f"{hours(views / cost.rate)} for one such process; half of it for two on machines of their own"),
    ):
        table.add_row(*row)
    return table


def _ended(asked: Asked, written: Written, texts: str) -> list[str]:
    """What is there now, and what to do with it."""
    from stillbit.distill.about import agreement
    from stillbit.distill.store import Store

    store = Store(asked.write.output)
    made, what = f"{len(store):,} images x {store.views} crops", "crops"
    if texts:
        made, what = f"{len(store):,} texts", "texts"
    damaged = [f"left without labels: {name} ({reason})" for name, reason in sorted(written.damaged.items())]
    return [
        *([] if written.mine else ["It was finished already."]),
        *damaged,
        f"{store.folder}: {made}, {size(store.bytes)}, {store.layout.bytes_a_view} bytes a view",
        f"The teacher's first guess is the true class in {100 * agreement(store):.2f} % of the {what}.",
        f"stillbit train {'vvtq_text' if texts else 'fp'} --labels {store.folder}{_data(asked.data)}"
        + f" {texts}" * bool(texts),
    ]


def _data(data: DataSettings) -> str:
    """The words that say where it is."""
    default = DataSettings()
    said = f" --data-dir {data.data_dir}" if data.data_dir is not None else ""
    return said + (f" --dataset {data.dataset}" if data.dataset != default.dataset else "")


def hours(seconds: float) -> str:
    """A duration as a person says it."""
    if seconds >= 3600:
        return f"{seconds / 3600:,.1f} hours"
    return f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.0f} seconds"


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
