import numpy as np
import onnx

from stillbit.deploy.graphs.graph import Graph


def written(graph: Graph, last: str) -> list[str]:
    ends = [onnx.helper.make_tensor_value_info(name, 1, ["batch", 2, 3]) for name in ("images", last)]
    return [node.op_type for node in graph.model(ends[:1], ends[1], opset=18).graph.node]


def test_the_same_on_the_same_is_written_once() -> None:
    graph = Graph()
    assert graph.node("Exp", "images") == graph.node("Exp", "images")
    assert graph.node("Exp", "images") != graph.node("Exp", graph.node("Exp", "images"))
    assert graph.node("Softmax", "images", axis=1) != graph.node("Softmax", "images", axis=2)


def test_what_runtimes_look_for_in_front_of_each_product_stands_apart() -> None:
    graph = Graph()
    assert graph.node("DequantizeLinear", "images", "s") != graph.node("DequantizeLinear", "images", "s")


def test_a_constant_is_held_once_unless_somebody_needs_his_own() -> None:
    graph = Graph()
    assert graph.single([1.0, 2.0]) == graph.single(np.array([1.0, 2.0]))
    assert graph.single([1.0, 2.0]) != graph.single([[1.0, 2.0]])
    assert graph.constant(np.int8(0)) != graph.constant(np.int8(0), own=True) != graph.constant(np.int8(0), own=True)


def test_two_permutations_become_one_or_none() -> None:
    graph = Graph()
    once = graph.turned("images", [0, 2, 1])
    assert graph.turned(once, [0, 2, 1]) == "images"
    assert written(graph, graph.turned(once, [2, 0, 1])) == ["Transpose"]


def test_what_nobody_reads_is_not_in_the_model() -> None:
    graph = Graph()
    graph.node("Exp", "images")
    assert written(graph, graph.node("Abs", "images")) == ["Abs"]


def test_names_say_the_layer() -> None:
    graph = Graph()
    graph.layer = "blocks.0.attn"
    assert graph.node("Exp", "images") == "blocks.0.attn/Exp"
    assert graph.node("Exp", "blocks.0.attn/Exp") == "blocks.0.attn/Exp_2"


def test_codes_of_two_and_four_bits_are_what_onnx_reads() -> None:
    graph = Graph()
    for kind, bits, codes in (("INT2", 2, [-2, -1, 0, 1, 1]), ("UINT4", 4, [0, 15, 7]), ("INT4", 4, [-8, 7, -1])):
        name = graph.packed(np.array(codes, np.int16), kind, bits)
        assert onnx.numpy_helper.to_array(graph.held[name]).astype(int).tolist() == codes
