"""The manifest: what comes back, what its checksum sees, and what is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillbit.distill import manifest as manifests
from stillbit.distill.kinds import KINDS
from stillbit.distill.layout import Layout
from stillbit.distill.manifest import FORMAT, KIND, LONGEST, NAME, Reading, Shard, read, to_json, write
from tests.distill.stores import manifest, small

LAYOUT = Layout(kind="marginal_smoothing", top_k=5, classes=1000)


@pytest.fixture
def folder(tmp_path):
    return small(tmp_path / "store")


def sealed(held):
    """What somebody writes who knows how the checksum is made."""
    held = {key: value for key, value in held.items() if key != "checksum"}
    return json.dumps({**held, "checksum": manifests._checksum(held)})


def edited(folder, change):
    held = json.loads((folder / NAME).read_text())
    change(held)
    (folder / NAME).write_text(sealed(held))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("boxes", [True, False])
def test_a_manifest_comes_back_equal(kind, boxes, tmp_path):
    wanted = manifest(Layout(kind=kind, top_k=3, classes=70000, boxes=boxes))
    write(wanted, tmp_path)
    assert read(tmp_path) == wanted
    assert read(tmp_path).identity == wanted.identity


TEXTS = manifest(
    Layout(kind="full", top_k=1, classes=3, boxes=False),
    views=1,
    reading=Reading(task="mnli", tokenizer="a" * 64, max_length=128),
)


def test_how_texts_were_read_comes_back_and_is_part_of_the_identity(tmp_path):
    write(TEXTS, tmp_path)
    assert read(tmp_path) == TEXTS
    other = [{"task": "rte"}, {"tokenizer": "b" * 64}, {"max_length": 64}]
    others = [replace(TEXTS, reading=replace(TEXTS.reading, **one)) for one in other]
    assert len({one.identity for one in [TEXTS, *others, replace(TEXTS, reading=None)]}) == 5


def test_a_manifest_of_images_does_not_speak_of_texts_and_has_the_identity_that_it_always_had():
    assert "reading" not in to_json(manifest(LAYOUT)) and "reading" in to_json(TEXTS)


def test_texts_with_several_views_make_no_sense(tmp_path):
    write(replace(TEXTS, views=2), tmp_path)
    with pytest.raises(ValueError, match=r"makes no sense \(a text has one view, and no crops\)"):
        read(tmp_path)


def test_numbers_that_python_holds_equal_make_one_file_and_one_identity(tmp_path):
    """1 and 1.0: who writes may say either, and a reader finds a float."""
    wanted = manifest(LAYOUT)
    whole = replace(wanted, crops=replace(wanted.crops, scale=(0.08, 1), vflip=0))
    write(wanted, tmp_path, "a")
    write(whole, tmp_path, "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read(tmp_path, "a").identity == read(tmp_path, "b").identity


def test_the_identity_is_another_for_everything_that_makes_other_labels():
    wanted = manifest(LAYOUT)
    others = [
        replace(wanted, seed=2),
        replace(wanted, batch_size=3),
        replace(wanted, layout=replace(LAYOUT, top_k=6)),
        replace(wanted, data=replace(wanted.data, fingerprint="g")),
        replace(wanted, teachers=wanted.teachers * 2),
        replace(wanted, targets_sha256="1"),
        replace(wanted, shards=(Shard(name="shard-00000.npy", samples=3, sha256="1"),)),
    ]
    assert len({one.identity for one in [wanted, *others]}) == 1 + len(others)


def test_the_file_says_how_a_record_lies_for_readers_that_are_not_us():
    held = to_json(manifest(LAYOUT))
    assert held["format"] == FORMAT and held["kind"] == KIND and held["bytes_a_view"] == 29
    assert held["record"] == [
        ["box", "<u2", [4]],
        ["flags", "|u1", []],
        ["classes", "<u2", [5]],
        ["probabilities", "<f2", [5]],
    ]


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[1]", b"null", b"3", b"\xff\xfe\x00", b'{"kind": "fractals"}', b"{" * 9]
)
def test_what_is_no_manifest_is_refused(folder, text):
    (folder / NAME).write_bytes(text)
    with pytest.raises(ValueError, match="is damaged, or not the manifest of a store of labels"):
        read(folder)


def test_a_folder_without_one_is_no_store(tmp_path):
    with pytest.raises(
        ValueError, match=r"is no store of labels .*No such file.*give a folder that stillbit labels wrote"
    ):
        read(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"is no store of labels .*Not a directory"):
        read(tmp_path / "file")


def test_a_later_format_says_what_to_install(folder):
    edited(folder, lambda held: held.update(format=FORMAT + 1))
    with pytest.raises(ValueError, match="was written by a newer stillbit: pip install --upgrade stillbit"):
        read(folder)


def test_a_manifest_that_somebody_edited_is_refused(folder):
    text = (folder / NAME).read_text()
    (folder / NAME).write_text(text.replace('"seed": 1', '"seed": 2'))
    with pytest.raises(ValueError, match="is damaged: its checksum is another"):
        read(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda held: held.update(views=0), "it counts nothing"),
        (lambda held: held.update(views=-(10**30)), "it counts nothing"),
        (lambda held: held["data"].update(count=8), "its shards do not add up"),
        (lambda held: held["data"].update(count=10**12), "its shards do not add up"),
        (lambda held: held.update(shard_samples=2), "its shards do not add up"),
        (lambda held: held["shards"].pop(), "its shards do not add up"),
        (lambda held: held["shards"].reverse(), "its shards do not add up"),
        (lambda held: held["shards"][0].update(name="../../etc/passwd"), "its shards do not add up"),
        (lambda held: held["data"].update(classes=["a", "b"]), "2 names for 11 classes"),
        (lambda held: held.update(crops=None), "contradict each other"),
        (lambda held: held["record"].pop(), "its record is not what its layout says"),
        (lambda held: held.update(bytes_a_view=1), "its record is not what its layout says"),
        (lambda held: held.update(format="1"), "its record is not what its layout says"),
        (lambda held: held.update(more=1), "its record is not what its layout says"),
        (lambda held: held["layout"].update(kind="soft"), "layout.kind cannot be 'soft'"),
        (lambda held: held["layout"].update(top_k=10**9), "lists 1 to 100 classes"),
        (lambda held: held["layout"].update(kind="full", classes=2**32), "full labels have at most"),
        (lambda held: held["layout"].update(classes="many"), "layout.classes cannot be 'many'"),
        (lambda held: held["crops"].update(hflip=10**400), "crops.hflip cannot be 1000"),
        (lambda held: held.pop("seed"), "lacks something"),
        (lambda held: held["teachers"][0].pop("name"), "lacks something"),
        (lambda held: held.update(teachers=None), "teachers cannot be None"),
    ],
)
def test_one_that_was_sealed_and_still_makes_no_sense_is_refused(folder, change, said):
    edited(folder, change)
    with pytest.raises(ValueError, match="makes no sense") as caught:
        read(folder)
    assert said in str(caught.value)


@pytest.mark.parametrize("depth", [*range(100, 1000, 10), 10**5, 10**6])
def test_json_that_is_nested_deeply_is_refused(folder, depth):
    """Near the limit of recursion, what was read can be too deep to be written for its checksum."""
    (folder / NAME).write_text(f'{{"kind": "{KIND}", "checksum": "", "x": {"[" * depth}{"]" * depth}}}')
    with pytest.raises(ValueError, match="is damaged"):
        read(folder)


def test_a_manifest_that_is_huge_is_not_read(folder):
    with (folder / NAME).open("r+b") as file:
        file.truncate(10 * LONGEST)
    with pytest.raises(ValueError, match="is damaged, or not the manifest"):
        read(folder)


def test_a_manifest_that_would_be_huge_is_not_written(tmp_path):
    names = tuple(f"{'a' * 250}{number}" for number in range(70000))
    wanted = manifest(Layout(kind="hard", top_k=1, classes=70000))
    with pytest.raises(ValueError, match="is too long: ask for more --shard-samples"):
        write(replace(wanted, data=replace(wanted.data, classes=names)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_every_flipped_bit_is_seen_or_changes_nothing(folder):
    """What changes nothing: the case of an e in a number, or of a letter in an escape."""
    path, wanted = folder / NAME, read(folder)
    held = path.read_bytes()
    for bit in range(0, 8 * len(held), 13):
        flipped = bytearray(held)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with suppress(ValueError):
            assert read(folder) == wanted, bit


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused(tmp_path_factory, held):
    folder = tmp_path_factory.getbasetemp()
    (folder / NAME).write_bytes(held)
    with pytest.raises(ValueError, match="is damaged, or not the manifest"):
        read(folder)


@settings(max_examples=200)
@given(st.data())
def test_a_sealed_manifest_with_anything_in_it_is_a_manifest_or_a_sentence(tmp_path_factory, data):
    """The checksum is no secret: what it lets through still has to make sense."""
    folder = tmp_path_factory.getbasetemp()
    held = json.loads(json.dumps(to_json(manifest(LAYOUT))))
    paths = [[name] for name in held] + [
        [name, inside] for name in ("layout", "data", "crops") for inside in held[name]
    ]
    *above, last = data.draw(st.sampled_from(paths))
    at = held[above[0]] if above else held
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(2**70),
        lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3), inside, max_size=3),
        max_leaves=5,
    )
    at[last] = data.draw(anything)
    (folder / NAME).write_text(sealed(held))
    try:
        found = read(folder)
    except ValueError as error:
        assert "\n" not in str(error) and len(str(error)) < 600
        return
    assert found.views >= 1 and found.count >= 1
