from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stillbit.data.text_order import Bucketed

counts, batches, worlds, buckets = st.integers(1, 60), st.integers(1, 9), st.integers(1, 4), st.integers(1, 5)
LENGTHS = np.random.default_rng(0).integers(3, 50, 400)


def numbers(order: Bucketed) -> list[list[int]]:
    return [[number for _, number in keys] for keys in order]


@given(counts, batches, buckets, worlds)
def test_ranks_see_together_what_one_process_sees(count: int, batch: int, bucket: int, world: int) -> None:
    alone = numbers(Bucketed(LENGTHS[:count], batch * world, bucket, 0))
    ranks = [numbers(Bucketed(LENGTHS[:count], batch, bucket, 0, rank=rank, world=world)) for rank in range(world)]
    assert [[n for part in parts for n in part] for parts in zip(*ranks, strict=True)] == alone


@given(counts, batches, buckets)
def test_an_epoch_has_every_example_once_but_those_that_fill_no_batch(count: int, batch: int, bucket: int) -> None:
    order = Bucketed(LENGTHS[:count], batch, bucket, 0)
    seen = [number for part in numbers(order) for number in part]
    assert len(set(seen)) == len(seen) == order.samples == len(order) * batch
    assert count - order.samples < batch


@given(counts, batches, buckets, st.integers(0, 9))
def test_an_epoch_can_begin_anywhere(count: int, batch: int, bucket: int, start: int) -> None:
    order = Bucketed(LENGTHS[:count], batch, bucket, 0)
    order.epoch = 3
    whole = list(order)
    order.start = start
    assert list(order) == whole[start:]


def test_each_epoch_and_seed_has_an_order_of_its_own() -> None:
    orders = set()
    for seed in range(3):
        for epoch in range(3):
            order = Bucketed(LENGTHS, 20, 4, seed)
            order.epoch = epoch
            orders.add(str(numbers(order)))
    assert len(orders) == 9


def test_batches_are_of_like_lengths_and_do_not_come_by_length() -> None:
    def padding(bucket: int) -> float:
        parts = [LENGTHS[part] for part in numbers(Bucketed(LENGTHS, 20, bucket, 0))]
        return float(np.mean([1 - part.mean() / part.max() for part in parts]))

    assert padding(20) < 0.1 < 0.3 < padding(1)
    longest = [LENGTHS[part].max() for part in numbers(Bucketed(LENGTHS, 20, 20, 0))]
    assert longest != sorted(longest)
