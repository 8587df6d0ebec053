from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stillbit.data.order import PADDED, Order

counts, batches, worlds = st.integers(1, 60), st.integers(1, 9), st.integers(1, 4)


def numbers(order: Order) -> list[list[int]]:
    return [[number for _, number in keys] for keys in order]


@given(counts, batches, worlds, st.one_of(st.none(), st.integers(0, 5)))
def test_ranks_see_together_what_one_process_sees_with_the_whole_batch(
    count: int, batch: int, world: int, seed: int | None
) -> None:
    alone = numbers(Order(count, batch * world, seed))
    ranks = [numbers(Order(count, batch, seed, rank, world)) for rank in range(world)]
    assert {len(steps) for steps in ranks} == {len(alone)}
    for step, whole in enumerate(alone):
        assert [n for steps in ranks for n in steps[step] if n != PADDED] == whole


@given(counts, batches, worlds)
def test_evaluation_sees_every_image_once_and_shares_out_the_rest_evenly(count: int, batch: int, world: int) -> None:
    ranks = [numbers(Order(count, batch, None, rank, world)) for rank in range(world)]
    seen = [n for steps in zip(*ranks, strict=True) for part in steps for n in part if n != PADDED]
    assert seen == list(range(count)) and Order(count, batch, None, 0, world).samples == count
    last = [len([n for n in steps[-1] if n != PADDED]) for steps in ranks]
    assert max(last) - min(last) <= 1 and all(1 <= len(part) <= batch for steps in ranks for part in steps)


@given(counts, batches, worlds)
def test_training_drops_what_fills_no_batch(count: int, batch: int, world: int) -> None:
    order = Order(count, batch, 0, 0, world)
    assert len(order) == count // (batch * world) == len(numbers(order))
    assert order.samples == len(order) * batch * world
    assert all(len(part) == batch for part in numbers(order))


@given(counts, batches, st.integers(0, 9))
def test_an_epoch_can_begin_anywhere(count: int, batch: int, start: int) -> None:
    order = Order(count, batch, 0, epoch=3)
    whole = list(order)
    order.start = start
    assert list(order) == whole[start:]


def test_each_epoch_and_seed_has_an_order_of_its_own() -> None:
    orders = {str(numbers(Order(20, 5, seed, epoch=epoch))) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_an_epoch_that_has_begun_keeps_its_number() -> None:
    order = Order(20, 5, 0, epoch=1)
    keys = iter(order)
    first = next(keys)
    order.epoch = 2
    assert {epoch for epoch, _ in [*first, *next(keys)]} == {1}
