"""``stillbit info``: what is installed here, or what is in a run or a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from stillbit.cli.options import parse


@dataclass(frozen=True, kw_only=True)
class Info:
    """Say what is installed here, or what is in a run or a model."""

    target: tyro.conf.Positional[str | None] = None
    """A run, a model file that stillbit wrote (deployed ones too), or timm's name of a model; nothing for this
    machine."""
    bits: str | None = None
    """For a model's name: what it would be at these bits, such as w4a4."""


def run(words: Sequence[str]) -> int:
    """Tables."""
    asked = parse(Info, words, prog="stillbit info")
    console = Console()
    if asked.target is None:
        from stillbit.train import distributed
        from stillbit.train.environment import environment

        found = environment(distributed.join(), 0)
        console.print(_table({**found["versions"], **found["hardware"]}))
        return 0
    folder = Path(asked.target)
    if folder.suffix in (".safetensors", ".onnx", ".xml"):
        from stillbit.cli.info_deployed import is_deployed, rows_of, show_layers

        if is_deployed(folder):
            console.print(_table(rows_of(folder)), highlight=False)
            show_layers(folder, console)
            return 0
    if (folder / "recipe.json").is_file():
        console.print(_table(_of_run(folder)), highlight=False)
    from stillbit.methods.target import open_target
    from stillbit.surgery.macs import count, example_of
    from stillbit.surgery.summary import summary
    from stillbit.surgery.swap import quantize

    target = open_target(asked.target)
    model = target.model if asked.bits is None else quantize(target.model, asked.bits)
    if target.recipe.quant is None and asked.bits is None and not hasattr(model, "_stillbit"):
        work = f", {count(model).total / 1e9:.3g} G MACs a sample" if example_of(model) is not None else ""
        parameters = sum(p.numel() for p in model.parameters())
        console.print(f"{type(model).__name__}: {parameters / 1e6:.2f} M parameters{work}, float", highlight=False)
        return 0
    console.out(str(summary(model)), highlight=False)
    return 0


def _of_run(folder: Path) -> dict[str, Any]:
    """What was run, with what, and how far it came."""
    recipe, where = (json.loads((folder / f"{name}.json").read_text()) for name in ("recipe", "environment"))
    task = recipe.get("text", {}).get("task") or None
    builder = "timm" if task is None else "transformers"
    said: dict[str, Any] = {
        "run": folder,
        "method": recipe["method"],
        "model": recipe["model"]["model"],
        "task": task,
        "bits": "float" if recipe["quant"] is None else recipe["quant"]["bits"],
        "through": _through(folder, recipe),
        "seed": recipe["machine"]["seed"],
        "made with": ", ".join(f"{k} {v}" for k, v in where["versions"].items() if k in ("stillbit", "torch", builder)),
        "on": f"{where['hardware']['processes']} x {where['hardware']['gpu'] or where['hardware']['processor']}",
    }
    rows = (folder / "summary.csv").read_text().splitlines() if (folder / "summary.csv").is_file() else []
    said["epochs"] = f"{max(len(rows) - 1, 0)} of {recipe['schedule']['epochs']}"
    if len(rows) > 1:
        last = dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))
        judged = "score" if "score" in last else "top1"
        said["last"] = f"{judged} {float(last[judged]):.2f} %, loss {float(last['eval_loss']):.4f}"
    return said


def _through(folder: Path, recipe: dict[str, Any]) -> str | None:
    """The widths before this one, each with what its run came to."""
    quant = recipe["quant"] or {}
    if not quant.get("through"):
        return None
    from stillbit.methods.chain import FOLDER

    said = []
    for inside in sorted((folder / FOLDER).glob("*/result.json")):
        result = json.loads(inside.read_text())
        score = result.get("score", result.get("top1"))
        said.append(f"{inside.parent.name.partition('-')[2]} {score:.2f} %")
    return ", then ".join([*said, quant["bits"]])


def _table(rows: dict[str, Any]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    for name, value in rows.items():
        if value is not None:
            table.add_row(name, str(value))
    return table
