from __future__ import annotations

from typing import Any

import pytest

from stillbit.data.look import Look

CONFIG = {
    "input_size": (3, 32, 48),
    "mean": (0.1, 0.2, 0.3),
    "std": (0.4, 0.5, 0.6),
    "interpolation": "bilinear",
    "crop_pct": 0.875,
}


def test_a_look_is_read_from_a_models_configuration() -> None:
    assert Look.of(CONFIG) == Look((32, 48), 3, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bilinear", 0.875)


def test_what_the_user_wants_comes_before_what_the_model_wants() -> None:
    look = Look.of(CONFIG, interpolation="bicubic", crop_pct=1.0)
    assert (look.interpolation, look.crop_pct) == ("bicubic", 1.0)


def test_a_model_with_one_channel_takes_the_middle_of_three_means() -> None:
    look = Look.of({**CONFIG, "input_size": (1, 8, 8)})
    assert look.channels == 1 and look.mean == pytest.approx((0.2,)) and look.std == pytest.approx((0.5,))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"channels": 4}, "in_chans=3"), ({"mean": (0.5,)}, "as many means"), ({"interpolation": "lanczos"}, "bicubic")],
)
def test_what_no_image_can_be_turned_into_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Look((8, 8), **wrong)
