import numpy as np
import onnx
import pytest

from stillbit.deploy.graphs.graph import Graph
from stillbit.deploy.graphs.sides import Codes, Side, bytes_of, dense, side_of, small, weight, width_of
from stillbit.deploy.program import Constant, Grid


def held(low: int, high: int, offset: float = 0.0) -> Constant:
    return Constant(array=np.arange(low, high + 1), grid=Grid(low=low, high=high, offset=offset))


@pytest.mark.parametrize("bits", range(1, 8))
def test_a_weight_between_two_integers_is_doubled_up_to_seven_bits(bits: int) -> None:
    value = held(-(1 << bits - 1), (1 << bits - 1) - 1, 0.5)
    side = side_of(value, 0.5)
    assert isinstance(side.codes, Constant) and side.rest == 0
    np.testing.assert_array_equal(side.codes.array * side.factor, value.array + 0.5)


def test_eight_bits_between_two_integers_keep_their_rest() -> None:
    side = side_of(held(-128, 127, 0.5), 0.5)
    assert (side.factor, side.rest, side.shared) == (1.0, 0.5, True)


def test_codes_that_are_still_floats_keep_their_offset() -> None:
    codes = Codes(name="v0", source="x", scale=1.0, low=-1, high=0)
    assert side_of(codes, 0.5) == Side(codes=codes, rest=0.5)
    assert side_of(codes, 0.0) == Side(codes=codes)


def test_bytes_have_a_sign_where_it_is_wanted_and_fits() -> None:
    for low, high, signed, kind, zero in (
        (-8, 7, True, np.int8, 0),
        (-8, 7, False, np.uint8, 8),
        (0, 255, True, np.uint8, 0),
        (-128, 127, False, np.uint8, 128),
    ):
        stored, middle = bytes_of(held(low, high).array, signed=signed)
        assert (stored.dtype, middle) == (kind, zero)
        np.testing.assert_array_equal(stored.astype(int) - middle, held(low, high).array)


def test_two_products_of_a_byte_and_a_small_number_fit_into_sixteen_bits() -> None:
    assert small(-64, 64) and 2 * 255 * 64 < 2**15
    assert not small(-65, 0) and not small(0, 65)


def test_onnx_has_two_four_and_eight_bits() -> None:
    assert [width_of(held(0, (1 << bits) - 1)) for bits in range(1, 9)] == [2, 2, 4, 4, 8, 8, 8, 8]


def test_dense_weights_are_of_the_type_that_holds_their_codes() -> None:
    for low, high, kind in ((-2, 1, "INT2"), (0, 3, "UINT2"), (-4, 3, "INT4"), (-1, 0, "INT2"), (0, 15, "UINT4")):
        graph = Graph()
        dense(graph, held(low, high))
        stored = graph.held[graph.nodes[0].input[0]]
        assert stored.data_type == onnx.TensorProto.DataType.Value(kind)
        assert onnx.numpy_helper.to_array(stored).astype(int).tolist() == list(range(low, high + 1))


def test_only_wide_weights_say_where_zero_is_and_each_has_its_own() -> None:
    graph = Graph()
    for codes in (np.array([[-64, 63]]), np.array([[-65, 63]]), np.array([[-65, 64]])):
        weight(graph, codes, np.ones(1))
    zeros = [tuple(node.input[2:]) for node in graph.nodes]
    assert zeros[0] == () and len(set(zeros)) == 3
    weight(graph, np.array([[-128, 127]]), np.ones(1), bare=True)
    assert len(graph.nodes[-1].input) == 2
