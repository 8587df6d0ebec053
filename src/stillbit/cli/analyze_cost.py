"""``stillbit analyze cost``: what an image or a text costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillbit.cli.analyze import Asked, shown
from stillbit.cli.options import parse
from stillbit.cli.unused import refuse_unused


@dataclass(frozen=True, kw_only=True)
class AskedCost(Asked):
    """Multiplications, bit operations and bytes of an image or a text, layer by layer, and what hardware would need."""

    bits: str | None = None
    """For a float model: count it as if it had these bits, w4a4, w2a2, ..."""
    length: int | None = None
    """Of a text: how many pieces; as many as the run cuts texts to, if not given."""

    def __post_init__(self) -> None:
        """Refuse what has no effect."""
        super().__post_init__()
        refuse_unused(self, "what an image or a text costs is counted without any", "data_dir", "dataset", "val_split")


def run(words: Sequence[str]) -> int:
    """The cost of one model."""
    asked = parse(AskedCost, words, prog="stillbit analyze cost")
    from stillbit.analysis.cost import compute
    from stillbit.methods.subject import open_subject

    subject = open_subject(asked.target, checkpoint=asked.checkpoint, pretrained=asked.pretrained, device=asked.device)
    model, at = _at_bits(subject, asked.bits)
    top1 = _top1(subject.folder) if asked.checkpoint == "best" and asked.bits is None else None
    name = subject.name if asked.bits is None else f"{subject.name} {asked.bits}"
    return shown(
        asked,
        compute(model, subject=name, about=at, example=_example(subject, asked.length), top1=top1),
        subject.folder,
    )


def _at_bits(subject: Any, bits: str | None) -> tuple[Any, str]:
    """The model at the bits that are asked for, and what to say of it."""
    from stillbit.methods.subject import is_quantized
    from stillbit.surgery.macs import without_numbers
    from stillbit.surgery.swap import quantize

    if not is_quantized(subject):
        if bits is None:
            return subject.model, f"float, {subject.about}"
        return quantize(without_numbers(subject.model), bits), f"counted as if it had {bits}"
    if bits is not None:
        raise ValueError(f"{subject.name} has its bits: leave out --bits; its table tells what others would cost")
    said = f"{subject.recipe.quant.bits}, " if subject.recipe.quant is not None else ""
    return subject.model, f"{said}{subject.about}"


def _example(subject: Any, length: int | None) -> Any:
    """One image of the size the model sees, or one text, with no numbers in it."""
    import torch

    from stillbit.analysis.cost import text
    from stillbit.data.text_tables import Tables, longest
    from stillbit.methods.subject import reads

    if reads(subject):
        most = subject.recipe.text.max_length
        return text(subject.model, longest(most, Tables.of(subject.model.config)) if length is None else length)
    if length is not None:
        raise ValueError(f"--length is about texts, and {subject.name} sees images: leave it out")

    from stillbit.methods.build import look_of

    look = look_of(subject.recipe, subject.model)
    return torch.empty(1, look.channels, *look.size, device="meta")


def _top1(folder: Path | None) -> float | None:
    """What a run that ended came to, in percent."""
    path = None if folder is None else folder / "result.json"
    if path is None or not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        # A task of texts may have no classes, and so no share of right ones.
        return None if "score" in found and "top1" not in found else float(found["top1"])
    except (ValueError, TypeError, KeyError):
        raise ValueError(f"{path} is broken: remove it, and the cost is counted without the accuracy") from None
