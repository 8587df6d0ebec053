"""Hugging Face data sets, through timm's reader."""

from __future__ import annotations

from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any, final

from PIL import Image
from timm.data.readers import create_reader

from stillbit.data.decode import decode
from stillbit.data.source import DamagedImage


@final
class HuggingFace:
    """A split of ``NAME``: a folder in the layout of Hugging Face, or a data set of the hub; ``cache`` keeps it."""

    def __init__(self, name: str, cache: Path | None, split: str) -> None:
        if find_spec("datasets") is None:
            raise ValueError(f"hfds/{name} needs Hugging Face's package: pip install datasets")
        try:
            self.reader = create_reader(f"hfds/{name}", root=None if cache is None else str(cache), split=split)
        except Exception as error:  # the package has many kinds of them: no such set, split or column, no network
            reason = " ".join(str(error).split())
            raise ValueError(f"cannot open the split {split} of hfds/{name}: {reason}") from None
        self.set, self.split = f"hfds/{name}", split
        self.classes: tuple[str, ...] = tuple(self.reader.class_to_idx)
        if not self.classes:
            raise ValueError(f"hfds/{name} does not name its classes: its column label has to be a ClassLabel")
        # Without the column of images: a label costs no reading of pixels.
        self.labels = self.reader.dataset.select_columns(self.reader.label_key)
        if len(self) and self.label(0) < 0:
            raise ValueError(f"the split {split} of hfds/{name} keeps its labels secret: choose another split")

    def __len__(self) -> int:
        return len(self.reader)

    def image(self, index: int, epoch: int) -> Image.Image:
        """The decoded image."""
        name = self.name(index)
        try:
            row = self.reader.dataset[index][self.reader.image_key]
        except Exception as error:  # a damaged row
            raise DamagedImage(name, str(error)) from None
        if row and row.get("bytes"):
            return decode(BytesIO(row["bytes"]), name)
        if row and row.get("path"):
            return decode(row["path"], name)
        raise DamagedImage(name, "it is empty")

    def label(self, index: int) -> int:
        """The number of its class, as the data set counts."""
        return int(self.labels[index][self.reader.label_key])

    def name(self, index: int) -> str:
        """The data set, its split and the row."""
        return f"row {index} of {self.set}, {self.split}"

    def describe(self) -> dict[str, Any]:
        """The fingerprint is the package's own."""
        print_ = self.reader.dataset._fingerprint
        return {"kind": self.set, "split": self.split, "count": len(self), "fingerprint": print_}
