import numpy as np

from stillbit.deploy.graphs.seen import integers_of, names_of
from stillbit.deploy.program import Input


def test_zero_is_taken_off() -> None:
    how = {"zero": 8, "back": []}
    assert integers_of(np.array([[0, 8, 15]], np.uint8), how, 1).tolist() == [[-8, 0, 7]]


def test_what_was_moved_is_moved_back_last_first() -> None:
    codes = np.arange(24).reshape(2, 3, 4)
    moved = codes.reshape(6, 4).transpose(1, 0)
    how = {"zero": 0, "back": [{"axes": [1, 0]}, {"shape": [-1, 3, 4]}]}
    np.testing.assert_array_equal(integers_of(moved, how, 2), codes)


def test_images_are_called_images_and_all_else_as_the_model_calls_it() -> None:
    image, ids = Input(name="input", dims=(-1, 3, 8, 8)), Input(name="input_ids", dims=(-1, 4), kind="indices")
    assert names_of([image]) == ["images"]
    assert names_of([ids]) == ["input_ids"] and names_of([image, ids]) == ["input", "input_ids"]
