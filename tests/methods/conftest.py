"""Two runs that ended well, to look at and not to touch: one float, one at two bits."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from stillbit.methods.perform import Result
from stillbit.methods.recipe import Recipe
from tests.methods import small


class Ran(NamedTuple):
    recipe: Recipe
    result: Result
    said: str

    @property
    def folder(self) -> Path:
        return self.result.folder


@pytest.fixture(scope="session")
def float_run(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    recipe = small.recipe("fp", tmp_path_factory.mktemp("float"))
    return Ran(recipe, *small.run(recipe))


@pytest.fixture(scope="session")
def low_bit_run(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    recipe = small.recipe("lsq", tmp_path_factory.mktemp("low"), average={"model_ema": True, "model_ema_decay": 0.5})
    return Ran(recipe, *small.run(recipe))
