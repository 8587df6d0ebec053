"""A store gives what was written, for ever; whatever happens to its files is seen."""

from __future__ import annotations

import os
import pickle
import random
import resource
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillbit.distill import manifest as manifests
from stillbit.distill.kinds import KINDS
from stillbit.distill.layout import UNLABELLED, Layout
from stillbit.distill.store import TARGETS, Store, digest, header
from tests.distill.stores import manifest, random_records, small, store

LAYOUT = Layout(kind="marginal_smoothing", top_k=3, classes=11)
SHARD = "shard-00001.npy"


@pytest.fixture
def folder(tmp_path):
    return small(tmp_path / "store")


def sound(folder):
    """Open a store and look at every byte."""
    opened = Store(folder)
    opened.check()
    return opened


def refused(folder, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        sound(folder)
    said = str(caught.value)
    assert "\n" not in said and len(said) < 300 and ": " in said, "one sentence, with what to do"
    return said


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("boxes", [True, False])
@pytest.mark.parametrize("classes", [2, 70000])
def test_every_record_comes_back(kind, boxes, classes, tmp_path):
    layout = Layout(kind=kind, top_k=3, classes=classes, boxes=boxes)
    if kind == "full" and classes > 100:
        layout = replace(layout, classes=500)
    records = random_records(layout, 7, 4)
    opened = sound(store(tmp_path, manifest(layout), records, np.arange(7) % 2))
    assert len(opened) == 7 and opened.views == 4 and opened.layout == layout
    assert all(np.array_equal(opened.records(sample), records[sample]) for sample in range(7))
    assert opened.targets().tolist() == [0, 1, 0, 1, 0, 1, 0] and opened.targets().dtype == np.int64
    assert [opened.shard(number).shape for number in range(3)] == [(3, 4), (3, 4), (1, 4)]
    assert opened.bytes == sum(path.stat().st_size for path in tmp_path.iterdir())


@given(sample=st.integers(0, 6), first=st.integers(0, 11), count=st.integers(0, 9))
def test_views_go_round_at_the_last(tmp_path_factory, sample, first, count):
    folder = tmp_path_factory.getbasetemp() / "round"
    opened = Store(folder if folder.is_dir() else small(folder))
    whole = opened.records(sample)
    expected = [whole[(first + step) % 4] for step in range(count)]
    found = opened.records(sample, first, count)
    assert found.shape == (count,) and all(a == b for a, b in zip(found, expected, strict=True))


def test_records_are_copies_and_shards_cannot_be_written_to(folder):
    opened = Store(folder)
    for found in (opened.records(2), opened.records(2, 1, 2), opened.records(2, 3, 2)):
        found["flags"] = 9
    assert not (opened.records(2)["flags"] == 9).any()
    with pytest.raises(ValueError, match="read-only"):
        opened.shard(0)["flags"] = 9


def test_a_shard_is_read_by_numpy_alone(folder):
    opened = Store(folder)
    for number in range(3):
        assert np.array_equal(np.load(folder / manifests.shard_name(number)), opened.shard(number))
    assert np.load(folder / TARGETS).tolist() == opened.targets().tolist()


def test_another_process_opens_the_files_itself(tmp_path):
    opened = Store(small(tmp_path, count=300, views=50, shard_samples=64))
    sent = pickle.dumps(opened)
    assert len(sent) < 500
    assert np.array_equal(pickle.loads(sent).records(299), opened.records(299))


def test_more_shards_than_a_process_may_have_open_files(tmp_path):
    small(tmp_path, count=300, shard_samples=1)
    open_files, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        opened = sound(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, hard))
    assert opened.records(299).shape == (4,)


def test_progress_is_told_sample_by_sample_up_to_all(folder):
    heard = []
    Store(folder).check(lambda done, of: heard.append((done, of)))
    assert heard == [(3, 7), (6, 7), (7, 7)]


# What can happen to files.


def test_a_flipped_bit_is_found_wherever_it_is(folder):
    """Many positions in every file; the manifest's own test goes through all of its bits."""
    chance = random.Random(0)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for bit in {chance.randrange(8 * len(whole)) for _ in range(150)}:
            if path.name == manifests.NAME:
                bit -= bit % 8 - 1  # of a letter or a digit, this bit makes another one
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            with pytest.raises(ValueError, match=r"damaged|makes no sense|newer|no store"):
                sound(folder)
        path.write_bytes(whole)
    sound(folder)


@pytest.mark.parametrize("name", [SHARD, TARGETS])
@pytest.mark.parametrize("change", [-1, 1, -100, 10**6])
def test_a_file_of_another_length_is_refused_when_the_store_is_opened(folder, name, change):
    size = (folder / name).stat().st_size
    os.truncate(folder / name, size + change)
    with pytest.raises(ValueError, match=f"{name} has .* bytes and not .*: fetch it again, or write the store anew"):
        Store(folder)


@pytest.mark.parametrize("name", [SHARD, TARGETS])
@pytest.mark.parametrize("instead", ["nothing", "folder", "empty"])
def test_a_file_that_is_not_there_is_refused_when_the_store_is_opened(folder, name, instead):
    (folder / name).unlink()
    if instead == "folder":
        (folder / name).mkdir()
    if instead == "empty":
        (folder / name).touch()
    with pytest.raises(ValueError, match=f"{name} (is missing|has 0 bytes).*fetch it again"):
        Store(folder)


def test_swapped_shards_are_found(folder):
    first, second, aside = (folder / name for name in ("shard-00000.npy", SHARD, "aside"))
    first.rename(aside), second.rename(first), aside.rename(second)
    refused(folder, "shard-00000.npy is damaged: its checksum is another")


def test_the_shard_of_another_store_is_found(folder, tmp_path):
    other = small(tmp_path / "other", count=7, views=4, layout=replace(LAYOUT, kind="marginal_renorm"))
    shutil.copy(other / SHARD, folder / SHARD)
    if digest(other / SHARD) != manifests.read(folder).shards[1].sha256:
        refused(folder, "is damaged")
    shutil.copy(small(tmp_path / "more", views=5) / SHARD, folder / SHARD)
    refused(folder, "has .* bytes and not")


def test_a_shard_of_the_right_length_with_another_record_is_found_when_the_store_is_opened(folder):
    held = np.load(folder / SHARD)
    names = {"box": "bax", "flags": "flags", "classes": "classes", "probabilities": "probabilities"}
    np.save(folder / SHARD, held.view(np.dtype([(names[n], t, *s) for n, t, *s in held.dtype.descr])))
    with pytest.raises(ValueError, match="its first bytes are not of such labels"):
        Store(folder)


def test_an_unfinished_store_says_how_to_go_on(folder):
    (folder / manifests.NAME).rename(folder / "unfinished.json")
    assert f"go on with the same stillbit labels write --output {folder}" in refused(folder, "is not finished")


def test_a_store_without_shards_is_no_store(tmp_path):
    manifests.write(manifest(LAYOUT), tmp_path)
    refused(tmp_path, "lists no shards: write the store anew")


def test_an_empty_folder_none_and_another_programs_are_no_stores(tmp_path):
    refused(tmp_path, "is no store of labels")
    refused(tmp_path / "gone", "is no store of labels")
    (tmp_path / "manifest.json").write_text('{"name": "an extension", "manifest_version": 3}')
    refused(tmp_path, "is damaged, or not the manifest of a store of labels")


# What a writer may have done wrong: the checksums fit, and the labels say what labels cannot say.


def rewritten(folder, change):
    """The store with other records, as a faulty writer would have sealed it."""
    opened = Store(folder)
    records = np.concatenate([np.array(opened.shard(number)) for number in range(3)])
    targets = opened.targets()
    change(records, targets)
    shutil.rmtree(folder)
    return store(folder, replace(opened.manifest, shards=()), records, targets)


def _put(name, value):
    def change(records, targets):
        records[name][-1, -1] = value

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_put("classes", 11), "a class beyond the 11 there are"),
        (_put("probabilities", np.nan), "a probability outside 0 to 1"),
        (_put("probabilities", -0.1), "a probability outside 0 to 1"),
        (_put("probabilities", np.inf), "a probability outside 0 to 1"),
        (_put("flags", 4), "unknown flags"),
        (lambda records, targets: targets.fill(11), "a class beyond the 11 there are"),
    ],
)
def test_labels_that_say_what_none_can_say_are_refused(folder, change, sentence):
    refused(rewritten(folder, change), f"makes no sense: {sentence}")


def test_views_without_a_label_are_sound(folder):
    def unlabelled(records, targets):
        records[2] = np.zeros((), records.dtype)
        records["flags"][2] = UNLABELLED

    assert (sound(rewritten(folder, unlabelled)).records(2)["flags"] == UNLABELLED).all()


# Anything at all.


@settings(max_examples=100)
@given(st.sampled_from([manifests.NAME, TARGETS, "shard-00000.npy", SHARD]), st.binary(max_size=400), st.booleans())
def test_random_bytes_as_any_file_are_a_sentence(tmp_path_factory, name, held, same_size):
    folder = tmp_path_factory.getbasetemp() / "bytes"
    small(folder)
    size = (folder / name).stat().st_size
    (folder / name).write_bytes((held * size)[:size].ljust(size, b"\0") if same_size else held)
    with pytest.raises(ValueError) as caught:
        sound(folder)
    assert len(str(caught.value)) < 300


LIES = """
import resource, sys
from pathlib import Path
from stillbit.distill.store import Store
import numpy as np
room = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + (400 << 20)
resource.setrlimit(resource.RLIMIT_AS, (room, room))
for folder in sys.argv[1:]:
    try:
        Store(Path(folder)).check()
    except ValueError as error:
        assert "Unable to allocate" not in str(error), error
        continue
    sys.exit(f"{folder} was taken for a store")
"""


def test_sizes_that_are_lies_cost_no_memory(tmp_path):
    """A manifest may claim a petabyte, sealed and all: files are measured before anything is made as large as that."""
    claims = [
        {"views": 10**12},
        {"views": 10**30},
        {"count": 10**12, "shard_samples": 10**12},
        {"count": 2**40, "views": 2**40, "shard_samples": 2**62},
        {"count": 10**12, "shard_samples": 1},
        {"count": 10**30, "shard_samples": 10**30},
    ]
    for number, claim in enumerate(claims):
        folder = small(tmp_path / str(number))
        wanted = manifest(LAYOUT, **claim)
        count = min(wanted.shard_count, 3)
        shards = tuple(
            manifests.Shard(name=manifests.shard_name(i), samples=len_of(wanted.samples_of(i)), sha256="0")
            for i in range(count)
        )
        manifests.write(replace(wanted, shards=shards), folder)
        for i in range(count):
            (folder / manifests.shard_name(i)).write_bytes(header(LAYOUT.dtype.descr, (10**12, 10**12)))
    ended = subprocess.run(
        [sys.executable, "-c", LIES, *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 0, ended.stderr


def len_of(samples):
    """A range may be longer than its length may be said."""
    return samples.stop - samples.start


def test_the_header_is_the_one_that_numpy_writes(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 4), LAYOUT.dtype))
    written = (tmp_path / "a.npy").read_bytes()
    assert written.startswith(header(LAYOUT.dtype.descr, (3, 4)))
    assert len(written) == len(header(LAYOUT.dtype.descr, (3, 4))) + 12 * LAYOUT.bytes_a_view
