"""``stillbit evaluate``: how good a trained model is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console

from stillbit.cli.options import parse


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure a model on the images, or texts, it was not trained on."""

    target: tyro.conf.Positional[str]
    """A run, a model file or folder that stillbit wrote, or timm's name of a model."""
    task: str | None = None
    """Of a model of texts that comes without its run: the task to judge it by, such as sst2."""
    data_dir: Path | None = None
    """The folder with the images or texts; a run knows its own."""
    dataset: str | None = None
    """What is there (folder, digits, hfds/NAME, wds); a run knows its own."""
    val_split: str | None = None
    """The split to evaluate on; validation if not given."""
    checkpoint: Literal["best", "last"] = "best"
    """Which checkpoint of a run."""
    latent: bool = False
    """Of a quantized model, measure the latent weights as they are, unquantized: a float model."""
    corrupt: Literal["fatal", "skip"] | None = None
    """Whether a damaged image or line ends the evaluation or is left out; a run knows its own."""
    pretrained: bool = False
    """Download timm's weights for a model given by name."""
    batch_size: int = 256
    """Images, or texts, at a time."""
    workers: int = 2
    """Processes that load images."""
    device: str = "auto"
    """cpu, cuda, ...; auto takes a GPU if there is one."""
    amp: bool = False
    """Compute in bfloat16 where that is safe."""
    json: bool = False
    """Print one JSON object instead of a table."""


def run(words: Sequence[str]) -> int:
    """One line of scores."""
    asked = parse(Evaluate, words, prog="stillbit evaluate")
    from stillbit.methods.judge import judge
    from stillbit.methods.target import asked_of, is_reader, latent, open_target, with_data

    target = open_target(asked.target, checkpoint=asked.checkpoint, pretrained=asked.pretrained)
    target = latent(target) if asked.latent else target
    target = target if asked.task is None else asked_of(target, asked.target, asked.task)
    if is_reader(target.model) and not target.recipe.reads:
        raise ValueError(f"{asked.target} reads texts, and does not say what they are asked: --task NAME, such as sst2")
    of_data = ("data_dir", "dataset", "val_split", "corrupt", "batch_size", "workers")
    recipe = with_data(target.recipe, **{name: getattr(asked, name) for name in of_data})
    scores, left_out = judge(target._replace(recipe=recipe), device=asked.device, amp=asked.amp)
    console = Console(quiet=os.environ.get("RANK", "0") != "0")
    if asked.json:
        console.print_json(data={**scores, "images": int(scores["images"]), "left_out": left_out})
        return 0
    for name, reason in left_out.items():
        console.print(f"left out: {name} ({reason})", markup=False, highlight=False, soft_wrap=True)
    shown = "  ".join(f"{name} [bold]{scores[name]:.2f} %[/]" for name in scores if name not in ("eval_loss", "images"))
    what = "examples" if recipe.reads else "images"
    console.print(
        f"{shown}  loss {scores['eval_loss']:.4f}  on {scores['images']:,.0f} {what}  ({target.about})",
        highlight=False,
        soft_wrap=True,
    )
    return 0
