from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillbit.deploy.about import About
from stillbit.deploy.graphs.openvino_engine import KEPT, OpenVino
from stillbit.deploy.graphs.openvino_file import write_openvino
from stillbit.deploy.program import Program
from stillbit.deploy.runtime import reference
from tests.deploy import programs
from tests.deploy.graphs.walk import FAMILIES, GRID, QUICK, images, program_of, walk

openvino = pytest.importorskip("openvino")


def opened(program: Any, folder: Path, **said: Any) -> OpenVino:
    write_openvino(program, About(model="tiny"), folder / "model.xml")
    return OpenVino(folder / "model.xml", threads=1, **said)


def agrees(program: Any, engine: OpenVino) -> None:
    found = walk(engine, program, images(program))
    assert not found.wrong and found.ties <= 1e-4 * found.codes
    assert found.logits < 1e-6


def in_integers(program: Program, folder: Path) -> Counter[bool]:
    """Of the layers that multiply, how many run in eight bits, and how many do not; an attention may be one layer."""
    write_openvino(program, About(), folder / "model.xml")
    core = openvino.Core()
    model = core.read_model(folder / "model.xml")
    model.reshape([1, *program.shape[1:]])
    found: Counter[bool] = Counter()
    for layer in core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).get_runtime_model().get_ops():
        said = {name: str(value.astype(str)) for name, value in layer.get_rt_info().items()}
        whole = said["layerType"] == "Subgraph" and "MatMul" in said["originalLayersNames"]
        if said["layerType"] in ("FullyConnected", "MatMul", "Convolution"):
            found[said["runtimePrecision"] in ("i8", "u8")] += 1
        elif whole and said["runtimePrecision"] == "i8":
            found[True] += 2
    return found


@pytest.mark.parametrize(("name", "method", "bits"), QUICK)
def test_codes_and_logits_are_those_of_the_reference(name: str, method: str, bits: str, tmp_path: Path) -> None:
    program = program_of(name, method, bits)
    agrees(program, opened(program, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method", "bits"), [*GRID, *FAMILIES])
def test_so_they_are_in_every_family(name: str, method: str, bits: str, tmp_path: Path) -> None:
    program = program_of(name, method, bits)
    agrees(program, opened(program, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method", "bits"), GRID)
def test_every_product_of_codes_is_computed_in_integers(name: str, method: str, bits: str, tmp_path: Path) -> None:
    program = program_of(name, method, bits)
    done = Counter(step.op for step in program.steps)
    assert in_integers(program, tmp_path) == {
        True: done["product"] + done["convolution"],
        **({False: done["matmul"]} if done["matmul"] else {}),
    }


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method", "bits"), [("deit", "vvtq", "w2a2"), ("swin", "lsq", "w4a4")])
def test_a_thousand_images_have_the_class_that_the_reference_gives_them(
    name: str, method: str, bits: str, tmp_path: Path
) -> None:
    program = program_of(name, method, bits)
    engine = opened(program, tmp_path)
    parts = np.split(images(program, 1000), 20)
    same = sum(int((engine(part).argmax(1) == reference.run(program, part).argmax(1)).sum()) for part in parts)
    assert same >= 999


def test_the_batch_is_of_any_size_and_a_few_sizes_are_kept(tmp_path: Path) -> None:
    program = programs.everything()
    engine = opened(program, tmp_path)
    for number in (1, 5, 2, 3, 4, 1):
        x = images(program, number)
        np.testing.assert_allclose(engine(x), reference.run(program, x), rtol=0, atol=1e-5)
    assert len(engine._compiled) == KEPT


def test_texts_are_whole_numbers_by_the_names_of_the_model(tmp_path: Path) -> None:
    program, given = programs.reading(), programs.sentences(4)
    engine = opened(program, tmp_path)
    found = walk(engine, program, given)
    assert not found.wrong and found.logits < 1e-6 and engine.wanted.limits == {"ids": 10}
    np.testing.assert_allclose(engine(*given), reference.run(program, given), rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match=r"takes 2 arrays \(ids, mask\), and was given 1"):
        engine(given[0])


def test_what_it_gave_is_not_changed_by_what_it_gives_next(tmp_path: Path) -> None:
    program = programs.everything()
    engine = opened(program, tmp_path)
    x = images(program, 4)
    first, second = engine(x[:2]), engine(x[2:])
    np.testing.assert_allclose(np.concatenate([first, second]), reference.run(program, x), rtol=0, atol=1e-5)


def test_the_rest_may_be_computed_in_bfloat16(tmp_path: Path) -> None:
    program = programs.everything()
    x = images(program, 2)
    want = reference.run(program, x)
    np.testing.assert_allclose(opened(program, tmp_path, precision="bf16")(x), want, rtol=0, atol=0.1)
    with pytest.raises(ValueError, match="f32 or bf16, not in 'int8'"):
        opened(program, tmp_path, precision="int8")


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    engine = opened(programs.everything(), tmp_path)
    with pytest.raises(ValueError, match=r"images of \(2, 3, 9, 8\) are no batch of 3 x 8 x 8"):
        engine(np.zeros((2, 3, 9, 8), np.float32))


def test_codes_cannot_be_forced_upon_it(tmp_path: Path) -> None:
    program = programs.linear()
    with pytest.raises(ValueError, match="force those of the reference"):
        list(opened(program, tmp_path).codes(images(program), {"v0": np.zeros(1)}))


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("no bin", "a .xml and a .bin, side by side"),
        ("half", "cannot be used: it is no graph of stillbit's, or a part of one"),
        ("empty", "cannot be used: it is no graph"),
        ("garbled", "OpenVINO cannot read"),
        ("other bin", r"the \.bin beside .* is damaged, or of another export"),
        ("stranger", "cannot be used: it is no graph of stillbit's"),
    ],
)
def test_files_that_cannot_be_used_are_refused_in_a_sentence(how: str, why: str, tmp_path: Path) -> None:
    graph, weights = tmp_path / "model.xml", tmp_path / "model.bin"
    write_openvino(programs.everything(), About(), graph)
    data = bytearray(weights.read_bytes())
    data[40] ^= 1
    if how == "no bin":
        weights.unlink()
    elif how == "other bin":
        weights.write_bytes(data)
    else:
        text = graph.read_text()
        whole = {"half": text[: len(text) // 2], "empty": "", "garbled": text[len(text) // 2 :]}
        graph.write_text(whole.get(how, text.replace("<stillbit>", "<other>").replace("</stillbit>", "</other>")))
    with pytest.raises(ValueError, match=why) as refused:
        OpenVino(graph)
    assert "\n" not in str(refused.value)


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ValueError, match=r'pip install "stillbit\[openvino\]"'):
        OpenVino(tmp_path / "model.xml")
