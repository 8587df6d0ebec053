"""The structure of a program as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from stillbit.deploy.file.stored import store
from stillbit.deploy.file.structure import of_json, to_json
from tests.deploy.programs import everything

PROGRAM = everything()
PLACES = store(PROGRAM.constants)[0]


def said() -> Any:
    return json.loads(json.dumps(to_json(PROGRAM, PLACES, {"model": "m"})))


def test_a_program_comes_back() -> None:
    back = of_json(said())
    assert (back.inputs, back.output) == (PROGRAM.inputs, PROGRAM.output)
    assert back.steps == PROGRAM.steps and back.places == PLACES and back.about == {"model": "m"}


CHANGES: list[tuple[Callable[[Any], Any], str]] = [
    (lambda said: [], "does not have the parts"),
    (lambda said: said.pop("floats"), "does not have the parts"),
    (lambda said: said.update(poem=1), "does not have the parts"),
    (lambda said: said.update(steps={}), "no list of steps"),
    (lambda said: said.update(constants=[]), "no table of constants"),
    (lambda said: said.update(input=3), "the input has no name"),
    (lambda said: said.update(output=""), "the output has no name"),
    (lambda said: said.update(output="x" * 301), "the output has no name"),
    (lambda said: said.update(shape=[-1, 0]), "the input has a shape that is none"),
    (lambda said: said.update(shape=[-2, 3]), "the input has a shape that is none"),
    (lambda said: said.update(shape=[-1, 3.0]), "the input has a shape that is none"),
    (lambda said: said.update(floats=-1), "floats has -1 where a count should be"),
    (lambda said: said["steps"].__setitem__(3, ["relu"]), "step 3 is no step"),
    (lambda said: said["steps"][3].__setitem__(0, None), "step 3 is no step"),
    (lambda said: said["steps"][3].__setitem__(1, [1]), "step 3 has no name"),
    (lambda said: said["steps"][3].__setitem__(2, []), "step 3 has no name"),
    (lambda said: said["steps"][3].__setitem__(3, []), "step 3 is no step"),
    (lambda said: said["steps"][3].__setitem__(4, None), "step 3 has no layer"),
    (lambda said: said["constants"].update(c0=5), "constant c0 is not described"),
    (lambda said: said["constants"]["c0"].update(more=5), "constant c0 is not described"),
    (lambda said: said["constants"]["c0"].update(first="0"), "constant c0 has '0' where a count"),
    (lambda said: said["constants"]["c0"].update(shape=[2**31]), "constant c0 has a shape that is none"),
    (lambda said: said["constants"]["c0"].update(shape=[-1]), "constant c0 has a shape that is none"),
    (lambda said: said["constants"]["c1"].update(low=-1000), "constant c1 has codes from -1000 to 3"),
    (lambda said: said["constants"]["c1"].update(low=4), "constant c1 has codes from 4 to 3"),
    (lambda said: said["constants"]["c1"].update(low=True), "constant c1 has codes from True"),
    (lambda said: said["constants"]["c1"].update(offset=0.25), "constant c1 has the offset 0.25"),
    (lambda said: said["constants"]["c1"].update(offset=None), "constant c1 has the offset None"),
    (lambda said: said["constants"]["c1"].update(tensor=None), "constant c1 has no name"),
]


@pytest.mark.parametrize(("change", "what"), CHANGES)
def test_what_is_no_structure_is_said(change: Callable[[Any], Any], what: str) -> None:
    data = said()
    data = data if change(data) != [] else []
    with pytest.raises(ValueError) as caught:
        of_json(data)
    assert what in str(caught.value) and len(str(caught.value)) < 300
