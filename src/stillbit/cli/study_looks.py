"""``python -m stillbit.cli.study_looks``: several looks at a run in one process.

To load the packages takes longer than to look. Its words are a file for the answers, and the looks as JSON.
"""

from __future__ import annotations

import io
import json
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

from stillbit.train.files import write_json, write_text


def main(words: Sequence[str]) -> None:
    """Look, and keep after each look why it gave nothing, or an empty string if it did."""
    target, looks = Path(words[0]), json.loads(words[1])
    answers: dict[str, str] = {}
    for look in looks:
        answers[look["what"]] = _looked(look)
        write_json(target, answers)


def _looked(look: dict[str, Any]) -> str:
    """One command. What is wrong with it harms no other."""
    command, *rest = look["words"]
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            import_module(f"stillbit.cli.{command}").run(rest)
        if look["output"] is not None:
            write_text(Path(look["output"]), said.getvalue())
    except (ValueError, OSError) as error:
        return str(error)
    except SystemExit:
        return f"stillbit {' '.join(look['words'])} is not understood"
    except Exception as error:
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    main(sys.argv[1:])
