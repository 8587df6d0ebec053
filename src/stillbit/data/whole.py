"""Files that are whole or not there: whatever kills the process or fills the disk, no half of one is ever seen."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A path to write to; what is there takes the place of ``target`` when the block ends well, and is gone if not."""
    # Machines that share a disk may have processes of the same number, and containers mostly have.
    machine = platform.node()
    temporary = target.with_name(f".{target.name}.{os.getpid()}@{machine}")
    _sweep(target, machine)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # some writers keep what they write to themselves
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sweep(target: Path, machine: str) -> None:
    """Remove what processes of this machine left here that were killed while they wrote."""
    for left in target.parent.glob(f".{escape(target.name)}.*@{escape(machine)}"):
        number = left.name[len(target.name) + 2 :].partition("@")[0]
        if number.isdecimal() and not _runs(int(number)):
            left.unlink(missing_ok=True)


def _runs(number: int) -> bool:
    try:
        os.kill(number, 0)  # asks, and does nothing
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
