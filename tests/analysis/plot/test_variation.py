from dataclasses import replace

from stillbit.analysis.plot.variation import compare, figures
from stillbit.analysis.variation import Compared
from tests.analysis.plot import samples


def names(record):
    return [one.name for one in figures(record)]


def test_activations_are_drawn_only_where_images_were_given():
    activations = {"variation-activations", "ranges-channel", "ranges-token"}
    assert activations <= set(names(samples.variation()))
    assert not activations & set(names(samples.variation(images=0)))


def test_a_model_without_heads_has_no_map_of_heads():
    record = samples.variation()
    bare = replace(record, spreads=tuple(replace(one, head=None) for one in record.spreads))
    assert "variation-heads" not in names(bare)


def test_a_ridge_stands_for_each_line_and_says_its_quantiles():
    one = next(one for one in figures(samples.variation()) if one.name == "ridges-head")
    svg = one.options[0].svg
    assert svg.count('class="ridge"') == 9
    assert "query 0: from -0.2 to 0.2, half of it between -0.05 and 0.05" in svg


def test_the_loudest_channel_is_the_first_bar():
    one = next(one for one in figures(samples.variation()) if one.name == "variation-channels")
    assert "The loudest is blocks.0.attn.qkv out 0" in one.options[0].svg


def test_models_are_compared_by_what_is_relative():
    record = samples.variation()
    other = Compared(model="resnet18", about="", parameters=1, deviations=record.weights)
    assert figures(replace(record, against=(other, other)))[0].name == "variation-models"
    assert compare([("a", record), ("b", record)])[0].name == "variation-runs"


def test_a_sample_of_channels_says_of_how_many_and_is_not_joined():
    record = samples.variation()
    one = record.ranges[0]
    assert len(one.index) < one.of
    held = next(figure for figure in figures(record) if figure.name == f"ranges-{one.by}")
    assert f"{len(one.index)} of {one.of}." in held.caption and "line spots" in held.options[0].svg
    every = replace(one, of=len(one.index))
    whole = next(figure for figure in figures(replace(record, ranges=(every,))) if figure.name == f"ranges-{one.by}")
    assert "sample" not in whole.caption and "line spots" not in whole.options[0].svg
