from dataclasses import replace

from stillbit.analysis.plot.error import figures
from tests.analysis.plot import samples


def test_weights_heads_activations_and_gradients_are_drawn():
    names = [one.name for one in figures(samples.error())]
    assert names == ["error-weights", "error-heads", "error-activations", "error-gradients"]


def test_what_has_no_error_at_all_has_no_bar():
    svg = next(one for one in figures(samples.error()) if one.name == "error-activations").options[0].svg
    assert svg.count(' class="fill') == len(samples.LAYERS)
    assert "head" not in svg.split("</desc>")[1]


def test_the_worst_layer_is_named():
    svg = figures(samples.error())[0].options[0].svg
    worst = min(samples.error().weights, key=lambda one: one.sqnr)
    assert f"with {worst.sqnr:.1f} dB" in svg


def test_a_model_without_heads_or_gradients_shows_the_rest():
    bare = replace(samples.error(), pieces=(), gradients=())
    assert [one.name for one in figures(bare)] == ["error-weights", "error-activations"]
