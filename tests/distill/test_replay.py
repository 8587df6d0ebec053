"""Stored views come back: every one before any comes twice, and exactly the pixels that the teacher saw."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from stillbit.data.batch import Batch
from stillbit.data.chance import permutation
from stillbit.data.digits import Digits
from stillbit.data.folder import Folder
from stillbit.data.loaders import Loader, Place
from stillbit.data.look import Look
from stillbit.data.settings import DataSettings
from stillbit.data.source import DamagedImage, Source
from stillbit.distill.boxes import crop_of
from stillbit.distill.kinds import KINDS
from stillbit.distill.layout import UNLABELLED, Layout, dense
from stillbit.distill.panel import Expert, Panel
from stillbit.distill.replay import Passes, Replay, answers, interpolation_of
from stillbit.distill.seen import Images
from stillbit.distill.settings import WriteSettings
from stillbit.distill.store import Store
from stillbit.distill.write import Work, request, write_labels
from tests.data.pictures import cut_in_half, folder, pixels
from tests.distill import stores
from tests.distill.lessons import LOOK, Network, Numbered, written

SETTINGS = DataSettings(batch_size=8, workers=0)

# ------------------------------------------------------------------------------------------------------- the order

counts, images, crops, worlds = st.integers(1, 23), st.integers(1, 4), st.integers(1, 5), st.integers(1, 3)


def stream(passes: Passes, epochs: int) -> list[list[tuple[int, int]]]:
    steps = []
    for epoch in range(epochs):
        passes.epoch = epoch
        steps += list(passes)
    return steps


@given(st.integers(0, 20), images, crops, worlds, st.integers(0, 11), st.integers(0, 3))
def test_every_stored_view_is_used_once_before_any_is_used_twice(
    rest: int, images: int, crops: int, world: int, more: int, seed: int
) -> None:
    count, views = images * crops * world + rest, crops + more
    epochs = 4 * (views + crops)  # an epoch shows at least half of the images' number of views
    ranks = [stream(Passes(count, images * crops, crops, seed, rank, world), epochs) for rank in range(world)]
    used: dict[int, list[int]] = {index: [] for index in range(count)}
    for together in zip(*ranks, strict=True):
        for number, index in (key for keys in together for key in keys):
            used[index] += [(number * crops + view) % views for view in range(crops)]
    assert all(seen == [at % views for at in range(len(seen))] for seen in used.values())
    assert min(map(len, used.values())) > views, "all came, and came again"


@given(counts, images, crops, worlds, st.integers(0, 3))
def test_nothing_is_dropped_between_two_passes_however_many_processes_there_are(
    count: int, images: int, crops: int, world: int, seed: int
) -> None:
    ranks = [stream(Passes(count, images * crops, crops, seed, rank, world), 9) for rank in range(world)]
    keys = [key for together in zip(*ranks, strict=True) for mine in together for key in mine]
    wanted = [(g // count, permutation(count, 3, seed, g // count)[g % count]) for g in range(len(keys))]
    assert keys == wanted


@given(counts, images, crops, worlds)
def test_an_epoch_has_as_many_views_as_there_are_images_but_for_what_fills_no_step(
    count: int, images: int, crops: int, world: int
) -> None:
    passes = Passes(count, images * crops, crops, 0, 0, world)
    assert len(passes) == count // (images * crops * world) == len(list(passes))
    assert passes.samples == len(passes) * images * crops * world


@given(counts, images, crops, st.integers(0, 9), st.integers(0, 4))
def test_an_epoch_can_begin_anywhere(count: int, images: int, crops: int, start: int, epoch: int) -> None:
    passes = Passes(count, images * crops, crops, 0, epoch=epoch)
    whole = list(passes)
    passes.start = start
    assert list(passes) == whole[start:]


def test_an_epoch_that_has_begun_keeps_its_number() -> None:
    passes = Passes(20, 4, 2, 0, epoch=3)
    whole, keys = list(passes), iter(passes)
    begun = [next(keys)]
    passes.epoch = 0
    assert begun + list(keys) == whole


# ------------------------------------------------------------------------------------------------------ the pixels


class Spy(nn.Module):
    """A teacher that remembers what it was shown; bytes, for it has no normalisation."""

    seen: ClassVar[list[Tensor]] = []

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(classes))

    def forward(self, images: Tensor) -> Tensor:
        assert images.dtype == torch.uint8
        Spy.seen.append(images.clone())
        return images.float().mean((1, 2, 3))[:, None] / 255 * self.weight


def jpegs(root: Path) -> Folder:
    """Files of many sizes and modes, some smaller than what the student sees."""
    for label in "ab":
        for number in range(3):
            target = root / label / f"{number}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            held = Image.fromarray(pixels(9 + 17 * number, 31 - 7 * number, number).permute(1, 2, 0).numpy())
            held.convert("L" if number == 1 else "RGB").save(target)
    return Folder(root)


@pytest.mark.parametrize("kind", ["jpegs", "digits"])
def test_the_student_sees_the_bytes_that_the_writers_teacher_saw(kind: str, tmp_path: Path) -> None:
    source: Source = jpegs(tmp_path / "images") if kind == "jpegs" else Digits("val")
    look = Look((13, 13)) if kind == "jpegs" else Look((8, 8), 1, (0.5,), (0.5,))
    count = 8 if kind == "jpegs" else 2
    asked = WriteSettings(output=tmp_path / "store", crops=count, batch_size=len(source) * count, vflip=0.4)
    panel = Panel([Expert(name="spy", model=Spy(len(source.classes)))], len(source.classes), precision="fp32")
    seen = Images(source, look, asked.augment(), count=count, seed=3)
    Spy.seen = []
    write_labels(asked.output, request(seen, panel, asked), seen, panel, Work())
    shown = torch.cat(Spy.seen).view(len(source), count, look.channels, *look.size)
    replay = Replay(Store(asked.output), source, look, crops=count // 2)
    for index in range(len(source)):
        halves = [replay.views(number, index)[1] for number in (0, 1)]
        assert torch.equal(torch.cat(halves), shown[index])


# ------------------------------------------------------------------------------------------------------ the batches


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return written(tmp_path_factory.mktemp("store") / "s", Numbered(25), Network())


def loader(store: Store, *, crops: int = 4, place: Place | None = None, source: Any = None, **data: Any) -> Loader:
    source = source or Numbered(25)
    return Loader(
        source, LOOK, replace(SETTINGS, **data), seed=1, place=place, views=Replay(store, source, LOOK, crops)
    )


def same(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) > 0 and all(
        torch.equal(x, y) for left, right in zip(a, b, strict=True) for x, y in zip(left, right, strict=True)
    )


def test_a_batch_has_the_crops_of_an_image_side_by_side_with_what_the_teacher_said_of_each(store: Store) -> None:
    batches = list(loader(store).epoch(5))
    assert [b.indices.tolist()[0::4] for b in batches] == [b.indices.tolist()[3::4] for b in batches]
    at = 5 * len(batches) * 2
    for step, batch in enumerate(batches):
        assert batch.classes is not None and batch.probabilities is not None
        for position in range(2):
            number, index = (at + 2 * step + position) // 25, int(batch.indices[4 * position])
            held = store.records(index, 4 * number % 6, 4)
            mine = slice(4 * position, 4 * position + 4)
            assert np.array_equal(batch.classes[mine].numpy(), held["classes"])
            assert np.array_equal(batch.probabilities[mine].numpy(), held["probabilities"])
            assert batch.targets[mine].tolist() == [index % 3] * 4


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing_in_any_epoch_from_any_step_on(workers: int, store: Store) -> None:
    alone, many = loader(store), loader(store, workers=workers)
    next(many.epoch(7))
    assert same(list(many.epoch(2)), list(alone.epoch(2)))
    assert same(list(many.epoch(2, start=1)), list(alone.epoch(2))[1:])


def test_two_processes_see_together_what_one_process_sees(store: Store) -> None:
    alone = loader(store)
    halves = [loader(store, batch_size=4, place=Place(rank, 2)) for rank in (0, 1)]
    for epoch in (0, 4):
        ranks = [list(half.epoch(epoch)) for half in halves]
        together = [Batch(*map(torch.cat, zip(*parts, strict=True))) for parts in zip(*ranks, strict=True)]
        assert same(together, list(alone.epoch(epoch)))


def test_another_process_gets_the_replay_without_its_labels(store: Store) -> None:
    replay = Replay(store, Numbered(25), LOOK, 4)
    sent = pickle.dumps(replay)
    assert len(sent) < 2000
    keys = [(0, 3), (1, 24)]
    for mine, theirs in zip(replay.__getitems__(keys), pickle.loads(sent).__getitems__(keys), strict=True):
        assert torch.equal(mine, theirs) if isinstance(mine, Tensor) else mine == theirs


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_teacher_said_is_the_label_of_the_store(kind: Any) -> None:
    layout = Layout(kind=kind, top_k=3, classes=9)
    records = stores.random_records(layout, 2, 4).reshape(-1)
    classes, probabilities = answers(records)
    said = probabilities.double()
    listed = torch.zeros(8, 9, dtype=torch.float64) if classes is not None else said
    listed = listed if classes is None else listed.scatter(1, classes, said)
    wanted = torch.from_numpy(dense(records, layout))
    if kind == "marginal_renorm":
        listed = listed / listed.sum(1, keepdim=True)
    counted = listed > 0
    torch.testing.assert_close(listed[counted], wanted[counted], rtol=1e-12, atol=0)
    assert counted.any(1).all()


# ------------------------------------------------------------------------------------------- damaged, and unlabelled


def damaged(root: Path) -> Path:
    found = folder(root) / "train"
    cut_in_half(found / "cat" / "1.png")
    return found


def test_an_image_that_was_damaged_when_labels_were_written_is_left_out_or_ends_the_run(tmp_path: Path) -> None:
    source = Folder(damaged(tmp_path / "images"))
    store = written(tmp_path / "store", source, Network(2))
    assert (store.records(1)["flags"] == UNLABELLED).all()
    folder_again = tmp_path / "repaired"
    folder(folder_again)
    repaired = Folder(folder_again / "train")
    skipping = loader(store, source=repaired, batch_size=4, crops=2, corrupt="skip")
    seen = Counter(int(i) for epoch in range(4) for b in skipping.epoch(epoch) for i in b.indices)
    assert set(seen) == set(range(8)) - {1}
    assert skipping.damaged == [(repaired.name(1), f"it was damaged when {store.folder} was written")]
    with pytest.raises(
        ValueError, match=r"1\.png cannot be used: it was damaged when .* was written; .*--corrupt skip"
    ):
        for epoch in range(4):
            list(loader(store, source=repaired, batch_size=4, crops=2).epoch(epoch))


def test_an_image_that_is_damaged_now_is_left_out_with_all_its_crops_and_its_labels(tmp_path: Path) -> None:
    folder(tmp_path)
    source = Folder(tmp_path / "train")
    store = written(tmp_path / "store", source, Network(2))
    cut_in_half(Path(source.name(6)))
    skipping = loader(store, source=source, batch_size=8, crops=2, corrupt="skip")
    sizes = set()
    for epoch in range(4):
        for batch in skipping.epoch(epoch):
            sizes |= {tuple(len(part) for part in batch)}  # type: ignore[arg-type]
            assert 6 not in batch.indices
    assert sizes == {(6,) * 5, (8,) * 5}


def test_a_batch_in_which_nothing_is_left_has_one_view_that_counts_for_nothing(tmp_path: Path) -> None:
    class Gone(Numbered):
        def image(self, index: int, epoch: int) -> Tensor:
            raise DamagedImage(self.name(index), "it is gone")

    store = Store(stores.small(tmp_path / "s", count=25))
    got = Replay(store, Gone(25), LOOK, 2).__getitems__([(0, 3)])
    assert got.damaged == [("image 3", "it is gone")] and got.indices.tolist() == [-1]
    assert got.classes is not None and got.probabilities is not None
    assert len(got.images) == len(got.classes) == len(got.probabilities) == len(got.targets) == 1


# ---------------------------------------------------------------------------------------------------------- refused


def test_more_crops_than_there_are_views_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match=r"--crops 7: .* has 6 views of an image; take as many or less"):
        Replay(store, Numbered(25), LOOK, 7)
    Replay(store, Numbered(25), LOOK, 6)


@pytest.mark.parametrize(("batch", "said"), [(6, "--batch-size 4"), (3, "--batch-size 4"), (9, "--batch-size 8")])
def test_a_batch_that_cannot_hold_all_crops_of_an_image_is_refused(batch: int, said: str, store: Store) -> None:
    with pytest.raises(ValueError, match=rf"a batch of {batch} views cannot hold 4 of every image: {said}"):
        loader(store, batch_size=batch)


def test_labels_of_text_and_of_unknown_crops_are_refused(tmp_path: Path) -> None:
    text = Store(stores.small(tmp_path / "text", Layout(kind="hard", top_k=1, classes=11, boxes=False)))
    with pytest.raises(ValueError, match="has labels for text, and this trains on images"):
        Replay(text, Numbered(7), LOOK, 1)
    crops = replace(stores.CROPS, interpolation="lanczos")
    other = Store(stores.small(tmp_path / "other", crops=crops))
    with pytest.raises(ValueError, match="resizes crops by 'lanczos', which is not known here"):
        interpolation_of(other)


def test_a_view_is_the_crop_of_its_record(store: Store) -> None:
    """Whatever the size of the student is."""
    source = Numbered(25)
    for size in ((16, 16), (8, 24)):
        records, seen = Replay(store, source, Look(size), 3).views(1, 11)
        assert seen.shape == (3, 3, *size) and np.array_equal(records, store.records(11, 3, 3))
        crop = crop_of(tuple(records["box"][0]), int(records["flags"][0]), 21, 22)
        assert 0 <= crop.top < 21 and 0 < crop.width <= 22
