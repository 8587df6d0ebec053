from __future__ import annotations

import pickle

import pytest

from stillbit.data.source import DamagedImage, check_same_classes
from tests.data.pictures import Row


def test_the_same_classes_in_the_same_order_are_fine() -> None:
    check_same_classes(Row(3, ("a", "b")), Row(5, ("a", "b")))


@pytest.mark.parametrize(
    ("val", "said"),
    [
        (("a",), "lacks b, c"),
        (("a", "b", "c", "d"), "adds d"),
        (("a", "b", "x"), "lacks c and adds x"),
        (("c", "b", "a"), "another order"),
        ((), "lacks a, b, c"),
        (tuple("abcdefgh"), "adds d, e, f and 2 more"),
    ],
)
def test_other_classes_for_validation_are_refused(val: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_same_classes(Row(3, ("a", "b", "c")), Row(3, val))


def test_damage_travels_between_processes() -> None:
    damage = pickle.loads(pickle.dumps(DamagedImage("x.jpg", "it is empty")))
    assert (damage.name, damage.reason) == ("x.jpg", "it is empty")
