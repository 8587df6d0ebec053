import json

import pytest
import torch

from stillbit.quantizers import (
    LSQ,
    METHODS,
    PACT,
    DoReFaActivation,
    DoReFaWeight,
    Elastic,
    Grid,
    LearnedBits,
    LSQPlus,
    Method,
    MinMax,
    Moved,
    Sign,
    Spec,
    StatsQ,
    build,
    per_channel,
    per_group,
    per_head,
    per_tensor,
    per_token,
    register,
)


@pytest.mark.parametrize("bits", [0, 9, "4", 2.5, True, None])
def test_wrong_bits_are_refused_where_they_are_written(bits):
    with pytest.raises(ValueError, match="bits must be a whole number from 1 to 8, or 32 for float, got"):
        Spec(bits)


def test_an_unknown_quantizer_is_answered_with_the_known_ones():
    with pytest.raises(ValueError) as refusal:
        Spec(4, "lqs")
    assert str(refusal.value) == f"unknown quantizer 'lqs': use one of {', '.join(METHODS)}"
    assert all(
        name in str(refusal.value) for name in ("lsq", "lsq+", "statsq", "minmax", "pact", "dorefa", "elastic", "sign")
    )


def test_an_unknown_range_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown range 'positive': use one of auto, signed, unsigned, shifted"):
        Spec(4, range="positive")


@pytest.mark.parametrize("granularity", ["per_channel", None, (12, 1)])
def test_a_granularity_is_a_value_and_not_its_name(granularity):
    with pytest.raises(ValueError, match="granularity must be a value such as per_channel, got"):
        Spec(4, granularity=granularity)


# ----------------------------------------------------------------------------------------------- what is built

BUILT = [
    ("lsq", "weight", 4, "signed", LSQ, Grid(4)),
    ("lsq", "weight", 1, "signed", LSQ, Grid(1, offset=0.5)),
    ("lsq", "activation", 4, "signed", LSQ, Grid(4)),
    ("lsq", "activation", 4, "unsigned", LSQ, Grid(4, False)),
    ("lsq", "activation", 4, "shifted", LSQPlus, Grid(4, False)),
    ("lsq+", "weight", 4, "signed", LSQ, Grid(4)),
    ("lsq+", "activation", 4, "signed", LSQPlus, Grid(4)),
    ("lsq+", "activation", 4, "unsigned", LSQPlus, Grid(4, False)),
    ("lsq+", "activation", 4, "shifted", LSQPlus, Grid(4, False)),
    ("statsq", "weight", 4, "signed", StatsQ, Grid(4, offset=0.5)),
    ("minmax", "weight", 4, "signed", MinMax, Grid(4)),
    ("minmax", "activation", 4, "unsigned", MinMax, Grid(4, False)),
    ("minmax", "activation", 4, "shifted", MinMax, Grid(4)),
    ("pact", "activation", 4, "unsigned", PACT, Grid(4, False)),
    ("pact", "activation", 4, "shifted", PACT, Grid(4)),
    ("dorefa", "weight", 4, "signed", DoReFaWeight, Grid(4, offset=0.5)),
    ("dorefa", "activation", 4, "unsigned", DoReFaActivation, Grid(4, False)),
    ("elastic", "activation", 1, "signed", Elastic, Grid(1, offset=0.5)),
    ("elastic", "activation", 1, "unsigned", Elastic, Grid(1, False)),
    ("sign", "weight", 1, "signed", Sign, Grid(1, offset=0.5)),
    ("learned_bits", "weight", 5, "signed", LearnedBits, Grid(8)),
    ("learned_bits", "activation", 2, "unsigned", LearnedBits, Grid(8, False)),
    ("learned_bits", "activation", 5, "shifted", LearnedBits, Grid(8)),
]


@pytest.mark.parametrize(("name", "kind", "bits", "natural", "cls", "grid"), BUILT)
def test_a_method_and_a_range_choose_the_class_and_its_grid(name, kind, bits, natural, cls, grid):
    quantizer = build(Spec(bits, name), kind, (3, 1), natural)
    assert type(quantizer) is cls
    assert quantizer.grid == grid
    assert quantizer.blocks == (3, 1)
    assert kind in cls.serves


def test_every_method_is_built_somewhere_above():
    assert {row[0] for row in BUILT} == set(METHODS)


def test_a_range_that_was_asked_for_is_stronger_than_what_the_layer_knows():
    assert build(Spec(4, range="signed"), "activation", (1,), "unsigned").grid == Grid(4)
    assert build(Spec(4, range="unsigned"), "activation", (1,), "signed").grid == Grid(4, False)
    assert type(build(Spec(4, range="shifted"), "activation", (1,), "signed")) is LSQPlus


@pytest.mark.parametrize("kind", ["weight", "activation"])
def test_thirty_two_bits_build_nothing(kind):
    spec = Spec(32)
    assert spec.is_float and not Spec(8).is_float
    assert build(spec, kind, (1,), "signed") is None


def test_methods_have_the_options_their_papers_want():
    assert build(Spec(4, "lsq+"), "weight", (1, 1), "signed").rule == "three_sigma"
    assert build(Spec(4, "lsq+"), "activation", (1,), "signed").rule == "mse"
    assert build(Spec(4, "minmax"), "weight", (1, 1), "signed").live
    assert not build(Spec(4, "minmax"), "activation", (1,), "signed").live


def test_options_reach_the_quantizer_and_overrule_those_of_the_method():
    assert build(Spec(4, options={"gradscale": "by_magnitude"}), "weight", (1, 1), "signed").gradscale == "by_magnitude"
    assert build(Spec(4, "lsq+", options={"start": "mse"}), "weight", (1, 1), "signed").rule == "mse"
    assert not build(Spec(4, "minmax", options={"live": False}), "weight", (1, 1), "signed").live


@pytest.mark.parametrize(
    ("natural", "asked", "inside"),
    [
        ("signed", "auto", LSQ),
        ("unsigned", "auto", LSQ),
        ("shifted", "auto", LSQ),
        ("shifted", "shifted", LSQPlus),
        ("signed", "unsigned", LSQ),
    ],
)
def test_moves_wrap_what_the_range_chooses_and_take_the_place_of_a_shift(natural, asked, inside):
    quantizer = build(Spec(4, range=asked, moves=True), "activation", (3, 1), natural, channels=(7,))
    assert type(quantizer) is Moved and type(quantizer.inner) is inside
    assert quantizer.grid == Grid(4, natural == asked == "signed" or (natural == "signed" and asked == "auto"))
    assert quantizer.blocks == (3, 1) and quantizer.before.shape == quantizer.after.shape == (7,)


def test_every_run_of_a_layer_has_moves_of_its_own():
    quantizer = build(Spec(4, moves=True, each_run=True), "activation", (1,), "signed", runs=2, channels=(7,))
    assert [type(run) for run in quantizer.runs] == [Moved, Moved]
    assert [type(part) for part in quantizer.parts()] == [LSQ, LSQ]
    assert quantizer.runs[0].before is not quantizer.runs[1].before


# -------------------------------------------------------------------------------------------- what is refused


MEASURED = (
    "{!r} takes its scale from the tensor itself, which for activations would change with every batch: "
    "for activations use one of lsq, lsq+, minmax, pact, dorefa, elastic, learned_bits"
)
FOR_ACTIVATIONS = (
    "{!r} is made for activations: for weights use one of lsq, lsq+, statsq, minmax, dorefa, sign, learned_bits"
)
RULES = "mse, mean_magnitude, percentile, minmax, three_sigma"


@pytest.mark.parametrize(
    ("spec", "kind", "words"),
    [
        (Spec(4, "statsq"), "activation", MEASURED.format("statsq")),
        (Spec(1, "sign"), "activation", MEASURED.format("sign")),
        (Spec(4, "pact"), "weight", FOR_ACTIVATIONS.format("pact")),
        (Spec(1, "elastic"), "weight", FOR_ACTIVATIONS.format("elastic")),
        (
            Spec(4, "pact", range="shifted"),
            "activation",
            "the quantizer 'pact' has no learned shift: use one of lsq, lsq+",
        ),
        (Spec(4, range="unsigned"), "weight", "weights are signed, got range='unsigned': leave range at 'auto'"),
        (Spec(4, range="shifted"), "weight", "weights are signed, got range='shifted': leave range at 'auto'"),
        (Spec(4, "sign"), "weight", "a sign has one bit, got 4: write bits=1, or use lsq or statsq"),
        (Spec(4, "elastic"), "activation", "elastic binarization has one bit, got 4: write bits=1, or use lsq"),
        (Spec(4, options={"start": "best"}), "weight", f"unknown start 'best': use one of {RULES}"),
        (Spec(4, "statsq", options={"reach": "far"}), "weight", "reach must be 'paper' or 'bits', got 'far'"),
        (
            Spec(5, "learned_bits", per_channel),
            "weight",
            "'learned_bits' is not made for per_channel: use per_tensor or per_head",
        ),
        (Spec(1, "learned_bits"), "activation", "bits are learned from 2 to 8, got 1: write bits=2 or more"),
        (
            Spec(4, moves=True),
            "weight",
            "moves are for activations, a weight moves by itself: leave moves out of its spec",
        ),
        (
            Spec(4, moves=True),
            "activation",
            "moves need a tensor whose channels are known: leave moves out of this spec",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused_with_what_does(spec, kind, words):
    with pytest.raises(ValueError) as refusal:
        build(spec, kind, (1, 1), "signed")
    assert str(refusal.value) == words


def test_an_option_the_quantizer_does_not_have_is_named():
    with pytest.raises(ValueError, match="the quantizer 'statsq' has no option 'gradscale': it takes reach"):
        build(Spec(4, "statsq", options={"gradscale": "by_count"}), "weight", (1, 1), "signed")


# --------------------------------------------------------------------------------------------- specs as values


@pytest.mark.parametrize(
    "spec",
    [
        Spec(),
        Spec(32),
        Spec(2, "statsq", per_channel, options={"reach": "bits"}),
        Spec(8, "lsq", per_group(64), "shifted", {"start": "percentile", "gradscale": "by_magnitude"}),
        Spec(2, "lsq", per_token, moves=True),
        Spec(5, "learned_bits", per_head),
    ],
    ids=str,
)
def test_a_spec_survives_json(spec):
    assert Spec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_specs_are_values():
    assert Spec(4) == Spec(4) and hash(Spec(4)) == hash(Spec(4))
    assert Spec(4, options={"start": "mse"}) != Spec(4)
    assert len({Spec(4), Spec(4), Spec(3)}) == 2


def test_a_spec_says_itself_in_a_word():
    assert str(Spec(3, "statsq", per_channel)) == "3 statsq per_channel"
    assert str(Spec(32)) == "float"
    assert str(Spec(4)) == f"4 lsq {per_tensor}"
    assert str(Spec(4, moves=True)) == "4 lsq per_tensor moved"


def test_what_was_given_as_options_is_not_changed_by_building():
    options = {"gradscale": "by_magnitude"}
    spec = Spec(4, "lsq+", options=options)
    build(spec, "weight", (1, 1), "signed")
    assert options == {"gradscale": "by_magnitude"} and spec.options == options


# ----------------------------------------------------------------------------------------------- your own word


def test_a_registered_method_can_be_spoken_of(monkeypatch):
    monkeypatch.setattr("stillbit.quantizers.spec.METHODS", METHODS.copy())
    with pytest.raises(ValueError, match="unknown quantizer 'mine'"):
        Spec(4, "mine")
    register("mine", Method(weight=StatsQ, weight_options=(("reach", "bits"),)))
    quantizer = build(Spec(4, "mine"), "weight", (1, 1), "signed")
    assert type(quantizer) is StatsQ
    assert quantizer(torch.randn(3, 3)).value().shape == (3, 3)


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(ValueError, match="a quantizer named 'lsq' exists: choose another name"):
        register("lsq", Method(weight=LSQ))
    assert METHODS["lsq"].activation is LSQ
