"""Which images were left out because they are damaged, over all processes and all parts of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, final

from stillbit.train import distributed
from stillbit.train.distributed import Share
from stillbit.train.files import write_text
from stillbit.train.hooks import Hook
from stillbit.train.state import Training


class Leaves(Protocol):
    """A loader, which may have to leave something out."""

    @property
    def damaged(self) -> list[tuple[str, str]]:
        """Name and reason of each."""


def left_out(*loaders: Leaves) -> dict[str, str]:
    """Name and reason of every image that these loaders left out, in any process."""
    mine = [pair for loader in loaders for pair in loader.damaged]
    return dict(pair for pairs in distributed.gathered(mine) for pair in pairs)


@final
class Damage(Hook):
    """Names every image that a loader left out in ``damaged.txt``, and counts them for the log."""

    name: ClassVar[str] = "damage"

    def __init__(self, folder: Path, loaders: Sequence[Leaves], share: Share) -> None:
        """``folder`` is the run's."""
        self.folder, self.loaders, self.share = folder, loaders, share
        self.found: dict[str, str] = {}

    def after_epoch(self, training: Training) -> None:
        """Write the names down if there are new ones."""
        self._collect()
        if len(self.found) > training.damaged and self.share.leads:
            lines = (f"{name}\t{reason}\n" for name, reason in sorted(self.found.items()))
            write_text(self.folder / "damaged.txt", "".join(lines))
        training.damaged = len(self.found)

    def _collect(self) -> None:
        """What any process has met so far."""
        self.found |= left_out(*self.loaders)

    def state(self) -> dict[str, Any]:
        """The names so far; all processes take part."""
        self._collect()
        return {"found": dict(self.found)}

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``state``."""
        self.found = dict(state.get("found", {}))
