from dataclasses import replace
from xml.etree import ElementTree

from stillbit.analysis.plot.attention import figures
from stillbit.analysis.plot.tokens import heads, strips
from stillbit.analysis.svg.colour import ramp
from tests.analysis.plot import samples

SVG = "{http://www.w3.org/2000/svg}"


def words(drawn):
    return [one.text for one in drawn.iter(f"{SVG}text")]


def test_texts_have_strips_and_heads_in_place_of_pictures():
    names = [one.name for one in figures(samples.reading())]
    assert names == [
        "attention-fused", "attention-rollout", "attention-heads", "attention-entropy", "attention-correlation"
    ]  # fmt: skip


def test_every_text_is_there_once_a_model_and_says_how_much_of_it_is_shown():
    drawn = ElementTree.fromstring(strips(samples.reading(), "fused"))
    said = words(drawn)
    assert said.count("[CLS]") == 4 and said.count(samples.EVIL) == 2 and said.count("a" * 30) == 2
    assert "text 7, class 0" in said and "text 8, class 1, its first 3 of 40 tokens" in said
    assert any("ρ" in one for one in said if one)


def test_the_colours_go_from_the_least_to_the_most_token_behind_the_first():
    record = samples.reading()
    shares = (0.9, 0.25, 0.75, 0.5)
    maps = (replace(record.models[0].maps[0], fused=(shares,)),)
    alone = replace(record, models=(replace(record.models[0], maps=maps),), sentences=record.sentences[:1])
    fills = [one.attrib["fill"] for one in ElementTree.fromstring(strips(alone, "fused")).iter(f"{SVG}rect")]
    assert fills == [ramp(1.0), ramp(0.0), ramp(1.0), ramp(0.5)]


def test_tokens_that_are_alike_have_one_colour():
    record = samples.reading()
    maps = (replace(record.models[0].maps[0], fused=((0.25,) * 4,)),)
    alone = replace(record, models=(replace(record.models[0], maps=maps),), sentences=record.sentences[:1])
    fills = {one.attrib["fill"] for one in ElementTree.fromstring(strips(alone, "fused")).iter(f"{SVG}rect")}
    assert len(fills) == 1


def test_tokens_stay_within_the_picture():
    record = samples.reading()
    many = replace(record.sentences[0], tokens=("a token",) * 32, of=32)
    maps = tuple(replace(one.maps[0], fused=((1.0,) * 32,)) for one in record.models)
    models = tuple(replace(one, maps=(held,)) for one, held in zip(record.models, maps, strict=True))
    drawn = ElementTree.fromstring(strips(replace(record, sentences=(many,), models=models), "fused"))
    _, _, wide, high = map(float, drawn.attrib["viewBox"].split())
    boxes = [one.attrib for one in drawn.iter(f"{SVG}rect")]
    assert len(boxes) == 64 and len({one["y"] for one in boxes}) > 2
    assert all(float(one["x"]) + float(one["width"]) <= wide for one in boxes)
    assert all(float(one["y"]) + float(one["height"]) <= high for one in boxes)


def test_a_head_is_a_panel_with_words_on_both_axes():
    held = heads(samples.reading())
    assert held.choose == "text" and len(held.options) == 4
    assert [one.name for one in held.options][:2] == ["text 7, float", "text 8, float"]
    drawn = ElementTree.fromstring(held.options[0].svg)
    panels = [one.attrib for one in drawn.iter(f"{SVG}image")]
    assert len(panels) == samples.HEADS and {one["class"] for one in panels} == {"cells"}
    # Above each panel, and beside the first of a row.
    assert words(drawn).count("[CLS]") == samples.HEADS + 1
    assert [one for one in words(drawn) if one and one.startswith("head")] == ["head 0", "head 1", "head 2"]


def test_many_heads_of_a_long_text_stand_below_each_other_inside_the_picture():
    record = samples.reading()
    tokens = tuple(f"w{i}" for i in range(30))
    rows = tuple((1 / 30,) * 30 for _ in range(30))
    maps = (replace(record.models[0].maps[0], heads=(rows,) * 12),)
    long = replace(record.sentences[0], tokens=tokens, of=30)
    held = heads(replace(record, sentences=(long,), models=(replace(record.models[0], maps=maps),)))
    drawn = ElementTree.fromstring(held.options[0].svg)
    _, _, wide, high = map(float, drawn.attrib["viewBox"].split())
    panels = [{k: float(one.attrib[k]) for k in ("x", "y", "width", "height")} for one in drawn.iter(f"{SVG}image")]
    assert len(panels) == 12 and len({(one["x"], one["y"]) for one in panels}) == 12
    assert all(one["x"] + one["width"] <= wide and one["y"] + one["height"] <= high for one in panels)
