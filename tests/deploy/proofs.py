"""A small model, its program and its proof, made once for all tests that only look at them."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from stillbit.deploy.about import About, Preprocess
from stillbit.deploy.program import Program
from stillbit.deploy.proof.outcome import Proof
from stillbit.deploy.proof.proven import Work
from stillbit.deploy.proof.run import Told, prove
from stillbit.deploy.runtime.integer import Integer
from stillbit.deploy.tracing.trace import trace
from tests.deploy import small

ABOUT = About(
    model="vit_of_tests",
    method="vvtq",
    bits="w2a2",
    classes=("ant", "bee", "cat", "dog", "eel"),
    preprocess=Preprocess(size=(16, 16), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), crop_pct=0.9),
    facts={"top1": 81.5, "epochs": 5, "stillbit": "0.1.0"},
)


class Made(NamedTuple):
    """Nobody changes any of it."""

    model: Any
    program: Program
    images: np.ndarray[Any, Any]
    proof: Proof

    def work(self, **changes: Any) -> Work:
        whole = {"program": self.program, "about": ABOUT, "model": self.model, "images": self.images, "told": Told()}
        return Work(**{**whole, **changes})


@cache
def made() -> Made:
    """By VVTQ at two bits."""
    x = small.images(6)
    model = small.trained(small.vit(), "vvtq", "w2a2", x)
    program = trace(model, x)
    engines = {"exact": Integer(program, exact=True), "integer": Integer(program)}
    told = Told(subject="a model", seen="images of a test", labels=np.array([0, 1, 2, 3, 4, 0]))
    return Made(model, program, x.numpy(), prove(model, program, engines, x.numpy(), told))
