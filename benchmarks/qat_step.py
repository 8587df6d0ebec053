"""A training step, quantized against float: time, memory and cold start, in one run.

    python benchmarks/qat_step.py                    the table of docs/training.md: DeiT-T, batch 16, one thread
    python benchmarks/qat_step.py --rounds 3 --modes eager --precisions fp32

A step is forward, cross-entropy, backward and AdamW. The yardstick is the same timm model without quantizers in the same
mode and precision; the two take turns, and medians and ratios are kept. Memory is the highest level that the allocator's
own records reach within a step above its beginning, so it counts activations, gradients and workspaces, not weights.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

import timm
import torch
import tyro
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

import stillbit


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    model: str = "deit_tiny_patch16_224"
    batch: int = 16
    plans: tuple[str, ...] = ("w4a4",)
    modes: tuple[str, ...] = ("eager", "compiled")
    precisions: tuple[str, ...] = ("fp32", "bf16")
    rounds: int = 9
    threads: int = 1
    device: str = "cpu"
    output: Path | None = None
    """A folder: the result goes there as JSON and Markdown."""


@dataclass
class Result:
    """One row."""

    mode: str
    precision: str
    plan: str
    float_ms: float
    quantized_ms: float
    ratio: float
    ratio_spread: tuple[float, float]
    float_mb: float
    quantized_mb: float
    cold_s: tuple[float, float]
    times: dict[str, list[float]] = field(default_factory=dict)


def main(settings: Settings) -> None:
    """Measure, print, and write."""
    torch.set_num_threads(settings.threads)
    torch.manual_seed(0)
    config = timm.create_model(settings.model, num_classes=1000).pretrained_cfg
    images = torch.randn(settings.batch, *config["input_size"], device=settings.device)
    labels = torch.randint(1000, (settings.batch,), device=settings.device)
    results = []
    for mode in settings.modes:
        for precision in settings.precisions:
            for plan in settings.plans:
                results.append(compare(settings, mode, precision, plan, images, labels))
                print(line(results[-1]), flush=True)
    about = {"date": str(date.today()), "hardware": hardware(settings), "settings": shown(settings)}
    if settings.output is not None:
        settings.output.mkdir(parents=True, exist_ok=True)
        rows = [asdict(r) for r in results]
        (settings.output / "qat_step.json").write_text(json.dumps({**about, "results": rows}, indent=1) + "\n")
        (settings.output / "qat_step.md").write_text(page(about, results))


def compare(
    settings: Settings, mode: str, precision: str, plan: str, images: Tensor, labels: Tensor
) -> Result:
    """Both models in one mode and precision, taking turns."""
    torch._dynamo.reset()
    base = timm.create_model(settings.model, num_classes=1000)
    quantized = stillbit.quantize(base, plan)
    stillbit.calibrate(quantized, [images.cpu()])
    steps, cold = [], []
    for model in (base.to(settings.device), quantized.to(settings.device)):
        if mode == "compiled":
            stillbit.compile_blocks(model)
        steps.append(step_of(model.train(), images, labels, precision))
        began = time.perf_counter()
        steps[-1]()
        cold.append(time.perf_counter() - began)
    for step in steps:
        step()
    memory = [peak(step) for step in steps]
    times: list[list[float]] = [[], []]
    for _ in range(settings.rounds):
        for which, step in enumerate(steps):
            times[which].append(timed(step, settings.device))
    ratios = sorted(q / f for f, q in zip(*times, strict=True))
    return Result(
        mode, precision, plan,
        float_ms=statistics.median(times[0]), quantized_ms=statistics.median(times[1]),
        ratio=statistics.median(ratios), ratio_spread=(ratios[0], ratios[-1]),
        float_mb=memory[0], quantized_mb=memory[1], cold_s=(cold[0], cold[1]),
        times={"float": times[0], "quantized": times[1]},
    )  # fmt: skip


def step_of(model: nn.Module, images: Tensor, labels: Tensor, precision: str) -> Callable[[], None]:
    """One training step as a function."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()

    return step


def timed(step: Callable[[], None], device: str) -> float:
    """Milliseconds of one step."""
    if device != "cpu":
        torch.cuda.synchronize()
    began = time.perf_counter()
    step()
    if device != "cpu":
        torch.cuda.synchronize()
    return (time.perf_counter() - began) * 1000


def peak(step: Callable[[], None]) -> float:
    """Megabytes of the highest level within a step, above its beginning."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        step()
    changes = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    level = highest = 0
    for event in sorted(changes, key=lambda e: e.start_ns()):
        level += event.nbytes()
        highest = max(highest, level)
    return highest / 1e6


def hardware(settings: Settings) -> str:
    """The machine in a line."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [r.split(":")[1].strip() for r in cpuinfo.read_text().splitlines() if r.startswith("model name")]
        model = names[0] if names else model
    where = model if settings.device == "cpu" else torch.cuda.get_device_name()
    threads = f", {settings.threads} thread(s)" if settings.device == "cpu" else ""
    return f"{where}{threads}, torch {torch.__version__}, timm {timm.__version__}, Python {platform.python_version()}"


def shown(settings: Settings) -> dict[str, object]:
    """The settings, as JSON takes them; where the result went does not matter."""
    return {k: v for k, v in asdict(settings).items() if k != "output"}


def line(r: Result) -> str:
    """A row for people."""
    return (
        f"{r.mode:9}{r.precision:5} {r.plan:8} float {r.float_ms:7.0f} ms  quantized {r.quantized_ms:7.0f} ms  "
        f"ratio {r.ratio:.2f} [{r.ratio_spread[0]:.2f}-{r.ratio_spread[1]:.2f}]  "
        f"memory {r.float_mb:.0f} -> {r.quantized_mb:.0f} MB (x{r.quantized_mb / r.float_mb:.2f})  "
        f"cold {r.cold_s[0]:.0f} -> {r.cold_s[1]:.0f} s"
    )


def page(about: dict[str, object], results: list[Result]) -> str:
    """The table as Markdown."""
    head = (
        f"# A training step, quantized against float\n\n{about['date']}. {about['hardware']}.\n\n"
        "| mode | precision | plan | float ms | quantized ms | ratio [spread] | float MB | quantized MB | ratio | cold s |\n"
        "|---|---|---|---|---|---|---|---|---|---|\n"
    )
    rows = (
        f"| {r.mode} | {r.precision} | {r.plan} | {r.float_ms:.0f} | {r.quantized_ms:.0f} | {r.ratio:.2f} "
        f"[{r.ratio_spread[0]:.2f}-{r.ratio_spread[1]:.2f}] | {r.float_mb:.0f} | {r.quantized_mb:.0f} "
        f"| {r.quantized_mb / r.float_mb:.2f} | {r.cold_s[0]:.0f} / {r.cold_s[1]:.0f} |\n"
        for r in results
    )
    return head + "".join(rows)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
