"""``stillbit bench``: how fast a deployed file is, beside its float model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.console import Console
from rich.table import Table

from stillbit.cli.options import parse

if TYPE_CHECKING:
    from stillbit.deploy.bench.rounds import Report, Row, Spread

STOPPED = 130


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Measure latency, throughput and memory of deployed files; all engines take turns."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Files that stillbit export wrote: .safetensors, .onnx or .xml."""
    batches: tuple[int, ...] = (1, 32)
    """How many images or texts at a time."""
    rounds: int = 9
    """How often each engine has its turn."""
    threads: int = 1
    """Of each engine."""
    compiled: bool = False
    """Also what torch's compiler makes of the integer runtime and the float model; compiling takes a minute or more."""
    alone: bool = False
    """Without the float model in PyTorch, and in onnxruntime and OpenVINO where they are installed."""
    config: Path | None = None
    """Of a model of texts whose file does not say: the config.json by which transformers builds its float model."""
    json: bool = False
    """Print JSON instead of a table."""


def run(words: Sequence[str]) -> int:
    """A row an engine."""
    asked = parse(Bench, words, prog="stillbit bench")
    from stillbit.deploy.bench.rounds import Asked, bench

    aside = Console(stderr=True)
    with aside.status("", spinner="dots") as status:
        report = bench(
            Asked(
                files=asked.files,
                batches=tuple(dict.fromkeys(asked.batches)),
                rounds=asked.rounds,
                threads=asked.threads,
                compiled=asked.compiled,
                alone=asked.alone,
                config=_config(asked.config),
            ),
            status.update,
        )
    if not report.rows:
        return STOPPED
    console = Console(width=None if sys.stdout.isatty() else 200)  # a file has no edge to break lines at
    if asked.json:
        console.print_json(data=report.to_json())
    else:
        _print(console, report)
    return STOPPED if report.stopped else 0


def _config(path: Path | None) -> str:
    if path is None:
        return ""
    file = path / "config.json" if path.is_dir() else path
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ValueError(f"there is no config {file}: give one that transformers wrote, --config FOLDER") from None


def _print(console: Console, report: Report) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("engine", no_wrap=True)
    noun = report.noun
    for batch in report.batches:
        table.add_column(f"ms, {batch} {noun if batch == 1 else f'{noun}s'}", justify="right", no_wrap=True)
        table.add_column("of fp32", justify="right", no_wrap=True)
        table.add_column(f"{noun}s/s", justify="right", no_wrap=True)
    table.add_column("file", justify="right", no_wrap=True)
    table.add_column("memory", justify="right", no_wrap=True)
    table.add_column("of it own", justify="right", no_wrap=True)
    for row in sorted(report.rows, key=lambda row: (row.model, row.bytes is None)):
        memory = (_megabytes(each, digits=0) for each in (row.peak, row.peak - row.libraries))
        table.add_row(row.name, *_times(report, row), _megabytes(row.bytes), *memory)
    console.print(table, highlight=False)
    done = min(len(each) for row in report.rows for each in row.seconds.values())
    rounds = (
        f"stopped after {done} of {report.rounds} rounds"
        if report.stopped
        else f"{report.rounds} round{'s' * (report.rounds > 1)}"
    )
    threads = "1 thread" if report.threads == 1 else f"{report.threads} threads"
    for line in (
        f"{report.hardware}; {threads} each, {rounds}: median (lowest-highest).",
        "of fp32: time against the float model in PyTorch, of random weights.",
        "memory: the most its process held; own: without what its libraries take before there is a model.",
        *report.notes,
    ):
        console.print(line, markup=False, highlight=False, style="dim", soft_wrap=True)


def _times(report: Report, row: Row) -> list[str]:
    cells = []
    for batch in report.batches:
        spread, ratio = row.spread(batch), report.ratio(row, batch)
        speed = "" if spread is None else f"{1e3 * batch / spread.median:.0f}"
        cells += [_milliseconds(spread), "" if ratio is None else f"{ratio.median:.2f}", speed]
    return cells


def _milliseconds(spread: Spread | None) -> str:
    if spread is None:
        return ""
    digits = 0 if spread.median >= 100 else 1 if spread.median >= 10 else 2
    median, low, high = (f"{each:.{digits}f}" for each in (spread.median, spread.lowest, spread.highest))
    return f"{median} ({low}-{high})"


def _megabytes(number: int | None, digits: int = 2) -> str:
    return "" if number is None else f"{number / 1e6:.{digits}f} MB"
