"""The contact sheet shows the images, the boxes where they are, what the teacher saw, and what it said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from stillbit.data.crops import Crop
from stillbit.data.digits import Digits
from stillbit.data.folder import Folder
from stillbit.distill import sheet as sheets
from stillbit.distill.boxes import box_of
from stillbit.distill.kinds import KINDS
from stillbit.distill.layout import FLIP, UNLABELLED, Layout
from stillbit.distill.matches import data_of, labels_of
from stillbit.distill.sheet import Guess, guesses, sheet
from stillbit.distill.store import Store
from tests.data.pictures import folder
from tests.distill.stores import TEACHER, manifest, random_records, small, store

CLASSES = ("ant", "bee", "cat")
LEFT, TOP = 28, 62
"""Where the first picture stands."""
WIDE, HIGH = 180, 150
"""How large 20 x 24 pixels are there."""


def written(path, source, kind="marginal_smoothing", views=6, crop=None, flags=0, size=(16, 16)):
    layout = Layout(kind=kind, top_k=3, classes=len(source.classes))
    records = random_records(layout, len(source), views)
    if crop is not None:
        records["box"], records["flags"] = box_of(crop, 20, 24), flags
    data, teachers = data_of(source), (replace(TEACHER, size=size),)
    wanted = manifest(layout, len(source), views, data=data, teachers=teachers)
    return Store(store(path, wanted, records, labels_of(source)))


@pytest.fixture
def source(tmp_path):
    return Folder(folder(tmp_path / "images", count=3, classes=CLASSES) / "train")


def at(page, x, y):
    return np.array(page)[y, x].tolist()


def rgb(colour):
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("views", [1, 3, 9])
def test_a_sheet_has_a_row_an_image_and_a_tile_a_view(source, kind, views, tmp_path):
    page = sheet(written(tmp_path / "store", source, kind, views), source)
    tiles, rows = min(views, sheets.VIEWS), min(9, sheets.ROWS)
    assert page.size == (2 * 28 + 236 + tiles * 150, 62 + 28 + rows * (132 + 8 + 3 * 19 + 18)) and page.mode == "RGB"
    for tile in range(tiles):
        assert at(page, LEFT + 236 + 18 + tile * 150, TOP + 60) == rgb(sheets._COLOURS[tile]), "its frame"


def test_boxes_are_drawn_where_the_crops_are(source, tmp_path):
    """A quarter of the image, from its middle on: the frame begins in the middle of the picture."""
    opened = written(tmp_path / "store", source, views=1, crop=Crop(10, 12, 10, 12))
    page, colour = sheet(opened, source), rgb(sheets._COLOURS[0])
    middle = LEFT + WIDE // 2, TOP + HIGH // 2
    assert at(page, *middle) == colour and at(page, middle[0] - 1, middle[1]) != colour
    assert at(page, LEFT + WIDE - 1, TOP + HIGH - 1) == colour and at(page, LEFT + WIDE, TOP + HIGH - 1) == [255] * 3
    assert at(page, middle[0] + 20, middle[1] + 20) != colour, "it is a frame, not a patch"


@pytest.mark.parametrize("flip", [False, True])
def test_tiles_are_what_the_teacher_saw(source, flip, tmp_path):
    """The left half of an image, flipped or not: its pixels, each as a square."""
    opened = written(tmp_path / "store", source, views=1, crop=Crop(0, 0, 20, 12), flags=FLIP * flip, size=(20, 12))
    page = np.array(sheet(opened, source))
    first = sheets._samples(opened)[0]
    left = LEFT + 236 + 18
    tile = Image.fromarray(page[TOP : TOP + 132, left : left + 132])
    seen = np.array(source.image(first, 0).convert("RGB"))[:, :12]
    expected = seen[:, ::-1] if flip else seen
    for y in range(4, 18):
        for x in range(1, 11):
            found = tile.getpixel((int((x + 0.5) * 132 / 12), int((y + 0.5) * 132 / 20)))
            assert list(found) == expected[y, x].tolist()


def test_guesses_are_the_likeliest_classes_with_their_names(source, tmp_path):
    opened = written(tmp_path / "store", source)
    record = opened.records(0)[0]
    record["classes"], record["probabilities"] = [2, 0, 1], [0.5, 0.25, 0.125]
    assert guesses(record, opened, 0, CLASSES) == [
        Guess("cat", 0.5, False),
        Guess("ant", 0.25, True),
        Guess("bee", 0.125, False),
    ]
    assert [guess.name for guess in guesses(record, opened, 0)] == ["2", "0", "1"]


def test_of_a_full_label_the_three_likeliest_are_said(source, tmp_path):
    opened = Store(small(tmp_path / "store", Layout(kind="full", top_k=1, classes=5)))
    record = opened.records(0)[0]
    record["probabilities"] = [0.1, 0.4, 0.0, 0.2, 0.3]
    assert [guess.name for guess in guesses(record, opened, 1)] == ["1", "4", "3"]


def test_images_without_labels_are_passed_over(source, tmp_path):
    layout = Layout(kind="hard", top_k=1, classes=3)
    records = random_records(layout, 9, 2)
    records[[0, 2, 3, 4, 5, 6, 8]] = np.zeros((), layout.dtype)
    records["flags"][[0, 2, 3, 4, 5, 6, 8]] = UNLABELLED
    wanted = manifest(layout, 9, 2, data=data_of(source))
    opened = Store(store(tmp_path / "store", wanted, records, labels_of(source)))
    assert sheets._samples(opened) == [1, 7]
    assert sheet(opened, source).height == 62 + 28 + 2 * (132 + 8 + 3 * 19 + 18)
    records["flags"] = UNLABELLED
    blank = Store(store(tmp_path / "blank", wanted, records, labels_of(source)))
    with pytest.raises(ValueError, match="has no labels at all"):
        sheet(blank, source)


def test_grey_images_of_few_pixels_are_drawn_too(tmp_path):
    digits = Digits("val")
    page = sheet(written(tmp_path / "store", digits, views=2, size=(8, 8)), digits)
    tile = np.array(page)[TOP + 6 : TOP + 126, LEFT + 260 : LEFT + 360]
    assert (tile[..., 0] == tile[..., 1]).all() and (tile[..., 0] == tile[..., 2]).all() and tile.std() > 1


def test_a_teacher_whose_size_nobody_knows_is_shown_at_the_size_of_a_tile(source, tmp_path):
    assert sheet(written(tmp_path / "store", source, size=None), source).mode == "RGB"


def test_the_sheet_is_the_same_every_time(source, tmp_path):
    opened = written(tmp_path / "store", source)
    assert sheet(opened, source).tobytes() == sheet(opened, source).tobytes()


def test_what_cannot_be_drawn_is_refused(source, tmp_path):
    opened = written(tmp_path / "store", source)
    with pytest.raises(ValueError, match="has labels for folder, and this is digits"):
        sheet(opened, Digits("train"))
    text = Store(small(tmp_path / "text", Layout(kind="hard", top_k=1, classes=3, boxes=False)))
    with pytest.raises(ValueError, match="has labels of no images, so there is nothing to draw: leave out --sheet"):
        sheet(text, source)
    for name in CLASSES:
        for number in range(3):
            (source.root / name / f"{number}.png").write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be used: it is empty; repair it"):
        sheet(opened, source)


def test_long_names_are_cut_to_the_room_they_have():
    page = Image.new("RGB", (10, 10))
    draw = sheets.ImageDraw.Draw(page)
    assert sheets._fitting(draw, "short", 12, 100) == "short"
    cut = sheets._fitting(draw, "a name that is much too long for a tile", 12, 100)
    assert cut.endswith("...") and draw.textlength(cut, sheets._font(12)) <= 100 < draw.textlength(
        cut + "mm", sheets._font(12)
    )
