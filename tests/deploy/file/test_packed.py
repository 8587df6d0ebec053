"""The packed file."""

from __future__ import annotations

import base64
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from stillbit.deploy.about import About, Preprocess
from stillbit.deploy.file.packed import Packed, bytes_of, read, write
from stillbit.deploy.program import Constant, Grid, Program
from stillbit.deploy.runtime import reference
from stillbit.deploy.tracing.trace import trace
from tests.deploy import small
from tests.deploy.fuzz_packed import bound, closed, fuzz, opened, restructured
from tests.deploy.programs import Written, everything, linear, reading, sentences
from tests.house import pages

LOOK = Preprocess(size=(8, 8), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
ABOUT = About(model="tiny", method="lsq", bits="w2a2", classes=("a", "b", "é", "d"), preprocess=LOOK, facts={"x": [1]})


def same(a: Program, b: Program) -> bool:
    """The same steps, and constants of the same values."""
    plain = replace(a, constants=b.constants) == b
    pairs = [(held, b.constants[name]) for name, held in a.constants.items()]
    return plain and all((x.array == y.array).all() and x.grid == y.grid for x, y in pairs)


def written(program: Program, path: Path, about: About = ABOUT) -> Path:
    assert write(Packed(program=program, about=about), path) == path.stat().st_size
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(everything(), tmp_path / "tiny.safetensors")


def test_a_program_comes_back_and_runs_to_the_same_bits(path: Path) -> None:
    program, images = everything(), np.random.default_rng(0).normal(size=(3, 3, 8, 8)).astype(np.float32)
    back = read(path)
    assert back.about == ABOUT and same(program, back.program)
    assert (reference.run(back.program, images) == reference.run(program, images)).all()


@pytest.mark.parametrize(
    ("method", "bits"),
    [
        ("ofq", "w2a2"),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in (("vvtq", "w3a3"), ("dorefa", "w1a1"))),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in (("lsq_plus", "w8a8"), ("qvit_mixed", "w5a5"))),
    ],
)
def test_models_come_back(tmp_path: Path, method: str, bits: str) -> None:
    x = small.images()
    program = trace(small.trained(small.vit(), method, bits, x), x[:2])
    back = read(written(program, tmp_path / "a.safetensors", About(model="vit"))).program
    assert (reference.run(back, x.numpy()) == reference.run(program, x.numpy())).all()


def test_it_is_a_safetensors_file_and_the_same_bytes_each_time(path: Path, tmp_path: Path) -> None:
    assert set(load_file(path)) == {"c1", "c10", "c17", "floats", "structure"}
    again = written(everything(), tmp_path / "again.safetensors")
    assert again.read_bytes() == path.read_bytes()


def test_a_program_of_texts_comes_back_and_says_a_later_version(tmp_path: Path) -> None:
    path = written(reading(), tmp_path / "r.safetensors", About())
    back = read(path).program
    assert back.inputs == reading().inputs and back.steps == reading().steps
    np.testing.assert_array_equal(reference.run(back, sentences()), reference.run(reading(), sentences()))
    metadata, _ = opened(path.read_bytes())
    assert metadata["version"] == "2"
    assert opened(written(everything(), path).read_bytes())[0]["version"] == "1"  # older readers take it


def test_what_it_holds_is_writable_and_small_integers(path: Path) -> None:
    for name, held in read(path).program.constants.items():
        assert held.array.flags.writeable
        kinds = (np.int8, np.int16) if held.grid else (np.float32, np.int64)
        assert held.array.dtype in kinds, name


VERSION_1 = (
    "YAEAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJjaGVja3N1bSI6Ijk4MmQ5ODVhNzc3OTU3MWNlOGVmZTNhZGFiNTdjZjI2M2Q0YjczZDU5MjUyMWEy"
    "ZmVjYWU4NzE3NGIwNWFkMjUiLCJmb3JtYXQiOiJzdGlsbGJpdCBwYWNrZWQiLCJ2ZXJzaW9uIjoiMSIsInRpdGxlIjoidGlueSB3MmEyIiwic3Ry"
    "dWN0dXJlIjoiNTM5In0sImMxIjp7ImR0eXBlIjoiVTgiLCJzaGFwZSI6WzZdLCJkYXRhX29mZnNldHMiOlswLDZdfSwiZmxvYXRzIjp7ImR0eXBl"
    "IjoiVTgiLCJzaGFwZSI6WzI4XSwiZGF0YV9vZmZzZXRzIjpbNiwzNF19LCJzdHJ1Y3R1cmUiOnsiZHR5cGUiOiJVOCIsInNoYXBlIjpbMjgzXSwi"
    "ZGF0YV9vZmZzZXRzIjpbMzQsMzE3XX19awHsuuotmpmZPrH9Nj/fzW6/zCrrPncQJr+W8jk/PtOpPXjahZHdboQgEIXfZa7ZRrRJN76K2QsErCQI"
    "VnA3u8Z37xm2P940vVCBc74zM7iR6uOaqd1oisZ6aim7cCdBk81jNNhj3bucsLrVqsZOe5WSxUFHikU+oougebHzErVNkMLqvaBBaQa3fRfkwsx1"
    "vr6C0qhmi4yTFGfAaOKpXxuIg4+KyTdEx5CyCiWHdMXvb1SCG9ySgFWooOVRPIsGcrYhxQWxEAX5eKP2VAsa3ftIrUTZYUiW+ZeSUB8Tmt94yWLz"
    "h/jK46VsZ76Sjj5WdOselkT3Myz6hv9akdj+baKP5g53h/uMZtWZc5jkEThEcsgT4YKABJ4LyNEqU8hp9YXimTETU/hx29GijCmW8kObYmmOlsv+"
    "CTHroYU="
)
"""What version 1 wrote of `linear`. It has to be read for ever; a layout that differs gets another number."""


def test_files_of_version_1_are_read(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    path.write_bytes(base64.b64decode(VERSION_1))
    back = read(path)
    assert same(linear(), back.program) and back.about == About(model="tiny", bits="w2a2", classes=("a", "b", "c"))


def test_bytes_are_told_by_kind_and_by_layer(path: Path) -> None:
    said = bytes_of(path)
    size = path.stat().st_size
    assert sum(said["kinds"].values()) == sum(said["layers"].values()) == size
    assert set(said["kinds"]) == {"3-bit codes", "2-bit codes", "floats", "indices", "structure", "header"}
    assert said["kinds"]["3-bit codes"] == -(-4 * 3 * 9 * 3 // 8) and said["kinds"]["indices"] == 3
    assert set(said["layers"]) == {"", "stem", "attn", "body", "head"}
    assert said["layers"]["attn"] == 8 and said["layers"][""] >= said["kinds"]["structure"]


def test_a_layer_counts_for_its_codes_and_its_floats(tmp_path: Path) -> None:
    made = Written(64)
    codes = made.quantize("input")
    for number in range(2):
        summed = made.add("product", codes, made.codes(64, 64), layer=f"l{number}", offsets=[0.0, 0.0])
        scaled = made.add("mul", summed, made.floats(64), layer=f"l{number}")
    said = bytes_of(written(made.program(scaled), tmp_path / "a", About()))["layers"]
    assert said["l1"] == said["l0"] == 1024 + 256


def test_weights_that_are_mostly_zero_are_read_back_too(tmp_path: Path) -> None:
    made = Written(1000)
    zeros = made.constant(np.zeros((1000, 1000), np.int64), Grid(low=0, high=1))
    program = made.program(made.add("product", made.quantize("input"), zeros, offsets=[0.0, 0.0]))
    path = written(program, tmp_path / "a", About())
    assert same(program, read(path).program) and path.stat().st_size > 125_000


def test_a_file_that_would_not_be_read_is_not_written(tmp_path: Path) -> None:
    program = linear()
    wrong = [
        (replace(program, output="v0"), About(), "its output is codes"),
        (replace(program, constants={}), About(), "nobody puts out c0"),
        (program, About(classes=("a",)), "it names 1 classes, and puts out batch x 3 numbers"),
        (program, About(preprocess=LOOK), "its pictures are prepared for another input than 8"),
        (program, About(facts={"x": float("nan")}), "JSON cannot hold"),
        (program, About(facts={"x": Path()}), "JSON cannot hold"),
    ]
    for each, about, said in wrong:
        with pytest.raises(ValueError, match=said):
            write(Packed(program=each, about=about), tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------------- files from strangers


def refused(path: Path, data: bytes) -> str:
    """What is said of it: one line with the file's name."""
    path.write_bytes(data)
    with pytest.raises(ValueError) as caught:
        read(path)
    said = str(caught.value)
    assert str(path) in said and "\n" not in said
    return said


def without(key: str) -> Callable[[Any], Any]:
    def change(said: Any) -> Any:
        return {name: value for name, value in said.items() if name != key}

    return change


def test_versions_and_kinds_are_told_apart(path: Path) -> None:
    metadata, tensors = opened(path.read_bytes())

    def other(**said: str) -> bytes:
        return closed({**metadata, **said}, tensors)

    assert "a newer stillbit wrote it (version 3, this one reads up to 2" in refused(path, other(version="3"))
    assert "its version '0' is none" in refused(path, other(version="0"))
    assert "its version '٣' is none" in refused(path, other(version="٣"))
    assert "it holds 'vectors' and no packed program" in refused(path, other(format="vectors"))
    for size in ("", "-1", "1e3", "9" * 30, "²"):
        assert "its structure is missing" in refused(path, other(structure=size))
    assert "structure of 99999 bytes is too long" in refused(path, other(structure="99999"))
    assert "is not the 2,000 bytes" in refused(path, other(structure="2000"))


def test_a_missing_layer_is_said(path: Path) -> None:
    data = path.read_bytes()
    metadata, tensors = opened(data)
    gone = closed(metadata, {name: held for name, held in tensors.items() if name != "c10"})
    assert "the tensor of constant c10 is missing" in refused(path, gone)
    gone = restructured(data, lambda said: {**said, "steps": said["steps"][:5] + said["steps"][6:]})
    assert "step 5 (add of body): nobody puts out v5, which it takes in" in refused(path, gone)
    assert "does not have the parts" in refused(path, restructured(data, without("steps")))
    assert "its structure is missing" in refused(path, closed(metadata, {"c1": tensors["c1"]}))


def test_absurd_shapes_are_said_before_memory_is_taken(path: Path) -> None:
    data = path.read_bytes()

    def shaped(name: str, *shape: int) -> bytes:
        def change(said: Any) -> Any:
            said["constants"][name]["shape"] = list(shape)
            return said

        return restructured(data, change)

    assert "bytes of memory, more than 64 times as many" in refused(path, shaped("c1", 2**30, 2**30))
    assert "lies outside of the floats" in refused(path, shaped("c2", 400))
    assert "has a shape that is none" in refused(path, shaped("c2", 2**62))
    assert "step 1 (convolution of stem)" in refused(path, shaped("c1", 4, 3, 9, 3, 1))


def test_words_that_do_not_fit_the_program_are_said(path: Path) -> None:
    def about(**changes: Any) -> bytes:
        return restructured(held, lambda said: {**said, "about": {**said["about"], **changes}})

    held = path.read_bytes()
    assert "it names 2 classes, and puts out batch x 4 numbers" in refused(path, about(classes=["a", "b"]))
    assert "size is a height and a width" in refused(path, about(preprocess={**LOOK.__dict__, "size": [8]}))
    assert "for another input than 3 x 8 x 8" in refused(path, about(preprocess={**LOOK.__dict__, "size": [8, 9]}))


def bombs(data: bytes) -> Iterator[bytes]:
    metadata, tensors = opened(data)
    zeros = zlib.compress(bytes(50_000_000), 9)
    yield closed(metadata, {**tensors, "floats": zeros})
    yield closed(metadata, {**tensors, "c1": zeros})
    for text in (b"[" + b"[]," * 3_000_000, b" " * 4_000_000, b"[" * 4_000_000, b'{"a":' * 800_000, b"1" * 4_000_000):
        for plain in (len(text), 1000):
            packed = {**tensors, "structure": zlib.compress(text, 9)}
            yield closed({**metadata, "structure": str(plain)}, packed)
            # Made longer, so that it passes for a structure that deflates as well as structures do.
            packed["structure"] += os.urandom(len(text) // 20)
            yield closed({**metadata, "structure": str(plain)}, packed)
    yield restructured(data, lambda said: {**said, "floats": 2**40})
    yield restructured(
        data, lambda said: {**said, "steps": said["steps"] + [["relu", ["input"], "x", {}, ""]] * 30_000}
    )
    yield closed(metadata, {**tensors, **{f"t{number}": b"" for number in range(20_000)}})
    yield closed({**metadata, "title": "x" * 5_000_000}, tensors)


def test_no_file_takes_more_memory_than_its_size_allows(path: Path) -> None:
    for data in bombs(path.read_bytes()):
        path.write_bytes(data)
        tracemalloc.start()
        try:
            began = time.perf_counter()
            with pytest.raises(ValueError):
                read(path)
            assert time.perf_counter() - began < 20
            assert tracemalloc.get_traced_memory()[1] <= bound(len(data))
        finally:
            tracemalloc.stop()


def test_damaged_files_are_refused_or_run(tmp_path: Path) -> None:
    files = [
        written(everything(), tmp_path / "a").read_bytes(),
        written(reading(), tmp_path / "a", About()).read_bytes(),
        written(linear(), tmp_path / "a", About()).read_bytes(),
    ]
    tally = fuzz(files, 2000, 7, tmp_path)
    assert sum(tally.outcomes.values()) == 2000
    assert sum(count for way, count in tally.outcomes.items() if way.endswith("ran")) > 100
    assert len(tally.sentences) > 60  # checks behind the checksum are reached


@pytest.mark.slow
def test_a_hundred_thousand_damaged_files_are_refused_or_run(tmp_path: Path) -> None:
    x = small.images()
    models = [trace(small.trained(small.vit(), method, "w2a2", x), x[:2]) for method in ("ofq", "vvtq")]
    files = [written(everything(), tmp_path / "a").read_bytes()]
    files += [
        written(each, tmp_path / "a", About()).read_bytes() for each in (everything(), linear(), reading(), *models)
    ]
    tally = fuzz(files, 100_000, 11, tmp_path)
    assert sum(tally.outcomes.values()) == 100_000 and len(tally.sentences) > 200


# ------------------------------------------------------------------------------------------------ the old file survives


def test_a_full_disk_leaves_the_old_file(path: Path) -> None:
    before = path.read_bytes()
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as a full disk: an error, not an end
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
        with pytest.raises(ValueError, match=r"tiny\.safetensors could not be written \(File too large\): make room"):
            write(Packed(program=linear(), about=About()), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_a_disk_without_room_leaves_the_old_file(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only an administrator mounts a small disk")
    try:
        path = written(linear(), disk / "a.safetensors", About())
        before = path.read_bytes()
        noise = Constant(array=np.random.default_rng(0).normal(size=9000).astype(np.float32))
        big = replace(linear(), constants={**linear().constants, "c9": noise})
        with pytest.raises(ValueError, match="could not be written"):
            write(Packed(program=big, about=About()), path)
        assert path.read_bytes() == before and list(disk.iterdir()) == [path]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_may_not_be_written_to_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", refuse)
        with pytest.raises(ValueError, match=r"could not be written \(Permission denied\)"):
            write(Packed(program=linear(), about=About()), path)
    assert path.read_bytes() == before


FOREVER = """
import sys
from pathlib import Path
from stillbit.deploy.about import About
from stillbit.deploy.file.packed import Packed, write
from tests.deploy.programs import everything, linear

programs = [everything(), linear()]
print("ready", flush=True)
while True:
    for program in programs:
        write(Packed(program=program, about=About()), Path(sys.argv[1]))
"""


@pytest.mark.parametrize("kills", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_a_kill_in_the_middle_leaves_a_whole_file_and_no_heap_of_halves(tmp_path: Path, kills: int) -> None:
    path, chance = tmp_path / "a.safetensors", random.Random(0)
    for _ in range(kills):
        writer = subprocess.Popen([sys.executable, "-c", FOREVER, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0.0, 0.05))
        writer.kill()
        writer.communicate()
        if path.exists():
            read(path)
        assert len(list(tmp_path.iterdir())) <= 2
    written(linear(), path, About())
    assert list(tmp_path.iterdir()) == [path]


# ---------------------------------------------------------------------------------------------- the reader on the page

ALONE = """
import sys
blocked = {"torch", "safetensors", "stillbit", "timm", "scipy"}

class Block:
    def find_spec(self, name, *_):
        assert name.split(".")[0] not in blocked, f"the reader imports {name}"

sys.meta_path.insert(0, Block())
"""


def test_the_reader_on_the_page_needs_numpy_and_nothing_else(tmp_path: Path) -> None:
    blocks = [block.code for block in pages.split(pages.read("docs/deploy/format.md"))[1] if block.language == "python"]
    (reader,) = [code for code in blocks if "def read_packed" in code]
    assert len(reader.splitlines()) < 45
    for number, program in enumerate((everything(), linear(), reading())):
        path = written(program, tmp_path / f"{number}.safetensors", About())
        save = f"np.savez({str(tmp_path / 'held.npz')!r}, **constants)"
        show = "print(json.dumps([structure['steps'], structure['output']]))"
        code = f"{ALONE}\n{reader}\nstructure, constants = read_packed({str(path)!r})\n{save}\n{show}"
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        steps, output = json.loads(said.stdout)
        assert [tuple(step[:1] + step[2:3]) for step in steps] == [(step.op, step.output) for step in program.steps]
        assert output == program.output
        with zipfile.ZipFile(tmp_path / "held.npz") as held:
            arrays = {name[:-4]: np.lib.format.read_array(held.open(name)) for name in held.namelist()}
        assert {name: array.shape for name, array in arrays.items()} == {
            name: constant.array.shape for name, constant in program.constants.items()
        }
        assert all((arrays[name] == constant.array).all() for name, constant in program.constants.items())
