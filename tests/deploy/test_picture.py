"""A picture reaches a deployed model as evaluation showed it: bit for bit, whatever kind of file it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform

from stillbit.data.folder import Folder
from stillbit.data.loaders import Loader
from stillbit.data.look import Look
from stillbit.data.settings import DataSettings
from stillbit.deploy.about import Preprocess
from stillbit.deploy.picture import files_of, input_of, opened

sides = st.integers(1, 90)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def noise(height: int, width: int, channels: int = 3) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels)).astype(np.uint8)


def evaluated(root: Path, look: Look) -> np.ndarray[Any, Any]:
    """What the loader of an evaluation gives the model."""
    (batch,) = Loader(Folder(root), look, DataSettings(workers=0)).epoch(0)
    images: np.ndarray[Any, Any] = batch.images.numpy()
    return images


def asked(look: Look) -> Preprocess:
    return Preprocess(
        size=look.size, mean=look.mean, std=look.std, interpolation=look.interpolation, crop_pct=look.crop_pct
    )


@pytest.mark.parametrize("size", [(24, 24), (20, 31)])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_pixels_are_those_of_the_evaluation_to_the_bit(size: Any, interpolation: Any, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    shapes = [(24, 24), (40, 27), (27, 41), (100, 37), (9, 13), (28, 27), (27, 28)]
    for number, (height, width) in enumerate(shapes):
        Image.fromarray(noise(height, width)).save(tmp_path / "a" / f"{number}.png")
    look = Look(size, 3, MEAN, STD, interpolation, 0.875)
    want = evaluated(tmp_path, look)
    for row, path in zip(want, files_of([tmp_path]), strict=True):
        assert np.array_equal(row, input_of(opened(path), asked(look)))


KINDS = {
    "grey.png": lambda pixels: Image.fromarray(pixels[..., 0]),
    "alpha.png": lambda pixels: Image.fromarray(noise(33, 40, 4), "RGBA"),
    "palette.png": lambda pixels: Image.fromarray(pixels).quantize(17),
    "bits.png": lambda pixels: Image.fromarray(pixels[..., 0]).convert("1"),
    "cmyk.jpg": lambda pixels: Image.fromarray(pixels).convert("CMYK"),
    "greyalpha.png": lambda pixels: Image.fromarray(noise(33, 40, 2), "LA"),
    "colours.webp": Image.fromarray,
}


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")  # Pillow's, of its own modes
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_picture_is_as_evaluation_has_it(name: str, channels: int, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    KINDS[name](noise(33, 40)).save(tmp_path / "a" / name)
    look = Look((16, 16), channels, (0.5,) * channels, (0.25,) * channels, "bicubic", 0.9)
    assert np.array_equal(evaluated(tmp_path, look)[0], input_of(opened(tmp_path / "a" / name), asked(look)))


def test_a_camera_that_was_turned_turns_nothing_here_as_in_training(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(30, 20)).save(tmp_path / "a" / "turned.jpg", exif=exif)
    look = Look((16, 16), 3, MEAN, STD, "bicubic", 1.0)
    assert np.array_equal(evaluated(tmp_path, look)[0], input_of(opened(tmp_path / "a" / "turned.jpg"), asked(look)))


@given(sides, sides, sides, st.floats(0.3, 1.0))
def test_it_is_what_timm_shows_at_any_size(height: int, width: int, side: int, crop_pct: float) -> None:
    look = Look((side, side), 3, MEAN, STD, "bilinear", crop_pct)
    picture = Image.fromarray(noise(height, width))
    theirs = create_transform(
        (3, side, side), mean=MEAN, std=STD, interpolation="bilinear", crop_pct=crop_pct, is_training=False
    )
    np.testing.assert_allclose(input_of(picture, asked(look)), theirs(picture).numpy(), rtol=0, atol=2e-6)


def test_a_folder_is_all_pictures_in_it_by_name(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/1.JPG", "a.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [str(p.relative_to(tmp_path)) for p in files_of([tmp_path])] == ["a.png", "b/1.JPG", "b/2.png"]
    assert files_of([tmp_path / "notes.txt"]) == [tmp_path / "notes.txt"]


def test_what_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no picture .*gone\.png: give a file"):
        files_of([tmp_path / "gone.png"])
    with pytest.raises(ValueError, match="there is no picture in"):
        files_of([tmp_path])


def test_what_is_no_picture_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("an apple")
    (tmp_path / "empty.png").touch()
    Image.fromarray(noise(8, 8)[..., 0].astype(np.uint16) * 256).save(tmp_path / "deep.png")
    Image.fromarray(noise(64, 64)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:900])
    for name, reason in {
        "text.png": "it is no image",
        "empty.png": "it is empty",
        "deep.png": "its pixels are no bytes",
        "cut.png": "",
    }.items():
        with pytest.raises(ValueError, match=rf"{name} cannot be used: {reason}"):
            opened(tmp_path / name)
