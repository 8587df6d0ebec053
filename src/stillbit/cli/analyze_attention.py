"""``stillbit analyze attention``: where a model looks, float against quantized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stillbit.cli.analyze import Asked, shown
from stillbit.cli.options import parse

if TYPE_CHECKING:
    from stillbit.analysis.attention import Shown
    from stillbit.data.batch import Batch


@dataclass(frozen=True, kw_only=True)
class AskedAttention(Asked):
    """Attention maps of the float model and of quantized ones side by side, and how alike they are as numbers."""

    images: int = 32
    """Images that the numbers are means over, as many of every class."""
    keep: int = 4
    """Of how many the maps are kept."""
    bits: tuple[str, ...] = ()
    """Quantize the float model on the spot as well, with start values from the same images: w8a8 w4a4 w2a2."""
    batch_size: int = 16
    """Images at a time."""

    def __post_init__(self) -> None:
        """Refuse what shows nothing."""
        super().__post_init__()
        if self.keep < 1:
            raise ValueError(f"one map is kept at least, got --keep {self.keep}")


def run(words: Sequence[str]) -> int:
    """The float model first, then the subject if it is quantized, then the bits."""
    asked = parse(AskedAttention, words, prog="stillbit analyze attention")
    from stillbit.analysis.attention import Shown, compute
    from stillbit.methods.build import look_of
    from stillbit.methods.subject import float_of, is_quantized, open_subject, pictures

    subject = open_subject(asked.target, checkpoint=asked.checkpoint, pretrained=asked.pretrained, device=asked.device)
    batches = pictures(subject, asked.images, batch_size=asked.batch_size, **asked.of_data())
    quantized, origin = is_quantized(subject), float_of(subject)
    models = [Shown("float", origin.about if quantized else subject.about, origin.model)]
    if quantized:
        models.append(Shown(subject.name, subject.about, subject.model))
    models += [_at_bits(origin.model, bits, batches) for bits in asked.bits]
    look = look_of(subject.recipe, subject.model)
    record = compute(models, batches, subject=subject.name, look=look, keep=asked.keep)
    return shown(asked, record, subject.folder)


def _at_bits(model: Any, bits: str, batches: Sequence[Batch]) -> Shown:
    from stillbit.analysis.attention import Shown
    from stillbit.surgery.calibrate import calibrate
    from stillbit.surgery.swap import quantize

    low = quantize(model, bits)
    calibrate(low, [batch.images for batch in batches])
    return Shown(bits, "the float model, quantized and not trained", low)
