"""What a program is given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stillbit.deploy.inputs import Wanted, cut, length, limits_of, parts
from stillbit.deploy.program import Constant
from tests.deploy.programs import Written, linear, reading, sentences


def test_a_batch_is_one_array_or_several() -> None:
    image, pair = np.zeros((3, 2)), (np.zeros((4, 2)), np.ones((4, 5)))
    assert parts(image) == (image,) and length(image) == 3 and length(pair) == 4
    assert [part.shape for part in cut(pair, 1, 3)] == [(2, 2), (2, 5)]


def test_images_become_floats_in_a_row() -> None:
    wanted = Wanted.of(linear())
    (made,) = wanted.taken(np.zeros((8, 4)).T)
    assert made.dtype == np.float32 and made.flags.c_contiguous


def test_the_shortest_table_says_which_indices_there_are() -> None:
    assert limits_of(reading()) == {"ids": 10}
    assert limits_of(linear()) == {}
    made = Written(4)
    shorter = made.add("gather", made.floats(6, 2), made.add("slice", "ids", axis=1, start=0, stop=2, step=1), axis=0)
    summed = made.add("add", made.add("mean", shorter, axes=[1], keep=False), _looked(made))
    program = replace(made.program(summed), inputs=reading().inputs[:1])
    assert limits_of(program) == {"ids": 6}, "moved indices are those of the input"


def _looked(made: Written) -> str:
    return made.add("mean", made.add("gather", made.floats(9, 2), "ids", axis=0), axes=[1], keep=False)


def test_whole_numbers_of_any_type_are_taken() -> None:
    ids, mask = sentences()
    for kind in (np.int32, np.uint8, np.int64):
        taken = Wanted.of(reading()).taken((ids.astype(kind), mask.astype(bool)))
        assert [array.dtype for array in taken] == [np.int64, np.int64]
        assert (taken[0] == ids).all() and (taken[1] == mask).all()


IDS, MASK = sentences()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((IDS,), r"takes 2 arrays \(ids, mask\), and was given 1"),
        ((IDS + 10, MASK), "ids has 1[0-9] in it, and this model knows 0 to 9"),
        ((IDS - 9, MASK), "ids has -[0-9] in it, and this model knows 0 to 9"),
        ((IDS * 0.5, MASK), "ids are whole numbers, and these are of float64"),
        ((IDS[:, :4], MASK), r"ids of \(3, 4\) are no batch of 6: pad or cut sentences to this length"),
        ((IDS[0], MASK), r"ids of \(6,\) are no batch of 6"),
        ((IDS, MASK[:2]), "there are 3 of ids, 2 of mask"),
        ((IDS[:0], MASK[:0]), r"ids of \(0, 6\) are no batch of 6"),
    ],
)
def test_what_does_not_fit_is_one_sentence(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        Wanted.of(reading()).taken(given)
    assert "\n" not in str(caught.value)


def test_indices_beyond_a_table_are_told_by_the_constant_that_has_them() -> None:
    from stillbit.deploy.file.check import check

    program = reading()
    (name,) = (name for name, held in program.constants.items() if held.array.tolist() == [2, 0, 1])
    check(program)
    with pytest.raises(ValueError, match=r"its indices go from 0 to 3, and there are 3"):
        check(replace(program, constants={**program.constants, name: Constant(array=np.array([3, 0, 1]))}))
