"""Which source the settings ask for: the one place that chooses."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from stillbit.data.digits import Digits
from stillbit.data.folder import Folder
from stillbit.data.fractal_cache import FractalSource, is_cache
from stillbit.data.readers import HuggingFace
from stillbit.data.settings import DataSettings
from stillbit.data.source import Source
from stillbit.data.tars import Tars

Split = Literal["train", "val"]
_SPLITS = {"train": DataSettings.train_split, "val": DataSettings.val_split}
_KINDS = ("folder", "fractals", "digits", "wds", "hfds/NAME")


def open_source(settings: DataSettings, split: Split) -> Source:
    """The images to train on, or those to evaluate on."""
    kind, _, rest = settings.dataset.partition("/")
    named = settings.train_split if split == "train" else settings.val_split
    if kind == "folder" and settings.data_dir is not None and is_cache(settings.data_dir):
        kind = "fractals"
    if kind in ("digits", "fractals") and named != _SPLITS[split]:
        flag = "--train-split" if split == "train" else "--val-split"
        raise ValueError(f"{kind} have their own two splits, and none is called {named!r}: leave out {flag}")
    if settings.fresh and kind != "fractals":
        raise ValueError(f"only fractals can be drawn fresh, and this is {settings.dataset}: leave out --fresh")
    match kind, rest:
        case "digits", "":
            if settings.data_dir is not None:
                raise ValueError("the digits come with scikit-learn, not from a folder: leave out --data-dir")
            return Digits(split)
        case "hfds", name if name:
            return HuggingFace(name, settings.data_dir, named)
        case "fractals", "":
            return FractalSource(_folder(settings), split, fresh=settings.fresh and split == "train")
        case "wds", "":
            return Tars(_folder(settings), named)
        case "folder", "":
            return Folder(_split_folder(_folder(settings), named))
    near = get_close_matches(kind, [k.partition("/")[0] for k in _KINDS], n=1)
    meant = f"did you mean {near[0]}? " if near and near[0] != kind else ""
    raise ValueError(f"unknown dataset {settings.dataset!r}: {meant}use one of {', '.join(_KINDS)}")


def _folder(settings: DataSettings) -> Path:
    if settings.data_dir is None:
        raise ValueError(f"the dataset {settings.dataset} lies in a folder: name it with --data-dir FOLDER")
    if not settings.data_dir.is_dir():
        raise ValueError(f"there is no folder {settings.data_dir}: name the one with the images, --data-dir FOLDER")
    return settings.data_dir


def _split_folder(root: Path, split: str) -> Path:
    """``val`` and ``validation`` are two names of one folder."""
    twins = ("val", "validation")
    names = [split, *twins] if split in twins else [split]
    for name in names:
        if (root / name).is_dir():
            return root / name
    if root.name in (split, *twins, "train"):
        raise ValueError(f"{root} is one split: give the folder above it, --data-dir {root.parent}")
    there = sorted(entry.name for entry in root.iterdir())
    shown = ", ".join(there[:6]) + (", ..." if len(there) > 6 else "") if there else "nothing"
    flag = "--val-split" if split in twins else "--train-split"
    raise ValueError(f"there is no folder {split} in {root}, but {shown}: name the split with {flag}")
