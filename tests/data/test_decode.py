from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stillbit.data.decode import decode
from stillbit.data.source import DamagedImage
from tests.data.pictures import cut_in_half, image, wide


@pytest.mark.parametrize(
    ("mode", "kind", "becomes"),
    [
        ("RGB", "png", "RGB"),
        ("L", "png", "L"),
        ("1", "png", "L"),
        ("LA", "png", "L"),
        ("P", "png", "RGB"),
        ("RGBA", "png", "RGB"),
        ("CMYK", "jpeg", "RGB"),
        ("YCbCr", "jpeg", "RGB"),
        ("RGB", "webp", "RGB"),
        ("RGB", "bmp", "RGB"),
    ],
)
def test_every_kind_of_bytes_becomes_grey_or_three_colours(mode: str, kind: str, becomes: str) -> None:
    file = BytesIO()
    original = image(20, 24)
    original.convert(mode).save(file, kind)
    decoded = decode(file, "it")
    assert decoded.mode == becomes and decoded.size == (24, 20)
    if mode in ("CMYK", "YCbCr", "RGBA", "RGB"):
        assert abs(np.asarray(decoded).astype(int) - np.asarray(original)).mean() < 12


def test_a_turned_photograph_stays_as_it_is_stored() -> None:
    file, exif = BytesIO(), Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    image(20, 24).save(file, "jpeg", exif=exif)
    assert decode(file, "it").size == (24, 20)


def reason(path: Path) -> str:
    with pytest.raises(DamagedImage) as caught:
        decode(str(path), "the name")
    assert caught.value.name == "the name"
    return caught.value.reason


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    assert reason(tmp_path / "a.jpg") == "it is empty"


def test_text_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("hello")
    assert reason(tmp_path / "a.jpg") == "it is no image"


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "bmp", "tiff"])
def test_half_a_file_is_damaged(kind: str, tmp_path: Path) -> None:
    image(64, 64).save(tmp_path / f"a.{kind}")
    cut_in_half(tmp_path / f"a.{kind}")
    assert reason(tmp_path / f"a.{kind}")


def test_a_missing_file_is_damaged(tmp_path: Path) -> None:
    assert reason(tmp_path / "a.jpg") == "No such file or directory"


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_pixels_that_are_no_bytes_are_refused_and_not_clipped(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    if mode == "I;16":
        wide(path)
    else:
        image(20, 20, mode=mode).save(path)
    assert reason(path) == f"its pixels are no bytes (mode {mode}), convert it to 8 bits a channel"


def test_more_pixels_than_pillow_opens_safely_are_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image(64, 64).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert reason(tmp_path / "a.png") == "it has more pixels than Pillow opens safely"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
    assert decode(str(tmp_path / "a.png"), "large, but no bomb").size == (64, 64)
