from __future__ import annotations

import json
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
import torch

from stillbit.data.crops import pixels_of
from stillbit.data.decode import decode
from stillbit.data.loaders import Loader
from stillbit.data.settings import DataSettings
from stillbit.data.source import DamagedImage
from stillbit.data.sources import open_source
from stillbit.data.tars import Tars
from tests.data.pictures import LOOK, image


def picture(number: int, kind: str = "png") -> bytes:
    file = BytesIO()
    image(20, 24, number).save(file, kind)
    return file.getvalue()


def tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, held in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(held)
            file.addfile(member, BytesIO(held))
    return path


def sample(number: int, label: int) -> dict[str, bytes]:
    return {f"n/{number:03}.cls": f"{label}\n".encode(), f"n/{number:03}.png": picture(number)}


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    for shard in range(3):
        members: dict[str, bytes] = {}
        for k in range(4):
            members |= sample(4 * shard + k, (4 * shard + k) % 3)
        tar(tmp_path / f"set-train-{shard:04}.tar", members)
    tar(tmp_path / "set-validation-0000.tar", sample(50, 0) | sample(51, 2))
    return tmp_path


def test_images_are_read_by_number_from_all_shards(shards: Path) -> None:
    source = Tars(shards, "train")
    assert len(source) == 12 and [source.label(k) for k in range(12)] == [k % 3 for k in range(12)]
    for k in (11, 0, 5):
        assert torch.equal(pixels_of(source.image(k, 0)), pixels_of(decode(BytesIO(picture(k)), "")))
    assert source.name(5) == f"{shards / 'set-train-0001.tar'}:n/005" and source.classes == ("0", "1", "2")


def test_a_sample_is_the_same_for_any_number_of_workers(shards: Path) -> None:
    settings = DataSettings(data_dir=shards, dataset="wds", batch_size=5, workers=2)
    many = list(Loader(open_source(settings, "train"), LOOK, settings).epoch(0))
    alone = [torch.cat([b.images for b in Loader(Tars(shards, "train"), LOOK, settings).epoch(0)])]
    assert torch.equal(torch.cat([b.images for b in many]), alone[0])


def test_val_and_validation_are_the_same_word(shards: Path) -> None:
    assert len(Tars(shards, "val")) == len(Tars(shards, "validation")) == 2


def test_tars_may_lie_in_a_folder_of_their_split(tmp_path: Path) -> None:
    tar(tmp_path / "learn" / "a.tar", sample(1, 0))
    assert len(Tars(tmp_path, "learn")) == 1


def test_a_split_may_be_a_pattern(shards: Path) -> None:
    assert len(Tars(shards, "set-train-000[01].tar")) == 8


def test_the_info_file_of_timm_names_tars_and_classes(shards: Path) -> None:
    split = {"name": "train", "filenames": ["set-train-0002.tar"], "shard_lengths": [4], "num_samples": 4}
    names = ["ant", "bee", "cow", "dog"]
    (shards / "_info.json").write_text(json.dumps({"splits": {"train": split}, "class_names": names}))
    source = Tars(shards, "train")
    assert len(source) == 4 and source.classes == ("ant", "bee", "cow", "dog")


def test_members_that_are_no_images_are_passed_over_and_order_within_a_sample_is_free(tmp_path: Path) -> None:
    members = {"a.jpg": picture(1, "jpeg"), "a.json": b"{}", "a.cls": b"1", "b.cls": b"0", "README": b"hello"}
    members |= {"c.d.txt": b"", "e.cls": b"0", "e.PNG": picture(2)}
    source = Tars(tar(tmp_path / "train.tar", members).parent, "train")
    assert len(source) == 2 and [source.label(k) for k in (0, 1)] == [1, 0]
    assert source.image(1, 0).size == (24, 20)


def test_damage_is_named_by_tar_and_key(tmp_path: Path) -> None:
    tar(tmp_path / "train.tar", {"a.cls": b"0", "a.png": b"no image"})
    with pytest.raises(DamagedImage) as caught:
        Tars(tmp_path, "train").image(0, 0)
    assert caught.value.args == (f"{tmp_path / 'train.tar'}:a", "it is no image")


def test_the_fingerprint_says_which_images(shards: Path) -> None:
    before = Tars(shards, "train").describe()
    assert (before["count"], before["tars"]) == (12, 3) and before == Tars(shards, "train").describe()
    (shards / "set-train-0002.tar").unlink()
    assert Tars(shards, "train").describe()["fingerprint"] != before["fingerprint"]


def refused(root: Path, said: str, split: str = "train") -> None:
    with pytest.raises(ValueError) as caught:
        Tars(root, split)
    assert said in str(caught.value) and "\n" not in str(caught.value), str(caught.value)


def test_mistakes_get_one_sentence_with_the_fix(shards: Path) -> None:
    refused(shards, "no tars of the split test in", split="test")
    tar(shards / "bad-0.tar", {"a.cls": b"cat", "a.png": picture(1)})
    refused(shards, "holds b'cat': a .cls is the number of a class", split="bad")
    for length in (100, 512, 700, 1024, 1300, 1600, 3000, 4000, 5000):
        (shards / "bad-0.tar").write_bytes((shards / "set-train-0000.tar").read_bytes()[:length])
        refused(shards, "is damaged or no plain tar", split="bad")
    tar(shards / "bad-0.tar", {"a.txt": b"cat"})
    refused(shards, "hold no images: they need KEY.jpg and KEY.cls", split="bad")
    (shards / "_info.json").write_text(json.dumps({"class_names": ["ant"]}))
    refused(shards, "labels in")
    (shards / "_info.json").write_text(json.dumps({"splits": {"train": {"filenames": ["gone.tar"]}}}))
    refused(shards, "lists gone.tar")
    (shards / "_info.json").write_text("{")
    refused(shards, "is no JSON object")
