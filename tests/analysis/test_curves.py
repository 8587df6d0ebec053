from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest

from stillbit.analysis.curves import MOST, Curve, Curves, curves, thinned
from stillbit.analysis.record import from_json, to_json
from tests.analysis.test_logged import epoch, step, write


def one(record: Curves, name: str, per: str = "step") -> Curve:
    return next(curve for curve in record.curves if (curve.name, curve.per) == (name, per))


def of(folder: Path, planned: int = 3) -> Curves:
    return curves(folder, subject="run", planned=planned)


def test_every_logged_number_is_a_curve(tmp_path: Path) -> None:
    rows = (step(5, lr=0.1, bins=0.5), step(10, lr=0.2, bins=0.25), epoch(1, lr=0.2, train_loss=4.0, seconds=2.5))
    record = of(write(tmp_path, *rows))
    assert [(c.name, c.per) for c in record.curves] == [
        ("loss", "step"),
        ("lr", "step"),
        ("bins", "step"),
        ("top1", "epoch"),
        ("train_loss", "epoch"),
    ]
    assert one(record, "bins") == Curve(name="bins", per="step", steps=(5, 10), values=(0.5, 0.25), logged=2, broken=0)


def test_what_the_run_as_a_whole_was(tmp_path: Path) -> None:
    rows = [epoch(n, top1=top1, seconds=2.0 * n) for n, top1 in ((1, 40.0), (2, 60.0), (3, 55.0))]
    record = of(write(tmp_path, *rows, step(34, seconds=6.5)), planned=5)
    assert (record.epochs, record.planned, record.steps, record.steps_an_epoch) == (3, 5, 34, 10.0)
    assert (record.best, record.best_epoch, record.seconds, record.ended) == (60.0, 2, 6.5, False)
    (tmp_path / "result.json").write_text("{}")
    assert of(tmp_path).ended
    assert from_json(Curves, to_json(record), "x") == record


def test_a_run_is_judged_by_its_average_where_it_has_one(tmp_path: Path) -> None:
    rows = [epoch(n, top1=top1, ema_top1=10.0 * n) for n, top1 in ((1, 90.0), (2, 60.0))]
    record = of(write(tmp_path, *rows))
    assert (record.best, record.best_epoch) == (20.0, 2)


def test_before_the_first_epoch_nothing_is_best(tmp_path: Path) -> None:
    record = of(write(tmp_path, step(5)))
    assert (record.epochs, record.best, record.best_epoch, record.steps_an_epoch) == (0, None, None, None)
    assert record.seconds is None and record.tables()[0].note == "0 of 3 epochs, 5 steps; not ended."


def test_constants_and_what_is_zero_throughout_are_no_curves(tmp_path: Path) -> None:
    rows = [epoch(n, damaged=0, oscillating=0.5, oscillation_threshold=0.005, images=9) for n in (1, 2)]
    assert [c.name for c in of(write(tmp_path, *rows)).curves] == ["top1", "oscillating"]


def test_points_that_are_no_finite_number_are_left_out_and_counted(tmp_path: Path) -> None:
    record = of(write(tmp_path, epoch(1, eval_loss=math.nan), epoch(2, eval_loss=1.5), epoch(3, top1=math.nan)))
    assert one(record, "eval_loss", "epoch").broken == 1 and one(record, "eval_loss", "epoch").values == (1.5,)
    assert record.best == 2.0
    assert "2 points are no finite number and left out" in record.tables()[0].note
    assert from_json(Curves, to_json(record), "x") == record


def test_a_long_curve_keeps_its_ends_and_extremes() -> None:
    points = [(n, math.sin(n / 50) + (n == 777) - 2 * (n == 4242)) for n in range(10_001)]
    kept = thinned(points, MOST)
    assert len(kept) <= MOST and kept == sorted(set(kept)) and set(kept) <= set(points)
    assert {points[0], points[777], points[4242], points[-1]} <= set(kept)
    gaps = [b[0] - a[0] for a, b in pairwise(kept)]
    assert max(gaps) <= 2 * math.ceil(10_001 / (MOST // 2 - 1))


@pytest.mark.parametrize("count", [1, 2, 499, 500])
def test_a_short_curve_stays_as_it_is(count: int) -> None:
    points = [(n, float(n % 7)) for n in range(count)]
    assert thinned(points, MOST) == points


def test_of_a_flat_curve_a_point_a_stretch_is_left() -> None:
    assert len(thinned([(n, 1.0) for n in range(5000)], MOST)) == MOST // 2 - 1 + 2


def test_the_table_says_what_thinning_did(tmp_path: Path) -> None:
    record = of(write(tmp_path, *(step(n) for n in range(1, 1001))))
    assert one(record, "loss").logged == 1000 and len(one(record, "loss").values) <= MOST
    table = record.tables()[0]
    assert "thinned to 500 points, extremes kept" in table.note
    assert table.rows[0] == ("loss", "step", 1000, 4.99, -5.0, -5.0, 4.99)
