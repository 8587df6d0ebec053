"""The command line as a person calls it: in this process for what it says, in one of its own for what kills it."""

from __future__ import annotations

import io
import multiprocessing as mp
import os
import resource
import sys
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest

from stillbit.cli.main import main

WIDE = {"COLUMNS": "125", "NO_COLOR": "1", "TERM": "dumb"}
"""Wide enough for a table, and too narrow for two columns of help."""
PLAIN = "--dataset digits --in-chans 1 --img-size 8 --no-aug --workers 0 --warmup-epochs 0"
"""Options with which an epoch takes half a second."""


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def call(words: str, *more: object) -> Said:
    """``stillbit WORDS`` in this process; ``more`` are words that may hold spaces."""
    out, err = io.StringIO(), io.StringIO()
    with patch.dict(os.environ, WIDE), redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main([*words.split(), *map(str, more)])
    assert isinstance(end.value.code, int)
    return Said(end.value.code, out.getvalue(), err.getvalue())


def works(words: str, *more: object) -> str:
    """What a command says that does what it was asked to."""
    said = call(words, *more)
    assert said.code == 0 and not said.err, said.err
    return said.out


def mistake(words: str, *more: object) -> str:
    """The one sentence a command says that was asked for what cannot be."""
    said = call(words, *more)
    assert said.code == 2, said
    assert not said.out or "writes to" in said.out, "what is wrong goes to stderr"
    assert said.err.startswith("stillbit: ") and said.err.count("\n") == 1, said.err
    assert len(said.err) < 400, "nobody reads that much"
    return said.err


def start(words: str, *more: object, log: Path, room: int | None = None, **environment: str) -> BaseProcess:
    """``stillbit WORDS`` in a process of its own, which writes to ``log``, and no file of more than ``room`` bytes.

    It is a fork of a process that has imported everything and done nothing: it begins in milliseconds.
    """
    context: Any = mp.get_context("forkserver")
    context.set_forkserver_preload(["stillbit.methods.perform", "sklearn.datasets", "torch.utils.data"])
    said = [*words.split(), *map(str, more)]
    process: BaseProcess = context.Process(target=_main, args=(said, log, room, environment))
    process.start()
    return process


def _main(words: list[str], log: Path, room: int | None, environment: dict[str, str]) -> None:
    os.setpgrp()  # a signal to its group does not reach the tests
    mp.set_start_method("fork", force=True)  # as on the command line; else it would be that of this process
    os.environ.update(WIDE | environment)
    if room is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    sys.stdout = sys.stderr = log.open("a", buffering=1)
    code: Any = None
    try:
        main(words)
    except SystemExit as end:
        code = end.code
    sys.exit(code)  # only now, when nothing holds on to the processes that load images


def refused(words: str, *more: object) -> str:
    """What is said of a word that cannot be: one sentence of ours, or the parser's box about options there are."""
    said = call(words, *more)
    assert said.code == 2 and not said.out, said
    assert "Traceback" not in said.err
    assert "--help" in said.err or (said.err.startswith("stillbit: ") and said.err.count("\n") == 1), said.err
    return said.err


def everything(folder: Path) -> dict[str, bytes]:
    """All files of a folder, with what is in them."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
