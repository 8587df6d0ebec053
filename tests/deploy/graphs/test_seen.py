import numpy as np
import pytest

from stillbit.deploy.about import About
from stillbit.deploy.graphs.onnx_file import Written
from stillbit.deploy.graphs.seen import checked, integers_of

WRITTEN = Written(about=About(), flavour="integer", output="v1", shape=(-1, 2, 3), codes={})


def test_zero_is_taken_off() -> None:
    how = {"zero": 8, "back": []}
    assert integers_of(np.array([[0, 8, 15]], np.uint8), how, 1).tolist() == [[-8, 0, 7]]


def test_what_was_moved_is_moved_back_last_first() -> None:
    codes = np.arange(24).reshape(2, 3, 4)
    moved = codes.reshape(6, 4).transpose(1, 0)
    how = {"zero": 0, "back": [{"axes": [1, 0]}, {"shape": [-1, 3, 4]}]}
    np.testing.assert_array_equal(integers_of(moved, how, 2), codes)


def test_images_become_floats_in_a_row() -> None:
    made = checked(np.zeros((4, 3, 2)).transpose(0, 2, 1), WRITTEN)
    assert made.dtype == np.float32 and made.flags.c_contiguous


@pytest.mark.parametrize("shape", [(2, 3), (0, 2, 3), (4, 3, 2), (4, 2, 3, 1)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a batch of 2 x 3"):
        checked(np.zeros(shape), WRITTEN)
