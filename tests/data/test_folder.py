from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision.datasets import ImageFolder

from stillbit.data.crops import pixels_of
from stillbit.data.folder import Folder
from stillbit.data.source import DamagedImage
from tests.data.pictures import folder, image


def test_images_classes_and_order_are_those_of_torchvision(tmp_path: Path) -> None:
    root = folder(tmp_path, classes=("zebra", "Ape", "ant 1")) / "train"
    (root / "Ape" / "more" / "deep").mkdir(parents=True)
    image(9, 7).save(root / "Ape" / "more" / "deep" / "x.JPG")
    image(9, 7).save(root / "Ape" / "more" / "y.png")
    (root / "zebra" / "notes.txt").write_text("not an image")
    ours, theirs = Folder(root), ImageFolder(str(root))
    assert list(ours.classes) == theirs.classes
    assert [(ours.name(k), ours.label(k)) for k in range(len(ours))] == theirs.samples
    for k in (0, 5, len(ours) - 1):
        assert torch.equal(pixels_of(ours.image(k, 0)), pixels_of(theirs[k][0]))


def test_hidden_folders_are_no_classes(tmp_path: Path) -> None:
    (folder(tmp_path) / "train" / ".cache").mkdir()
    assert Folder(tmp_path / "train").classes == ("cat", "dog")


def test_names_need_not_be_ascii(tmp_path: Path) -> None:
    (tmp_path / "größe" / "é").mkdir(parents=True)
    image(5, 5).save(tmp_path / "größe" / "é" / "ü ñ.png")
    found = Folder(tmp_path)
    assert found.classes == ("größe",) and found.name(0).endswith("größe/é/ü ñ.png")
    assert found.image(0, 0).size == (5, 5)


def test_a_folder_without_class_folders_shows_the_layout(tmp_path: Path) -> None:
    image(5, 5).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"no class folders in .*: put the images into .*CLASS"):
        Folder(tmp_path)


@pytest.mark.parametrize(
    ("files", "said"), [([], "holds nothing"), (["a.heic", "b.txt", "README"], r"holds only .heic, .txt, README")]
)
def test_a_class_without_readable_images_is_named(files: list[str], said: str, tmp_path: Path) -> None:
    root = folder(tmp_path) / "train"
    (root / "emu").mkdir()
    for file in files:
        (root / "emu" / file).touch()
    with pytest.raises(ValueError, match=rf"the class folder .*emu {said}"):
        Folder(root)


def test_damage_is_named_by_its_path(tmp_path: Path) -> None:
    root = folder(tmp_path) / "train"
    (root / "cat" / "2.png").write_bytes(b"")
    with pytest.raises(DamagedImage) as caught:
        Folder(root).image(2, 0)
    assert caught.value.name == str(root / "cat" / "2.png")


def test_the_fingerprint_changes_when_a_file_comes_or_goes(tmp_path: Path) -> None:
    root = folder(tmp_path) / "train"
    before = Folder(root).describe()
    assert before["count"] == 8 and before == Folder(root).describe()
    (root / "cat" / "2.png").unlink()
    assert Folder(root).describe()["fingerprint"] != before["fingerprint"]
