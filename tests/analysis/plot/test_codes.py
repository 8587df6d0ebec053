import re
from xml.etree import ElementTree

from stillbit.analysis.plot.codes import PATHS, latents, paths
from tests.analysis.plot import samples

SVG = "{http://www.w3.org/2000/svg}"


def rules(svg, kind):
    held = (one for one in ElementTree.fromstring(svg).iter(f"{SVG}line") if "rule" in one.attrib.get("class", ""))
    return [one for one in held if ("centre" in one.attrib["class"]) == (kind == "centre")]


def test_a_two_bit_layer_has_four_bin_centres_and_three_thresholds():
    (one,) = latents(samples.oscillation().latents)
    assert [option.name for option in one.options] == list(samples.LAYERS)
    svg = one.options[0].svg
    assert (len(rules(svg, "centre")), len(rules(svg, "threshold"))) == (4, 3)


def test_a_threshold_is_halfway_between_bin_centres():
    svg = latents(samples.oscillation().latents)[0].options[0].svg
    centres, thresholds = ([float(one.attrib["x1"]) for one in rules(svg, kind)] for kind in ("centre", "threshold"))
    assert all(abs((a + b) / 2 - c) < 0.02 for a, b, c in zip(centres, centres[1:], thresholds, strict=False))


def test_those_that_flipped_most_are_drawn():
    (one,) = paths(samples.oscillation().tracked)
    drawn = re.findall(r'data-name="weight (\d+)"', one.options[0].svg)
    assert drawn == ["7", "6", "5", "4", "3", "2"] and len(drawn) == PATHS


def test_only_codes_that_were_passed_get_room():
    svg = paths(samples.oscillation().tracked)[0].options[0].svg
    assert len(rules(svg, "centre")) == 3, "no path came near code -2"


def test_a_layer_without_latents_makes_no_figure():
    assert latents(()) == ()
