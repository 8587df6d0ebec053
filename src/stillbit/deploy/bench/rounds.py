"""How fast deployed files are, and their float models beside them: all take turns, so that a busy machine is fair.

Every engine has a process of its own (`stillbit.deploy.bench.worker`), of which only one computes at a time.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from stillbit.deploy.bench.floats import write_graph
from stillbit.deploy.bench.worker import Contender, Ready, Subject, Turn, heard, serve, started
from stillbit.deploy.engine import IR, PACKED, kind_of, open_engine
from stillbit.deploy.inputs import Wanted
from stillbit.deploy.proof.noise import noise
from stillbit.train.environment import processor, version_of

Tell = Callable[[str], None]
YARDSTICK = "torch fp32"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What to measure."""

    files: tuple[Path, ...]
    batches: tuple[int, ...] = (1, 32)
    rounds: int = 9
    threads: int = 1
    compiled: bool = False
    """Also what torch's compiler makes of the integer runtime and of the float model."""
    alone: bool = False
    """Without float models."""
    config: str = ""
    """Of a model of texts whose file does not say: what transformers builds its float model by."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The median of all rounds, and the ends."""

    median: float
    lowest: float
    highest: float


@dataclass(kw_only=True)
class Row:
    """What is known of one engine."""

    name: str
    model: str
    bytes: int | None
    """Of the file, if it is a deployed one."""
    libraries: int = 0
    """The bytes its process held before there was a model."""
    peak: int = 0
    """The most bytes its process held."""
    seconds: dict[int, list[float]] = field(default_factory=dict)
    """By the size of the batch: for one batch, in every round."""

    def spread(self, batch: int) -> Spread | None:
        """Milliseconds."""
        return _spread([1e3 * each for each in self.seconds.get(batch, [])])


@dataclass(kw_only=True)
class Report:
    """Everything that was measured."""

    hardware: str
    threads: int
    batches: tuple[int, ...]
    rounds: int
    """Asked for; a measurement that was stopped has fewer."""
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stopped: bool = False
    noun: str = "image"
    """What a batch has many of: an image or a text."""

    def ratio(self, row: Row, batch: int) -> Spread | None:
        """To PyTorch's fp32, round by round."""
        other = next((r for r in self.rows if r.name.startswith(YARDSTICK) and r.model == row.model), None)
        if other is None or batch not in row.seconds or batch not in other.seconds:
            return None
        return _spread([a / b for a, b in zip(row.seconds[batch], other.seconds[batch], strict=False)])

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        rows = []
        for row in self.rows:
            spreads = {str(batch): row.spread(batch) for batch in self.batches}
            ratios = {str(batch): self.ratio(row, batch) for batch in self.batches}
            rows.append(
                {
                    **asdict(row),
                    "milliseconds": {batch: each and asdict(each) for batch, each in spreads.items()},
                    "to_torch_fp32": {batch: each and asdict(each) for batch, each in ratios.items()},
                }
            )
        return {**asdict(self), "rows": rows}


class Worker(NamedTuple):
    """A process that waits for its turn, and where its numbers go."""

    name: str
    row: Row
    pipe: Any


def bench(asked: Asked, tell: Tell = lambda sentence: None) -> Report:
    """Measure; an interruption ends it early, with what there is by then."""
    check_asked(asked)
    report = Report(hardware=hardware(), threads=asked.threads, batches=asked.batches, rounds=asked.rounds)
    with TemporaryDirectory(prefix="stillbit_bench_") as folder:
        facts = {path: facts_of(path, asked.config) for path in asked.files}
        report.noun = "text" if all(each.is_text for each in facts.values()) else "image"
        contenders = [each for path in asked.files for each in _of_file(path, facts[path], asked)]
        if not asked.alone:
            for each in dict.fromkeys(facts.values()):
                contenders += _yardsticks(each, asked, Path(folder), report.notes, tell)
        with _workers(contenders, report, facts, tell) as workers:
            _take_turns(workers, asked, report, tell)
    report.rows = [row for row in report.rows if row.seconds]
    return report


def check_asked(asked: Asked) -> None:
    """Refuse what measures nothing."""
    if not asked.files:
        raise ValueError("there is no file to measure: stillbit bench FILE ...")
    for name in ("rounds", "threads"):
        if getattr(asked, name) < 1:
            raise ValueError(f"{name} is {getattr(asked, name)}, and it is at least one: --{name} 1")
    if not asked.batches or min(asked.batches) < 1:
        raise ValueError(f"a batch is of one image or more, got {asked.batches}: --batches 1 32")


def facts_of(path: Path, config: str = "") -> Subject:
    """What the file says of itself; a damaged one is refused here. ``config`` is for one that does not say its own."""
    if kind_of(path) == PACKED:
        from stillbit.deploy.file.check import shapes
        from stillbit.deploy.file.packed import read

        packed = read(path)
        about, wanted = packed.about, Wanted.of(packed.program)
        classes = shapes(packed.program)[packed.program.output][-1]
    else:
        engine, about = open_engine(path)
        wanted = engine.wanted
        classes = engine(*noise(wanted, 1)).shape[-1]
    own = about.text.config if about.text is not None else ""
    limits = tuple(sorted(wanted.limits.items()))
    return Subject(model=about.model, inputs=wanted.inputs, limits=limits, classes=classes, config=own or config)


def _of_file(path: Path, facts: Subject, asked: Asked) -> Iterator[Contender]:
    suffix = kind_of(path)
    kind: Any = {PACKED: "integer", IR: "openvino"}.get(suffix, "onnxruntime")
    for compiled in (False, True) if asked.compiled and kind == "integer" else (False,):
        length = f" of {facts.inputs[0].dims[-1]} tokens" if facts.is_text else ""
        name = f"{kind}{' compiled' if compiled else ''}, {path.name}{length}"
        shared: Any = {"threads": asked.threads, "subject": facts}
        yield Contender(name=name, kind=kind, source=str(path), compiled=compiled, **shared)


def _yardsticks(facts: Subject, asked: Asked, folder: Path, notes: list[str], tell: Tell) -> list[Contender]:
    """The float model in everything that is installed here."""
    if not facts.model:
        notes.append("no float model beside: the file does not say what timm calls it")
        return []
    if facts.is_text and not facts.config:
        notes.append(f"no float model beside {facts.label}: its file has no config of transformers, --config FILE")
        return []
    shared: Any = {"threads": asked.threads, "subject": facts}
    found = []
    for compiled in (False, True) if asked.compiled else (False,):
        for precision in ("fp32", "bf16"):
            name = f"torch {precision}{' compiled' if compiled else ''}, {facts.label}"
            how: Any = {"precision": precision, "compiled": compiled}
            found.append(Contender(name=name, kind="torch", source=facts.model, **how, **shared))
    graphs = [("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16")]
    installed = [(kind, precision) for kind, precision in graphs if find_spec(kind) is not None]
    if installed and find_spec("onnxscript") is not None:
        tell(f"writing {facts.label} as a graph of floats")
        path = folder / f"{len(list(folder.iterdir()))}.onnx"
        problem = write_graph(facts, path)
        if problem:
            notes.append(f"{facts.label} has no graph of floats: {problem}")
            return found
        for kind, precision in installed:
            graph: Any = {"kind": kind, "precision": precision, "source": str(path)}
            found.append(Contender(name=f"{kind} {precision}, {facts.label}", **graph, **shared))
    return found


@contextmanager
def _workers(
    contenders: Sequence[Contender], report: Report, facts: dict[Path, Subject], tell: Tell
) -> Iterator[list[Worker]]:
    """Processes that are ready; what cannot get ready is noted, and a deployed file that cannot is a mistake."""
    with ExitStack() as stack:
        ready = []
        for contender in contenders:
            tell(f"starting {contender.name}")
            pipe = stack.enter_context(started(serve, contender))
            said = heard(pipe)
            if not isinstance(said, Ready):
                if not contender.is_float:
                    raise ValueError(f"{contender.source} does not run: {said}")
                report.notes.append(f"{contender.name} does not run: {said}")
                continue
            path = Path(contender.source)
            row = Row(
                name=contender.name,
                model=contender.name.partition(", ")[2] if contender.is_float else facts[path].label,
                bytes=None if contender.is_float else size_of(path),
                libraries=said.libraries,
            )
            report.rows.append(row)
            ready.append(Worker(contender.name, row, pipe))
        yield ready


def _take_turns(workers: list[Worker], asked: Asked, report: Report, tell: Tell) -> None:
    """Round after round; a process that ends is left out from then on."""
    running = list(workers)
    try:
        for number in range(asked.rounds):
            for batch in asked.batches:
                for worker in list(running):
                    tell(f"round {number + 1} of {asked.rounds}, batch {batch}: {worker.name}")
                    worker.pipe.send(batch)
                    made = heard(worker.pipe)
                    if isinstance(made, Turn):
                        worker.row.seconds.setdefault(batch, []).append(made.seconds)
                        worker.row.peak = made.peak
                    else:
                        report.notes.append(f"{worker.name} ended at a batch of {batch}: {made}")
                        running.remove(worker)
    except KeyboardInterrupt:
        report.stopped = True


def _spread(numbers: list[float]) -> Spread | None:
    if not numbers:
        return None
    return Spread(median=statistics.median(numbers), lowest=min(numbers), highest=max(numbers))


def size_of(path: Path) -> int:
    """Bytes of a deployed file, with the one beside it that holds the weights of an OpenVINO graph."""
    beside = path.with_suffix(".bin")
    return path.stat().st_size + (beside.stat().st_size if path.suffix == IR and beside.is_file() else 0)


def hardware() -> str:
    """The machine in a line, and the packages that count."""
    packages = [
        f"{name} {number}" for name in ("torch", "timm", "onnxruntime", "openvino") if (number := version_of(name))
    ]
    named = processor() or platform.machine()
    return ", ".join([named, f"{os.cpu_count()} cores", *packages, f"Python {platform.python_version()}"])
