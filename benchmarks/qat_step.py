"""A training step, quantized against float: time, memory and cold start, in one run.

    python benchmarks/qat_step.py                    the table of docs/training.md: DeiT-T, batch 16, one thread
    python benchmarks/qat_step.py --rounds 3 --modes eager --precisions fp32

A step is forward, cross-entropy, backward and AdamW. The yardstick is the same timm model without quantizers in the
same mode and precision, once as timm runs it (fused attention) and once with attention written out, as a quantized
model must run it. All take turns; medians and ratios are kept. Memory is the highest level that the allocator's own
records reach within a step above its beginning: activations, gradients and workspaces, not weights. ``where`` says in
which kernels a quantized step spends its time.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

os.environ.setdefault("KINETO_LOG_LEVEL", "99")
# A cold start is cold: compilations of an earlier run are not looked up.
os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp(prefix="qat_step_")

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
    """One row: milliseconds, megabytes and cold seconds of each model, and the ratios to both yardsticks."""

    mode: str
    precision: str
    plan: str
    ms: dict[str, float]
    mb: dict[str, float]
    cold_s: dict[str, float]
    ratios: dict[str, tuple[float, float, float]]
    where: dict[str, float]
    rounds: dict[str, list[float]] = field(default_factory=dict)


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


def compare(settings: Settings, mode: str, precision: str, plan: str, images: Tensor, labels: Tensor) -> Result:
    """The three models in one mode and precision, taking turns."""
    torch._dynamo.reset()
    steps, cold = {}, {}
    for name, model in models(settings, plan, images).items():
        if mode == "compiled":
            stillbit.compile_blocks(model)
        steps[name] = step_of(model.train(), images, labels, precision)
        began = time.perf_counter()
        steps[name]()
        cold[name] = time.perf_counter() - began
        steps[name]()
    memory = {name: peak(step) for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(settings.rounds):
        for name, step in steps.items():
            times[name].append(timed(step, settings.device))
    ratios = {}
    for yardstick in ("float", "float, plain attention"):
        each = sorted(q / f for f, q in zip(times[yardstick], times["quantized"], strict=True))
        ratios[yardstick] = (each[0], statistics.median(each), each[-1])
    medians = {name: statistics.median(each) for name, each in times.items()}
    return Result(mode, precision, plan, medians, memory, cold, ratios, where(steps["quantized"]), times)


def models(settings: Settings, plan: str, images: Tensor) -> dict[str, nn.Module]:
    """The float model as timm runs it, with its attention written out, and quantized."""
    base = timm.create_model(settings.model, num_classes=1000)
    timm.layers.set_fused_attn(False)
    plain = timm.create_model(settings.model, num_classes=1000)
    timm.layers.set_fused_attn(True)
    quantized = stillbit.quantize(base, plan)
    stillbit.calibrate(quantized, [images.cpu()])
    named = {"float": base, "float, plain attention": plain, "quantized": quantized}
    return {name: model.to(settings.device) for name, model in named.items()}


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


def where(step: Callable[[], None]) -> dict[str, float]:
    """Share of a step's own CPU time by kind of kernel."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        step()
    shares: dict[str, float] = {}
    for event in seen.key_averages():
        name = event.key
        products = ("mm", "linear", "convolution", "conv2d", "scaled_dot_product")
        kind = (
            "matrix products" if any(p in name for p in products)
            else "fused kernels" if "cpp_fused" in name or "Compiled" in name or "graph" in name
            else "optimizer" if "adam" in name.lower()
            else "other operations"
        )  # fmt: skip
        shares[kind] = shares.get(kind, 0.0) + event.self_cpu_time_total
    total = sum(shares.values())
    return {k: round(v / total, 3) for k, v in sorted(shares.items(), key=lambda kv: -kv[1])}


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
    said = [f"{r.mode} {r.precision} {r.plan}:"]
    said += [f"{name} {r.ms[name]:.0f} ms, {r.mb[name]:.0f} MB, cold {r.cold_s[name]:.0f} s;" for name in r.ms]
    said += [f"ratio to {name} {mid:.2f} [{low:.2f}-{high:.2f}];" for name, (low, mid, high) in r.ratios.items()]
    return " ".join([*said, ", ".join(f"{kind} {share:.0%}" for kind, share in r.where.items())])


def page(about: dict[str, object], results: list[Result]) -> str:
    """The table as Markdown."""
    head = (
        f"# A training step, quantized against float\n\n{about['date']}. {about['hardware']}.\n"
        f"Settings: `{about['settings']}`. Made by `python benchmarks/qat_step.py`.\n\n"
        "Ratios are quantized / float of the same turn, median [lowest-highest]. *Plain* is the float model with its\n"
        "attention written out. Memory is the peak of a step above its beginning.\n\n"
        "| mode | precision | plan | float ms | plain ms | quantized ms | ratio | ratio to plain "
        "| float MB | plain MB | quantized MB | memory ratio | cold s, float / quantized |\n" + "|---" * 13 + "|\n"
    )
    rows = []
    for r in results:
        ratios = [f"{mid:.2f} [{low:.2f}-{high:.2f}]" for low, mid, high in r.ratios.values()]
        cells = [r.mode, r.precision, r.plan, *(f"{v:.0f}" for v in r.ms.values()), *ratios]
        cells += [*(f"{v:.0f}" for v in r.mb.values()), f"{r.mb['quantized'] / r.mb['float']:.2f}"]
        cells += [f"{r.cold_s['float']:.0f} / {r.cold_s['quantized']:.0f}"]
        rows.append("| " + " | ".join(cells) + " |\n")
    tail = "\nWhere a quantized step spends its time (share of its own CPU time, by the profiler):\n\n"
    places = [
        f"- {r.mode} {r.precision}: {', '.join(f'{kind} {share:.0%}' for kind, share in r.where.items())}\n"
        for r in results
    ]
    return head + "".join(rows) + tail + "".join(places)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
