"""What watching and steering weights costs: a training step with each, against plain LSQ, in one run.

    python benchmarks/dynamics.py                    DeiT-T, batch 16, W2A2, one thread: the bounds of docs/dynamics.md
    python benchmarks/dynamics.py --model vit_pico_patch4_32 --batch 8 --rounds 1

A step is that of the training loop: forward, cross-entropy, backward, AdamW, and whatever the variant adds. All take
turns, each with a model of its own that begins with the same weights and next to a step of plain LSQ, to which its
ratio is. One row is plain LSQ again: what differs there is the machine.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

import timm
import torch
import tyro
from torch import nn
from torch.nn.functional import cross_entropy

import stillbit
import stillbit.models
from stillbit.data.batch import Batch
from stillbit.dynamics.anneal import Anneal
from stillbit.dynamics.bins import BinPenalty
from stillbit.dynamics.dampen import Dampening
from stillbit.dynamics.freeze import Freeze
from stillbit.dynamics.kurtosis import Kurtosis
from stillbit.dynamics.oscillation import Oscillation
from stillbit.dynamics.penalty import Penalized, Penalty, Priced
from stillbit.dynamics.ramp import Ramp
from stillbit.dynamics.settings import TrackSettings
from stillbit.dynamics.transition import Transition, hold_scales, separate
from stillbit.layers.walk import scale_names
from stillbit.methods import RECIPES
from stillbit.methods.build import plan_of
from stillbit.methods.recipe import QuantSettings
from stillbit.surgery.macs import count
from stillbit.train import optim
from stillbit.train.distributed import join
from stillbit.train.hooks import Hook
from stillbit.train.loop import Loop
from stillbit.train.settings import MachineSettings, OptimSettings
from stillbit.train.state import Training
from stillbit.train.task import Task

PLAIN = "plain LSQ"
BOUNDS = {
    "bin penalty": 1.10,
    "oscillation tracker": 1.03,
    "annealing": 1.05,
    "per-head scales": 1.02,
    "still": 1.10,
}
"""What each may cost; the rest is shown for comparison."""


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    model: str = "deit_tiny_patch16_224"
    batch: int = 16
    bits: int = 2
    rounds: int = 9
    threads: int = 1
    device: str = "cpu"
    only: tuple[str, ...] = ()
    """Variants by name; all of them if none is named."""
    output: Path | None = None
    """A folder: the result goes there as JSON and Markdown."""


@dataclass
class Result:
    """One row: milliseconds of the step and of plain LSQ beside it, and their ratio (lowest, median, highest)."""

    name: str
    ms: float
    plain_ms: float
    ratio: tuple[float, float, float]
    bound: float | None
    rounds: list[tuple[float, float]]


class Fit:
    """Cross-entropy with the labels."""

    def prepare(self, batch: Batch) -> Batch:
        """As it is."""
        return batch

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        """The one loss."""
        return {"loss": cross_entropy(model(batch.images).float(), batch.targets)}


def main(settings: Settings) -> None:
    """Measure, print, and write."""
    torch.set_num_threads(settings.threads)
    results = compare(settings)
    for result in results:
        print(line(result), flush=True)
    about = {"date": str(date.today()), "hardware": hardware(settings), "settings": shown(settings)}
    about["merge"] = (
        f"By its MACs a model with query and key merged should cost {predicted(settings):.2f} times as much."
    )
    if settings.output is not None:
        settings.output.mkdir(parents=True, exist_ok=True)
        rows = [asdict(r) for r in results]
        (settings.output / "dynamics.json").write_text(json.dumps({**about, "results": rows}, indent=1) + "\n")
        (settings.output / "dynamics.md").write_text(page(about, results))


def compare(settings: Settings) -> list[Result]:
    """All variants, taking turns."""
    wanted = {PLAIN, *(settings.only or VARIANTS)}
    if unknown := wanted - VARIANTS.keys():
        raise SystemExit(f"there is no {', '.join(unknown)}: --only takes {', '.join(VARIANTS)}")
    steps = {name: make(settings) for name, make in VARIANTS.items() if name in wanted}
    for step in steps.values():
        step()
    plain = steps.pop(PLAIN)
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for turn in range(settings.rounds):
        for name, step in steps.items():
            # Next to each other, so that a machine that changes its pace meets both; in turn, so that it favours none.
            first, second = (plain, step) if turn % 2 == 0 else (step, plain)
            taken = timed(first, settings.device), timed(second, settings.device)
            pairs[name].append(taken if turn % 2 == 0 else taken[::-1])
    return [result(name, each) for name, each in pairs.items()]


def result(name: str, pairs: list[tuple[float, float]]) -> Result:
    """Medians over all turns; ``pairs`` are (plain, variant)."""
    ratios = sorted(mine / plain for plain, mine in pairs)
    spread = (ratios[0], statistics.median(ratios), ratios[-1])
    plain, mine = (statistics.median(each) for each in zip(*pairs, strict=True))
    return Result(name, mine, plain, spread, BOUNDS.get(name), pairs)


def stepper(
    settings: Settings,
    *,
    quant: QuantSettings | None = None,
    penalty: Callable[[nn.Module], Penalty] | None = None,
    hooks: Callable[[nn.Module, Training], Sequence[Hook]] | None = None,
    adaptive: bool = False,
) -> Callable[[], None]:
    """A training step of a fresh model, as a function."""
    torch.manual_seed(0)
    model = timm.create_model(settings.model, num_classes=1000)
    size = model.pretrained_cfg["input_size"] if model.pretrained_cfg.get("input_size") else (3, 224, 224)
    images = torch.randn(settings.batch, *size)
    said = replace(quant or QuantSettings(), bits=f"w{settings.bits}a{settings.bits}")
    model = stillbit.quantize(model, plan_of(said))
    stillbit.calibrate(model, [images])
    model = model.to(settings.device).train()
    if adaptive:
        hold_scales(model)
    optimizer = optim.build(model, OptimSettings(lr=1e-5), apart=scale_names(model))
    if adaptive:
        separate(optimizer, model)
    training = Training(model, model, optimizer)
    task: Task = Fit()
    made = list(hooks(model, training)) if hooks else []
    if penalty is not None:
        task = Penalized(task, [Priced(penalty(model), Ramp(steps=1, first=0.1, last=0.1))])
        made.append(task)
    labels = torch.randint(1000, (settings.batch,))
    batch = Batch(images.to(settings.device), labels.to(settings.device), torch.arange(settings.batch))
    loop = Loop(task, made, MachineSettings(), join(settings.device), None)

    def step() -> None:
        losses = loop.step(training, batch, settings.batch)
        for hook in made:
            hook.after_step(training, losses)

    return step


VARIANTS: dict[str, Callable[[Settings], Callable[[], None]]] = {
    PLAIN: stepper,
    "plain LSQ again": stepper,
    "bin penalty": lambda s: stepper(s, penalty=lambda m: BinPenalty(m, bits=(s.bits,))),
    "oscillation tracker": lambda s: stepper(s, hooks=lambda m, t: [Oscillation(m, TrackSettings(track=True))]),
    "annealing": lambda s: stepper(s, hooks=lambda m, t: [Anneal(m, begin=0)]),
    "per-head scales": lambda s: stepper(s, quant=QuantSettings(granularity="head")),
    "dampening": lambda s: stepper(s, penalty=Dampening),
    "KURE": lambda s: stepper(s, penalty=Kurtosis),
    "freezing": lambda s: stepper(
        s, hooks=lambda m, t: [Freeze(m, Ramp(steps=10**6, first=0.1, last=0.01, after=0.0))]
    ),
    "transition rate": lambda s: stepper(
        s, adaptive=True, hooks=lambda m, t: [Transition(m, t.optimizer, steps=10**6)]
    ),
    "still": lambda s: stepper(s, quant=RECIPES["still"]().quant, penalty=lambda m: BinPenalty(m, bits=(s.bits,))),
    "query-key merge": lambda s: stepper(s, quant=QuantSettings(merge_qk=True)),
    "quantizers of statsq": lambda s: stepper(s, quant=RECIPES["statsq"]().quant),
    "quantizers of ofq": lambda s: stepper(s, quant=RECIPES["ofq"]().quant),
    "quantizers of qvit": lambda s: stepper(s, quant=RECIPES["qvit"]().quant),
    "quantizers of qvit_mixed": lambda s: stepper(s, quant=RECIPES["qvit_mixed"]().quant),
}


def predicted(settings: Settings) -> float:
    """How many times as many MACs a model has whose query and key are merged."""
    model = timm.create_model(settings.model, num_classes=1000)
    plain, merged = (
        count(stillbit.quantize(model, plan_of(QuantSettings(merge_qk=merge)))).total for merge in (False, True)
    )
    return merged / plain


def timed(step: Callable[[], None], device: str) -> float:
    """Milliseconds of one step."""
    if device != "cpu":
        torch.cuda.synchronize()
    began = time.perf_counter()
    step()
    if device != "cpu":
        torch.cuda.synchronize()
    return (time.perf_counter() - began) * 1000


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


def verdict(result: Result) -> str:
    """Whether it stays within its bound."""
    if result.bound is None:
        return ""
    return f"{'at most' if result.ratio[1] <= result.bound else 'MORE THAN'} {result.bound:.2f}"


def line(result: Result) -> str:
    """A row for people."""
    low, mid, high = result.ratio
    said = f"{result.name}: {result.ms:.0f} ms, plain {result.plain_ms:.0f} ms, ratio {mid:.3f} [{low:.3f}-{high:.3f}]"
    return f"{said} {verdict(result)}".rstrip()


def page(about: dict[str, object], results: list[Result]) -> str:
    """The table as Markdown."""
    head = (
        f"# What watching and steering weights costs\n\n{about['date']}. {about['hardware']}.\n"
        f"Settings: `{about['settings']}`. Made by `python benchmarks/dynamics.py`.\n\n"
        f"Ratios are to the step of plain LSQ next to it, median [lowest-highest]. {about['merge']}\n\n"
        "| step with | ms | plain ms | ratio | bound |\n|---|---:|---:|---:|---:|\n"
    )
    rows = [
        f"| {r.name} | {r.ms:.0f} | {r.plain_ms:.0f} | {r.ratio[1]:.3f} [{r.ratio[0]:.3f}-{r.ratio[2]:.3f}] | "
        f"{'' if r.bound is None else f'{r.bound:.2f}'} |\n"
        for r in results
    ]
    return head + "".join(rows)


if __name__ == "__main__":
    main(tyro.cli(Settings))
