"""An engine against the reference, which goes on with the engine's codes, so that no flip counts twice."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from stillbit.deploy.program import Program
from stillbit.deploy.runtime import reference
from stillbit.deploy.tracing.trace import trace
from tests.deploy import small

ULPS = 8
"""How far from a boundary a tie lies at most, in steps of float32 at the largest value of its tensor."""


@dataclass(frozen=True)
class Walk:
    """What was found: ``wrong`` names the layers where codes differ that are no ties."""

    codes: int
    ties: int
    wrong: list[str]
    logits: float


def walk(engine: Any, program: Program, images: Any) -> Walk:
    found = list(engine.codes(images))
    assert [name for name, _ in found] == [s.output for s in program.steps if s.op == "quantize"] + [program.output]
    forced = dict(found)
    codes, ties, wrong = 0, 0, []
    for step, inputs, own in reference.steps(program, images, forced):
        if step.op == "quantize":
            codes, differ = codes + own.size, own != forced[step.output]
            before = reference.before(*inputs, offset=step.settings["offset"])
            away = np.abs(np.abs(before - np.floor(before)) - 0.5)
            near = away <= ULPS * np.spacing(np.float32(max(1.0, np.abs(before).max())))
            ties += int((differ & near).sum())
            wrong += [step.layer] if (differ & ~near).any() else []
        if step.output == program.output:
            logits = np.abs(own - forced[step.output]).max() / np.abs(own).max()
    return Walk(codes, ties, wrong, float(logits))


@cache
def _pickled(name: str, method: str, bits: str) -> bytes:
    if name == "mini":
        x = small.images()
        return pickle.dumps(trace(small.trained(small.vit(), method, bits, x), x[:2]))
    return pickle.dumps(trace(small.family(name, method, bits), small.images(2, 32)))


def program_of(name: str, method: str, bits: str) -> Program:
    """The program of a small model, traced once; each caller has his own."""
    program: Program = pickle.loads(_pickled(name, method, bits))
    return program


def images(program: Program, number: int = 5) -> Any:
    return np.random.default_rng(0).standard_normal((number, *program.shape[1:]), dtype=np.float32)


QUICK = [("mini", "vvtq", "w2a2"), ("mini", "ofq", "w2a2"), ("mini", "dorefa", "w1a1")]
GRID = [
    *QUICK,
    ("mini", "lsq", "w4a4"),
    ("mini", "statsq", "w8a8"),
    ("mini", "lsq_plus", "w3a3"),
    ("mini", "qvit_mixed", "w5a5"),
]
"""Every way to make codes: offsets on either side, shifts, scales a head and a token, learned bits."""
FAMILIES = [
    (family, method, bits)
    for family in ("vit", "deit", "swin", "swin_v2", "sret", "resnet")
    for method, bits in (("lsq", "w8a8"), ("vvtq", "w2a2"), ("ofq", "w3a3"), ("statsq", "w4a4"), ("ofq", "w1a1"))
]
