from xml.etree import ElementTree

from stillbit.analysis.plot.sensitivity import figures
from tests.analysis.plot import samples


def test_heads_are_a_map_and_roles_and_layers_are_bars():
    names = [one.name for one in figures(samples.sensitivity())]
    assert names == ["sensitivity-head", "sensitivity-role", "sensitivity-layer", "sensitivity-proxy"]


def test_the_score_is_a_choice():
    head = figures(samples.sensitivity())[0]
    assert [one.name for one in head.options] == ["divergence", "loss", "top-1"]
    assert head.choose == "score"


SVG = "{http://www.w3.org/2000/svg}"


def dark(colour):
    return sum(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def test_the_worst_head_is_named_and_is_the_darkest():
    record = samples.sensitivity()
    head = figures(record)[0]
    assert f"First comes {record.of('head')[0].name}." in head.caption
    worst = record.of("head")[0]
    cells = {
        (row.attrib["data-row"], next(cell.iter(f"{SVG}title")).text.split(":")[0]): next(cell.iter(f"{SVG}path"))
        for row in ElementTree.fromstring(head.options[0].svg).iter(f"{SVG}g")
        for cell in (row if "data-row" in row.attrib else ())
    }
    darkest = min(cells, key=lambda at: dark(cells[at].attrib["fill"]))
    assert darkest == (worst.layer, str(worst.head))


def test_the_other_question_is_read_the_other_way_round():
    lower, keep = (figures(samples.sensitivity(question=one))[0].caption for one in ("lower", "keep"))
    assert "the more it needs its bits" in lower
    assert "the more this part was to blame" in keep


def test_the_cheap_ranking_says_how_far_it_can_be_trusted():
    assert "head: +0.70" in figures(samples.sensitivity())[-1].caption
