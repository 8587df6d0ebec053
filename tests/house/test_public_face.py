import ast
import importlib
import json
import subprocess
import sys

import pytest

import stillbit
from tests.house.source import PACKAGE

MEASURE = """
import json, sys, time
before, start = set(sys.modules), time.perf_counter()
import stillbit
took = time.perf_counter() - start
print(json.dumps({"seconds": took, "modules": sorted(set(sys.modules) - before)}))
"""


def import_stillbit_alone() -> dict:
    run = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def names_for_type_checkers() -> dict[str, str]:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    guarded = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    ]
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for block in guarded
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_importing_stillbit_loads_nothing_but_the_standard_library() -> None:
    roots = {name.split(".")[0] for name in import_stillbit_alone()["modules"]}
    assert "stillbit" in roots
    foreign = roots - set(sys.stdlib_module_names) - {"stillbit"}
    assert not foreign, f"`import stillbit` has to cost nothing, and it loads {sorted(foreign)}"


def test_importing_stillbit_takes_no_time() -> None:
    assert min(import_stillbit_alone()["seconds"] for _ in range(3)) < 0.1


@pytest.mark.parametrize("name", stillbit.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(stillbit, name) is not None
    assert name in dir(stillbit)


def test_no_public_name_is_listed_twice() -> None:
    assert len(set(stillbit.__all__)) == len(stillbit.__all__)


def test_type_checkers_see_the_names_that_exist_at_run_time() -> None:
    seen = names_for_type_checkers()
    assert set(seen) | {"__version__"} == set(stillbit.__all__)
    for name, home in seen.items():
        module, _, attribute = home.rpartition(".")
        assert getattr(importlib.import_module(module), attribute) is getattr(stillbit, name), name


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="quantise"):
        _ = stillbit.quantise
