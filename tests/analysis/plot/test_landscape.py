from dataclasses import replace

from stillbit.analysis.plot.landscape import compare, figures
from tests.analysis.plot import samples


def test_two_dimensions_are_contours_and_a_surface_side_by_side():
    contours, surface = figures(samples.landscape())
    assert "quantized: loss" in contours.options[0].svg and "float: loss" in contours.options[0].svg
    assert surface.options[0].svg.count("<path") == 2 * 100


def test_one_dimension_is_a_cut_with_a_line_a_model():
    (one,) = figures(samples.landscape(dimensions=1))
    assert 'data-name="quantized"' in one.options[0].svg and 'data-name="float"' in one.options[0].svg


def test_a_scan_that_has_not_ended_is_not_drawn():
    assert figures(samples.landscape(whole=False)) == ()


def test_one_finished_surface_is_drawn_alone():
    record = samples.landscape()
    contours, _ = figures(replace(record, surfaces=record.surfaces[:1]))
    assert "float: loss" not in contours.options[0].svg


def test_cuts_of_runs_lie_over_each_other_whatever_their_dimensions():
    (one,) = compare([("a", samples.landscape()), ("b", samples.landscape(dimensions=1))])
    assert 'data-name="a"' in one.options[0].svg and 'data-name="b"' in one.options[0].svg


def test_runs_that_are_not_among_the_others_are_named_with_the_reason():
    other = replace(samples.landscape(dimensions=1), seed=3)
    runs = [("a", samples.landscape()), ("b", samples.landscape(dimensions=1)), ("c", other)]
    (one,) = compare([*runs, ("d", samples.landscape(whole=False))], dict.fromkeys("abcde", "s0"))
    assert [name for name in "abcde" if f'data-name="{name}"' in one.options[0].svg] == ["a", "b"]
    assert "c (another direction, of seed 3), d (its scan has not ended), e (not scanned)." in one.caption
    assert "Of a plane it is the middle line, which is that direction: a." in one.caption


def test_the_middle_of_a_cut_is_the_loss_of_the_model():
    record = samples.landscape(dimensions=1)
    assert (
        f"loss {record.surfaces[0].loss:.4g} at the centre, largest curvature 12.5" in figures(record)[0].options[0].svg
    )
