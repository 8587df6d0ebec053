"""How fast deployed models are, against the float model in every engine that is installed, in one run.

    python benchmarks/deploy_latency.py                             DeiT-T at W4A4 and W8A8, batches 1 and 32
    python benchmarks/deploy_latency.py --models deit_small_patch16_224 --methods lsq --rounds 3

Models have random weights and are calibrated on noise: neither changes how long they take. Each is written as a packed
file for the integer runtime, as ONNX for onnxruntime, and for OpenVINO; those that are installed. All engines take
turns; each has a process of its own.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, replace
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
import tyro

import stillbit
from stillbit.deploy.about import About, Preprocess
from stillbit.deploy.bench.rounds import Asked, Report, Row, Spread, bench
from stillbit.deploy.file.packed import Packed, write
from stillbit.deploy.tracing.trace import trace
from stillbit.methods import RECIPES
from stillbit.methods.build import plan_of


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    models: tuple[str, ...] = ("deit_tiny_patch16_224",)
    methods: tuple[str, ...] = ("lsq", "vvtq", "ofq")
    bits: tuple[str, ...] = ("w4a4", "w8a8")
    batches: tuple[int, ...] = (1, 32)
    rounds: int = 9
    threads: int = 1
    compiled: bool = True
    output: Path | None = None
    """A folder: the result goes there as JSON and Markdown."""


def main(settings: Settings) -> None:
    """Write the files, measure, print, and write the result."""
    torch.set_num_threads(settings.threads)
    with tempfile.TemporaryDirectory(prefix="deploy_latency_") as folder:
        files = [
            path
            for model in settings.models
            for method in settings.methods
            for bits in settings.bits
            for path in deployed(model, method, bits, Path(folder))
        ]
        report = bench(
            Asked(
                files=tuple(files),
                batches=settings.batches,
                rounds=settings.rounds,
                threads=settings.threads,
                compiled=settings.compiled,
            ),
            lambda sentence: print(sentence, flush=True),
        )
    about = {"date": str(date.today()), "settings": {k: v for k, v in asdict(settings).items() if k != "output"}}
    print(page(about, report))
    if settings.output is not None:
        settings.output.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**about, **report.to_json()}, indent=1)
        (settings.output / "deploy_latency.json").write_text(text + "\n")
        (settings.output / "deploy_latency.md").write_text(page(about, report))


def deployed(model: str, method: str, bits: str, folder: Path) -> list[Path]:
    """The files of one model, named after what it is."""
    torch.manual_seed(0)
    base = timm.create_model(model)
    size = base.pretrained_cfg["input_size"][1:]
    images = torch.randn(4, 3, *size)
    quant = RECIPES[method]().quant
    assert quant is not None, f"{method} has bits"
    quantized = stillbit.quantize(base, plan_of(replace(quant, bits=bits)))
    stillbit.calibrate(quantized, [images])
    program = trace(quantized.eval(), images[:2])
    look = Preprocess(size=tuple(size), mean=(0.5,) * 3, std=(0.5,) * 3)
    about = About(model=model, method=method, bits=bits, preprocess=look)
    name = f"{model.split('_patch')[0]}-{method}-{bits}"
    paths = [folder / f"{name}.safetensors"]
    write(Packed(program=program, about=about), paths[0])
    if find_spec("onnx") is not None and find_spec("onnxruntime") is not None:
        from stillbit.deploy.graphs.onnx_file import write_onnx

        paths.append(folder / f"{name}.onnx")
        write_onnx(program, about, paths[-1])
    if find_spec("openvino") is not None:
        from stillbit.deploy.graphs.openvino_file import write_openvino

        paths.append(folder / f"{name}.xml")
        write_openvino(program, about, paths[-1])
    return paths


def page(about: dict[str, object], report: Report) -> str:
    """The result as Markdown."""
    head = "".join(f" ms, batch {b} | of torch fp32 |" for b in report.batches)
    lines = [
        "# Deployed models against their float model\n",
        f"{about['date']}. {report.hardware}, {report.threads} thread(s) each.",
        f"Settings: `{about['settings']}`. Made by `python benchmarks/deploy_latency.py`.",
        "Medians of alternating rounds [lowest-highest]; random weights. Memory is without that of the libraries.\n",
        f"| engine |{head} file, MB | memory, MB |",
        "|---" * (3 + 2 * len(report.batches)) + "|",
    ]
    lines += [line(report, row) for row in report.rows]
    return "\n".join([*lines, *(f"\n{note}" for note in report.notes)]) + "\n"


def line(report: Report, row: Row) -> str:
    """A row of the table."""
    cells = [row.name]
    for batch in report.batches:
        cells += [spread(row.spread(batch), 1), spread(report.ratio(row, batch), 2)]
    size = "" if row.bytes is None else f"{row.bytes / 1e6:.2f}"
    return f"| {' | '.join([*cells, size, f'{(row.peak - row.libraries) / 1e6:.0f}'])} |"


def spread(numbers: Spread | None, digits: int) -> str:
    """Median and ends."""
    if numbers is None:
        return ""
    return f"{numbers.median:.{digits}f} [{numbers.lowest:.{digits}f}-{numbers.highest:.{digits}f}]"


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
