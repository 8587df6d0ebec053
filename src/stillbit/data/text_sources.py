"""Which texts the settings ask for: the one place that chooses."""

from __future__ import annotations

from stillbit.data.text_datasets import from_disk, from_hub, saved_split
from stillbit.data.text_files import find_file, read_texts
from stillbit.data.text_generated import generate
from stillbit.data.text_settings import TextSettings
from stillbit.data.text_source import Texts
from stillbit.data.text_tasks import GENERATED, TRAIN, VALIDATION, TextTask, find_task, own_task


def task_of(settings: TextSettings) -> TextTask:
    """The task that the settings name."""
    if settings.task not in ("classify", "regress"):
        _refuse_idle(
            settings, ("columns", "label_column", "class_names"), f"{settings.task} knows its columns and labels"
        )
        return find_task(settings.task)
    if not settings.columns:
        raise ValueError(f"to {settings.task} texts of your own, name their column: --columns text")
    if settings.task == "regress":
        if settings.class_names:
            raise ValueError(
                "what is regressed is a number and has no labels: leave out --class-names, or --task classify"
            )
        return own_task(settings.columns, settings.label_column, None)
    return own_task(settings.columns, settings.label_column, settings.class_names)


def splits_of(settings: TextSettings) -> tuple[str, ...]:
    """The splits that a run is judged by: one, or for mnli two."""
    return task_of(settings).val if settings.val_split is None else (settings.val_split,)


def open_texts(settings: TextSettings, split: str) -> Texts:
    """The examples of a split. Nothing is fetched unless ``dataset`` names a data set of the hub."""
    task = task_of(settings)
    kind, _, name = settings.dataset.partition("/")
    if task in GENERATED:
        return _generated(settings, task, split)
    _refuse_idle(settings, ("examples", "val_examples", "text_seed"), f"{task.name} is read, not generated")
    if kind == "hfds" and name:
        return from_hub(task, name, split, settings.data_dir, settings.corrupt)
    if settings.dataset != "folder":
        raise ValueError(f"unknown dataset {settings.dataset!r}: use folder or hfds/NAME, for GLUE hfds/nyu-mll/glue")
    if settings.data_dir is None:
        raise ValueError(
            f"the texts of {task.name} lie in a folder: name it with --data-dir FOLDER, "
            "or fetch GLUE from Hugging Face with --dataset hfds/nyu-mll/glue"
        )
    saved = saved_split(task, settings.data_dir, split)
    if saved is not None:
        return from_disk(task, saved, settings.corrupt)
    return read_texts(task, find_file(task, settings.data_dir, split), settings.corrupt)


def _generated(settings: TextSettings, task: TextTask, split: str) -> Texts:
    idle = ("data_dir", "dataset", "corrupt", "train_split")
    _refuse_idle(settings, idle, f"the sentences of {task.name} are generated, not read")
    if split == TRAIN:
        return generate(task.name, "train", settings.examples, settings.text_seed)
    if split == VALIDATION:
        return generate(task.name, "val", settings.val_examples, settings.text_seed)
    raise ValueError(f"{task.name} has its own two splits, and none is called {split!r}: use train or validation")


def _refuse_idle(settings: TextSettings, names: tuple[str, ...], why: str) -> None:
    """A setting that would have no effect."""
    idle = [f"--{name.replace('_', '-')}" for name in names if getattr(settings, name) != getattr(TextSettings, name)]
    if idle:
        raise ValueError(f"{why}: leave out {', '.join(idle)}")
