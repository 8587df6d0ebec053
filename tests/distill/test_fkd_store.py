"""FKD's published labels become a store: the same crops, the same labels."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from stillbit.data.crops import Crop
from stillbit.data.digits import Digits
from stillbit.data.folder import Folder
from stillbit.distill import fkd
from stillbit.distill.boxes import box_of, crop_of, flags_of
from stillbit.distill.fkd_store import Published, import_labels, records_of, request
from stillbit.distill.layout import Layout, dense
from stillbit.distill.settings import ImportSettings
from stillbit.distill.store import Store
from tests.data.pictures import folder, image
from tests.distill.stores import answers

CLASSES = ("ant", "bee", "cat", "dog", "elk", "fox")


def kept(probabilities, kind, k=3):
    """What FKD's script keeps of the answers."""
    order = torch.argsort(probabilities, descending=True)
    if kind == "full":
        return probabilities
    if kind == "hard":
        return order[:, 0]
    k = 1 if kind == "smoothing" else k
    pair = torch.stack([order[:, :k].float(), torch.gather(probabilities, 1, order)[:, :k]], 1)
    return pair[..., 0] if kind == "smoothing" else pair


def label(path, height, width, kind, seed, crops=5):
    """A label file as FKD's script writes it, for an image of this size; gives back the whole answers."""
    chance = np.random.default_rng(seed)
    corners = np.stack([chance.integers(0, side // 2, crops) for side in (height, width)], 1)
    sides = np.stack([chance.integers(1, side // 2, crops) for side in (height, width)], 1)
    coords = np.concatenate([corners, sides], 1).astype(np.float32) / np.array([height, width] * 2, np.float32)
    probabilities = answers(crops + seed, len(CLASSES))[seed:]
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save([coords, chance.random(crops) < 0.5, kept(probabilities, kind).numpy()], path)
    return probabilities


@pytest.fixture
def images(tmp_path):
    return Folder(folder(tmp_path / "images", count=3, classes=CLASSES) / "train")


@pytest.fixture
def labels(tmp_path):
    return published(tmp_path / "labels")


def published(root, kind="marginal_smoothing", crops=5):
    for number, (name, at) in enumerate((name, at) for name in CLASSES for at in range(3)):
        label(root / "imagenet" / "train" / name / f"{at}.tar", 20, 24, kind, number, crops)
    return root


def made(labels, images, output, **other):
    import_labels(Published(labels, images), ImportSettings(output=output, shard_samples=4, **other))
    store = Store(output)
    store.check()
    return store


@pytest.mark.parametrize("kind", ["hard", "smoothing", "marginal_smoothing", "marginal_renorm", "full"])
def test_crops_and_labels_are_those_of_the_files(kind, images, tmp_path):
    said = {"label_kind": kind} if kind in ("marginal_renorm", "full") else {}
    root = published(tmp_path / "labels", kind)
    store = made(root, images, tmp_path / "store", **said)
    assert store.manifest.layout.kind == kind and store.views == 5 and len(store) == 18
    assert store.targets().tolist() == [number // 3 for number in range(18)]
    for index in range(18):
        theirs = fkd.read(root / "imagenet" / "train" / CLASSES[index // 3] / f"{index % 3}.tar")
        records = store.records(index)
        for record, edges, flip in zip(records, fkd.edges(theirs.coords, 20, 24), theirs.flips, strict=True):
            crop = crop_of(record["box"], record["flags"], 20, 24)
            assert [*edges] == [crop.top, crop.left, crop.top + crop.height, crop.left + crop.width]
            assert crop.flip == flip
        whole = label(tmp_path / "again.tar", 20, 24, kind, index)
        expected = dense(records_of(theirs, store.layout, 20, 24), store.layout)
        found = dense(records, store.layout)
        assert np.array_equal(found, expected) and np.array_equal(found.argmax(-1), whole.argmax(-1).numpy())
        if kind == "full":
            np.testing.assert_allclose(found, whole.numpy(), rtol=2.0**-11, atol=1e-7)


def test_an_import_that_was_stopped_goes_on_and_gives_the_same_bytes(labels, images, tmp_path):
    class StoppedError(Exception):
        pass

    def stop(done, of):
        if done == 10:
            raise StoppedError

    made(labels, images, tmp_path / "one")
    settings = ImportSettings(output=tmp_path / "two", shard_samples=4)
    with pytest.raises(StoppedError):
        import_labels(Published(labels, images), settings, stop)
    assert len(list((tmp_path / "two").glob("shard-*.npy"))) == 2
    heard = []
    import_labels(Published(labels, images), settings, lambda done, of: heard.append((done, of)))
    assert heard == [(done, 18) for done in range(9, 19)]
    assert {p.name: p.read_bytes() for p in (tmp_path / "one").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "two").iterdir()
    }
    assert import_labels(Published(labels, images), settings) == Store(tmp_path / "one").manifest


def test_the_manifest_says_where_the_labels_are_from(labels, images, tmp_path):
    wanted = request(Published(labels, images), ImportSettings(output=tmp_path / "store", teacher="effnet"))
    assert wanted.teachers[0].name == "effnet" and wanted.made_with["labels"] == "FKD"
    assert wanted.crops is not None and wanted.crops.interpolation == "bilinear" and wanted.crops.scale == (0.08, 0.936)
    assert wanted.data.classes == CLASSES and wanted.layout.top_k == 3 and wanted.views == 5


@pytest.mark.parametrize("above", ["", "imagenet", "imagenet/train"])
def test_the_class_folders_are_found_below_the_one_that_is_given(above, labels, images):
    assert Published(labels / above, images).root == labels / "imagenet" / "train"


def test_of_two_splits_the_labels_are_those_for_training(labels, images):
    shutil.copytree(labels / "imagenet" / "train", labels / "imagenet" / "val")
    assert Published(labels, images).root == labels / "imagenet" / "train"
    shutil.copytree(labels / "imagenet", labels / "other")
    with pytest.raises(ValueError, match="holds 2 folders with a class ant"):
        Published(labels, images)


def test_a_name_ends_at_its_first_dot_as_fkd_cuts_it(images, labels, tmp_path):
    (images.root / "ant" / "0.png").rename(images.root / "ant" / "a.b.png")
    (labels / "imagenet" / "train" / "ant" / "0.tar").rename(labels / "imagenet" / "train" / "ant" / "a.tar")
    assert Published(labels, Folder(images.root)).path(2).name == "a.tar"


def refused(labels, images, sentence, tmp_path, **other):
    with pytest.raises(ValueError, match=sentence) as caught:
        made(labels, images, tmp_path / "store", **other)
    assert "\n" not in str(caught.value)


def test_missing_label_files_are_counted_and_one_is_named(labels, images, tmp_path):
    (labels / "imagenet" / "train" / "bee" / "1.tar").unlink()
    shutil.rmtree(labels / "imagenet" / "train" / "fox")
    refused(labels, images, "4 of 18 images have no label file, the first is .*bee/1.tar", tmp_path)


def test_two_images_with_one_label_file_are_refused(labels, images, tmp_path):
    image(20, 24).save(images.root / "bee" / "1.bmp")
    refused(labels, Folder(images.root), "1.bmp and .*1.png have one label file", tmp_path)


def test_files_with_other_numbers_of_crops_are_refused(labels, images, tmp_path):
    label(labels / "imagenet" / "train" / "cat" / "1.tar", 20, 24, "marginal_smoothing", 1, crops=4)
    refused(labels, images, "cat/1.tar has labels for 4 crops, the first file for 5", tmp_path)


def test_folders_without_the_classes_are_refused(images, labels, tmp_path):
    refused(tmp_path / "images" / "train" / "ant", images, "holds no folders with a class ant", tmp_path)
    refused(tmp_path / "gone", images, "there is no folder .*gone", tmp_path)
    refused(labels, Digits("train"), "give folders of images, --dataset folder", tmp_path)


def test_an_image_whose_size_cannot_be_read_is_named(labels, images, tmp_path):
    (images.root / "cat" / "1.png").write_bytes(b"no picture")
    refused(labels, images, r"cat/1.png cannot be used .*: repair it, or remove it and its label", tmp_path)


def _with(change):
    output = kept(answers(5, 6), "marginal_smoothing").numpy()
    change(output)
    return output


@pytest.mark.parametrize(
    ("output", "kind", "sentence"),
    [
        (_with(lambda o: o[:, 0].fill(6)), "marginal_smoothing", "holds a class that is none of the 6"),
        (_with(lambda o: o[:, 0].fill(-1)), "marginal_smoothing", "holds a class that is none of the 6"),
        (_with(lambda o: o[:, 0].fill(0.5)), "marginal_smoothing", "holds a class that is none of the 6"),
        (_with(lambda o: o[:, 0].fill(np.nan)), "marginal_smoothing", "holds a class that is none of the 6"),
        (_with(lambda o: o[:, 0].fill(1)), "marginal_smoothing", "lists a class twice"),
        (_with(lambda o: o[:, 1].fill(np.nan)), "marginal_smoothing", "holds a probability outside 0 to 1"),
        (_with(lambda o: o[:, 1].fill(1.5)), "marginal_smoothing", "holds a probability outside 0 to 1"),
        (_with(lambda o: None), "smoothing", "which are not smoothing of 6 classes"),
        (_with(lambda o: None)[:, 0], "full", "which are not full of 6 classes"),
        (_with(lambda o: None)[:, 0], "hard", "which are not hard of 6 classes"),
    ],
)
def test_labels_that_are_none_are_refused(output, kind, sentence):
    labels = fkd.Labels(np.tile([0.0, 0.0, 1.0, 1.0], (5, 1)), np.zeros(5, bool), output)
    with pytest.raises(ValueError, match=sentence):
        records_of(labels, Layout(kind=kind, top_k=3, classes=6), 20, 24)


def test_numbers_of_classes_in_16_bits_are_taken_where_they_are_exact():
    output = np.array([[[2047, 3], [0.5, 0.25]]], np.float16)
    labels = fkd.Labels(np.array([[0.0, 0.0, 1.0, 1.0]]), np.zeros(1, bool), output)
    layout = Layout(kind="marginal_smoothing", top_k=2, classes=2048)
    assert records_of(labels, layout, 20, 24)["classes"].tolist() == [[2047, 3]]
    with pytest.raises(ValueError, match="in 16 bits, which cannot tell 2049 classes apart"):
        records_of(labels, replace(layout, classes=2049), 20, 24)


def test_what_is_less_likely_is_never_listed_first():
    output = np.array([[[4, 1, 2], [0.1, 0.5, 0.3]]], np.float32)
    labels = fkd.Labels(np.array([[0.0, 0.0, 1.0, 1.0]]), np.zeros(1, bool), output)
    found = records_of(labels, Layout(kind="marginal_renorm", top_k=3, classes=6), 20, 24)
    assert found["classes"].tolist() == [[1, 2, 4]]
    np.testing.assert_allclose(found["probabilities"][0], [0.5, 0.3, 0.1], rtol=1e-3)


def test_crops_far_beyond_the_image_are_refused():
    output = np.array([1])
    labels = fkd.Labels(np.array([[1.0, 0.5, 1.0, 1.0]]), np.zeros(1, bool), output)
    layout = Layout(kind="hard", top_k=1, classes=6)
    assert records_of(labels, layout, 20, 24)["box"][0, 0] == 65535
    beyond = fkd.Labels(np.array([[0.5 / 3, 0.0, 1.0, 1.0]]), np.zeros(1, bool), output)
    with pytest.raises(ValueError, match="has crops that reach far beyond the image"):
        records_of(beyond, layout, 3, 24)


def test_boxes_are_those_of_the_crops_one_by_one():
    chance = np.random.default_rng(0)
    coords = chance.random((500, 4)) / 2
    labels = fkd.Labels(coords, chance.random(500) < 0.5, np.zeros(500, np.int64))
    found = records_of(labels, Layout(kind="hard", top_k=1, classes=6), 375, 501)
    for record, (top, left, bottom, right), flip in zip(found, fkd.edges(coords, 375, 501), labels.flips, strict=True):
        crop = Crop(int(top), int(left), int(bottom - top), int(right - left), bool(flip))
        assert tuple(record["box"]) == box_of(crop, 375, 501) and record["flags"] == flags_of(crop)


def test_an_image_that_is_too_large_for_boxes_is_refused():
    labels = fkd.Labels(np.array([[0.0, 0.0, 1.0, 1.0]]), np.zeros(1, bool), np.array([1]))
    with pytest.raises(ValueError, match="too large for stored crops"):
        records_of(labels, Layout(kind="hard", top_k=1, classes=6), 40000, 24)


def test_two_classes_need_the_kind(images, tmp_path):
    two = Folder(folder(tmp_path / "two", classes=("ant", "bee")) / "train")
    for name in two.classes:
        for at in range(4):
            path = tmp_path / "some" / name / f"{at}.tar"
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save([np.full((1, 4), 0.5, np.float32), np.array([True]), np.array([[0.0, 1.0]])], path)
    refused(tmp_path / "some", two, "can be of several kinds or of none: say which with --label-kind", tmp_path)
    for kind, label in (("smoothing", [1.0, 0.0]), ("full", [0.0, 1.0])):
        store = made(tmp_path / "some", two, tmp_path / kind, label_kind=kind)
        assert dense(store.records(0), store.layout).tolist() == [label]
