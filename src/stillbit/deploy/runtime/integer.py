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
from stillbit.deploy.program import Array, Program, sizes
from stillbit.deploy.runtime.integer_compile import Compiled
from stillbit.deploy.runtime.integer_plan import Plan

NEAR = 1_000_000
"""So many numbers of the largest value are computed at a time, a thread: they stay near the processor."""
MOST = 64
"""Images at a time."""
Images = Float32[NDArray[Any], "batch ..."]
Logits = Float32[NDArray[Any], "batch ..."]


@final
class Integer:
    """A program that runs in integers."""

    name = "integer"

    def __init__(self, program: Program, *, exact: bool = False, compiled: bool = False) -> None:
        """``compiled``: by torch's compiler, in its first call for one image, and in the first for more."""
        if exact and compiled:
            raise ValueError("exact runs step by step, so there is nothing to compile: leave out exact or compiled")
        self.exact, self.compiled, self.shape = exact, compiled, program.shape
        self.largest = max(prod(dims) for dims in shapes(program).values())
        self.plan = Plan(program, exact=exact, traced=compiled)
        self.ready: dict[tuple[int, bool], Compiled] = {}

    def __call__(self, images: Images) -> Logits:
        """Logits of a batch."""
        parts = self._taken(images).split(self.chunk)
        with self._still():
            logits = [self._run(part) for part in parts]
            return np.array(torch.cat(logits).numpy())

    def codes(self, images: Images, forced: Mapping[str, Array] | None = None) -> Iterator[tuple[str, Array]]:
        """Every quantize step's codes, and the sums of every product and convolution, in order.

        Codes that are ``forced`` on a quantize step are what the steps behind it go on with.
        """
        if forced and self.compiled:
            raise ValueError("a compiled program keeps its codes to itself: force codes on one that is not compiled")
        batch = self._taken(images)
        given = {name: torch.from_numpy(np.array(codes)) for name, codes in (forced or {}).items()}
        with self._still():
            shown = self._compiled(batch, watched=True).watch(batch) if self.compiled else self.plan.watch(batch, given)
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

    def _run(self, part: Tensor) -> Tensor:
        if not self.compiled:
            return self.plan.run(part)
        size = 1 if len(part) == 1 else self.chunk
        whole = torch.cat([part, part.new_zeros(size - len(part), *part.shape[1:])])
        return self._compiled(whole, watched=False).run(whole)[: len(part)]

    def _compiled(self, batch: Tensor, *, watched: bool) -> Compiled:
        key = len(batch), watched
        if key not in self.ready:
            self.ready[key] = Compiled(self.plan, batch, watched=watched)
        return self.ready[key]

    def _still(self) -> AbstractContextManager[Any]:
        """No gradients, and no lower precision that a caller asked for."""
        stack = ExitStack()
        stack.enter_context(torch.no_grad() if self.compiled else torch.inference_mode())
        stack.enter_context(torch.autocast("cpu", enabled=False))
        return stack

    def _taken(self, images: Images) -> Tensor:
        array = np.ascontiguousarray(images, np.float32)
        wanted = sizes(self.shape, max(len(array), 1)) if array.ndim else self.shape
        if array.shape != wanted:
            shape = " x ".join(map(str, self.shape[1:]))
            raise ValueError(f"images of {array.shape} are no batch of {shape}: one image is a batch of one")
        return torch.from_numpy(array if array.flags.writeable else array.copy())  # torch warns of what is not
