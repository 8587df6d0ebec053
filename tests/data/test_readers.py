from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from stillbit.data import readers
from stillbit.data.crops import pixels_of
from stillbit.data.folder import Folder
from stillbit.data.loaders import Loader
from stillbit.data.readers import HuggingFace
from stillbit.data.settings import DataSettings
from stillbit.data.source import DamagedImage
from stillbit.data.sources import open_source
from tests.data.pictures import LOOK, folder, image


class Table(list[dict[str, Any]]):
    """What of Hugging Face's Dataset is needed."""

    _fingerprint = "abc"

    def select_columns(self, name: str) -> Table:
        return Table({name: row[name]} for row in self)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """A reader as timm's, without the package."""
    image(20, 24, 1).save(tmp_path / "b.png")
    rows = [
        {"image": {"bytes": b"no image", "path": None}, "label": 0},
        {"image": {"bytes": None, "path": str(tmp_path / "b.png")}, "label": 1},
        {"image": {"bytes": (tmp_path / "b.png").read_bytes(), "path": "b.png"}, "label": 1},
        {"image": None, "label": 0},
    ]

    class Held(SimpleNamespace):
        def __len__(self) -> int:
            return len(self.dataset)

    made = Held(dataset=Table(rows), class_to_idx={"cat": 0, "dog": 1}, image_key="image", label_key="label")
    monkeypatch.setattr(readers, "find_spec", lambda name: True)
    monkeypatch.setattr(readers, "create_reader", lambda name, root, split: made)
    return made


def test_rows_hold_bytes_or_a_path(reader: SimpleNamespace) -> None:
    source = HuggingFace("some/set", None, "train")
    assert len(source) == 4 and source.classes == ("cat", "dog") and source.label(2) == 1
    assert torch.equal(pixels_of(source.image(1, 0)), pixels_of(source.image(2, 0)))
    assert source.describe() == {"kind": "hfds/some/set", "split": "train", "count": 4, "fingerprint": "abc"}


@pytest.mark.parametrize(("row", "reason"), [(0, "it is no image"), (3, "it is empty"), (9, "list index out of range")])
def test_damage_is_named_by_its_row(row: int, reason: str, reader: SimpleNamespace) -> None:
    with pytest.raises(DamagedImage) as caught:
        HuggingFace("some/set", None, "train").image(row, 0)
    assert caught.value.args == (f"row {row} of hfds/some/set, train", reason)


def refused(said: str) -> None:
    with pytest.raises(ValueError) as caught:
        HuggingFace("some/set", None, "train")
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_set_without_class_names_or_without_labels_is_refused(reader: SimpleNamespace) -> None:
    reader.dataset[0]["label"] = -1
    refused("keeps its labels secret")
    reader.class_to_idx = {}
    refused("has to be a ClassLabel")


def test_what_cannot_be_opened_is_said_in_one_line(reader: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such\nset")

    monkeypatch.setattr(readers, "create_reader", fail)
    refused("cannot open the split train of hfds/some/set: no such set")


def test_without_the_package_the_way_to_get_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "find_spec", lambda name: None)
    refused("pip install datasets")


@pytest.mark.skipif(find_spec("datasets") is None, reason="Hugging Face's datasets are not installed")
@pytest.mark.filterwarnings("ignore")  # those of that package and of what it imports
def test_a_local_folder_is_read_by_the_package_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    root = folder(tmp_path / "set")
    settings = DataSettings(dataset=f"hfds/{root}", data_dir=tmp_path / "cache", batch_size=4, workers=1)
    ours, plain = open_source(settings, "val"), Folder(root / "val")
    assert ours.classes == plain.classes == ("cat", "dog")
    for a, b in zip(Loader(ours, LOOK, settings).epoch(0), Loader(plain, LOOK, settings).epoch(0), strict=True):
        assert torch.equal(a.images, b.images) and torch.equal(a.targets, b.targets)
