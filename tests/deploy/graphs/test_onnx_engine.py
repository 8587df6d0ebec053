from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from stillbit.deploy.about import About
from stillbit.deploy.graphs import onnx_engine
from stillbit.deploy.graphs.onnx_engine import OnnxRuntime
from stillbit.deploy.graphs.onnx_file import write_onnx
from stillbit.deploy.runtime import reference
from tests.deploy import programs
from tests.deploy.graphs.walk import FAMILIES, GRID, QUICK, images, program_of, walk


def opened(program: Any, folder: Path, flavour: Any = "integer") -> OnnxRuntime:
    write_onnx(program, About(model="tiny"), folder / "model.onnx", flavour)
    return OnnxRuntime(folder / "model.onnx", threads=1)


def agrees(program: Any, engine: OnnxRuntime) -> None:
    x = images(program)
    found = walk(engine, program, x)
    assert not found.wrong and found.ties <= 1e-4 * found.codes
    assert found.logits < 1e-6


@pytest.mark.parametrize("flavour", ["integer", "compact"])
@pytest.mark.parametrize(("name", "method", "bits"), QUICK)
def test_codes_and_logits_are_those_of_the_reference(
    name: str, method: str, bits: str, flavour: str, tmp_path: Path
) -> None:
    program = program_of(name, method, bits)
    agrees(program, opened(program, tmp_path, flavour))


@pytest.mark.slow
@pytest.mark.parametrize("flavour", ["integer", "compact"])
@pytest.mark.parametrize(("name", "method", "bits"), [*GRID, *FAMILIES])
def test_so_they_are_in_every_family(name: str, method: str, bits: str, flavour: str, tmp_path: Path) -> None:
    program = program_of(name, method, bits)
    agrees(program, opened(program, tmp_path, flavour))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method", "bits"), [("deit", "vvtq", "w2a2"), ("swin", "lsq", "w4a4")])
def test_a_thousand_images_have_the_class_that_the_reference_gives_them(
    name: str, method: str, bits: str, tmp_path: Path
) -> None:
    program = program_of(name, method, bits)
    engine = opened(program, tmp_path)
    x = images(program, 1000)
    same = sum(
        int((engine(part).argmax(1) == reference.run(program, part).argmax(1)).sum()) for part in np.split(x, 20)
    )
    assert same >= 999


@pytest.mark.parametrize("number", [1, 3])
def test_the_batch_is_of_any_size(number: int, tmp_path: Path) -> None:
    program = programs.everything()
    x = images(program, number)
    want = reference.run(program, x)
    np.testing.assert_allclose(opened(program, tmp_path)(x), want, rtol=0, atol=1e-5)
    np.testing.assert_allclose(OnnxRuntime(tmp_path / "model.onnx")(x[::1].astype(np.float64)), want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("flavour", ["integer", "compact"])
def test_texts_are_whole_numbers_by_the_names_of_the_model(flavour: str, tmp_path: Path) -> None:
    program, given = programs.reading(), programs.sentences(4)
    engine = opened(program, tmp_path, flavour)
    found = walk(engine, program, given)
    assert not found.wrong and not found.ties and found.logits < 1e-6
    ends = [(each.name, each.type, each.shape) for each in engine._session.get_inputs()]
    assert ends == [("ids", "tensor(int64)", ["batch", 6]), ("mask", "tensor(int64)", ["batch", 6])]
    assert engine.wanted.limits == {"ids": 10} and engine.wanted.inputs == program.inputs
    for number in (1, 3):
        few = tuple(part[:number] for part in given)
        np.testing.assert_allclose(engine(*few), reference.run(program, few), rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="ids has -1 in it, and this model knows 0 to 9"):
        engine(given[0] * 0 - 1, given[1])


@pytest.mark.slow
def test_where_a_cpu_sums_in_sixteen_bits_weights_of_eight_have_no_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_engine, "_overflows", lambda: True)
    program = program_of("mini", "statsq", "w8a8")
    agrees(program, opened(program, tmp_path))


def test_whether_a_cpu_does_is_measured() -> None:
    assert onnx_engine._overflows() in (True, False)


def test_it_says_what_the_file_says(tmp_path: Path) -> None:
    engine = opened(programs.linear(), tmp_path, "compact")
    assert (engine.name, engine.about.model, engine.flavour) == ("onnxruntime", "tiny", "compact")


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    engine = opened(programs.everything(), tmp_path)
    with pytest.raises(ValueError, match=r"images of \(2, 3, 9, 8\) are no batch of 3 x 8 x 8"):
        engine(np.zeros((2, 3, 9, 8), np.float32))
    with pytest.raises(ValueError, match="are no batch of 3 x 8 x 8"):
        list(engine.codes(np.zeros((3, 8, 8), np.float32)))
    with pytest.raises(ValueError, match="are no batch of 3 x 8 x 8"):
        engine(np.zeros((0, 3, 8, 8), np.float32))


def test_codes_cannot_be_forced_upon_it(tmp_path: Path) -> None:
    program = programs.linear()
    with pytest.raises(ValueError, match="force those of the reference"):
        list(opened(program, tmp_path).codes(images(program), {"v0": np.zeros(1)}))


def damaged(path: Path, how: str) -> None:
    model = onnx.load(path)
    if how == "opset":
        model.opset_import[0].version = 99
    if how == "stranger":
        del model.metadata_props[:]
    if how == "node":
        model.graph.node[0].op_type = "Clap"
    data = model.SerializeToString()
    path.write_bytes(data[: len(data) // 2] if how == "half" else b"PK" * 40 if how == "zip" else data)


@pytest.mark.parametrize("how", ["half", "zip", "opset", "node", "stranger", "empty"])
def test_a_file_that_cannot_be_used_is_refused_in_a_sentence(how: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_onnx(programs.linear(), About(), path)
    damaged(path, how) if how != "empty" else path.write_bytes(b"")
    with pytest.raises(
        ValueError, match="model.onnx cannot be used" if how == "stranger" else "cannot load"
    ) as refused:
        OnnxRuntime(path)
    assert "\n" not in str(refused.value) and str(path) in str(refused.value)


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.onnx cannot be read: No such file"):
        OnnxRuntime(tmp_path / "none.onnx")


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_onnx(programs.linear(), About(), tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r'pip install "stillbit\[onnx\]"'):
        OnnxRuntime(tmp_path / "model.onnx")
