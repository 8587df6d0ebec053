from dataclasses import replace

from stillbit.analysis.markup import Markup
from stillbit.analysis.page_fit import BUDGETS, LARGE, fitted, rows_for
from stillbit.analysis.plot.figure import Figure, Option


def figure(name, count, size):
    options = tuple(Option(name=f"layer {index}", svg=Markup("x" * size)) for index in range(count))
    return Figure(name=name, title="T", caption="C.", options=options, choose="layer")


def bytes_of(held):
    return sum(len(option.svg) for figures in held.values() for one in figures for option in one.options)


def test_what_fits_stays_as_it_is():
    given = {("a", "error"): (figure("paths", 4, 10),)}
    assert fitted(given, 40) == (given, ())


def test_the_largest_figures_lose_options_the_same_ones_in_every_run():
    given = {(run, "oscillation"): (figure("paths", 8, 100), figure("small", 4, 5)) for run in "ab"}
    held, left_out = fitted(given, 900)
    assert bytes_of(held) <= 900 and left_out == ()
    for run in "ab":
        paths, small = held[run, "oscillation"]
        assert [one.name for one in paths.options] == ["layer 0", "layer 2", "layer 4", "layer 6"]
        assert "4 of 8 pictures are here" in paths.caption
        assert small.caption == "C." and len(small.options) == 4


def test_one_option_of_each_is_always_left():
    held, left_out = fitted({("a", "error"): (figure("paths", 5, 100),)}, 10)
    assert [one.name for one in held["a", "error"][0].options] == ["layer 0"] and left_out == ()


def test_spare_figures_are_left_out_only_when_nothing_else_helps_and_the_largest_goes_first():
    spare = (replace(figure("large", 1, 90), spare=True), replace(figure("small", 1, 40), spare=True))
    given = {(run, "error"): (figure("paths", 4, 50), *spare) for run in "ab"}
    assert fitted(given, 400).left_out == ()
    held, left_out = fitted(given, 200)
    assert left_out == ("T",)
    assert [one.name for one in held["b", "error"]] == ["paths", "small"]


def test_each_budget_is_smaller_and_all_leave_room_for_the_rest_of_a_page():
    assert list(BUDGETS) == sorted(BUDGETS, reverse=True) and BUDGETS[0] < LARGE


def test_many_runs_get_shorter_tables():
    assert rows_for(1) > rows_for(10) >= 30
