"""FKD's files are read, and whatever else a file holds is refused without running any of it."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from stillbit.data.crops import Crop
from stillbit.distill.boxes import box_of
from stillbit.distill.boxes import crop_of as cut_of
from stillbit.distill.fkd import LARGEST, edges, read

SHAPES = {"hard": (), "smoothing": (2,), "marginal": (2, 5), "full": (20,)}


def state(crops=6, shape=(2, 5), seed=0):
    """What FKD's script hands to torch.save."""
    chance = np.random.default_rng(seed)
    corner = chance.random((crops, 2)) * 0.5
    coords = np.concatenate([corner, 0.5 * np.ones((crops, 2))], 1).astype(np.float32)
    return [coords, chance.random(crops) < 0.5, chance.random((crops, *shape)).astype(np.float32)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "n01440764_10026.tar"


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older"])
def test_labels_come_back_as_they_were_saved(path, kind, zipped):
    coords, flips, output = state(shape=SHAPES[kind])
    if kind == "hard":
        output = (output * 20).astype(np.int64)
    torch.save([coords, flips, output], path, _use_new_zipfile_serialization=zipped)
    found = read(path)
    assert np.array_equal(found.coords, coords.astype(np.float64))
    assert np.array_equal(found.flips, flips) and found.flips.dtype == bool
    assert np.array_equal(found.output, output) and found.output.dtype == output.dtype


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i4", "i8", ">f4"])
def test_the_plain_types_of_numpy_are_read(path, kind):
    coords, flips, output = state()
    torch.save([coords, flips.astype(np.uint8), (output * 100).astype(kind)], path)
    assert np.array_equal(read(path).output, (output * 100).astype(kind))


def test_columns_that_come_first_stay_in_their_places(path):
    coords, flips, output = state()
    torch.save([np.asfortranarray(coords), flips, np.asfortranarray(output)], path)
    assert np.array_equal(read(path).coords, coords) and np.array_equal(read(path).output, output)


def test_tensors_are_read_too(path):
    held = state()
    torch.save(tuple(map(torch.from_numpy, held)), path)
    assert np.array_equal(read(path).output, held[2])


def test_a_file_of_an_older_numpy_is_read(path):
    """The module was called numpy.core before numpy 2."""
    torch.save(state(), path, _use_new_zipfile_serialization=False)
    older = path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    path.write_bytes(older)
    assert np.array_equal(read(path).output, state()[2])


# Files that want something.


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older"])
@pytest.mark.parametrize(
    ("function", "name"),
    [(os.system, "posix.system"), (os.mkdir, "posix.mkdir"), (eval, "eval"), (pickle.loads, "pickle.loads")],
)
def test_a_file_that_would_run_something_is_refused_by_its_name_and_runs_nothing(
    path, function, name, zipped, tmp_path
):
    mark = tmp_path / "ran"
    said = {os.system: f"touch {mark}", os.mkdir: str(mark), eval: f"open('{mark}', 'w')", pickle.loads: b"."}
    call = Calls(function, said[function])
    for held in ([call, *state()[1:]], [*state()[:2], call], call):
        torch.save(held, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(ValueError, match=f"wants to call {name}, which no label of FKD does, so it was not opened"):
            read(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "held",
    [
        [np.array([os.system], dtype=object)] * 3,
        [np.array([object], dtype=object)] * 3,
        [np.array([("a", 1)], dtype=[("x", "U3"), ("y", "i4")])] * 3,
        [np.array(["a"])] * 3,
        [np.datetime64("2020")] * 3,
        [np.ma.masked_array([1])] * 3,
        [Calls(np.zeros, 10**12)] * 3,
        [Calls(np.frombuffer, b"abc")] * 3,
        [Calls(np.dtype, "f4,f4")] * 3,
        [Calls(np.dtype, "S1000000000")] * 3,
        [Calls(np.ndarray, (10**12,))] * 3,
        [Calls(bytearray, 10**13)] * 3,
        [Calls(np._core.multiarray._reconstruct, np.ndarray, (10**12,), b"b")] * 3,
    ],
)
def test_arrays_that_are_not_plain_are_refused(path, held):
    torch.save(held, path)
    with pytest.raises(ValueError, match=r"wants to call|is damaged or no label of FKD|holds no coordinates") as caught:
        read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_size_that_is_a_lie_is_refused(path):
    torch.save(state(crops=200), path, _use_new_zipfile_serialization=False)
    held = path.read_bytes()
    assert b"K\xc8" in held or b"M\xc8\x00" in held
    path.write_bytes(held.replace(b"K\xc8", b"J\xff\xff\xff\x7f"))
    with pytest.raises(ValueError, match="is damaged or no label of FKD"):
        read(path)


@pytest.mark.parametrize("name", ["archive/data.pkl", "archive/more"])
def test_a_file_that_is_packed_is_not_opened(path, name):
    """A few kilobytes may unpack to as many gigabytes as one likes; torch does not pack, so nothing is lost."""
    torch.save(state(), path)
    with zipfile.ZipFile(path) as archive:
        inside = {one: archive.read(one) for one in archive.namelist()}
    inside[name] = bytes(20 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one, held in inside.items():
            archive.writestr(one, held)
    assert path.stat().st_size < 100_000
    with pytest.raises(ValueError, match="is packed or larger than any label of FKD, so it is not opened"):
        read(path)


def test_a_file_that_is_too_large_is_not_read(path):
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(ValueError, match="is packed or larger"):
        read(path)


BOMBS = """
import resource, sys
from pathlib import Path
from stillbit.distill.fkd import read
def refused(path):
    try:
        read(Path(path))
    except ValueError:
        return True
def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
assert refused(sys.argv[1])  # what it takes to open the first one
before = memory()
assert all(refused(path) for path in sys.argv[2:]), "taken for labels"
assert memory() - before < 50, f"{memory() - before} MB"
"""


def test_bombs_cost_no_memory(tmp_path):
    """Zips that claim, or unpack to, more than this process may have; and tensors without their bytes."""
    torch.save(state(), tmp_path / "plain")
    torch.save(state()[:2], tmp_path / "first")
    with zipfile.ZipFile(tmp_path / "plain") as archive:
        inside = {one: archive.read(one) for one in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "deflated.tar", "w", zipfile.ZIP_DEFLATED) as archive:
        for one, held in inside.items():
            with archive.open(one, "w", force_zip64=True) as file:
                file.write(held)
                for _ in range(25 if one.endswith("data.pkl") else 0):
                    file.write(bytes(8 << 20))
    stored = bytearray((tmp_path / "plain").read_bytes())
    at = stored.index(b"PK\x01\x02")
    stored[at + 20 : at + 28] = b"\xff\xff\xff\x7f" * 2  # both sizes of the first entry, where the directory has them
    (tmp_path / "claims.tar").write_bytes(stored)
    torch.save([torch.zeros(2)] * 3, tmp_path / "tensor.tar", _use_new_zipfile_serialization=False)
    held = (tmp_path / "tensor.tar").read_bytes()
    (tmp_path / "tensor.tar").write_bytes(held.replace(b"K\x02", b"J\xff\xff\xff\x7f"))
    ended = subprocess.run(
        [sys.executable, "-c", BOMBS, str(tmp_path / "first"), *map(str, sorted(tmp_path.glob("*.tar")))],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 0, ended.stderr


def test_damage_is_a_sentence_or_is_in_the_numbers_alone(path):
    """A flipped bit of a number cannot be seen: FKD's files have no checksum of it, only zip's, which torch ignores."""
    torch.save(state(), path)
    whole, chance = path.read_bytes(), random.Random(0)
    for _ in range(300):
        held = bytearray(whole)
        if chance.random() < 0.5:
            held[chance.randrange(len(held))] ^= 1 << chance.randrange(8)
        else:
            del held[chance.randrange(len(held)) :]
        path.write_bytes(held)
        try:
            found = read(path)
        except ValueError as error:
            assert "\n" not in str(error) and len(str(error)) < 400
            continue
        assert found.coords.shape == (6, 4) and len(found.output) == 6


@pytest.mark.parametrize("held", [b"", b"PK", b"PK\x03\x04" + bytes(100), b"\x80\x02.", b"hello", pickle.dumps([1, 2])])
def test_a_file_of_something_else_is_refused(path, held):
    path.write_bytes(held)
    with pytest.raises(ValueError, match="damaged"):
        read(path)


def test_a_file_that_is_not_there_is_refused(path):
    with pytest.raises(ValueError, match=r"cannot be read .No such file or directory.: fetch it again"):
        read(path)


@pytest.mark.parametrize("held", [[], {}, OrderedDict(a=1), 3, [1, 2, 3], state()[:2], [*state(), 1], [None] * 3])
def test_what_torch_saved_but_fkd_did_not_is_refused(path, held):
    torch.save(held, path)
    with pytest.raises(ValueError, match="holds no coordinates, flips and labels of FKD"):
        read(path)


@pytest.mark.parametrize(
    "changed",
    [
        lambda c, f, o: [c[:, :3], f, o],
        lambda c, f, o: [c[:5], f, o],
        lambda c, f, o: [c, f[:5], o],
        lambda c, f, o: [c, f, o[:5]],
        lambda c, f, o: [c, f, o[..., None]],
    ],
)
def test_arrays_of_other_shapes_are_refused(path, changed):
    torch.save(changed(*state()), path)
    with pytest.raises(ValueError, match=r"holds arrays of shape .*FKD's are \[M, 4\], \[M\] and"):
        read(path)


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.5, np.inf])
@pytest.mark.parametrize("column", range(4))
def test_crops_that_are_no_part_of_an_image_are_refused(path, wrong, column):
    coords, flips, output = state()
    coords[3, column] = wrong
    torch.save([coords, flips, output], path)
    with pytest.raises(ValueError, match="holds crops that are no part of an image"):
        read(path)


def test_a_crop_that_fkd_wrote_is_the_crop_it_drew():
    """It divides whole pixels by the image's side, in 32 bits; all that follows gives the same pixels back."""
    chance = random.Random(0)
    for _ in range(2000):
        height, width = chance.randint(1, 6000), chance.randint(1, 6000)
        top, left = chance.randrange(height), chance.randrange(width)
        drawn = Crop(top, left, chance.randint(1, height - top), chance.randint(1, width - left))
        fractions = np.array(drawn[:4], np.float32) / np.array([height, width] * 2, np.float32)
        found = edges(fractions.astype(np.float64)[None], height, width)[0].tolist()
        assert found == [top, left, top + drawn.height, left + drawn.width]
        assert cut_of(box_of(drawn, height, width), 0, height, width) == drawn


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.integers(1, 4000), st.integers(1, 4000))
@example([0.5, 0.5, 0.5, 0.5], 3, 5)
@example([0.25, 0.125, 0.125, 0.5], 4, 4)
def test_edges_are_rounded_as_python_rounds_them(coords, height, width):
    top, left, tall, wide = (part * side for part, side in zip(coords, (height, width) * 2, strict=True))
    first, last = [round(top), round(left)], [round(top + tall), round(left + wide)]
    found = edges(np.array([coords]), height, width)[0].tolist()
    assert found == [*first, *(max(begin + 1, end) for begin, end in zip(first, last, strict=True))]
