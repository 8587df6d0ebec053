"""What a file says of itself survives JSON."""

from __future__ import annotations

import json

import pytest

from stillbit.deploy.about import About, Preprocess

LOOK = Preprocess(size=(224, 224), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
WHOLE = About(
    model="deit_tiny", method="ofq", bits="w2a2", classes=("cat", "dog"), preprocess=LOOK, facts={"top1": 0.7}
)


@pytest.mark.parametrize("about", [WHOLE, About()])
def test_what_is_said_comes_back_from_json(about: About) -> None:
    assert About.of_json(json.loads(json.dumps(about.to_json()))) == about


def test_what_later_versions_say_is_passed_over() -> None:
    assert About.of_json({"model": "vit", "poem": "..."}) == About(model="vit")


@pytest.mark.parametrize("data", [None, [], {"preprocess": 3}, {"preprocess": {"size": [2, 2]}}, {"classes": 5}])
def test_damage_is_a_sentence(data: object) -> None:
    with pytest.raises(ValueError, match="damaged"):
        About.of_json(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"model": 3}, "model, method and bits are words"),
        ({"classes": ["cat", 1]}, "classes are words"),
        ({"facts": []}, "facts have names"),
        ({"preprocess": {**LOOK.__dict__, "size": [0, 224]}}, "size is a height and a width"),
        ({"preprocess": {**LOOK.__dict__, "size": [224]}}, "size is a height and a width"),
        ({"preprocess": {**LOOK.__dict__, "mean": ["a"]}}, "mean is numbers"),
        ({"preprocess": {**LOOK.__dict__, "std": [0.0, 1.0]}}, "std is numbers above zero"),
        ({"preprocess": {**LOOK.__dict__, "crop_pct": None}}, "crop_pct is a number above zero"),
        ({"preprocess": {**LOOK.__dict__, "interpolation": 2}}, "interpolation is a word"),
    ],
)
def test_what_is_of_another_kind_is_named(data: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        About.of_json(data)
