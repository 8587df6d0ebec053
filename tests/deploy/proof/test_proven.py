"""A file gets its name when what was written is proven, and never before."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillbit.deploy.engine import open_engine
from stillbit.deploy.file import packed
from stillbit.deploy.graphs.openvino_engine import OpenVino
from stillbit.deploy.proof import proven
from stillbit.deploy.proof.proven import FORMATS, deliver, sizes
from stillbit.deploy.proof.run import Told
from tests.cli.command import everything
from tests.deploy.proofs import ABOUT, made

GRAPHS = ("onnx", "onnx-compact", "openvino")


def targets(folder: Path, *names: str) -> dict[str, Path]:
    return {name: folder / FORMATS[name].file for name in names}


@pytest.mark.parametrize("name", ["packed", "vectors", *GRAPHS])
def test_every_format_is_written_and_proven(name: str, tmp_path: Path) -> None:
    proof = deliver(made().work(), targets(tmp_path, name)).proof
    assert proof.failure() is None
    beside = {FORMATS[name].beside} - {None}
    assert {path.suffix for path in tmp_path.iterdir()} == {Path(FORMATS[name].file).suffix} | beside
    assert sizes(name, tmp_path / FORMATS[name].file) == sum(len(held) for held in everything(tmp_path).values())
    engines = [comparison.engine for comparison in proof.comparisons]
    words = {"onnx": ["onnxruntime"], "onnx-compact": ["onnxruntime-compact"], "openvino": ["openvino"]}
    assert engines == ["training", "exact", "integer", *words.get(name, [])]
    if name != "vectors":
        assert open_engine(tmp_path / FORMATS[name].file).about == ABOUT


def test_all_are_proven_together(tmp_path: Path) -> None:
    proof = deliver(made().work(), targets(tmp_path, "packed", *GRAPHS)).proof
    assert len(proof.comparisons) == 6
    files = {"packed.safetensors", "model.onnx", "model-compact.onnx", "model.xml", "model.bin"}
    assert set(everything(tmp_path)) == files


def test_what_is_read_again_is_what_is_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that writes other weights than it was given is found out, though the program in memory is right."""
    real = packed.write

    def wrong(held: Any, path: Path) -> int:
        constants = {
            name: replace(c, array=-1 - c.array) if c.grid is not None and c.array.shape == (16, 64) else c
            for name, c in held.program.constants.items()
        }
        return real(replace(held, program=replace(held.program, constants=constants)), path)

    monkeypatch.setattr(proven, "write_packed", wrong)
    (tmp_path / "packed.safetensors").write_bytes(b"stillbit packed: the old file")
    with pytest.raises(ValueError, match=r"nothing was written: training differs .* first in blocks\.0\.mlp\.fc2"):
        deliver(made().work(), targets(tmp_path, "packed"))
    assert everything(tmp_path) == {"packed.safetensors": b"stillbit packed: the old file"}


def test_above_the_tolerance_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing was written: the logits of training are off by"):
        deliver(made().work(told=Told(tolerance=1e-12)), targets(tmp_path, "packed", "onnx", "openvino", "vectors"))
    assert not everything(tmp_path)


def test_a_graph_whose_engine_fails_is_left_out_and_the_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = OpenVino.codes

    def wrong(self: OpenVino, *arguments: Any) -> Any:
        for name, values in real(self, *arguments):
            yield name, values + 1

    monkeypatch.setattr(OpenVino, "codes", wrong)
    (tmp_path / "alone").mkdir()
    delivered = deliver(made().work(), targets(tmp_path, "packed", "onnx", "openvino"))
    assert set(delivered.refused) == {"openvino"} and "differs from the reference" in delivered.refused["openvino"]
    assert set(everything(tmp_path)) == {"packed.safetensors", "model.onnx"}
    assert delivered.proof.failure() is None
    with pytest.raises(ValueError, match="nothing was written: openvino differs"):
        deliver(made().work(), targets(tmp_path / "alone", "openvino"))


def test_a_proven_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    where = targets(tmp_path, "packed")
    deliver(made().work(about=replace(ABOUT, method="older")), where)
    deliver(made().work(), where)
    assert open_engine(where["packed"]).about == ABOUT and len(everything(tmp_path)) == 1


@pytest.mark.parametrize("when", ["writing", "proving", "renaming"])
def test_whatever_interrupts_it_the_old_files_survive(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = targets(tmp_path, "packed", "onnx")
    deliver(made().work(about=replace(ABOUT, method="older")), where)
    before = everything(tmp_path)

    def stop(*args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    if when == "writing":
        monkeypatch.setitem(FORMATS, "onnx", replace(FORMATS["onnx"], write=stop))
    else:
        monkeypatch.setattr(proven, {"proving": "prove", "renaming": "_rename"}[when], stop)
    with pytest.raises(KeyboardInterrupt):
        deliver(made().work(), where)
    assert everything(tmp_path) == before


def test_what_a_killed_export_left_is_gone_after_the_next(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for name in ("packed.PID.safetensors", "model.PID.xml", "model.PID.bin"):
        (tmp_path / f".{name.replace('PID', f'{gone.pid}@{platform.node()}')}").write_text("half")
    deliver(made().work(), targets(tmp_path, "packed", "openvino"))
    assert set(everything(tmp_path)) == {"packed.safetensors", "model.xml", "model.bin"}


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> Any:
        raise OSError(28, os.strerror(28), "draft")

    monkeypatch.setitem(FORMATS, "packed", replace(FORMATS["packed"], write=full))
    with pytest.raises(ValueError, match=r"packed\.safetensors could not be written \(No space left on device\): make"):
        deliver(made().work(), targets(tmp_path, "packed"))
    assert not everything(tmp_path)


@pytest.fixture
def training_file(tmp_path: Path) -> Iterator[Path]:
    import stillbit

    path = tmp_path / "model.safetensors"
    stillbit.save(made().model, path)
    yield path


def test_a_training_file_is_never_replaced(training_file: Path) -> None:
    before = training_file.read_bytes()
    with pytest.raises(ValueError, match="is there, and stillbit export did not write it: choose another --output"):
        deliver(made().work(), {"packed": training_file})
    assert training_file.read_bytes() == before


def test_places_that_cannot_be_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").mkdir()
    with pytest.raises(ValueError, match="is a folder: name a file in it"):
        deliver(made().work(), {"packed": tmp_path / "a.safetensors"})
    with pytest.raises(ValueError, match=r"packed files end in \.safetensors, and this is model\.onnx"):
        deliver(made().work(), {"packed": tmp_path / "model.onnx"})


def test_a_package_that_lacks_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = proven.find_spec
    monkeypatch.setattr(proven, "find_spec", lambda name: None if name == "openvino" else real(name))
    assert FORMATS["openvino"].missing() == 'it needs openvino: pip install "stillbit[openvino]"'
    assert FORMATS["packed"].missing() is None and FORMATS["onnx"].missing() is None


def test_vectors_are_of_the_first_two_images(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    deliver(made().work(), targets(tmp_path, "vectors"))
    held = load_file(tmp_path / "vectors.safetensors")
    assert any(np.array_equal(value, made().images[:2]) for value in held.values())
