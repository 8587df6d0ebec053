"""Files that are whole or not there: whatever kills the process or fills the disk, no half of one is ever seen."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A path to write to; what is there takes the place of ``target`` when the block ends well, and is gone if not."""
    temporary = draft(target.parent, target.name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # some writers keep what they write to themselves
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def draft(folder: Path, name: str, *endings: str) -> Path:
    """A hidden path that only this process writes to, with the first of ``endings``.

    What processes of this machine left here under the same name is removed, if they were killed while they wrote.
    """
    # Machines that share a disk may have processes of the same number, and containers mostly have.
    machine = platform.node()
    node, ends = re.escape(machine), "|".join(re.escape(ending) for ending in endings)
    # Some writers make a draft of the draft, or a folder for it as tempfile names one.
    more = rf"\.\1@{node}|\.\w{{8}}" if endings else rf"\.\1@{node}"
    left = re.compile(rf"\.+{re.escape(name)}\.([0-9]+)@{node}(?:{ends})(?:{more})?")
    for there in os.listdir(folder) if folder.is_dir() else ():
        found = left.fullmatch(there)
        if found is not None and not _runs(int(found[1])):
            _remove(folder / there)
    return folder / f".{name}.{os.getpid()}@{machine}{endings[0] if endings else ''}"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _runs(number: int) -> bool:
    try:
        os.kill(number, 0)  # asks, and does nothing
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
