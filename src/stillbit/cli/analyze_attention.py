"""``stillbit analyze attention``: where a model looks, float against quantized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stillbit.cli.analyze import Asked, shown
from stillbit.cli.options import parse

if TYPE_CHECKING:
    from stillbit.analysis.attention import Shown
    from stillbit.analysis.given import Given


@dataclass(frozen=True, kw_only=True)
class AskedAttention(Asked):
    """Attention maps of the float model and of quantized ones side by side, and how alike they are as numbers."""

    images: int = 32
    """Images, or texts, that the numbers are means over, as many of every class."""
    keep: int = 4
    """Of how many the maps are kept."""
    bits: tuple[str, ...] = ()
    """Quantize the float model on the spot as well, with start values from the same images or texts: w8a8 w4a4 w2a2."""
    batch_size: int = 16
    """Images or texts at a time."""

    def __post_init__(self) -> None:
        """Refuse what shows nothing."""
        super().__post_init__()
        if self.keep < 1:
            raise ValueError(f"one map is kept at least, got --keep {self.keep}")


def run(words: Sequence[str]) -> int:
    """The float model first, then the subject if it is quantized, then the bits."""
    asked = parse(AskedAttention, words, prog="stillbit analyze attention")
    from stillbit.analysis.attention import Shown, compute
    from stillbit.methods.build import sight_of
    from stillbit.methods.subject import float_of, is_quantized, open_subject, pictures, words_of

    subject = open_subject(asked.target, checkpoint=asked.checkpoint, pretrained=asked.pretrained, device=asked.device)
    batches = pictures(subject, asked.images, batch_size=asked.batch_size, **asked.of_data())
    quantized, origin = is_quantized(subject), float_of(subject)
    models = [Shown("float", origin.about if quantized else subject.about, origin.model)]
    if quantized:
        models.append(Shown(subject.name, subject.about, subject.model))
    models += [_at_bits(origin.model, bits, batches) for bits in asked.bits]
    record = compute(
        models,
        batches,
        subject=subject.name,
        look=sight_of(subject.recipe, subject.model),
        words=words_of(subject) if subject.recipe.reads else None,
        keep=asked.keep,
    )
    return shown(asked, record, subject.folder)


def _at_bits(model: Any, bits: str, batches: Sequence[Given]) -> Shown:
    from stillbit.analysis.attention import Shown
    from stillbit.analysis.given import to_calibrate
    from stillbit.surgery.calibrate import calibrate
    from stillbit.surgery.swap import quantize

    low = quantize(model, bits)
    calibrate(low, to_calibrate(batches))
    return Shown(bits, "the float model, quantized and not trained", low)
