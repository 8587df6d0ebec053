from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from stillbit.data.digits import Digits


def test_every_fourth_digit_is_for_validation() -> None:
    train, val, bunch = Digits("train"), Digits("val"), load_digits()
    assert (len(train), len(val)) == (1347, 450)
    assert [val.label(k) for k in range(3)] == bunch.target[[0, 4, 8]].tolist()
    assert [train.label(k) for k in range(3)] == bunch.target[[1, 2, 3]].tolist()
    assert train.classes == tuple("0123456789")


def test_sixteen_is_white() -> None:
    digit = Digits("val").image(1, epoch=3)
    assert digit.shape == (1, 8, 8)
    assert (digit[0].numpy() == (load_digits().images[4] * 255 // 16).astype(np.uint8)).all()
    assert max(Digits("train").image(k, 0).max() for k in range(50)) == 255


def test_digits_say_what_they_are() -> None:
    about = Digits("val").describe()
    assert about["kind"] == "digits" and about["count"] == 450 and len(about["fingerprint"]) == 64
    assert Digits("train").name(5) == "digit 5 of train"


def test_without_scikit_learn_the_way_to_get_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ValueError, match="pip install scikit-learn"):
        Digits("train")
