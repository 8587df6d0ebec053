"""``stillbit analyze oscillation``: which weights do not settle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from stillbit.cli.analyze import Asked, shown
from stillbit.cli.options import parse
from stillbit.cli.unused import refuse_unused

if TYPE_CHECKING:
    from stillbit.analysis.oscillation import Tracked
    from stillbit.methods.subject import Subject


@dataclass(frozen=True, kw_only=True)
class AskedOscillation(Asked):
    """Which weights of a run that was trained with --track do not settle, and where latents lie between thresholds."""

    checkpoint: Literal["best", "last"] = "last"
    """Which checkpoint of a run. The last one has seen all of the training."""
    latents_only: bool = False
    """Only the histograms of the latents; for models that nobody tracked."""


def run(words: Sequence[str]) -> int:
    """What the tracker saw, and the histograms."""
    asked = parse(AskedOscillation, words, prog="stillbit analyze oscillation")
    refuse_unused(asked, "oscillation is about weights, and looks at no image", "data_dir", "dataset", "val_split")
    from stillbit.analysis.latent import latents
    from stillbit.analysis.oscillation import Oscillations
    from stillbit.methods.subject import need_quantized, open_subject

    subject = open_subject(asked.target, checkpoint=asked.checkpoint, pretrained=asked.pretrained, device=asked.device)
    need_quantized(subject, "oscillation")
    record = Oscillations(
        subject=subject.name,
        about=subject.about,
        tracked=None if asked.latents_only else _tracked(subject, asked.checkpoint),
        latents=latents(subject.model, subject.name),
    )
    return shown(asked, record, subject.folder)


def _tracked(subject: Subject, checkpoint: str) -> Tracked:
    """What the tracker of the run saw until the checkpoint."""
    from stillbit.analysis.logged import logged
    from stillbit.analysis.tracked import tracked
    from stillbit.methods.subject import need_folder
    from stillbit.train.checkpoint import read

    folder = need_folder(subject, "oscillation over a training")
    held: dict[str, Any] = read(folder / f"{checkpoint}.pt")
    state = held["hooks"].get("oscillation")
    if not state:
        raise ValueError(
            f"nobody tracked the weights of {subject.name}: train with --track, or add --latents-only to see where "
            "they lie now"
        )
    epochs = logged(folder).epochs
    settings = subject.recipe.dynamics.track
    return tracked(subject.model, state, settings, step=held["position"]["step"], epochs=epochs)
