from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from stillbit.data.settings import AugmentSettings, DataSettings, FractalSettings


@pytest.mark.parametrize(
    ("kind", "wrong", "said"),
    [
        (DataSettings, {"batch_size": 0}, "--batch-size 128"),
        (DataSettings, {"workers": -1}, "--workers 0"),
        (AugmentSettings, {"scale": (0.0, 1.0)}, "--scale 0.08 1"),
        (AugmentSettings, {"scale": (0.9, 0.5)}, "--scale 0.08 1"),
        (AugmentSettings, {"ratio": (2.0, 1.0)}, "--ratio 0.75 1.3333"),
        (AugmentSettings, {"hflip": 1.5}, "--hflip 0.5"),
        (AugmentSettings, {"vflip": -0.5}, "--vflip 0.5"),
        (AugmentSettings, {"reprob": 2.0}, "--reprob 0.5"),
        (AugmentSettings, {"color_jitter": -1.0}, "--color-jitter 0.4"),
        (AugmentSettings, {"crop_pct": 1.5}, "crop_pct"),
        (AugmentSettings, {"no_aug": True, "aa": "rand-m9", "hflip": 0.0}, "no use for hflip, aa"),
        (FractalSettings, {"classes": 1}, "--classes 25"),
        (FractalSettings, {"images": 0}, "--images 600"),
        (FractalSettings, {"val_images": 0}, "validation"),
        (FractalSettings, {"size": 4}, "--size 32"),
        (FractalSettings, {"jitter": 0.9}, "--jitter 0.08"),
    ],
)
def test_what_means_nothing_is_refused_in_one_sentence(kind: Any, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        kind(**wrong)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_without_augmentation_evaluation_may_still_be_changed() -> None:
    assert AugmentSettings(no_aug=True, crop_pct=0.9, interpolation="bilinear").crop_pct == 0.9


def test_settings_import_no_numbers_package_so_help_is_quick() -> None:
    code = "import sys, stillbit.data.settings; print({'torch', 'numpy', 'timm', 'PIL'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
