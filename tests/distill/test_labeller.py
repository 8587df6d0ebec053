"""Batches of one composition, asked on one thread each: bits that depend on the request alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stillbit.data.look import Look
from stillbit.distill.labeller import Labeller
from stillbit.distill.layout import dense
from stillbit.distill.panel import Expert, Panel
from stillbit.distill.write import request
from tests.distill.teachers import LOOK, Pairs, Reader, Zoo, images, network, panel, settings

PLAIN = Look((8, 8), 3, (0.0,) * 3, (1 / 255,) * 3)


class Record(nn.Module):
    """Keeps what it is shown, in which thread, and with how many threads; says the class of the brightest channel."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.threads: list[int] = []

    def __deepcopy__(self, memo: object) -> nn.Module:
        return self

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        self.threads.append(torch.get_num_threads())
        return nn.functional.pad(images.mean((2, 3)), (0, 4))


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_batches_are_cut_from_the_views_of_a_shard_and_the_last_is_filled_with_its_last_view(tmp_path: Path) -> None:
    zoo, wanted = Zoo(7), settings(tmp_path)  # files of 4 images x 5 crops, in batches of 8
    model, seen = Record(), images(Zoo(7), wanted)
    asked = Panel([Expert(name="record", model=model, look=PLAIN)], 7, precision="fp32")
    with Labeller(seen, asked, request(seen, asked, wanted)) as labeller:
        for shard, samples in ((1, range(4, 7)), (0, range(4))):
            model.seen.clear()
            records = np.concatenate(list(labeller.shard(shard)))
            views = [images(zoo, wanted).views(sample) for sample in samples]
            pixels = torch.cat([each.inputs for each in views])
            batches = [batch.round().to(torch.uint8) for batch in model.seen]
            assert [len(batch) for batch in batches] == [8] * -(-len(pixels) // 8)
            assert torch.equal(torch.cat(batches)[: len(pixels)], pixels)
            extra = torch.cat(batches)[len(pixels) :]
            assert len(extra) and torch.equal(extra, pixels[-1:].expand_as(extra))
            assert np.array_equal(records["box"], np.concatenate([each.boxes for each in views]))
            assert np.array_equal(records["flags"], np.concatenate([each.flags for each in views]))


def test_a_batch_may_be_larger_than_a_shard_and_smaller_than_the_crops_of_an_image(tmp_path: Path) -> None:
    for size in (1, 3, 5, 64):
        wanted = settings(tmp_path, batch_size=size, label_kind="full")
        seen, asked = images(Zoo(3), wanted), panel()
        with Labeller(seen, asked, request(seen, asked, wanted)) as labeller:
            records = np.concatenate(list(labeller.shard(0)))
        held = torch.cat([seen.views(sample).inputs for sample in range(3)])
        torch.testing.assert_close(
            torch.from_numpy(records["probabilities"].astype(np.float32)), panel()(held), atol=1e-3, rtol=0
        )


def test_every_batch_passes_the_teacher_on_one_thread_and_afterwards_there_are_as_many_as_before(
    tmp_path: Path, two_threads: None
) -> None:
    model, wanted = Record(), settings(tmp_path, batch_size=2)
    seen, asked = images(Zoo(4), wanted), Panel([Expert(name="record", model=model, look=PLAIN)], 7)
    with Labeller(seen, asked, request(seen, asked, wanted)) as labeller:
        assert len(list(labeller.shard(0))) == 10
    assert model.threads == [1] * 10
    assert torch.get_num_threads() == 2


def test_labels_of_text_have_neither_boxes_nor_flags(tmp_path: Path) -> None:
    pairs, reader = Pairs(6), Reader()
    asked = Panel([Expert(name="reader", model=reader)], 2, precision="fp32")
    wanted = settings(tmp_path, crops=1, label_kind="full")
    with Labeller(pairs, asked, request(pairs, asked, wanted)) as labeller:
        records = np.concatenate(list(labeller.shard(0)))
    assert records.dtype.names == ("probabilities",)
    said = reader(pairs.tokens[:4]).softmax(-1)
    torch.testing.assert_close(torch.from_numpy(records["probabilities"].astype(np.float32)), said, atol=1e-3, rtol=0)


def test_a_damaged_image_ends_the_work_with_a_sentence_or_has_no_label(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    seen, asked = images(Zoo(4, damaged=[2]), wanted), panel()
    said = request(seen, asked, wanted)
    with (
        pytest.raises(ValueError, match=r"animal 2 cannot be used: it is empty; repair .* or leave it out: --corrupt"),
        Labeller(seen, asked, said) as labeller,
    ):
        list(labeller.shard(0))
    with Labeller(seen, asked, said, corrupt="skip") as labeller:
        records = np.concatenate(list(labeller.shard(0))).reshape(4, 5)
    assert labeller.damaged == {"animal 2": "it is empty"}
    assert (records[2]["flags"] == 128).all()
    assert not any(records[2][name].any() for name in ("box", "classes", "probabilities"))
    assert (dense(records[[0, 1, 3]], said.layout).sum(-1) > 0.99).all()


def test_processes_that_load_end_with_the_work_and_stay_from_shard_to_shard(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    seen, asked = images(Zoo(8), wanted), panel()
    with Labeller(seen, asked, request(seen, asked, wanted), workers=2) as labeller:
        alone = [np.concatenate(list(labeller.shard(shard))) for shard in (0, 1)]
        workers = list(labeller._loader._iterator._workers)
        list(labeller.shard(0))
        assert [w.pid for w in labeller._loader._iterator._workers] == [w.pid for w in workers]
    assert not any(worker.is_alive() for worker in workers)
    with Labeller(seen, asked, request(seen, asked, wanted)) as labeller:
        for shard in (0, 1):
            assert np.concatenate(list(labeller.shard(shard))).tobytes() == alone[shard].tobytes()


class Slow(nn.Module):
    """Takes a minute for a batch, layer by layer."""

    def __init__(self, begun: threading.Event) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(Nap(begun) for _ in range(600)))
        self.last = network()

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.last(self.layers(images))
        return answer


class Nap(nn.Module):
    def __init__(self, begun: threading.Event) -> None:
        super().__init__()
        self.begun = begun

    def __deepcopy__(self, memo: object) -> nn.Module:
        return Nap(self.begun)

    def forward(self, images: Tensor) -> Tensor:
        self.begun.set()
        time.sleep(0.1)
        return images


def test_who_wants_it_to_stop_need_not_wait_for_the_batch(tmp_path: Path) -> None:
    begun, wanted = threading.Event(), settings(tmp_path)

    class Enough(Exception):
        pass

    def heed() -> None:
        if begun.is_set():
            raise Enough

    slow, seen = Slow(begun), images(Zoo(4), wanted)
    asked = Panel([Expert(name="slow", model=slow, look=LOOK)], 7)
    before = time.monotonic()
    with pytest.raises(Enough), Labeller(seen, asked, request(seen, asked, wanted), heed=heed) as labeller:
        list(labeller.shard(0))
    assert time.monotonic() - before < 5
    assert not any(layer._forward_pre_hooks for layer in slow.modules()), "the model is as it was"


def test_a_teacher_that_fails_ends_the_work_with_its_own_error(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    seen, asked = images(Zoo(4), wanted), Panel(panel().experts, 9)
    with (
        pytest.raises(ValueError, match="the data has 9 classes"),
        Labeller(seen, asked, request(seen, asked, wanted)) as labeller,
    ):
        list(labeller.shard(0))
