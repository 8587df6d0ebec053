"""Packed files, damaged in every way that came to mind, most of them with a checksum that fits again.

`attack` reads one and, if it is read, runs it. What may happen is a ValueError of one line that names the file, or an
output of the right shape; within a time, and within the memory that `bound` allows.
"""

from __future__ import annotations

import hashlib
import json
import signal
import tracemalloc
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from stillbit.deploy.file.check import shapes
from stillbit.deploy.file.container import SEAL
from stillbit.deploy.file.packed import DENSEST, read
from stillbit.deploy.file.stored import RATIO
from stillbit.deploy.inputs import limits_of
from stillbit.deploy.program import OPERATIONS, Array, Program
from stillbit.deploy.runtime import reference

SECONDS = 120
NASTY: list[Any] = [
    *(
        None,
        True,
        False,
        "",
        "x" * 400,
        "v0",
        "c0",
        "input",
        [],
        {},
        [[]],
        [1, [2, [3]]],
        0,
        1,
        -1,
        2,
        3,
        4,
        7,
        64,
        255,
    ),
    *(256, 1000, 4096, -2, -64, 2**15, 2**31 - 1, 2**31, -(2**31), 2**62, 2**63, 10**30, 0.5, -0.5, 1e-45, 1e38),
    *(1e308, 1e-300, "quantize", "product", "reshape", "U8", "I64", [0], [-1], [1, 1], [-1, -1], [2**31, 2**31]),
    *([[0, 0]] * 3, [100000, 100000], [10**9], "floats", "structure"),
]


class Hang(BaseException):
    """Not an Exception, so that nobody catches it on the way."""


@dataclass
class Tally:
    """What became of the files."""

    outcomes: Counter[str] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)
    """The refusals, without their numbers and names."""
    memory: float = 0.0
    """The most that a read took, as a part of what it may."""
    times: float = 0.0
    """The most that a read took, in sizes of the file."""


def bound(size: int) -> int:
    """Bytes that reading a file of this size may take: constants, the structure as Python has it, the bytes."""
    return (RATIO + 4) * size + min(30 * DENSEST * size, 128 << 20) + (1 << 20)


def attack(path: Path, tally: Tally, way: str) -> None:
    """Read and run one file."""
    tracemalloc.start()
    try:
        with _seconds(SECONDS):
            program = read(path).program
    except ValueError as problem:
        said = str(problem)
        assert str(path) in said and "\n" not in said and len(said) < 1000, said
        tally.outcomes[f"{way}: refused"] += 1
        tally.sentences["".join(c for c in said.replace(str(path), "") if not c.isdigit())[:60]] += 1
    else:
        tally.outcomes[f"{way}: ran"] += 1
        with _seconds(SECONDS):
            _run(program)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    size = path.stat().st_size
    assert peak <= bound(size), f"{peak:,} bytes for a file of {size:,}"
    tally.memory = max(tally.memory, peak / bound(size))
    tally.times = max(tally.times, peak / max(size, 1000))


def _run(program: Program) -> None:
    tracemalloc.stop()  # running is bounded by what check allows, not by the file
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is infinite or NaN in a damaged program is no fault of the reader
        assert reference.run(program, batch(program)).shape == shapes(program, 2)[program.output]
    tracemalloc.start()


def batch(program: Program, number: int = 2) -> tuple[Array, ...]:
    """What a program takes in: noise, and indices that it has rows for."""
    random, limits = np.random.default_rng(0), limits_of(program)
    return tuple(
        random.normal(size=(number, *each.dims[1:])).astype(np.float32)
        if each.kind == "floats"
        else random.integers(0, limits.get(each.name, 3), (number, *each.dims[1:]))
        for each in program.inputs
    )


@contextmanager
def _seconds(number: int) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, number)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --------------------------------------------------------------------------------------------------- the ways of damage


def sealed(data: bytes) -> bytes:
    """With the checksum that fits."""
    if len(data) < SEAL.stop:
        return data
    plain = data[: SEAL.start] + b"0" * 64 + data[SEAL.stop :]
    return data[: SEAL.start] + hashlib.sha256(plain).hexdigest().encode() + data[SEAL.stop :]


def opened(data: bytes) -> tuple[Any, dict[str, bytes]]:
    """The metadata, and the tensors."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")
    body = data[8 + length :]
    return metadata, {name: body[slice(*said["data_offsets"])] for name, said in header.items()}


def closed(metadata: Any, tensors: dict[str, bytes], change: Callable[[Any], Any] = lambda header: header) -> bytes:
    """A file of them; ``change`` may do something to the header."""
    header, first = {"__metadata__": metadata}, 0
    for name, held in tensors.items():
        header[name] = {"dtype": "U8", "shape": [len(held)], "data_offsets": [first, first := first + len(held)]}
    text = json.dumps(change(header), separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return sealed(len(text).to_bytes(8, "little") + text + b"".join(tensors.values()))


def restructured(data: bytes, change: Callable[[Any], Any]) -> bytes:
    """With a changed structure, everything else as it should be."""
    metadata, tensors = opened(data)
    said = change(json.loads(zlib.decompress(tensors["structure"])))
    text = said if isinstance(said, bytes) else json.dumps(said, separators=(",", ":")).encode()
    tensors["structure"] = zlib.compress(text)
    return closed({**metadata, "structure": str(len(text))}, tensors)


def flipped(data: bytes, random: Random) -> bytes:
    held = bytearray(data)
    for _ in range(random.choice([1, 1, 2, 8])):
        held[random.randrange(len(held))] ^= 1 << random.randrange(8)
    return bytes(held)


def cut(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data))]


def spliced(data: bytes, random: Random) -> bytes:
    """Bytes put in, taken out, or moved."""
    at, length = random.randrange(len(data)), random.choice([1, 2, 8, 64])
    put = random.choice([b"", random.randbytes(length), data[at // 2 : at // 2 + length]])
    return data[:at] + put + data[at + random.choice([0, length]) :]


def reheaded(data: bytes, random: Random) -> bytes:
    return closed(*opened(data), change=lambda header: harmed(header, random))


def rebuilt(data: bytes, random: Random) -> bytes:
    return restructured(data, lambda said: harmed(said, random))


def stepped(data: bytes, random: Random) -> bytes:
    """Another operation, other inputs or settings of one step, or of another order."""

    def change(said: Any) -> Any:
        steps, names = said["steps"], [*said["constants"], *(step[2] for step in said["steps"]), *_given(said)]
        number = random.randrange(len(steps))
        op, inputs, output, settings, layer = steps[number]
        way = random.choice(["op", "inputs", "settings", "settings", "settings", "order", "gone", "number"])
        if way == "op":
            op = random.choice(OPERATIONS)
        elif way == "inputs":
            inputs = [random.choice(names) if random.random() < 0.5 else name for name in inputs]
        elif way == "settings":
            settings = _harmed(settings, random, random.choice([1, 2, 2, 3]))
        elif way == "number":
            inputs = inputs[:-1] if random.random() < 0.5 else [*inputs, random.choice(names)]
        steps[number] = [op, inputs, output, settings, layer]
        if way == "order":
            random.shuffle(steps)
        elif way == "gone":
            del steps[number]
        return said

    return restructured(data, change)


def _given(said: Any) -> list[str]:
    return [said["input"]] if "input" in said else [name for name, *_ in said["inputs"]]


def replaced(data: bytes, random: Random) -> bytes:
    """A constant described in another way, or by what describes another one."""

    def change(said: Any) -> Any:
        constants = said["constants"]
        name, other = random.choice(list(constants)), random.choice(list(constants))
        constants[name] = constants[other] if random.random() < 0.2 else _harmed(constants[name], random, 2)
        return said

    return restructured(data, change)


def retyped(data: bytes, random: Random) -> bytes:
    """The text of the structure, as text."""
    damage = random.choice([flipped, spliced])
    return restructured(data, lambda said: damage(json.dumps(said, separators=(",", ":")).encode(), random))


def refilled(data: bytes, random: Random) -> bytes:
    """Other numbers in a tensor: random ones, damaged ones, or deflated ones of any length."""
    metadata, tensors = opened(data)
    name = random.choice([each for each in tensors if each != "structure"])
    held = tensors[name]
    tensors[name] = random.choice(
        [
            random.randbytes(len(held)),
            bytes(len(held)),
            b"\xff" * len(held),
            flipped(held, random),
            zlib.compress(bytes(random.choice([0, len(held), 8 * len(held), 10**6]))),
        ]
    )
    return closed(metadata, tensors)


def harmed(data: Any, random: Random) -> Any:
    """Plain data with one to three things changed somewhere in it."""
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        data = _harmed(data, random, random.choice([1, 2, 3, 4, 5, 6]))
    return data


def _harmed(data: Any, random: Random, depth: int) -> Any:
    keys = list(data) if isinstance(data, dict) else list(range(len(data))) if isinstance(data, list) else []
    if not keys or not depth:
        return _other(data, random)
    key, held = random.choice(keys), (dict(data) if isinstance(data, dict) else list(data))
    if depth > 1 or random.random() < 0.4:
        held[key] = _harmed(data[key], random, depth - 1)
        return held
    way = random.choice(["take out", "say twice", "swap", "put in"])
    other = random.choice(keys)
    if way == "take out":
        del held[key]
    elif way == "swap":
        held[key], held[other] = held[other], held[key]
    elif isinstance(held, dict):
        held[random.choice(["poem", "by", "low", "axis", "c1"])] = held[key] if way == "say twice" else _nasty(random)
    else:
        held.insert(key, held[key] if way == "say twice" else _nasty(random))
    return held


def _other(data: Any, random: Random) -> Any:
    """In place of a leaf: a near one, or something odd."""
    if isinstance(data, bool):
        return random.choice([not data, _nasty(random)])
    if isinstance(data, int | float):
        near = [data + 1, data - 1, -data, 2 * data, data * 1000, 0, float(data)]
        return random.choice([*near, _nasty(random)])
    if isinstance(data, str) and data[1:].isdigit():
        return random.choice([f"{data[0]}{max(int(data[1:]) + random.randrange(-9, 10), 0)}", _nasty(random)])
    return _nasty(random)


def _nasty(random: Random) -> Any:
    if random.random() < 0.01:
        deep: Any = 1
        for _ in range(random.choice([30, 70, 400])):
            deep = [deep]
        return deep
    return random.choice(NASTY)


WAYS: dict[str, Callable[[bytes, Random], bytes]] = {
    "bits": flipped,
    "end": cut,
    "bytes": spliced,
    "bits, sealed": lambda data, random: sealed(flipped(data, random)),
    "end, sealed": lambda data, random: sealed(cut(data, random)),
    "bytes, sealed": lambda data, random: sealed(spliced(data, random)),
    "header": reheaded,
    "structure": rebuilt,
    "a step": stepped,
    "a constant": replaced,
    "text of the structure": retyped,
    "tensors": refilled,
}
OFTEN = {"a step": 8, "structure": 4, "a constant": 2, "header": 2, "tensors": 2}
"""Out of 25; the others once each."""


def fuzz(files: list[bytes], number: int, seed: int, folder: Path) -> Tally:
    """So many damaged files, one after the other."""
    random, tally, path = Random(seed), Tally(), folder / "damaged.safetensors"
    ways = [way for way in WAYS for _ in range(OFTEN.get(way, 1))]
    for turn in range(number):
        way = random.choice(ways)
        data = WAYS[way](random.choice(files), random)
        path.write_bytes(data)
        try:
            attack(path, tally, way)
        except BaseException:
            path.rename(folder / f"failed-{seed}-{turn}.safetensors")
            raise
    return tally
