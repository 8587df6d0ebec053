"""The packed file: one safetensors file with a program in it, which numpy alone can read. See docs/deploy/format.md."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from stillbit.deploy.about import About
from stillbit.deploy.file import structure
from stillbit.deploy.file.check import check_form, check_values
from stillbit.deploy.file.check_shapes import spelled
from stillbit.deploy.file.container import Sealed, read_sealed, seal, write_sealed
from stillbit.deploy.file.pack import Bytes
from stillbit.deploy.file.stored import RATIO, Place, asked, fetch, fits, inflated, store
from stillbit.deploy.file.strict import parsed, written
from stillbit.deploy.file.structure import Structure
from stillbit.deploy.program import Constant, Dims, Program

FORMAT = "stillbit packed"
VERSION = 2
"""The latest that there is; files of a later one are refused, and one that an older reader can read is written as 1."""
STRUCTURE = "structure"
"""The tensor that holds the structure: JSON, deflated."""
LONGEST = 1 << 22
"""Bytes of the structure before it is deflated; DeiT-T has 60 thousand."""
DENSEST = 20
"""How many times longer the structure may be than it is deflated; that of DeiT-T is 6 times."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What a packed file holds."""

    program: Program
    about: About


def write(packed: Packed, path: str | os.PathLike[str]) -> int:
    """Write the file, all of it or nothing; how many bytes it has."""
    known = check_form(packed.program)
    check_values(packed.program, known)
    _check_about(packed.about, packed.program, known)
    for small in (True, False):
        places, tensors = store(packed.program.constants, small=small)
        held = _sealed(packed, places, tensors)
        if asked(places) <= RATIO * len(held):  # if it is not, nearly all is zero, and a reader would not trust it
            break
    return write_sealed(path, held)


def read(path: str | os.PathLike[str]) -> Packed:
    """What `write` wrote; everything is checked, most of it before anything is allocated."""
    sealed = read_sealed(path)
    with _named(path):
        return _packed(sealed)


def bytes_of(path: str | os.PathLike[str]) -> dict[str, dict[str, int]]:
    """Where the bytes of a file are: by ``kinds`` and by ``layers``, each of which sums to its size.

    A constant counts for the first layer that uses it. The pool of floats is deflated as one: its bytes are shared out
    by how many floats a layer has. What belongs to no layer counts for "".
    """
    sealed = read_sealed(path)
    with _named(path):
        held = _structure(sealed)
        fits(held.places, _constants(sealed), held.floats, sealed.size)
    users = {name: step.layer for step in reversed(held.steps) for name in step.inputs}
    layers = {"": 0, **dict.fromkeys([step.layer for step in held.steps], 0)}
    kinds = dict.fromkeys([_kind(place) for place in held.places.values()], 0)
    seen = set()
    for name, place in held.places.items():
        tensor = sealed.tensors[place.tensor].size
        taken = place.count * tensor // held.floats if place.kind == "floats" else tensor
        if (place.tensor, place.first) not in seen:
            seen.add((place.tensor, place.first))
            layers[users.get(name, "")] += taken
            kinds[_kind(place)] += taken
    kinds["structure"] = sealed.tensors[STRUCTURE].size
    kinds["header"] = sealed.size - sum(tensor.size for tensor in sealed.tensors.values())
    if held.floats:
        kinds["floats"] += sealed.size - sum(kinds.values())  # what dividing left over
    layers[""] += sealed.size - sum(layers.values())
    return {"kinds": kinds, "layers": layers}


def _kind(place: Place) -> str:
    return (
        f"{place.grid.bits}-bit codes"
        if place.grid is not None
        else place.kind
        if place.kind == "floats"
        else "indices"
    )


def _sealed(packed: Packed, places: dict[str, Place], tensors: dict[str, Bytes]) -> bytearray:
    about = packed.about
    text = written(structure.to_json(packed.program, places, about.to_json())).encode()
    if len(text) > LONGEST:
        raise ValueError(f"the structure takes {len(text):,} bytes, and a packed file holds {LONGEST:,} of it")
    dense = zlib.compress(text, 9)
    kept = dense if len(text) <= DENSEST * len(dense) else zlib.compress(text, 0)
    version = structure.version_of(packed.program)
    title = " ".join(word for word in (about.model, about.method, about.bits) if word)
    metadata = {"format": FORMAT, "version": str(version), "title": title, "structure": str(len(text))}
    return seal(metadata, {**tensors, STRUCTURE: np.frombuffer(kept, np.uint8)})


@contextmanager
def _named(path: str | os.PathLike[str]) -> Iterator[None]:
    """A fault of the file is said with its name."""
    try:
        yield
    except ValueError as problem:
        raise ValueError(f"{path} cannot be used, {problem}: export it again") from None


def _constants(sealed: Sealed) -> dict[str, Bytes]:
    return {name: tensor for name, tensor in sealed.tensors.items() if name != STRUCTURE}


def _packed(sealed: Sealed) -> Packed:
    held, tensors = _structure(sealed), _constants(sealed)
    fits(held.places, tensors, held.floats, sealed.size)
    program = Program(
        inputs=held.inputs,
        output=held.output,
        steps=held.steps,
        constants={name: _ghost(place) for name, place in held.places.items()},
    )
    known = check_form(program)
    program = replace(program, constants=fetch(held.places, tensors, held.floats))
    check_values(program, known)
    about = About.of_json(held.about)
    _check_about(about, program, known)
    return Packed(program=program, about=about)


def _ghost(place: Place) -> Constant:
    """A constant that has a shape and takes no memory."""
    return Constant(array=np.broadcast_to(np.zeros((), place.dtype), place.shape), grid=place.grid)


def _structure(sealed: Sealed) -> Structure:
    said = sealed.metadata
    if said.get("format") != FORMAT:
        raise ValueError(f"it holds {said.get('format', 'something else')!r:.40} and no packed program")
    version, plain = said.get("version", ""), said.get("structure", "")
    if _counts(version) and int(version) > VERSION:
        raise ValueError(
            f"a newer stillbit wrote it (version {version}, this one reads up to {VERSION}; pip install --upgrade "
            "stillbit)"
        )
    if version not in ("1", "2"):
        raise ValueError(f"its version {version!r:.20} is none")
    stream = sealed.tensors.get(STRUCTURE)
    if stream is None or not _counts(plain):
        raise ValueError("its structure is missing")
    if any(tensor.dtype != np.uint8 or tensor.ndim != 1 for tensor in sealed.tensors.values()):
        raise ValueError("its tensors are not rows of bytes")
    if int(plain) > min(LONGEST, DENSEST * stream.size):
        raise ValueError(f"its structure of {plain} bytes is too long")
    return structure.of_json(parsed(bytes(inflated(STRUCTURE, stream, int(plain), always=True))))


def _counts(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _check_about(about: About, program: Program, known: dict[str, Dims]) -> None:
    """Whether the words are about this program."""
    look, sizes = about.preprocess, program.shape[1:]
    if look is not None and (look.size != sizes[1:] or not len(look.mean) == len(look.std) == sizes[0]):
        raise ValueError(f"its pictures are prepared for another input than {spelled(sizes)}")
    text, given = about.text, program.inputs
    if text is not None and [(name, (-1, text.length)) for name in text.inputs] != [(o.name, o.dims) for o in given]:
        raise ValueError(f"its texts are prepared for other inputs than {', '.join(each.name for each in given)}")
    output = known[program.output]
    if about.classes and output[1:] != (len(about.classes),):
        raise ValueError(f"it names {len(about.classes):,} classes, and puts out {spelled(output)} numbers")
