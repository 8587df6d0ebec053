"""What a run leaves: its model, as a file of its own, and built anew from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stillbit.methods import build
from stillbit.methods.recipe import Recipe
from stillbit.surgery.file import save
from stillbit.surgery.summary import summary
from stillbit.train import checkpoint, weights
from stillbit.train.files import write_json

LEARNED = ("weight_bits", "activation_bits", "gbitops")
"""What learned bits came to."""


def trained(recipe: Recipe, path: Path) -> Any:
    """The model of a checkpoint; its running average, if the run had one."""
    held = checkpoint.read(path)
    model = build.bare_model(recipe, numbers=False)
    try:
        model.load_state_dict(held["model"] if held["ema"] is None else held["ema"])
    except RuntimeError as error:
        raise ValueError(f"{path} holds another model than its recipe says ({str(error).splitlines()[0]})") from None
    return build.weighted(recipe, model).eval()


def publish(
    recipe: Recipe,
    folder: Path,
    best: dict[str, Any],
    seconds: float,
    taught_by: dict[str, Any] | None = None,
    scores: dict[str, float] | None = None,
) -> Path:
    """Write the best model of a run to ``model.safetensors`` (quantized as `stillbit.load` reads it, or float).

    What came out in short goes to ``result.json``, with who taught, if anybody did, and what bits were learned, which
    the last ``scores`` say.
    """
    path = folder / "best.pt"
    model = trained(recipe, path if path.is_file() else folder / "last.pt")
    target = folder / "model.safetensors"
    parameters = sum(p.numel() for p in model.parameters())
    if recipe.quant is None:
        weights.save(model, target)
        size = sum(p.nbytes for p in model.parameters())
    else:
        save(model, target)
        size = summary(model).weight_bytes
    result = {**best, "epochs": recipe.schedule.epochs, "parameters": parameters, "weight_bytes": size}
    learned = {name: said for name in LEARNED if (said := (scores or {}).get(name)) is not None}
    taught = {} if taught_by is None else {"taught_by": taught_by}
    write_json(folder / "result.json", {**result, **learned, "seconds": seconds, **taught})
    return target
