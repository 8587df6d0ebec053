"""One engine in a process of its own, which computes a batch when it is asked, and says how long that took.

Of its own, so that its memory is its own, and the threads of one engine do not get in the way of another.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from stillbit.deploy.inputs import Wanted
from stillbit.deploy.program import Array, Input
from stillbit.deploy.proof.noise import noise

Kind = Literal["integer", "onnxruntime", "openvino", "torch"]
LIBRARIES: dict[Kind, tuple[str, ...]] = {
    "integer": ("torch", "stillbit.deploy.file.packed"),
    "onnxruntime": ("numpy", "onnxruntime"),
    "openvino": ("numpy", "openvino"),
    "torch": ("torch", "stillbit.models"),
}
Run = Callable[..., Any]
LEAST, SECONDS = 3, 0.3
"""In a turn, at least so many batches, and so long."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a deployed file is of."""

    model: str
    """What timm calls it, or the class."""
    inputs: tuple[Input, ...]
    limits: tuple[tuple[str, int], ...] = ()
    """Of inputs that say which rows of a table to take: how many there are."""
    classes: int
    config: str = ""
    """Of a model of texts: what transformers builds its float model by."""

    @property
    def is_text(self) -> bool:
        """Whether it reads."""
        return any(each.kind == "indices" for each in self.inputs)

    @property
    def label(self) -> str:
        """The model, and how long its sentences are."""
        return f"{self.model} of {self.inputs[0].dims[-1]} tokens" if self.is_text else self.model

    @property
    def wanted(self) -> Wanted:
        """What it is given."""
        return Wanted(inputs=self.inputs, limits=dict(self.limits))


@dataclass(frozen=True, kw_only=True)
class Contender:
    """What to run, and how."""

    name: str
    """As the table has it."""
    kind: Kind
    source: str
    """A file, or for torch what the model is called."""
    precision: Literal["", "fp32", "bf16"] = ""
    """Of the float model; a deployed file has its own."""
    compiled: bool = False
    threads: int = 1
    subject: Subject

    @property
    def is_float(self) -> bool:
        """A yardstick, and not a deployed file."""
        return self.precision != ""


@dataclass(frozen=True, kw_only=True)
class Ready:
    """An engine that waits for its turn."""

    libraries: int
    """The bytes that its process held before there was a model."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What came out of a turn."""

    seconds: float
    """For a batch: the median of the turn."""
    peak: int
    """The most bytes that the process held at a time, by now."""


@contextmanager
def started(work: Callable[..., None], *inputs: Any) -> Iterator[Any]:
    """The pipe to a new process of ``work(*inputs, pipe)``, which hears no Ctrl-C: whoever asked does, and ends it."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process: Any = context.Process(target=work, args=(*inputs, there), daemon=True)
    hears = signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is ignored stays so in a new process
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, hears)
    there.close()
    try:
        yield here
    finally:
        process.kill()
        process.join()


def heard(pipe: Any) -> Any:
    """What the process says, or that it says nothing any more."""
    try:
        return pipe.recv()
    except (EOFError, ConnectionResetError):
        return "its process ended"


def words_of(problem: Exception) -> str:
    """An error in a line."""
    lines = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {lines[0]}" if lines else type(problem).__name__


def serve(contender: Contender, pipe: Any) -> None:
    """Get ready, say so, and then do a turn for every size of a batch that comes; nothing ends it."""
    try:
        for library in LIBRARIES[contender.kind]:
            import_module(library)
        libraries = peak()
        run = engine(contender)
        pipe.send(Ready(libraries=libraries))
    except Exception as problem:  # whatever it is, it is said where the others go on
        pipe.send(words_of(problem))
        return
    while (batch := pipe.recv()) is not None:
        pipe.send(turn(run, batch, contender.subject.wanted))


def turn(run: Run, batch: int, wanted: Wanted) -> Turn:
    """Once unmeasured, since others used the processor in between, and then for a while."""
    given = noise(wanted, batch, seed=batch)
    run(*given)
    seconds: list[float] = []
    while len(seconds) < LEAST or sum(seconds) < SECONDS:
        began = time.perf_counter()
        run(*given)
        seconds.append(time.perf_counter() - began)
    return Turn(seconds=sorted(seconds)[len(seconds) // 2], peak=peak())


def peak() -> int:
    """The most bytes that this process held at a time."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says there counts in the process that started this one
        lines = status.read_text(encoding="utf-8").splitlines()
        (most,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        return 1024 * most
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def engine(contender: Contender) -> Run:
    """A function of a batch, as its users would call it."""
    if contender.kind == "torch":
        return _torch(contender)
    if contender.is_float:
        return _onnxruntime(contender) if contender.kind == "onnxruntime" else _openvino(contender)
    if contender.kind == "integer":
        return _integer(contender)
    if contender.kind == "onnxruntime":
        from stillbit.deploy.graphs.onnx_engine import OnnxRuntime

        return OnnxRuntime(Path(contender.source), threads=contender.threads)
    from stillbit.deploy.graphs.openvino_engine import OpenVino

    return OpenVino(Path(contender.source), threads=contender.threads)


def _integer(contender: Contender) -> Run:
    import torch

    from stillbit.deploy.file.packed import read
    from stillbit.deploy.runtime.integer import Integer

    torch.set_num_threads(contender.threads)
    return Integer(read(Path(contender.source)).program, compiled=contender.compiled)


def _torch(contender: Contender) -> Run:
    import torch

    from stillbit.deploy.bench.floats import float_model

    torch.set_num_threads(contender.threads)
    kind = torch.bfloat16 if contender.precision == "bf16" else torch.float32
    model: Any = float_model(contender.subject).to(kind)
    if contender.compiled:
        model = torch.compile(model)

    def run(*given: Array) -> Any:
        tensors = (torch.from_numpy(array) for array in given)
        with torch.inference_mode():
            return model(*(t.to(kind) if t.is_floating_point() else t for t in tensors)).float().numpy()

    return run


def _onnxruntime(contender: Contender) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = contender.threads
    session = onnxruntime.InferenceSession(contender.source, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda *given: session.run(None, dict(zip(names, given, strict=True)))[0]


def _openvino(contender: Contender) -> Run:
    import openvino

    core = openvino.Core()
    precision = {"fp32": "f32", "bf16": "bf16"}[contender.precision]
    settings = {"INFERENCE_NUM_THREADS": contender.threads, "INFERENCE_PRECISION_HINT": precision}
    compiled = core.compile_model(core.read_model(contender.source), "CPU", {**settings, "PERFORMANCE_HINT": "LATENCY"})
    return lambda *given: compiled(list(given))[0]
