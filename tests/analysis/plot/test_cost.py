from dataclasses import replace

from stillbit.analysis.plot.cost import compare, figures
from tests.analysis.plot import samples


def test_layers_bytes_bits_energy_and_area_are_drawn():
    names = [one.name for one in figures(samples.cost())]
    assert names == ["cost-layers", "cost-bytes", "cost-bits", "cost-energy", "cost-area"]


def test_the_source_of_the_figures_is_named_and_that_it_is_no_measurement():
    energy = next(one for one in figures(samples.cost()) if one.name == "cost-energy")
    assert "A model, no measurement" in energy.caption and "a paper" in energy.caption


def test_a_float_model_has_no_designs():
    record = samples.cost()
    bare = replace(record, hardware=replace(record.hardware, designs=()))
    assert "cost-energy" not in [one.name for one in figures(bare)]


def test_runs_whose_accuracy_is_not_known_have_no_dot():
    (one,) = compare([("a", samples.cost()), ("b", samples.cost(top1=None))])
    assert one.options[0].svg.count("<circle") == 1
    assert compare([("b", samples.cost(top1=None))]) == ()
