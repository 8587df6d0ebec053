"""A program as an ONNX file, of standard operators only, with what the model says of itself in its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from stillbit import __version__
from stillbit.data.whole import whole
from stillbit.deploy.about import About
from stillbit.deploy.graphs.shorten import shortened
from stillbit.deploy.graphs.sides import Dialect
from stillbit.deploy.graphs.writer import Writer
from stillbit.deploy.inputs import Wanted
from stillbit.deploy.program import Input, Program

Flavour = Literal["integer", "compact"]

NOTES = {
    "integer": "products of codes run in integers where the runtime has kernels for them: INT8 weights, INT8 and UINT8 "
    "activations, clipped to their true range",
    "compact": "weights of up to four bits are stored in INT4 or INT2; the runtimes of today make floats of them",
}
NEEDS = {"gelu": 20}
"""The first version of the operators that has what a program's operation becomes."""
LEAST, FOUR_BITS, TWO_BITS = 18, 21, 25


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a graph has to say besides computing, kept in the metadata of every format."""

    about: About
    flavour: str
    output: str
    """What the program calls the logits."""
    wanted: Wanted
    codes: dict[str, dict[str, Any]]
    """By the name of the step that quantizes: the tensor of its codes, and how they become those of the program."""

    KEYS: ClassVar = ("stillbit", "flavour", "note", "about", "program")

    def to_strings(self) -> dict[str, str]:
        """As metadata have it."""
        program = {"output": self.output, **self._taken_in(), "codes": self.codes}
        said = {"about": json.dumps(self.about.to_json()), "program": json.dumps(program)}
        return {"stillbit": __version__, "flavour": self.flavour, "note": NOTES[self.flavour], **said}

    def _taken_in(self) -> dict[str, Any]:
        """Of a graph that takes images: their shape."""
        inputs = self.wanted.inputs
        if [each.kind for each in inputs] == ["floats"]:
            return {"shape": inputs[0].dims}
        return {"inputs": [asdict(each) for each in inputs], "limits": self.wanted.limits}

    @classmethod
    def of_strings(cls, said: Mapping[str, str]) -> Written:
        """The inverse; a graph that stillbit did not write is a ValueError."""
        if "stillbit" not in said:
            raise ValueError("it is no graph of stillbit's: write one with stillbit export")
        try:
            program = json.loads(said["program"])
            about = About.of_json(json.loads(said["about"]))
            codes = dict(program["codes"])
            if not all(_is_told(how) for how in codes.values()):
                raise ValueError("codes")
            wanted = _wanted(program)
            return cls(about=about, flavour=said["flavour"], output=program["output"], wanted=wanted, codes=codes)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as problem:
            raise ValueError("what it says of itself is damaged: export it again") from problem


def _wanted(program: dict[str, Any]) -> Wanted:
    said = program.get("inputs") or [{"name": "input", "dims": program["shape"], "kind": "floats"}]
    inputs = tuple(Input(name=str(o["name"]), dims=tuple(int(s) for s in o["dims"]), kind=o["kind"]) for o in said)
    if any(len(each.dims) < 2 or each.kind not in ("floats", "indices") for each in inputs):
        raise ValueError("inputs")
    return Wanted(inputs=inputs, limits={str(name): int(rows) for name, rows in program.get("limits", {}).items()})


def _is_told(how: Any) -> bool:
    """Whether this says where codes are: a tensor, its zero, and the moves back."""
    moves = [tuple(move.values()) for move in how["back"] if set(move) in ({"axes"}, {"shape"})]
    whole_numbers = all(type(size) is int for (sizes,) in moves for size in sizes)
    return (
        isinstance(how["tensor"], str) and type(how["zero"]) is int and len(moves) == len(how["back"]) and whole_numbers
    )


def write_onnx(program: Program, about: About, path: Path, flavour: Flavour = "integer") -> int:
    """Write the file, all of it or nothing; how many bytes it has."""
    if flavour not in NOTES:
        raise ValueError(f"there is no flavour {flavour!r} of ONNX: choose {' or '.join(NOTES)}")
    model, written = model_of(program, about, Dialect(dense=flavour == "compact"))
    for key, value in written.to_strings().items():
        model.metadata_props.add(key=key, value=value)
    data: bytes = model.SerializeToString()
    with whole(Path(path)) as temporary:
        temporary.write_bytes(data)
    return len(data)


def model_of(program: Program, about: About, dialect: Dialect) -> tuple[Any, Written]:
    """The checked graph, and what is said of it."""
    onnx = package()
    program = shortened(program)
    writer = Writer(program, dialect)
    model = writer.model(opset_of(program, dialect))
    onnx.checker.check_model(model, full_check=True)
    flavour = "compact" if dialect.dense else "integer"
    codes = {step.output: writer.products.rounding.seen[step.output] for step in program.steps if step.op == "quantize"}
    said = {"about": about, "flavour": flavour, "output": program.output, "wanted": Wanted.of(program)}
    return model, Written(**said, codes=codes)  # type: ignore[arg-type]


def opset_of(program: Program, dialect: Dialect) -> int:
    """The oldest operators that have all a program needs: old ones run in more places."""
    needed = [LEAST, *(NEEDS.get(step.op, 0) for step in program.steps)]
    if dialect.dense:
        widths = [held.grid.bits for held in program.constants.values() if held.grid is not None]
        needed += [TWO_BITS if bits <= 2 else FOUR_BITS if bits <= 4 else 0 for bits in widths]
    return max(needed)


def package() -> Any:
    """The package that knows the format."""
    try:
        import onnx
        import onnx.checker
    except ImportError:
        raise ValueError('ONNX needs a package more: pip install "stillbit[onnx]"') from None
    return onnx
