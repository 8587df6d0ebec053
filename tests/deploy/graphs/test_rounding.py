from dataclasses import replace

import onnx
import pytest

from stillbit.deploy.graphs.graph import Graph
from stillbit.deploy.graphs.rounding import Rounding
from stillbit.deploy.graphs.sides import Codes, Dialect
from tests.deploy.graphs.run import run
from tests.deploy.programs import Written

LOW = Codes(name="v0", source="images", scale=0.5, low=-2, high=1)


def ops(rounding: Rounding) -> list[str]:
    return [node.op_type for node in rounding.graph.nodes]


def test_codes_are_clipped_to_their_range_before_they_are_bytes() -> None:
    rounding = Rounding(Graph(), Dialect())
    rounding.dequantized(LOW, 1.0)
    assert ops(rounding) == ["Clip", "QuantizeLinear", "DequantizeLinear"]
    low, high = (onnx.numpy_helper.to_array(rounding.graph.held[name]) for name in rounding.graph.nodes[0].input[1:])
    assert (low, high) == (-1.0, 0.5)


def test_eight_bits_need_no_clip() -> None:
    rounding = Rounding(Graph(), Dialect())
    rounding.quantized(replace(LOW, low=-128, high=127))
    rounding.quantized(replace(LOW, name="v1", low=0, high=255))
    assert ops(rounding) == ["QuantizeLinear", "QuantizeLinear"]


@pytest.mark.parametrize(
    ("low", "high", "right", "openvino", "zero"),
    [
        (-2, 1, False, False, ("UINT8", 2)),
        (-1, 0, False, False, ("UINT8", 2)),  # an odd zero would turn halves the other way in OpenVINO
        (0, 3, False, False, ("UINT8", 0)),
        (-2, 1, True, False, ("INT8", 0)),
        (-128, 127, True, False, ("UINT8", 128)),  # 255 * 127 twice does not fit into 16 bits
        (-128, 127, True, True, ("INT8", 0)),
        (-8, 7, False, True, ("INT8", 0)),
        (0, 255, True, True, ("UINT8", 0)),
    ],
)
def test_the_left_has_no_sign_and_the_right_has_one(
    low: int, high: int, right: bool, openvino: bool, zero: object
) -> None:
    rounding = Rounding(Graph(), Dialect(openvino=openvino))
    _, point = rounding.quantized(replace(LOW, low=low, high=high), right=right)
    held = rounding.graph.held[point]
    assert (onnx.TensorProto.DataType.Name(held.data_type), int(onnx.numpy_helper.to_array(held))) == zero


def test_what_was_divided_before_is_rounded_before_it_is_bytes() -> None:
    rounding = Rounding(Graph(), Dialect())
    _, point = rounding.quantized(replace(LOW, scale=1.0, divided=True, low=0, high=3))
    assert ops(rounding) == ["Clip", "Round", "QuantizeLinear"]
    assert onnx.numpy_helper.to_array(rounding.graph.held[point]) == 2


def test_where_codes_can_be_seen_is_remembered_and_bytes_come_first() -> None:
    rounding = Rounding(Graph(), Dialect())
    rounding.rounded(LOW)
    assert rounding.seen["v0"] == {"tensor": "model/Round", "zero": 0, "back": ()}
    rounding.quantized(LOW)
    assert rounding.seen["v0"] == {"tensor": "model/QuantizeLinear", "zero": 2, "back": ()}


def test_halves_go_to_the_even_neighbour() -> None:
    import numpy as np

    made = Written(8)
    levels = made.add("level", made.quantize("input", 0.5, low=-8, high=7), offset=0.0)
    images = np.array([[-1.25, -0.75, -0.25, 0.25, 0.75, 1.25, 9.0, -9.0]], np.float32)
    assert run(made.program(levels), images).tolist() == [[-2, -2, 0, 0, 2, 2, 7, -8]]
