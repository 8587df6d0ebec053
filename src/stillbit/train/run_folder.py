"""The folder of one run: made once, never overwritten, used by one process at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Collection
from pathlib import Path
from typing import Any, final

from stillbit.train.files import write_json
from stillbit.train.settings import OutputSettings


@final
class RunFolder:
    """Where a run writes, and from which checkpoint it goes on, if any."""

    def __init__(self, settings: OutputSettings, name: str, known: Collection[str] = ()) -> None:
        """``name`` is taken where the settings give none; what is ``known`` may be inside. Nothing is written yet."""
        self.path = settings.output / (settings.experiment or name)
        self.checkpoint = _checkpoint(self.path, settings.resume, {".lock", *known})
        self._lock: Any = None

    def open(self, recipe: dict[str, Any], environment: dict[str, Any]) -> None:
        """Make the folder, keep others out of it, and write down what is about to happen."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise ValueError(f"{self.path} cannot be written to ({error.strerror}): choose another --output") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise ValueError(f"another process trains in {self.path} right now: choose another --experiment") from None
        for left in self.path.glob(".*.*.*"):  # by a process that was killed while it wrote
            left.unlink()
        if self.checkpoint is None or not (self.path / "recipe.json").exists():
            write_json(self.path / "recipe.json", recipe)
        write_json(self.path / "environment.json", environment)

    def close(self) -> None:
        """Let others in."""
        if self._lock is not None:
            (self.path / ".lock").unlink(missing_ok=True)
            self._lock.close()
            self._lock = None


def _checkpoint(folder: Path, resume: str | None, known: set[str]) -> Path | None:
    """The checkpoint to go on from; a folder in which something is, is never begun anew."""
    if resume is not None and resume != "auto":
        given = Path(resume)
        found = given / "last.pt" if given.is_dir() else given
        if not found.is_file():
            raise ValueError(f"--resume {resume}: there is no checkpoint {found}; give a run or its last.pt")
        if found.resolve().parent != folder.resolve():
            _refuse_used(folder, known, "choose another --experiment")
        return found
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: choose another --experiment")
    last = folder / "last.pt"
    if resume == "auto":
        if last.is_file() or not folder.is_dir() or (folder / "recipe.json").is_file():
            return last if last.is_file() else None
        _refuse_used(folder, known, "it is no run of ours, choose another --experiment")
        return None
    way = (
        "go on with --resume auto, or choose another --experiment" if last.is_file() else "choose another --experiment"
    )
    if not last.is_file() and (folder / "recipe.json").is_file():
        way = "it stopped before its first checkpoint: begin again with --resume auto, or choose another --experiment"
    _refuse_used(folder, known, way)
    return None


def _refuse_used(folder: Path, known: set[str], way: str) -> None:
    if folder.is_dir() and any(path.name not in known for path in folder.iterdir()):
        raise ValueError(f"{folder} exists and is not empty: {way}")
