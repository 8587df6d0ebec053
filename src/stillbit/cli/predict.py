"""``stillbit predict``: what a deployed model sees in pictures, or reads in texts.

It needs torch and numpy, and Pillow or tokenizers: neither timm nor transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro
from rich.console import Console

from stillbit.cli.options import parse

if TYPE_CHECKING:
    from stillbit.deploy.engine import Opened


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Say what a deployed model sees in pictures, or reads in texts."""

    file: tyro.conf.Positional[Path]
    """A file that stillbit export wrote: .safetensors, .onnx or .xml."""
    given: tyro.conf.Positional[tuple[str, ...]]
    """Pictures, or folders of them; or texts, each in quotation marks, and of a model of pairs two for each answer."""
    lines: Path | None = None
    """A file with a text a line, in UTF-8, a tab between the two of a pair; - is what comes in on stdin."""
    top: int = 5
    """How many classes of each picture or text."""
    engine: Literal["integer", "exact", "reference", "onnxruntime", "openvino"] | None = None
    """What runs it; the usual one for its kind of file if not given."""
    json: bool = False
    """Print JSON instead of a table."""

    def __post_init__(self) -> None:
        """Refuse to say nothing."""
        if self.top < 1:
            raise ValueError(f"a picture or a text shows one class at least, got {self.top}: --top 5")
        if not self.given and self.lines is None:
            raise ValueError(
                f'there is nothing to look at: stillbit predict {self.file} PICTURE ..., or "A TEXT", or --lines FILE'
            )


def run(words: Sequence[str]) -> int:
    """A block of lines a picture or text; one that cannot be used is named, and the others are shown."""
    asked = parse(Predict, words, prog="stillbit predict")
    from stillbit.deploy.engine import open_engine

    opened = open_engine(asked.file, asked.engine)
    if opened.about.text is not None:
        from stillbit.cli.predict_texts import read

        return read(asked, opened)
    if asked.lines is not None:
        raise ValueError(f"--lines is for texts, and {asked.file} sees pictures: leave it out")
    return _look(asked, opened)


def _look(asked: Predict, opened: Opened) -> int:
    from stillbit.cli.predict_show import likeliest, show
    from stillbit.deploy.picture import files_of

    engine, about = opened
    if about.preprocess is None:
        raise ValueError(f"{asked.file} does not say how it wants its pictures: export it again from its run")
    files = files_of(map(Path, asked.given))
    console, aside = Console(highlight=False), Console(stderr=True, highlight=False)
    found: list[dict[str, Any]] = []
    broken = 0
    for path in files:
        try:
            logits = _logits(engine, about, path)
        except ValueError as error:
            broken += 1
            aside.print(f"stillbit: {error}", markup=False, soft_wrap=True)
            continue
        seen = likeliest(logits, about.classes, asked.top)
        if not asked.json:
            show(console, str(path), seen, apart=bool(found))
        found.append({"picture": str(path), "classes": seen})
    if asked.json:
        console.print_json(data=found)
    return 2 if broken else 0


def _logits(engine: Any, about: Any, path: Path) -> Any:
    from stillbit.deploy.picture import input_of, opened

    return engine(input_of(opened(path), about.preprocess)[None])[0]
