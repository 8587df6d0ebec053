from pathlib import Path

import pytest

from tests.house.source import PACKAGE, ROOT, files

DRAWERS = {"util", "utils", "common", "helper", "helpers", "misc"}
LONGEST = 400  # the aim is 200


def is_a_drawer(path: Path) -> bool:
    return any(part.removesuffix(".py").strip("_").removeprefix("test_") in DRAWERS for part in path.parts)


def mirror(path: Path) -> Path:
    inside = path.relative_to(PACKAGE)
    return ROOT / "tests" / inside.with_name(f"test_{inside.name.lstrip('_')}")


def test_no_file_is_a_drawer_for_what_found_no_place() -> None:
    everywhere = [
        path.relative_to(ROOT)
        for folder in ("src", "tests", "benchmarks", "examples", "docs")
        for path in (ROOT / folder).rglob("*.py")
    ]
    drawers = [str(path) for path in everywhere if is_a_drawer(path)]
    assert not drawers, f"name each after the one concept it holds: {drawers}"


@pytest.mark.parametrize("name", ["layers/utils.py", "layers/_utils.py", "common/scale.py", "tests/test_helpers.py"])
def test_a_drawer_is_recognized(name: str) -> None:
    assert is_a_drawer(Path(name))


def test_no_file_is_longer_than_anyone_reads() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files()}
    too_long = {name: length for name, length in lengths.items() if length > LONGEST}
    assert not too_long, f"more than {LONGEST} lines; which of the concepts in it can move out? {too_long}"


def test_every_source_file_has_its_test_file() -> None:
    missing = [
        f"{path.relative_to(ROOT)} -> {mirror(path).relative_to(ROOT)}"
        for path in files()
        if path.name != "__init__.py" and not mirror(path).exists()
    ]
    assert not missing, "not tested where a reader looks for it:\n" + "\n".join(missing)


def test_the_package_tells_type_checkers_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
