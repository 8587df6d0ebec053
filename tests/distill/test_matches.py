"""A store is of one list of images, and says what became of it when it is another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stillbit.data.digits import Digits
from stillbit.data.folder import Folder
from stillbit.data.fractal_cache import FractalSource, render
from stillbit.data.generated import Generated
from stillbit.data.settings import FractalSettings
from stillbit.data.source import Source
from stillbit.data.tars import Tars
from stillbit.distill.layout import Layout
from stillbit.distill.matches import data_of, labels_of, matches
from stillbit.distill.store import Store
from tests.data.pictures import Row, folder, image
from tests.data.test_tars import sample, tar
from tests.distill.stores import manifest, random_records, store


def written(path: Path, source: Source) -> Store:
    """A store of labels for these images, with any labels."""
    layout = Layout(kind="smoothing", top_k=1, classes=len(source.classes))
    wanted = manifest(layout, len(source), 2, data=data_of(source))
    return Store(store(path, wanted, random_records(layout, len(source), 2), labels_of(source)))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return folder(tmp_path / "images", classes=("ant", "bee", "cat")) / "train"


def refused(opened: Store, source: Source) -> str:
    with pytest.raises(ValueError) as caught:
        matches(opened, source)
    said = str(caught.value)
    assert (
        "\n" not in said and len(said) < 400 and said.endswith("write labels for these images, stillbit labels write")
    )
    return said


def test_the_images_that_were_labelled_match_wherever_they_lie(images: Path, tmp_path: Path) -> None:
    opened = written(tmp_path / "store", Folder(images))
    matches(opened, Folder(images))
    matches(opened, Folder(images.rename(tmp_path / "elsewhere")))


def test_an_image_more_or_less_is_counted_with_its_class(images: Path, tmp_path: Path) -> None:
    opened = written(tmp_path / "store", Folder(images))
    image(20, 24).save(images / "bee" / "9.png")
    assert "for other images: 12 and not 13 (of bee 4 and not 5); put them back" in refused(opened, Folder(images))
    (images / "bee" / "9.png").unlink(), (images / "cat" / "1.png").unlink()
    assert "12 and not 11 (of cat 4 and not 3)" in refused(opened, Folder(images))


def test_an_image_that_went_to_another_class_is_seen(images: Path, tmp_path: Path) -> None:
    opened = written(tmp_path / "store", Folder(images))
    (images / "ant" / "1.png").rename(images / "bee" / "7.png")
    assert "12 and not 12 (of ant 4 and not 3, bee 4 and not 5)" in refused(opened, Folder(images))


@pytest.mark.parametrize("name", ["0a.png", "zzz.png"])
def test_an_image_with_another_name_is_seen_whether_or_not_its_place_changes(
    images: Path, tmp_path: Path, name: str
) -> None:
    opened = written(tmp_path / "store", Folder(images))
    (images / "bee" / "0.png").rename(images / "bee" / name)
    said = refused(opened, Folder(images))
    assert "as many of each class, 12 in all, but renamed or in another order" in said


def test_classes_that_came_went_or_changed_places_are_named(images: Path, tmp_path: Path) -> None:
    opened = written(tmp_path / "store", Folder(images))
    (images / "bee").rename(images / "wasp")
    assert "labels for 3 classes, and the data, with 3, lacks bee and adds wasp" in refused(opened, Folder(images))
    source = Folder(images)
    other = written(tmp_path / "other", source)
    source.classes = (source.classes[1], source.classes[0], source.classes[2])
    assert "labels for 3 classes in another order" in refused(other, source)


def test_a_long_list_of_classes_is_cut(tmp_path: Path) -> None:
    many = Folder(folder(tmp_path / "many", count=1, classes=[f"c{n:03}" for n in range(50)]) / "train")
    few = Folder(folder(tmp_path / "few", count=1, classes=("ant", "bee")) / "train")
    said = refused(written(tmp_path / "store", many), few)
    assert "lacks c000, c001, c002 and 47 more and adds ant, bee" in said


def test_another_kind_of_data_is_another_list(images: Path, tmp_path: Path) -> None:
    said = refused(written(tmp_path / "store", Folder(images)), Digits("train"))
    assert "has labels for folder, and this is digits: give the data it was made from" in said


def test_tars_see_what_was_renamed_added_removed_and_moved(tmp_path: Path) -> None:
    first = sample(0, 0) | sample(1, 1) | sample(2, 2)
    opened = written(tmp_path / "store", Tars(tar(tmp_path / "a" / "x-train.tar", first).parent, "train"))
    matches(opened, Tars(tar(tmp_path / "b" / "y-train.tar", first).parent, "train"))
    moved = sample(1, 1) | sample(0, 0) | sample(2, 2)
    renamed = {name.replace("001", "003"): held for name, held in first.items()}
    for number, members in enumerate([moved, renamed]):
        said = refused(opened, Tars(tar(tmp_path / str(number) / "train.tar", members).parent, "train"))
        assert "renamed or in another order" in said
    more = Tars(tar(tmp_path / "more" / "train.tar", first | sample(3, 0)).parent, "train")
    assert "3 and not 4 (of 0 1 and not 2)" in refused(opened, more)
    other = Tars(tar(tmp_path / "other" / "train.tar", sample(0, 1) | sample(1, 1) | sample(2, 2)).parent, "train")
    assert "(of 0 1 and not 0, 1 1 and not 2)" in refused(opened, other)


def test_fractals_of_other_settings_and_another_split_are_other_images(tmp_path: Path) -> None:
    settings = FractalSettings(classes=3, images=2, val_images=2, size=16)
    render(settings, tmp_path / "a")
    opened = written(tmp_path / "store", FractalSource(tmp_path / "a", "train"))
    matches(opened, FractalSource(tmp_path / "a", "train"))
    assert "renamed or in another order" in refused(opened, FractalSource(tmp_path / "a", "val"))
    render(FractalSettings(classes=3, images=2, val_images=2, size=16, seed=1), tmp_path / "b")
    assert "renamed or in another order" in refused(opened, FractalSource(tmp_path / "b", "train"))


def test_digits_of_the_other_split_are_other_images(tmp_path: Path) -> None:
    opened = written(tmp_path / "store", Digits("val"))
    matches(opened, Digits("val"))
    assert "450 and not 1,347" in refused(opened, Digits("train"))


def test_images_that_are_drawn_anew_have_no_labels(tmp_path: Path) -> None:
    render(FractalSettings(classes=2, images=1, val_images=1, size=16), tmp_path)
    with pytest.raises(
        ValueError, match=r"images that are drawn anew in every epoch have no labels .* leave out --fresh"
    ):
        data_of(FractalSource(tmp_path, "train", fresh=True))


@pytest.mark.parametrize("source", [Generated(3, 2, (8, 8), 3), Row(3)])
def test_images_without_a_fingerprint_have_no_labels(source: Source) -> None:
    with pytest.raises(ValueError, match="has no fingerprint"):
        data_of(source)


def test_the_data_says_what_the_source_says(images: Path) -> None:
    source = Folder(images)
    said = data_of(source)
    assert (said.kind, said.count, said.classes) == ("folder", 12, ("ant", "bee", "cat"))
    assert said.fingerprint == source.describe()["fingerprint"]
    assert labels_of(source).tolist() == np.repeat([0, 1, 2], 4).tolist()
