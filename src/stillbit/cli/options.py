"""From words to a frozen dataclass of options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import tyro

S = TypeVar("S")

STYLE = (tyro.conf.AvoidSubcommands, tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.SuppressFixed)


def parse(kind: type[S], words: Sequence[str], *, prog: str, default: S | None = None, about: str = "") -> S:
    """The options in ``words``; a wrong one ends the program with a sentence and exit code 2."""
    begin = tyro.MISSING_NONPROP if default is None else default
    return tyro.cli(kind, args=list(words), prog=prog, config=STYLE, description=about or None, default=begin)
