from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stillbit.data.digits import Digits
from stillbit.data.folder import Folder
from stillbit.data.fractal_cache import FractalSource, render
from stillbit.data.settings import DataSettings, FractalSettings
from stillbit.data.sources import open_source
from tests.data.pictures import folder


@pytest.fixture(scope="module")
def fractals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = FractalSettings(classes=2, images=2, val_images=1, size=8)
    return render(settings, tmp_path_factory.mktemp("f"), workers=0)


def refused(said: str, **settings: object) -> None:
    with pytest.raises(ValueError) as caught:
        open_source(DataSettings(**settings), "train")  # type: ignore[arg-type]
    assert said in str(caught.value) and "\n" not in str(caught.value), str(caught.value)


def test_val_and_validation_are_the_same_word(tmp_path: Path) -> None:
    folder(tmp_path)
    for word in ("val", "validation"):
        source = open_source(DataSettings(data_dir=tmp_path, val_split=word), "val")
        assert isinstance(source, Folder) and source.root == tmp_path / "val"


def test_a_split_may_have_any_name(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "train").rename(tmp_path / "learn")
    assert len(open_source(DataSettings(data_dir=tmp_path, train_split="learn"), "train")) == 8


def test_fractals_are_recognised_by_their_manifest(fractals: Path) -> None:
    for dataset in ("folder", "fractals"):
        source = open_source(DataSettings(data_dir=fractals, dataset=dataset), "train")
        assert isinstance(source, FractalSource) and not source.fresh


def test_only_training_is_fresh(fractals: Path) -> None:
    settings = DataSettings(data_dir=fractals, fresh=True)
    train, val = open_source(settings, "train"), open_source(settings, "val")
    assert isinstance(train, FractalSource) and isinstance(val, FractalSource) and train.fresh and not val.fresh


def test_digits_need_no_folder() -> None:
    assert isinstance(open_source(DataSettings(dataset="digits"), "val"), Digits)


def test_mistakes_get_one_sentence_with_the_fix(tmp_path: Path) -> None:
    refused("--data-dir FOLDER", dataset="folder")
    refused(f"there is no folder {tmp_path / 'x'}", data_dir=tmp_path / "x")
    refused(f"no folder train in {tmp_path}, but nothing: name the split with --train-split", data_dir=tmp_path)
    (tmp_path / "learn").mkdir()
    refused("but learn: name the split", data_dir=tmp_path)
    refused("leave out --data-dir", dataset="digits", data_dir=tmp_path)
    refused("leave out --fresh", dataset="digits", fresh=True)
    refused("holds no fractals: stillbit data fractals --output", dataset="fractals", data_dir=tmp_path)
    refused("did you mean digits? use one of folder, fractals, digits, wds, hfds/NAME", dataset="digit")
    refused("unknown dataset 'imagenet'", dataset="imagenet")
    refused("unknown dataset 'hfds': use one of", dataset="hfds")


@pytest.mark.parametrize(("split", "flag"), [("train", "--train-split"), ("val", "--val-split")])
def test_a_set_with_two_splits_of_its_own_has_no_other(split: Any, flag: str) -> None:
    settings = DataSettings(dataset="digits", train_split="validation", val_split="test")
    with pytest.raises(ValueError, match=f"digits have their own two splits.*: leave out {flag}"):
        open_source(settings, split)
