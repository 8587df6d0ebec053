from dataclasses import replace

from stillbit.analysis.plot.curves import compare, figures
from tests.analysis.plot import samples


def test_every_number_is_a_choice_the_accuracy_first_and_single_points_are_none():
    (one,) = figures(samples.curves())
    assert [option.name for option in one.options] == ["top1 (epoch)", "loss (step)", f"{samples.EVIL} (epoch)"]


def test_runs_lie_over_each_other():
    (one,) = compare([("a", samples.curves()), ("b", samples.curves())])
    assert all('data-name="a"' in option.svg and 'data-name="b"' in option.svg for option in one.options)
    assert "runs" in one.options[0].svg


def test_a_log_without_curves_makes_no_figure():
    assert figures(replace(samples.curves(), curves=())) == ()
