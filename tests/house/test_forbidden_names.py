import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house.source import PACKAGE, ROOT, files, names_used

SNAP = PACKAGE / "quantizers" / "snap.py"
DEPLOYED = [
    PACKAGE / "deploy" / name
    for name in ("tracing/record.py", "tracing/writer.py", "runtime/reference.py", "runtime/integer_float.py")
]
"""A second implementation, which has to round by itself, and what reads off a graph where training does."""
CHECKPOINT = PACKAGE / "train" / "checkpoint.py"
FKD = PACKAGE / "distill" / "fkd.py"
"""Reads label files that others published, as torch wrote them."""
ROUNDERS = {"round", "round_", "rint"}
PICKLERS = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}


def rounds(name: str) -> bool:
    return name.split(".")[-1] in ROUNDERS


def prints(name: str) -> bool:
    return name in {"print", "pprint", "pprint.pprint"}


def pickles(name: str) -> bool:
    return name.split(".")[0] in PICKLERS or name in {"torch.load", "torch.save", "numpy.load", "np.load"}


def uses(code: str, forbidden: Callable[[str], bool]) -> list[str]:
    return [f"line {line}: {name}" for line, name in names_used(code) if forbidden(name)]


def offenders(forbidden: Callable[[str], bool], *allowed: Path) -> dict[str, list[str]]:
    found = {path: uses(path.read_text(), forbidden) for path in files() if path not in allowed}
    return {str(path.relative_to(ROOT)): lines for path, lines in found.items() if lines}


def test_nobody_but_snap_rounds() -> None:
    found = offenders(rounds, SNAP, *DEPLOYED)
    assert not found, f"there is one path from a float to a code, quantizers/snap.py: {found}"


def test_snap_itself_rounds() -> None:
    assert uses(SNAP.read_text(), rounds), "snap.py rounds in a way this test cannot see, so others might too"


@pytest.mark.parametrize(
    "code",
    [
        "round(x)",
        "torch.round(x / s)",
        "(x / s).round()",
        "x.round_()",
        "torch.Tensor.round",
        "nearest = torch.round",
        "map(round, xs)",
        "from torch import round as nearest",
        "np.rint(x)",
    ],
)
def test_every_spelling_of_round_is_seen(code: str) -> None:
    assert uses(code, rounds)


@pytest.mark.parametrize("code", ["# round(x)", "'''We round(x).'''", "around(x)", "f(rounds=3)", "background.color"])
def test_what_only_looks_like_round_is_not(code: str) -> None:
    assert not uses(code, rounds)


def test_nobody_prints() -> None:
    found = offenders(prints)
    assert not found, f"return what there is to say, and let the caller show it: {found}"


def test_nobody_pickles() -> None:
    found = offenders(pickles, CHECKPOINT, FKD)
    assert not found, f"a pickle runs code when it is read; use safetensors or JSON: {found}"


@pytest.mark.parametrize("path", [CHECKPOINT, FKD], ids=lambda path: path.name)
def test_files_of_torch_are_read_without_running_what_is_in_them(path: Path) -> None:
    code = ast.parse(path.read_text())
    loads = [call for call in ast.walk(code) if isinstance(call, ast.Call) and ast.unparse(call.func) == "torch.load"]
    assert loads, "this test watches over torch.load, and sees none"
    assert all("weights_only=True" in ast.unparse(call) for call in loads)


def test_what_reads_the_labels_of_others_writes_none_and_knows_no_pickle() -> None:
    assert not {name for _, name in names_used(FKD.read_text()) if pickles(name)} - {"torch.load"}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "torch.load(path)",
        "from torch import save",
        "np.load(path)",
    ],
)
def test_every_way_to_a_pickle_is_seen(code: str) -> None:
    assert uses(code, pickles)


def test_no_room_imports_the_public_face() -> None:
    """The face is lazy, so import-linter cannot see what a room would reach through it."""
    found = {
        str(path.relative_to(ROOT)): [f"line {line}: {name}" for line, name in through_the_face(path.read_text())]
        for path in files()
        if path != PACKAGE / "__init__.py"
    }
    found = {path: lines for path, lines in found.items() if lines}
    assert not found, f"import a word from the file it lives in: {found}"


def through_the_face(code: str) -> list[tuple[int, str]]:
    rooms = {path.name.removesuffix(".py") for path in PACKAGE.iterdir()} | {"__version__"}
    found = []
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Import(names=aliases):
                found += [(node.lineno, alias.name) for alias in aliases if alias.name == "stillbit"]
            case ast.ImportFrom(module="stillbit", names=aliases):
                found += [(node.lineno, alias.name) for alias in aliases if alias.name not in rooms]
    return found


@pytest.mark.parametrize("code", ["import stillbit", "import stillbit as sb", "from stillbit import quantize"])
def test_every_way_through_the_face_is_seen(code: str) -> None:
    assert through_the_face(code)


@pytest.mark.parametrize("code", ["from stillbit.layers import linear", "from stillbit import __version__"])
def test_imports_past_the_face_are_allowed(code: str) -> None:
    assert not through_the_face(code)
