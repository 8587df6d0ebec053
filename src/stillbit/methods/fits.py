"""A model quantized by a recipe's words; where it lacks what they are about, one sentence in those words."""

from __future__ import annotations

from typing import Any

from stillbit.methods.recipe import ModelSettings, QuantSettings
from stillbit.surgery.plan import Plan
from stillbit.surgery.survey import survey
from stillbit.surgery.swap import quantize

INSTEAD = {
    "use AttentionSpec(merge=False)": "--no-merge-qk",
    "use merge=False": "--no-merge-qk",
    "use rectify=False": "--no-rectify",
    "has no fixed number; use per_tensor": "has no fixed number; --activation-granularity tensor",
    "use per_tensor, per_channel or per_group": "--activation-granularity tensor",
}
"""What Python's words are on the command line."""


def fitted(model: Any, plan: Plan, settings: QuantSettings, about: ModelSettings) -> Any:
    """``model`` on the grids of ``plan``, which ``settings`` stand for."""
    _check_heads(model, settings, about.model)
    try:
        return quantize(model, plan, inplace=True)
    except ValueError as error:
        said = str(error)
        for there, here in INSTEAD.items():
            said = said.replace(there, here)
        raise ValueError(said) from None


def _check_heads(model: Any, settings: QuantSettings, name: str) -> None:
    """Words about heads and tokens have no effect on a model that has none, so they are refused."""
    sites, whose = survey(model).sites, settings.activation_granularity
    if settings.embedding_bits is not None and not any("word" in site.roles for site in sites):
        raise ValueError(f"--embedding-bits is for the word embeddings of texts, and {name} has none: leave it out")
    wants = {
        "--granularity head": (settings.granularity == "head", "--granularity channel"),
        f"--activation-granularity {whose}": (whose != "tensor", "--activation-granularity tensor"),
        "--merge-qk": (settings.merge_qk, "--no-merge-qk"),
        "--rectify": (settings.rectify, "--no-rectify"),
    }
    if any(site.is_attention for site in sites):
        return
    for flag, (wanted, instead) in wants.items():
        if wanted:
            raise ValueError(f"{flag} is for attention, and {name} has none that can be quantized: {instead}")
