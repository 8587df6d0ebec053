"""BERT-base at one bit, from its config: what each part of its life takes in time, memory and bytes.

    python benchmarks/bert_base.py                          all stages but those that were measured before
    python benchmarks/bert_base.py --stages deploy --again
    python benchmarks/bert_base.py --latency 128 384        files of these lengths, and `stillbit bench` of them

Weights are random, and every parameter is moved a little, so that nothing in a file is zero or one, as after training.
Words, weights and activations have one bit, positions, token types and the classifier eight, as docs/hugging_face.md
has it. A training step is forward, backward and AdamW under autocast to bf16, of the quantized and of the float model
in turns. Each stage has a process of its own, whose peak memory is the most it held.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

import stillbit
from stillbit import LayerSpec, Plan, Rule, Spec, per_channel
from stillbit.deploy.bench.rounds import Asked, bench, hardware
from stillbit.deploy.bench.worker import peak

HERE = Path(__file__).parent
STAGES = ("quantize", "step", "save", "deploy")


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    stages: tuple[str, ...] = STAGES
    again: bool = False
    """Also what was measured before."""
    batch: int = 8
    length: int = 128
    rounds: int = 3
    threads: int = 1
    latency: tuple[int, ...] = ()
    """Lengths at which deployed files are measured instead, beside float models."""
    bits: tuple[str, ...] = ("w1a1", "w4a4", "w8a8")
    """Of those files."""
    files: Path = Path("bert_base_files")
    """The folder where they stay, so that they are exported once."""
    output: Path = HERE / "results"
    """The folder of bert_base.json and bert_base_latency.json."""


def main(settings: Settings) -> None:
    """Measure what is missing, stage by stage, and write after each."""
    unknown = set(settings.stages) - set(STAGES)
    if unknown:
        raise SystemExit(f"there is no stage {min(unknown)}: choose among {', '.join(STAGES)}")
    settings.output.mkdir(parents=True, exist_ok=True)
    if settings.latency:
        latencies(settings)
        return
    path = settings.output / "bert_base.json"
    result: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    for stage in settings.stages:
        if stage in result and not settings.again:
            print(f"{stage}: measured before, --again measures it again")
            continue
        print(f"{stage} ...", flush=True)
        asked = json.dumps(asdict(settings), default=str)
        run = subprocess.run([sys.executable, __file__, stage, asked], check=True, capture_output=True, text=True)
        measured = json.loads(run.stdout.splitlines()[-1])
        result[stage] = {"date": str(date.today()), "hardware": hardware(), "threads": settings.threads, **measured}
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(json.dumps(measured, indent=1))


def alone(stage: str, said: dict[str, Any]) -> None:
    """One stage, in this process."""
    torch.set_num_threads(said["threads"])
    measured = {"quantize": quantizing, "step": stepping, "save": saving, "deploy": deploying}[stage](said)
    print(json.dumps({**measured, "peak_mb": round(peak() / 1e6)}))


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What comes out, and how many seconds it takes."""
    began = time.perf_counter()
    made = work()
    return made, round(time.perf_counter() - began, 3)


def float_model() -> nn.Module:
    """BERT-base by its config; no parameter is left at zero or one."""
    torch.manual_seed(0)
    model: nn.Module = BertForSequenceClassification(BertConfig())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def plan(bits: str) -> Plan | str:
    """BiT's bits, or a uniform plan."""
    if bits != "w1a1":
        return bits
    row = LayerSpec(Spec(1, "sign", per_channel), Spec(1, "elastic"))
    return Plan.uniform(1, 1, weight="sign", activation="elastic").but(Rule("@word", row))


def sentences(count: int, length: int) -> tuple[Tensor, Tensor]:
    """Chance words, the later sentences padded."""
    chance = torch.Generator().manual_seed(1)
    ids = torch.randint(1000, 30000, (count, length), generator=chance)
    seen = (torch.arange(length) < length - (torch.arange(count) * length // (2 * count))[:, None]).long()
    return ids * seen, seen


def calibrated(bits: str, length: int) -> Any:
    """The quantized model with start values."""
    model = stillbit.quantize(float_model(), plan(bits))
    ids, seen = sentences(2, length)
    stillbit.calibrate(model, [{"input_ids": ids, "attention_mask": seen}])
    return model.eval()


def quantizing(said: dict[str, Any]) -> dict[str, Any]:
    """From a float model to a quantized one."""
    model, build = timed(float_model)
    quantized, quantize = timed(lambda: stillbit.quantize(model, plan("w1a1")))
    ids, seen = sentences(2, said["length"])
    _, calibrate = timed(lambda: stillbit.calibrate(quantized, [{"input_ids": ids, "attention_mask": seen}]))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"parameters": parameters, "build_s": build, "quantize_s": quantize, "calibrate_s": calibrate}


def stepping(said: dict[str, Any]) -> dict[str, Any]:
    """A training step under autocast to bf16, quantized against float, in turns."""
    models = {"float": float_model(), "quantized": calibrated("w1a1", said["length"])}
    ids, seen = sentences(said["batch"], said["length"])
    labels = torch.arange(said["batch"]) % 2
    optimizers = {name: torch.optim.AdamW(model.train().parameters(), 1e-5) for name, model in models.items()}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    losses: dict[str, float] = {}

    def step(name: str) -> float:
        with torch.autocast("cpu", torch.bfloat16):
            loss = models[name](ids, seen, labels=labels).loss
        loss.backward()
        optimizers[name].step()
        optimizers[name].zero_grad()
        return float(loss.detach())

    for number in range(said["rounds"] + 1):
        for name in models:
            losses[name], took = timed(lambda name=name: step(name))
            if number:  # the first one warms up
                seconds[name].append(took)
    ratios = [q / f for q, f in zip(seconds["quantized"], seconds["float"], strict=True)]
    shape = {"batch": said["batch"], "length": said["length"], "precision": "bf16"}
    return {**shape, "seconds": seconds, "losses": losses, "ratio": round(statistics.median(ratios), 3)}


def saving(said: dict[str, Any]) -> dict[str, Any]:
    """A folder of latent weights, written and read again."""
    model = calibrated("w1a1", said["length"])
    ids, seen = sentences(2, said["length"])
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        _, save = timed(lambda: stillbit.save(model, folder))
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
        again, load = timed(lambda: stillbit.load(folder))
        same = torch.equal(again.eval()(ids, seen).logits, model(ids, seen).logits)
    return {"save_s": save, "load_s": load, "bytes": size, "same_logits": same}


def deploying(said: dict[str, Any]) -> dict[str, Any]:
    """Traced, packed, read again, opened, run, and written as graphs."""
    from stillbit.deploy.file.packed import bytes_of, read
    from stillbit.deploy.runtime.integer import Integer

    model = calibrated("w1a1", said["length"])
    given = sentences(2, said["length"])
    held, trace = timed(lambda: stillbit.convert(model, given))
    float_bytes = 4 * sum(parameter.numel() for parameter in model.parameters())
    with tempfile.TemporaryDirectory() as folder:
        path, write = timed(lambda: held.save(Path(folder) / "bert.safetensors"))
        packed, reading = timed(lambda: read(path))
        engine, opening = timed(lambda: Integer(packed.program))
        engine(*(part[:1].numpy() for part in given))
        _, run = timed(lambda: engine(*(part[:1].numpy() for part in given)))
        made = {
            "steps": len(held.program.steps),
            "trace_s": trace,
            "pack_s": write,
            "read_s": reading,
            "open_s": opening,
            "run_s": run,
            "packed_bytes": path.stat().st_size,
            "kinds": bytes_of(path)["kinds"],
            "float_bytes": float_bytes,
        }
        for flavour in ("integer", "compact") if find_spec("onnx") is not None else ():
            graph, took = timed(lambda flavour=flavour: held.onnx(Path(folder) / f"{flavour}.onnx", flavour))
            made |= {f"onnx_{flavour}_s": took, f"onnx_{flavour}_bytes": graph.stat().st_size}
    return made


def latencies(settings: Settings) -> None:
    """Files of every length and width, and all engines in turns."""
    torch.set_num_threads(settings.threads)
    settings.files.mkdir(parents=True, exist_ok=True)
    for length in settings.latency:
        files = tuple(file for bits in settings.bits for file in deployed(bits, length, settings.files))
        asked = Asked(files=files, batches=(1,), rounds=settings.rounds, threads=settings.threads)
        report = bench(asked, lambda sentence: print(sentence, flush=True))
        path = settings.output / "bert_base_latency.json"
        result: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        result[str(length)] = {"date": str(date.today()), **report.to_json()}
        path.write_text(json.dumps(result, indent=1) + "\n")
        for row in report.rows:
            spread, ratio = row.spread(1), report.ratio(row, 1)
            assert spread is not None, "a row has at least one round"
            beside = "" if ratio is None else f", {ratio.median:.2f} of torch fp32"
            print(f"{row.name}: {spread.median:.1f} ms ({spread.lowest:.1f}-{spread.highest:.1f}){beside}")
        print(*report.notes, sep="\n")


def deployed(bits: str, length: int, folder: Path) -> list[Path]:
    """The files of one width and length; those that are there are taken as they are."""
    stem = folder / f"bert-{bits}-{length}"
    files = [stem.with_suffix(".safetensors")]
    files += [stem.with_suffix(".onnx")] if find_spec("onnxruntime") is not None else []
    files += [stem.with_suffix(".xml")] if find_spec("openvino") is not None else []
    if all(file.is_file() for file in files):
        return files
    print(f"exporting {stem.name}", flush=True)
    held = stillbit.convert(calibrated(bits, length), sentences(2, length))
    for file in files:
        if file.suffix == ".safetensors":
            held.save(file)
        elif file.suffix == ".onnx":
            held.onnx(file)
        else:
            from stillbit.deploy.graphs.openvino_file import write_openvino

            write_openvino(held.program, held.about, file)
    return files


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] in STAGES:
        alone(sys.argv[1], json.loads(sys.argv[2]))
    else:
        main(tyro.cli(Settings, description=__doc__))
