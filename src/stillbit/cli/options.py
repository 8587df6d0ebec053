"""From words to a frozen dataclass of options."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import TypeVar

import tyro

S = TypeVar("S")

STYLE = (tyro.conf.AvoidSubcommands, tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.SuppressFixed)


def parse(kind: type[S], words: Sequence[str], *, prog: str, default: S | None = None, about: str = "") -> S:
    """The options in ``words``.

    What a dataclass refuses is a ``ValueError`` with its sentence; a word that is no option ends the program with exit
    code 2, after the parser has said which ones there are.
    """
    begin = tyro.MISSING_NONPROP if default is None else default

    def parsed() -> S:
        return tyro.cli(kind, args=list(words), prog=prog, config=STYLE, description=about or None, default=begin)

    try:
        with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
            return parsed()
    except SystemExit as end:
        sentence = _sentence(end)
    if sentence is not None:
        raise ValueError(sentence)
    return parsed()  # once more, for what the parser says


def _sentence(end: SystemExit) -> str | None:
    """What a dataclass raised, of which the parser made its exit; nothing if the parser refused by itself."""
    error: BaseException | None = end
    while error is not None:
        raised = error.__traceback__
        while raised is not None and raised.tb_next is not None:
            raised = raised.tb_next
        module = "tyro" if raised is None else str(raised.tb_frame.f_globals.get("__name__"))
        if isinstance(error, ValueError) and module.partition(".")[0] != "tyro":
            return str(error)
        error = error.__context__
    return None
