"""``stillbit methods``."""

from __future__ import annotations

from stillbit.methods import RECIPES, described
from tests.cli.command import call, works


def test_every_method_is_a_row_with_its_quantizers() -> None:
    heading, *rows = works("methods").splitlines()
    assert heading.split() == ["method", "weights", "activations", "what", "it", "is"]
    told = {row.split()[0]: row for row in rows if row and not row.startswith("stillbit")}
    assert told.keys() == RECIPES.keys()
    assert all(what in told[name] for name, what in described().items())
    assert told["statsq"].split()[1:3] == ["statsq", "lsq"]
    assert told["fp"].split()[1:3] == ["float", "float"]


def test_it_takes_no_word() -> None:
    assert call("methods lsq").code == 2
