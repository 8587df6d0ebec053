"""A study file, and what is said of one that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stillbit.study.read import read, study
from stillbit.study.settings import Block, Switch
from tests.house.source import ROOT
from tests.study.small import made

FULL = """
name = "tiny"
seeds = [0, 1]
words = "--data-dir @pictures"
child = "--initial-checkpoint @float --lr 1e-3"
measure = ["cost", "latent"]
baseline = "lsq"
timeout = 2.5

[data]
pictures = "--classes 4"

[parents]
float = "fp --seed 0"

[labels]
crops = "--teacher @float --data-dir @pictures"

[methods]
still = "statsq --labels @crops"

[switches]
sgd = "--opt sgd"
wide = { words = "--reach bits", for = ["still"] }

[[cells]]
models = ["a", "b"]
methods = ["lsq", "still"]
bits = "w2a2"
switches = ["plain", "sgd+wide"]

[claims]
first = "still > lsq"
"""


def test_a_file_says_all_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "file.toml").write_text(FULL)
    found = read(tmp_path / "file.toml")
    assert (found.name, found.baseline, found.timeout, found.measure) == ("tiny", "lsq", 2.5, ("cost", "latent"))
    assert found.child == ("--initial-checkpoint", "@float", "--lr", "1e-3")
    assert found.switches["wide"] == Switch(words=("--reach", "bits"), methods=("still",))
    block = Block(
        models=("a", "b"), methods=("lsq", "still"), bits=("w2a2",), switches=("plain", "sgd+wide"), seeds=(0, 1)
    )
    assert found.blocks == (block,)
    assert found.claims == {"first": "still > lsq"}


def test_a_study_without_a_name_is_called_after_its_file(tmp_path: Path) -> None:
    (tmp_path / "pillars.toml").write_text(FULL.replace('name = "tiny"\n', ""))
    assert read(tmp_path / "pillars.toml").name == "pillars"


def test_a_file_that_is_no_toml_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "file.toml"
    path.write_text("seeds = [0]\nwords = --lr 1\n")
    with pytest.raises(ValueError, match=r"file\.toml is no TOML: .*line 2"):
        read(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no study .*none\.toml"):
        read(tmp_path / "none.toml")


def test_what_is_measured_is_the_cost_unless_the_file_says_otherwise() -> None:
    assert made(measure=[]).measure == () and study({"cells": [CELLS]}, "x").measure == ("cost",)


CELLS: dict[str, Any] = {"models": "tiny", "methods": ["lsq"], "bits": ["w2a2"]}
MISTAKES = [
    ({"metods": {}}, "a study file has no metods: did you mean methods?"),
    ({"name": "a b"}, "name is called by letters, digits"),
    ({"name": 3}, "name is words in quotes, and it is 3"),
    ({"child": 3}, "child is words of a command line in quotes"),
    ({"child": "--lr 'x"}, "child cannot be split into words (no closing quotation)"),
    ({"child": "--output x"}, "child: leave out --output, which the study says itself"),
    ({"words": "--seed=3"}, "words: leave out --seed, which is an axis: say seeds in [[cells]]"),
    ({"child": "--teacher @big"}, "child refers to what is not there: @big: there are none"),
    ({"parents": {"float": "fp"}, "child": "--teacher @flaot"}, "@flaot: did you mean @float?"),
    ({"parents": {"float": "--lr 1"}}, "parents.float begins with one of the methods"),
    ({"parents": {"a": "fp --teacher @b", "b": "fp --teacher @a"}}, "@a needs itself, by way of @a and @b"),
    ({"parents": {"a": "fp"}, "data": {"a": ""}}, "@a would be two things"),
    ({"parents": {"a": "fp"}, "words": "--teacher @a"}, "words are of the parents too"),
    ({"parents": "fp"}, "parents is a table: begin it with [parents]"),
    ({"methods": {"still": "lsqq"}}, "methods.still begins with one of the methods"),
    ({"methods": {"still": "lsq --bits w2a2"}}, "methods.still: leave out --bits, which is an axis"),
    ({"switches": {"plain": "--lr 1"}}, "plain is the switch that changes nothing"),
    ({"switches": {"a+b": "--lr 1"}}, "a switch is called by letters"),
    ({"switches": {"x": {"words": "--lr 1", "fro": []}}}, "switches.x has a key that is not there: fro"),
    ({"switches": {"x": {"words": "--lr 1", "for": ["lsqq"]}}}, "did you mean lsq?"),
    ({"switches": {"obr-0": {"01": {"words": "--lr 1"}}}}, "a name with a dot stands in quotes"),
    ({"measure": ["oscilation"]}, "did you mean oscillation?"),
    ({"timeout": 0}, "timeout is so many minutes, above 0"),
    ({"baseline": "vvtq"}, "baseline 'vvtq' is a method of no cell"),
    ({"claims": {"a": 3}}, "a is words in quotes"),
    ({"cells": []}, "there are no cells: begin a block with [[cells]]"),
    ({"cells": [{**CELLS, "method": "lsq"}]}, "[[cells]] number 1 has a key that is not there: method"),
    ({"cells": [{"models": "tiny", "methods": "lsq"}]}, "[[cells]] number 1: bits is missing"),
    ({"cells": [CELLS, {**CELLS, "methods": ["vqvt"]}]}, "[[cells]] number 2 has a method that is not there: vqvt"),
    ({"cells": [{**CELLS, "bits": ["2"]}]}, "bits are said as w4a4 or w2a2, got '2'"),
    ({"cells": [{**CELLS, "seeds": ["0"]}]}, "seeds is a list of whole numbers"),
    ({"cells": [{**CELLS, "seeds": [-1]}]}, "seeds are whole numbers from 0"),
    ({"cells": [{**CELLS, "switches": ["sgd"]}]}, "[[cells]] number 1 has a switch that is not there: sgd"),
]


@pytest.mark.parametrize(("changes", "sentence"), MISTAKES, ids=[said for _, said in MISTAKES])
def test_a_mistake_is_a_sentence_that_names_it(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as error:
        made(**changes)
    assert sentence in str(error.value)


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "study").glob("*.toml")), ids=lambda path: path.name)
def test_the_studies_of_the_repository_can_be_read(path: Path) -> None:
    assert read(path).blocks
