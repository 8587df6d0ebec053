"""The integer runtime: products of codes in eight-bit integers, and as few passes over floats as there can be.

It needs torch and no model: neither layers nor quantizers nor timm. ``exact`` runs the program step by step and gives
every integer of the reference, bit for bit; without it the program is folded first (`stillbit.deploy.runtime.fold`),
and codes may differ where a value lies on the boundary between two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from math import prod
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from stillbit.deploy.file.check import shapes
from stillbit.deploy.inputs import Given, Wanted
from stillbit.deploy.program import Array, Program
from stillbit.deploy.runtime.integer_compile import Compiled
from stillbit.deploy.runtime.integer_plan import Plan, Tensors

NEAR = 1_000_000
"""So many numbers of the largest value are computed at a time, a thread: they stay near the processor."""
MOST = 64
"""Images at a time."""
Logits = Float32[NDArray[Any], "batch ..."]


@final
class Integer:
    """A program that runs in integers."""

    name = "integer"

    def __init__(self, program: Program, *, exact: bool = False, compiled: bool = False) -> None:
        """``compiled``: by torch's compiler, in its first call for one image, and in the first for more."""
        if exact and compiled:
            raise ValueError("exact runs step by step, so there is nothing to compile: leave out exact or compiled")
        self.exact, self.compiled, self.wanted = exact, compiled, Wanted.of(program)
        known = shapes(program)
        self.largest = max(prod(known[name]) for name in known if name not in program.constants)
        self.plan = Plan(program, exact=exact, traced=compiled)
        self.ready: dict[tuple[int, bool], Compiled] = {}

    def __call__(self, *given: Array) -> Logits:
        """Logits of a batch: of images, or of what else the program takes in, in its order."""
        portions = zip(*(tensor.split(self.chunk) for tensor in self._taken(given)), strict=True)
        with self._still():
            logits = [self._run(portion) for portion in portions]
            return np.array(torch.cat(logits).numpy())

    def codes(self, given: Given, forced: Mapping[str, Array] | None = None) -> Iterator[tuple[str, Array]]:
        """Every quantize step's codes, and the sums of every product and convolution, in order.

        Codes that are ``forced`` on a quantize step are what the steps behind it go on with.
        """
        if forced and self.compiled:
            raise ValueError("a compiled program keeps its codes to itself: force codes on one that is not compiled")
        batch = self._taken(given)
        fixed = {name: torch.from_numpy(np.array(codes)) for name, codes in (forced or {}).items()}
        with self._still():
            shown = self._compiled(batch, watched=True).watch(batch) if self.compiled else self.plan.watch(batch, fixed)
        while True:
            with self._still():  # not while whoever looks at the codes is at work
                found = next(shown, None)
            if found is None:
                return
            yield found[0], found[1].to(torch.int64).numpy()

    @property
    def chunk(self) -> int:
        """How many images are computed at a time."""
        return min(max(NEAR * torch.get_num_threads() // self.largest, 1), MOST)

    def _run(self, portion: Tensors) -> Tensor:
        if not self.compiled:
            return self.plan.run(portion)
        count = len(portion[0])
        size = 1 if count == 1 else self.chunk
        whole = tuple(torch.cat([part, part.new_zeros(size - count, *part.shape[1:])]) for part in portion)
        return self._compiled(whole, watched=False).run(whole)[:count]

    def _compiled(self, batch: Tensors, *, watched: bool) -> Compiled:
        key = len(batch[0]), watched
        if key not in self.ready:
            self.ready[key] = Compiled(self.plan, batch, watched=watched)
        return self.ready[key]

    def _still(self) -> AbstractContextManager[Any]:
        """No gradients, and no lower precision that a caller asked for."""
        stack = ExitStack()
        stack.enter_context(torch.no_grad() if self.compiled else torch.inference_mode())
        stack.enter_context(torch.autocast("cpu", enabled=False))
        return stack

    def _taken(self, given: Given) -> Tensors:
        arrays = self.wanted.taken(given)
        # torch warns of what cannot be written to
        return tuple(torch.from_numpy(array if array.flags.writeable else array.copy()) for array in arrays)
