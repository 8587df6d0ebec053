"""``stillbit COMMAND``: finds the command, and turns a mistake into one sentence."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import NoReturn

from rich.console import Console

COMMANDS = {
    "train": "Train a model by a method",
    "evaluate": "Measure a trained model",
    "runs": "Compare runs: accuracy, bits, size, time",
    "study": "Train many cells of one question, and judge what was claimed",
    "analyze": "Look at what bits do: what is sensitive, varies, oscillates, and costs",
    "report": "Put runs and their analyses on one page",
    "export": "Write a trained model as it is deployed, and prove it",
    "verify": "Prove a deployed file again, and measure it",
    "bench": "Measure how fast a deployed file is, beside its float model",
    "predict": "Say what a deployed model sees in pictures",
    "info": "Say what is installed here, or what is in a run or a model",
    "methods": "List the methods",
    "data": "Make data sets",
    "labels": "Write, look at and check stores of a teacher's labels",
}
WRONG = 2
"""The exit code of a user's mistake."""


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit."""
    said = list(sys.argv[1:] if words is None else words)
    if said[:1] in ([], ["-h"], ["--help"], ["help"]):
        Console().print(usage(), highlight=False)
        sys.exit(0 if said else WRONG)
    if said[0] == "--version":
        from stillbit import __version__

        Console().print(f"stillbit {__version__}", highlight=False)
        sys.exit(0)
    if said[0] not in COMMANDS:
        near = get_close_matches(said[0], COMMANDS, n=1)
        fail(
            f"there is no command {said[0]!r}: " + (f"did you mean stillbit {near[0]}?" if near else "stillbit --help")
        )
    try:
        sys.exit(import_module(f"stillbit.cli.{said[0]}").run(said[1:]))
    except ValueError as error:
        fail(str(error))
    except OSError as error:
        about = f"{error.filename}: " if error.filename else ""
        fail(f"{about}{error.strerror or error}")
    except KeyboardInterrupt:
        fail("stopped", code=130)
    except RuntimeError as error:
        if os.environ.get("WORLD_SIZE", "1") != "1" and _lost(error):
            fail("another process of this job is gone, so this one stops too: go on with --resume auto", code=1)
        raise


def usage() -> str:
    """What ``stillbit --help`` says."""
    lines = [f"  [bold]{name:<10}[/]{what}" for name, what in COMMANDS.items()]
    return "\n".join(["usage: stillbit COMMAND ...", "", *lines, "", "stillbit COMMAND --help says more."])


def fail(sentence: str, code: int = WRONG) -> NoReturn:
    """Say what was wrong and exit."""
    rank = int(os.environ.get("RANK", "0"))
    if rank:
        # What is wrong is mostly wrong in all processes: the first one says so, and torchrun ends the others.
        time.sleep(3)
    who = f" (process {rank})" if rank else ""
    Console(stderr=True, soft_wrap=True).print(f"stillbit{who}: {sentence}", markup=False, highlight=False)
    sys.exit(code)


def _lost(error: RuntimeError) -> bool:
    """Whether the other end of a collective went away."""
    said = str(error).lower()
    return any(sign in said for sign in ("connection closed", "connection reset", "gloo", "nccl", "broken pipe"))
