"""The figures of a study."""

from __future__ import annotations

import re

from stillbit.study.charts import Spot
from stillbit.study.figures import colours, figures, pareto
from stillbit.study.paired import Sample
from stillbit.study.rows import Row
from tests.study.small import row


def rows(*titles: str, **more: float) -> list[Row]:
    """Two widths and two seeds of each, a point apart."""
    return [
        row(title, bits, seed, top1=70.0 + 5 * (bits == "w4a4") + index + seed, **more)
        for index, title in enumerate(titles)
        for bits in ("w4a4", "w2a2")
        for seed in (0, 1)
    ]


def says(text: str) -> list[str]:
    return re.findall(r"<title>([^<]*)</title>", text)


FLOAT = row("float", "float", kind="parent", top1=90.0)


def test_accuracy_by_bits_shows_every_method_and_the_float_parent() -> None:
    (one,) = figures([*rows("lsq", "vvtq"), FLOAT])
    assert one.name == "accuracy-bits" and [option.name for option in one.options] == ["tiny"]
    svg = one.options[0].svg
    assert "lsq, w4a4: 75.5 ± 0.707 (2 seeds)" in svg and "vvtq, w2a2: 71.5 ± 0.707 (2 seeds)" in svg
    assert "float parent 90.0 %" in svg


def test_widths_stand_from_wide_to_narrow_whatever_came_first() -> None:
    held = [row("lsq", bits, seed) for bits in ("w2a2", "w4a4", "w3a3") for seed in (0, 1)]
    svg = figures(held)[0].options[0].svg
    assert svg.index(">w4a4<") < svg.index(">w3a3<") < svg.index(">w2a2<")


def test_a_method_of_one_width_makes_no_line_where_others_have_several() -> None:
    held = [*rows("lsq", "vvtq"), row("vvtq+no-obr"), row("vvtq+no-obr", seed=1)]
    assert "no-obr" not in figures(held)[0].options[0].svg
    assert "no-obr" in figures(held[-2:])[0].options[0].svg


def test_every_figure_is_there_where_its_numbers_are() -> None:
    held = rows("lsq", "vvtq", oscillation=3.0, gbitops=0.5, seconds=60.0)
    names = [one.name for one in figures(held)]
    assert names == ["accuracy-bits", "oscillation-method", "accuracy-bitops", "accuracy-time"]
    assert not figures([row(top1=None)])


def test_bit_operations_are_on_an_axis_of_billions() -> None:
    held = rows("lsq", "vvtq", gbitops=0.5)
    svg = next(one for one in figures(held) if one.name == "accuracy-bitops").options[0].svg
    assert "lsq, w2a2: 70.5 ± 0.707 (2 seeds) % at 500 M" in svg
    assert svg.count(">w2a2<") == svg.count(">w4a4<") == 1, "a width is named once, colours tell methods apart"


def test_accuracy_against_time_has_a_picture_a_width() -> None:
    time = next(one for one in figures(rows("lsq", "vvtq", seconds=60.0)) if one.name == "accuracy-time")
    assert [option.name for option in time.options] == ["w4a4", "w2a2"] and time.choose == "bits"
    assert any(one.startswith("lsq, w2a2") and one.endswith("at 1") for one in says(time.options[1].svg))


def test_a_method_has_one_colour_in_every_figure() -> None:
    held = rows("lsq", "vvtq", "pact")
    assert colours(held) == {"lsq": "s0", "vvtq": "s1", "pact": "s2"}


def test_the_front_is_what_nothing_beats_on_both_axes() -> None:
    def spot(name: str, x: float, y: float) -> Spot:
        return Spot(name, Sample(1, x, None), Sample(1, y, None), name, "s0")

    given = [spot("slow", 9.0, 80.0), spot("bad", 5.0, 60.0), spot("quick", 1.0, 70.0), spot("same", 1.0, 65.0)]
    assert [one.name for one in pareto(given)] == ["quick", "slow"]
