from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from stillbit import __version__
from stillbit.deploy.about import About, Preprocess
from stillbit.deploy.graphs.onnx_file import Written, model_of, opset_of, write_onnx
from stillbit.deploy.graphs.sides import Dialect
from stillbit.deploy.inputs import Wanted
from stillbit.deploy.program import Input
from stillbit.deploy.runtime import reference
from tests.deploy import programs
from tests.deploy.graphs.walk import images, program_of

WANTED = Wanted(inputs=(Input(name="input", dims=(-1, 3)),), limits={})
ABOUT = About(
    model="tiny",
    classes=('a "cat"', "<dög>"),
    preprocess=Preprocess(size=(16, 16), mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)),
    facts={"top1": 71.5},
)


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    size = write_onnx(program_of("mini", "lsq", "w4a4"), ABOUT, tmp_path / "model.onnx")
    assert size == (tmp_path / "model.onnx").stat().st_size
    said = {each.key: each.value for each in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert (said["stillbit"], said["flavour"]) == (__version__, "integer")
    assert json.loads(said["about"])["classes"] == ['a "cat"', "<dög>"]
    assert Written.of_strings(said).about == ABOUT


def test_the_compact_flavour_says_that_floats_are_made_of_it(tmp_path: Path) -> None:
    write_onnx(programs.linear(), ABOUT, tmp_path / "model.onnx", "compact")
    said = {each.key: each.value for each in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert said["flavour"] == "compact" and "floats" in said["note"]


@pytest.mark.parametrize(
    ("method", "bits", "integer", "compact"),
    [("vvtq", "w2a2", 20, 25), ("lsq", "w4a4", 20, 21)],
)
def test_operators_are_as_old_as_they_may_be(method: str, bits: str, integer: int, compact: int) -> None:
    program = program_of("mini", method, bits)
    assert (opset_of(program, Dialect()), opset_of(program, Dialect(dense=True))) == (integer, compact)
    assert opset_of(programs.linear(), Dialect()) == 18


def test_integer_graphs_are_read_by_runtimes_of_two_years_ago() -> None:
    model, _ = model_of(program_of("mini", "lsq", "w4a4"), ABOUT, Dialect())
    assert model.ir_version <= 9 and [(each.domain, each.version) for each in model.opset_import] == [("", 20)]


@pytest.mark.parametrize(
    ("method", "bits", "kinds"),
    [("vvtq", "w2a2", {"INT2"}), ("lsq", "w4a4", {"INT4"}), ("dorefa", "w1a1", {"INT2"})],
)
def test_compact_weights_take_their_bits(method: str, bits: str, kinds: set[str]) -> None:
    model, _ = model_of(program_of("mini", method, bits), ABOUT, Dialect(dense=True))
    held = {onnx.TensorProto.DataType.Name(tensor.data_type) for tensor in model.graph.initializer}
    assert {kind for kind in held if kind.endswith(("INT2", "INT4"))} == kinds


@pytest.mark.parametrize(("method", "bits"), [("vvtq", "w2a2"), ("ofq", "w2a2"), ("dorefa", "w1a1"), ("lsq", "w4a4")])
def test_compact_graphs_mean_the_same_to_those_who_define_onnx(method: str, bits: str) -> None:
    program = program_of("mini", method, bits)
    model, _ = model_of(program, ABOUT, Dialect(dense=True))
    x = images(program)
    (got,) = ReferenceEvaluator(model).run(None, {"images": x})
    np.testing.assert_allclose(got, reference.run(program, x), rtol=0, atol=1e-5)


def test_an_interrupted_export_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    write_onnx(programs.linear(), ABOUT, path)
    before = path.read_bytes()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_onnx(programs.everything(), ABOUT, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_an_unknown_flavour_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no flavour 'tiny' of ONNX: choose integer or compact"):
        write_onnx(programs.linear(), ABOUT, tmp_path / "model.onnx", "tiny")  # type: ignore[arg-type]


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ValueError, match=r'pip install "stillbit\[onnx\]"'):
        write_onnx(programs.linear(), ABOUT, tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ({"stillbit": None}, "no graph of stillbit's"),
        ({"about": "{"}, "damaged"),
        ({"program": None}, "damaged"),
        ({"program": '{"output": "v1", "shape": ["many"], "codes": {}}'}, "damaged"),
        ({"program": '{"output": "v1", "shape": [], "codes": {}}'}, "damaged"),
        (
            {"program": '{"output": "v1", "shape": [-1, 3], "codes": {"v": {"tensor": 3, "zero": 0, "back": []}}}'},
            "damaged",
        ),
        ({"program": '{"output": "v1", "shape": [-1, 3], "codes": {"v": {"tensor": "t", "back": []}}}'}, "damaged"),
        ({"program": "[" * 100_000}, "damaged"),
        ({"about": '{"preprocess": {"size": 3}}'}, "damaged"),
    ],
)
def test_metadata_that_cannot_be_read_are_refused(damage: dict[str, str | None], why: str) -> None:
    said = Written(about=ABOUT, flavour="integer", output="v1", wanted=WANTED, codes={}).to_strings()
    said.update({key: value for key, value in damage.items() if value is not None})
    with pytest.raises(ValueError, match=why):
        Written.of_strings({key: value for key, value in said.items() if damage.get(key, "") is not None})
