"""What a tensor of the running model is: a value of the program, or known already, and on which grid it lies."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field, replace
from typing import final

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.weak import WeakIdKeyDictionary

from stillbit.deploy.program import Grid


@dataclass(frozen=True)
class Traced:
    """A name in the program, or a tensor that is known already; with its grid, if it has one."""

    name: str | None = None
    known: Tensor | None = None
    grid: Grid | None = None
    rounded: tuple[tuple[str, ...], float] | None = None
    """Of a rounding whose clamp is still to come: what is divided, perhaps by what, and the offset taken off before."""
    stale: bool = False
    """Whether another tensor with the same memory was written to since."""
    opposite: bool = False
    """Of yes and no: whether it is the opposite of what has its name."""
    row: Tensor | None = None
    """What is known of every image, if it is the same one row for each."""
    numbers: bool = False
    """Whether it numbers the images of a batch: 0, 1, 2, and so on."""
    shape: tuple[int, ...] = ()
    dtype: torch.dtype | None = None
    """Both of the tensor at hand, for the batch at hand; said where an operation takes it in."""


@final
class Held:
    """Tensors by identity. One that nobody put here is known: no input led to it."""

    def __init__(self) -> None:
        """Nothing is held yet."""
        self._values = WeakIdKeyDictionary()
        self._memories: dict[int, _Memory] = {}

    def of(self, tensor: Tensor) -> Traced:
        """What ``tensor`` is; ``stale`` if that can no longer be said."""
        value: Traced | None = self._values.get(tensor)
        if value is None:
            return Traced(known=tensor, stale=self._memory(tensor).depends)
        return value if value.name is not None else replace(value, known=tensor)

    def put(self, tensor: Tensor, value: Traced) -> None:
        """From now on ``tensor`` is ``value``."""
        memory = self._memory(tensor)
        memory.depends |= value.name is not None
        if tensor not in self._values:
            memory.tensors.append(weakref.ref(tensor))
        # What is said of a known tensor does not hold it, or it would never be let go.
        self._values[tensor] = replace(value, known=None)

    def overwritten(self, tensor: Tensor) -> None:
        """``tensor`` was written to: what else lies in its memory is no longer what it was."""
        for ref in self._memory(tensor).tensors:
            other = ref()
            if other is not None and other is not tensor:
                value = self._values[other]
                # What is known can still be read, but lies on a grid no more.
                self._values[other] = Traced(name=value.name, stale=value.name is not None)

    def _memory(self, tensor: Tensor) -> _Memory:
        storage = tensor.untyped_storage()
        return self._memories.setdefault(storage._cdata, _Memory(StorageWeakRef(storage)))


@dataclass
class _Memory:
    """What several tensors may lie in."""

    ref: StorageWeakRef
    """As long as this is held, no other memory has the same address."""
    depends: bool = False
    """Whether an input led to what was ever written here."""
    tensors: list[weakref.ref[Tensor]] = field(default_factory=list)
