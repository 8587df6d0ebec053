"""A store of labels out of the files that FKD published: the same crops, the same labels, in a thousandth of the files.

Only the bytes change: coordinates become boxes that cut the same pixels, and probabilities get 16 bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy import ndarray
from PIL import Image

from stillbit.data.folder import Folder
from stillbit.data.source import Source
from stillbit.distill import fkd
from stillbit.distill import manifest as manifests
from stillbit.distill.boxes import ONE, check_size, nearest
from stillbit.distill.kinds import Kind
from stillbit.distill.layout import FLIP, Layout
from stillbit.distill.manifest import Crops, Manifest, Teacher
from stillbit.distill.matches import data_of, labels_of
from stillbit.distill.settings import ImportSettings
from stillbit.distill.shards import begin, check_room, claimed, finish, missing, write_shard

HALF_EXACT = 2048
"""Whole numbers up to this one are exact in 16 bits, as FKD can store the numbers of classes."""
_PATIENCE = 0.2
"""Seconds between two looks at what other processes write."""


@final
class Published:
    """FKD's files of a folder of images: that of CLASS/NAME.JPEG is CLASS/NAME.tar, somewhere below ``folder``."""

    def __init__(self, folder: Path, source: Source) -> None:
        if not isinstance(source, Folder):
            raise ValueError("FKD's labels are found by class and file name: give folders of images, --dataset folder")
        if not folder.is_dir():
            raise ValueError(f"there is no folder {folder}: give the one with FKD's labels")
        self.source, self.root = source, _root(folder, source.classes)
        self._check_complete()

    def path(self, index: int) -> Path:
        """The file with the labels of an image; FKD cuts a name at its first dot."""
        image = Path(self.source.name(index))
        return self.root / self.source.classes[self.source.label(index)] / f"{image.name.split('.')[0]}.tar"

    def size(self, index: int) -> tuple[int, int]:
        """Height and width of an image, from the head of its file."""
        name = self.source.name(index)
        try:
            with Image.open(name) as image:
                return image.height, image.width
        except Exception as error:  # a damaged file makes its decoder fail in any way it likes
            raise ValueError(f"{name} cannot be used ({error}): repair it, or remove it and its label") from None

    def _check_complete(self) -> None:
        """Whether every image has a file of its own; a look into every folder, not into every file."""
        label, there, used = -1, set[str](), dict[str, str]()
        absent: list[Path] = []
        for index in range(len(self.source)):
            path = self.path(index)
            if self.source.label(index) != label:
                label, used = self.source.label(index), {}
                there = {entry.name for entry in path.parent.iterdir()} if path.parent.is_dir() else set()
            if path.name in used:
                raise ValueError(f"{used[path.name]} and {self.source.name(index)} have one label file, {path}: FKD "
                                 "labelled the first alone; remove the other image")  # fmt: skip
            used[path.name] = self.source.name(index)
            absent += [path] * (path.name not in there)
        if absent:
            raise ValueError(f"{len(absent):,} of {len(self.source):,} images have no label file, the first is "
                             f"{absent[0]}: fetch them, or remove the images")  # fmt: skip


def request(published: Published, settings: ImportSettings) -> Manifest:
    """What the store will say of itself; the first file says how many crops and labels there are."""
    first = fkd.read(published.path(0))
    classes = len(published.source.classes)
    kind = settings.label_kind or _kind(first.output, classes)
    layout = Layout(kind=kind, top_k=first.output.shape[-1] if kind.startswith("marginal") else 1, classes=classes)
    return Manifest(
        layout=layout,
        views=len(first.output),
        shard_samples=settings.shard_samples,
        data=data_of(published.source),
        teachers=(Teacher(name=settings.teacher, sha256=""),),
        crops=Crops(
            scale=settings.scale,
            ratio=settings.ratio,
            hflip=settings.hflip,
            vflip=0.0,
            interpolation=settings.interpolation,
        ),
        seed=0,
        batch_size=1,
        precision="as published",
        made_with={"stillbit": version("stillbit"), "labels": "FKD"},
    )


def import_labels(
    published: Published, settings: ImportSettings, progress: Callable[[int, int], None] = lambda done, of: None
) -> Manifest:
    """Write what is missing of the store, one image at a time; ``progress`` hears (images done, all)."""
    wanted, folder = request(published, settings), settings.output
    if begin(folder, wanted):
        return manifests.read(folder)
    check_room(folder, wanted)
    while absent := missing(folder, wanted):
        done = wanted.count - sum(len(wanted.samples_of(n)) for n in absent)
        for number in absent:
            with claimed(folder, number) as ours:
                if ours:
                    write_shard(folder, wanted, number, _shard(published, wanted, number, done, progress))
                    break
        else:
            time.sleep(_PATIENCE)
    return finish(folder, wanted, labels_of(published.source))


def _shard(
    published: Published, wanted: Manifest, number: int, done: int, progress: Callable[[int, int], None]
) -> Iterator[ndarray[Any, Any]]:
    for at, index in enumerate(wanted.samples_of(number), start=1):
        path = published.path(index)
        labels = fkd.read(path)
        if len(labels.output) != wanted.views:
            raise ValueError(f"{path} has labels for {len(labels.output)} crops, the first file for {wanted.views}: "
                             "fetch files of one set")  # fmt: skip
        height, width = published.size(index)
        try:
            yield records_of(labels, wanted.layout, height, width)
        except ValueError as error:
            raise ValueError(f"{path} {error}: fetch it again, or give the --label-kind that it holds") from None
        progress(done + at, wanted.count)


def records_of(labels: fkd.Labels, layout: Layout, height: int, width: int) -> ndarray[Any, Any]:
    """One record a crop, for an image of this size."""
    records = np.zeros(len(labels.output), layout.dtype)
    check_size(height, width)
    sides = np.array([height, width])
    first, last = (
        nearest(edges * ONE, sides) for edges in np.split(fkd.edges(labels.coords, height, width), 2, axis=1)
    )
    boxes = np.concatenate([first, last - first], 1)
    if boxes.max() > ONE:
        raise ValueError("has crops that reach far beyond the image")
    records["box"], records["flags"] = boxes, FLIP * labels.flips
    classes, values = _parts(labels.output, layout)
    if classes is not None:
        records["classes"] = _numbers(classes, layout, labels.output.dtype)
    if values is not None:
        values = values.astype(np.float64)
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError("holds a probability outside 0 to 1")
        records["probabilities"] = values
    return records


def _parts(output: ndarray[Any, Any], layout: Layout) -> tuple[ndarray[Any, Any] | None, ndarray[Any, Any] | None]:
    """Classes and probabilities, the likeliest first."""
    shape, kind, k = output.shape[1:], layout.kind, layout.top_k
    if kind == "hard" and shape == ():
        return output[:, None], None
    if kind == "smoothing" and shape == (2,):
        return output[:, :1], output[:, 1:]
    if kind == "full" and shape == (layout.classes,):
        return None, output
    if kind.startswith("marginal") and shape == (2, k) and k <= layout.classes:
        order = np.argsort(-output[:, 1], axis=-1, kind="stable")
        return np.take_along_axis(output[:, 0], order, -1), np.take_along_axis(output[:, 1], order, -1)
    raise ValueError(f"holds labels of shape {list(output.shape)}, which are not {kind} of {layout.classes} classes")


def _numbers(classes: ndarray[Any, Any], layout: Layout, dtype: np.dtype[Any]) -> ndarray[Any, Any]:
    """The classes as whole numbers, if that is what they are."""
    if dtype == np.float16 and layout.classes > HALF_EXACT:
        raise ValueError(f"holds numbers of classes in 16 bits, which cannot tell {layout.classes} classes apart")
    if not ((classes >= 0) & (classes < layout.classes) & (classes % 1 == 0)).all():
        raise ValueError(f"holds a class that is none of the {layout.classes} of the images")
    whole = classes.astype(np.int64)
    if (np.diff(np.sort(whole, axis=-1), axis=-1) == 0).any():
        raise ValueError("holds a label that lists a class twice")
    return whole


def _kind(output: ndarray[Any, Any], classes: int) -> Kind:
    """What labels of such a shape are."""
    match output.shape[1:]:
        case ():
            return "hard"
        case (2, _):
            return "marginal_smoothing"
        case (2,) if classes != 2:
            return "smoothing"
        case (count,) if count == classes != 2:
            return "full"
    raise ValueError(f"labels of shape {list(output.shape)} for {classes} classes can be of several kinds or of none: "
                     "say which with --label-kind")  # fmt: skip


def _root(folder: Path, classes: tuple[str, ...]) -> Path:
    """The folder that holds the class folders."""
    found: list[Path] = []
    for above in ([folder], folder.glob("*"), folder.glob("*/*")):
        found = found or sorted(one for one in above if (one / classes[0]).is_dir())
    found = [one for one in found if one.name == "train"] if len(found) > 1 else found
    if len(found) != 1:
        raise ValueError(
            f"{folder} holds {len(found) or 'no'} folders with a class {classes[0]}, and the images are of that class: "
            "give the folder of FKD's labels above the class folders"
        )
    return found[0]
