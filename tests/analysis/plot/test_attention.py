from dataclasses import replace
from xml.etree import ElementTree

from stillbit.analysis.plot.attention import figures
from tests.analysis.plot import samples

SVG = "{http://www.w3.org/2000/svg}"


def test_maps_are_shown_over_each_image_for_each_model():
    fused, _rollout, *_ = figures(samples.attention())
    drawn = ElementTree.fromstring(fused.options[0].svg)
    images = [one.attrib for one in drawn.iter(f"{SVG}image")]
    assert len([one for one in images if "id" in one]) == 2, "each picture is held once"
    assert len(list(drawn.iter(f"{SVG}use"))) == 4, "and shown again for each of two models"
    assert len([one for one in images if "id" not in one]) == 4


def test_a_picture_has_the_same_name_only_within_its_figure():
    names = [
        one.attrib["id"]
        for subject in ("a", "b")
        for held in figures(samples.attention(subject))[:2]
        for one in ElementTree.fromstring(held.options[0].svg).iter(f"{SVG}image")
        if "id" in one.attrib
    ]
    assert len(set(names)) == len(names) == 8


def test_windows_without_maps_still_have_numbers():
    names = [one.name for one in figures(samples.attention(maps=False))]
    assert names == ["attention-entropy", "attention-correlation"]


def test_a_float_model_alone_is_compared_with_nothing():
    record = samples.attention()
    names = [one.name for one in figures(replace(record, models=record.models[:1]))]
    assert names == ["attention-fused", "attention-rollout", "attention-entropy"]
