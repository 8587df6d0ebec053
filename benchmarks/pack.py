"""How fast codes are packed and unpacked, against a copy of them, and how long a whole file takes, in one run.

    python benchmarks/pack.py                    32 million codes, DeiT-T on two bits
    python benchmarks/pack.py --rounds 3 --output benchmarks/results

Codes are bytes before they are packed and after they are unpacked: gigabytes a second are of these. The copy is
numpy's, of as many bytes. All take turns. The file is the packed file of DeiT-T by VVTQ's recipe, with start values
from noise and every parameter moved, so that nothing in it is zero or one. It is written and read in memory.
"""

from __future__ import annotations

import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import tyro

from stillbit.deploy.about import About
from stillbit.deploy.file.pack import pack, unpack
from stillbit.deploy.file.packed import Packed, bytes_of, read, write
from stillbit.deploy.program import Program
from stillbit.deploy.tracing.trace import trace
from stillbit.methods import RECIPES
from stillbit.methods.build import plan_of
from stillbit.surgery.calibrate import calibrate
from stillbit.surgery.swap import quantize


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    codes: int = 1 << 25
    rounds: int = 9
    model: str = "deit_tiny_patch16_224"
    method: str = "vvtq"
    bits: str = "w2a2"
    output: Path | None = None
    """A folder: the result goes there as JSON and Markdown."""


def main(settings: Settings) -> None:
    """Measure, print, and write."""
    torch.set_num_threads(1)
    result = {
        "date": str(date.today()),
        "hardware": hardware(),
        "settings": {name: value for name, value in asdict(settings).items() if name != "output"},
        "gigabytes_per_second": codes(settings),
        "file": file(settings),
    }
    print(page(result))
    if settings.output is not None:
        settings.output.mkdir(parents=True, exist_ok=True)
        (settings.output / "pack.json").write_text(json.dumps(result, indent=1) + "\n")
        (settings.output / "pack.md").write_text(page(result))


def codes(settings: Settings) -> dict[str, dict[str, float]]:
    """Gigabytes of codes a second, for every width: median and slowest round."""
    random = np.random.default_rng(0)
    ways: dict[str, Callable[[], Any]] = {}
    for bits in range(1, 9):
        low = -(1 << (bits - 1))
        held = random.integers(low, low + (1 << bits), settings.codes, dtype=np.int8)
        stream = pack(held, low, bits)
        assert (unpack(stream, held.size, low, bits) == held).all()
        ways[f"pack {bits}"] = lambda held=held, low=low, bits=bits: pack(held, low, bits)
        ways[f"unpack {bits}"] = lambda stream=stream, low=low, bits=bits: unpack(stream, settings.codes, low, bits)
    ways["copy"] = held.copy
    rates = {
        name: [settings.codes / seconds / 1e9 for seconds in each]
        for name, each in turns(ways, settings.rounds).items()
    }
    return {name: {"median": statistics.median(each), "lowest": min(each)} for name, each in rates.items()}


def file(settings: Settings) -> dict[str, Any]:
    """Size and milliseconds of a whole file."""
    packed = Packed(program=program(settings), about=About(model=settings.model, method=settings.method))
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        path = Path(folder) / "model.safetensors"
        size = write(packed, path)
        times = turns({"write": lambda: write(packed, path), "read": lambda: read(path)}, settings.rounds)
        kinds = bytes_of(path)["kinds"]
    return {"bytes": size, "kinds": kinds, **{name: 1e3 * statistics.median(each) for name, each in times.items()}}


def program(settings: Settings) -> Program:
    """A model that looks trained: no parameter is left at zero or one."""
    torch.manual_seed(0)
    model = timm.create_model(settings.model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    quant = RECIPES[settings.method]().quant
    assert quant is not None, "the float recipe has no codes"
    model = quantize(model, plan_of(replace(quant, bits=settings.bits)))
    size = model.patch_embed.img_size  # type: ignore[union-attr]
    images = torch.randn(4, 3, *size)  # type: ignore[misc]
    calibrate(model, [images])
    return trace(model.eval(), images[:2])


def turns(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, one after the other, round by round; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if number:
                times[name].append(time.perf_counter() - began)
    return times


def hardware() -> str:
    """The machine in a line."""
    cpuinfo = Path("/proc/cpuinfo")
    rows = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [row.split(":")[1].strip() for row in rows if row.startswith("model name")]
    model = names[0] if names else platform.processor()
    cores = f"{len(names)} cores, one thread, " if names else ""
    return f"{model}, {cores}numpy {np.__version__}, torch {torch.__version__}, Python {platform.python_version()}"


def page(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    rates, made = result["gigabytes_per_second"], result["file"]
    rows = "".join(
        f"| {bits} | {rates[f'pack {bits}']['median']:.1f} [{rates[f'pack {bits}']['lowest']:.1f}] "
        f"| {rates[f'unpack {bits}']['median']:.1f} [{rates[f'unpack {bits}']['lowest']:.1f}] |\n"
        for bits in range(1, 9)
    )
    kinds = ", ".join(f"{kind} {size:,}" for kind, size in made["kinds"].items())
    return (
        f"# Packing codes\n\n{result['date']}. {result['hardware']}.\n"
        f"Settings: `{result['settings']}`. Made by `python benchmarks/pack.py`.\n\n"
        f"Gigabytes of codes a second, a byte a code: median [lowest]. A copy: {rates['copy']['median']:.1f} "
        f"[{rates['copy']['lowest']:.1f}].\n\n"
        f"| bits | pack | unpack |\n|---|---|---|\n{rows}\n"
        f"The whole file: {made['bytes']:,} bytes ({kinds}), written in {made['write']:.0f} ms, read and checked in "
        f"{made['read']:.0f} ms.\n"
    )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
