import re
from dataclasses import replace
from xml.etree import ElementTree

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
    runs = [("a", samples.cost()), ("b", samples.cost(top1=None)), ("c", samples.cost(bits=4.0))]
    (one,) = compare(runs)
    assert one.options[0].svg.count("<circle") == 2
    assert compare(runs[:2]) == (), "a dot alone compares nothing"


def test_no_dot_lies_on_the_frame():
    (one,) = compare([("a", samples.cost(top1=70.0)), ("b", samples.cost(bits=4.0, top1=80.0))])
    held = ElementTree.fromstring(one.options[0].svg)
    ends = [(float(line.attrib["x1"]), float(line.attrib["x2"])) for line in held.iter() if "x1" in line.attrib]
    left, right = min(map(min, ends)), max(map(max, ends))
    places = [float(dot.attrib["cx"]) for dot in held.iter() if "cx" in dot.attrib]
    assert len(places) == 2 and all(left + 5 < place < right - 5 for place in places)


def test_the_cheapest_bar_is_seen_beside_the_dearest():
    bits = next(one for one in figures(samples.cost()) if one.name == "cost-bits")
    widths = [float(width) for width in re.findall(r'<rect x=[^>]*? width="([\d.]+)"', bits.options[0].svg)]
    assert min(widths) > 10 and "logarithmic" in bits.caption
