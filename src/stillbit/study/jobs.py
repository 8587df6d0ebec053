"""From a study to its jobs, in the order in which they are done: what a cell needs comes before it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Literal

from stillbit.methods import RECIPES
from stillbit.methods.recipe_file import flat
from stillbit.study.settings import FLOAT, PLAIN, Block, Study, Words, called, flags, references, settled

Kind = Literal["data", "labels", "parents", "runs"]
"""What a job makes, and the folder of the study in which it lies; ``runs`` are the cells."""
COMMANDS: dict[Kind, Words] = {
    "data": ("data", "fractals"),
    "labels": ("labels", "write"),
    "parents": ("train",),
    "runs": ("train",),
}
PASSING = ("output", "machine.device", "data.workers", "workers", "teachers.device", "write.output", "taught_by")
"""Settings of where, how often and how fast: a job with others is the same job."""

Settings = Callable[[Kind, Sequence[str]], dict[str, Any]]
"""What the words of a command come to, all defaults written out; a mistake in them is a ValueError."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One thing to make."""

    kind: Kind
    name: str
    words: Words
    """After the command; references are as the file has them."""
    needs: tuple[tuple[str, str], ...]
    """What is referred to, and the key of the job that makes it."""
    hash: str
    """Of all that decides the numbers, what it needs included."""
    settings: dict[str, Any] = field(compare=False, repr=False)
    model: str = ""
    method: str = ""
    bits: str = ""
    switch: str = PLAIN
    seed: int = 0

    @property
    def key(self) -> str:
        """Where it lies in the study's folder."""
        return f"{self.kind}/{self.name}"

    @property
    def epochs(self) -> int:
        """Of a training; 1 of anything else."""
        schedule = self.settings.get("schedule")
        return int(schedule["epochs"]) if isinstance(schedule, dict) else 1

    @property
    def title(self) -> str:
        """The method with its switch."""
        return called(self.method, self.switch)


@dataclass(frozen=True)
class _Cell:
    """A place in the table of all combinations, and when it is its turn."""

    model: str
    method: str
    bits: str
    switch: str
    seed: int


def jobs(study: Study, settings: Settings) -> list[Job]:
    """All jobs: seed by seed, of these the short trainings first, and in the order of the file where all is equal."""
    made = _Maker(study, settings)
    ranks: dict[_Cell, int] = {}
    for block in study.blocks:
        for rank, cell in _cells(study, block):
            ranks[cell] = min(rank, ranks.get(cell, rank))
    if not ranks:
        raise ValueError("there is not one cell: every switch of the file is for other methods than its cells have")
    cells = [(rank, made.cell(cell)) for cell, rank in ranks.items()]
    cells.sort(key=lambda one: (one[0], one[1].epochs))
    ordered: dict[str, Job] = {}
    for _, job in cells:
        for one in made.before(job):
            ordered[one.key] = one
    return list(ordered.values())


def _cells(study: Study, block: Block) -> Iterator[tuple[int, _Cell]]:
    """Every combination that makes sense, with the place of its seed."""
    for rank, seed in enumerate(block.seeds):
        for model in block.models:
            for method in block.methods:
                bits_of = (FLOAT,) if RECIPES[_begin(study, method)[0]]().quant is None else block.bits
                for bits in bits_of:
                    for switch in block.switches:
                        if all(one.fits(method) for one in study.switched(switch)):
                            yield rank, _Cell(model, method, bits, switch, seed)


def _begin(study: Study, method: str) -> Words:
    return study.methods.get(method, (method,))


class _Maker:
    """Makes each job once."""

    def __init__(self, study: Study, settings: Settings) -> None:
        self.study, self.settings = study, settings
        self.held: dict[str, Job] = {}
        self.read: dict[tuple[Kind, Words], dict[str, Any]] = {}

    def cell(self, cell: _Cell) -> Job:
        """The job of a cell."""
        first, *rest = _begin(self.study, cell.method)
        switched = [word for switch in self.study.switched(cell.switch) for word in switch.words]
        bits = () if cell.bits == FLOAT else ("--bits", cell.bits)
        words = (first, *self.study.words, *self.study.child, *rest, *switched, "--model", cell.model, *bits)
        name = f"{called(cell.method, cell.switch)}-{_safe(cell.model)}-{cell.bits}-seed{cell.seed}"
        axes = {"model": cell.model, "method": cell.method, "bits": cell.bits, "switch": cell.switch}
        return self._made("runs", name, words, (cell.model, cell.seed), axes)

    def source(self, name: str, model: str, seed: int) -> Job:
        """What @name is for a cell of this model and seed."""
        study = self.study
        by_model, by_seed = self._open(name)
        called_so = name + f"-{_safe(model)}" * by_model + f"-seed{seed}" * by_seed
        if name in study.data:
            return self._made("data", name, study.data[name], (model, seed))
        if name in study.labels:
            return self._made("labels", called_so, study.labels[name], (model, seed))
        first, *rest = study.parents[name]
        said = () if "--model" in flags(tuple(rest)) else ("--model", model)
        words = (first, *study.words, *rest, *said)
        return self._made("parents", called_so, words, (model, seed), {"method": name})

    def before(self, job: Job) -> Iterator[Job]:
        """The job, after all that it needs."""
        for _, key in job.needs:
            yield from self.before(self.held[key])
        yield job

    def _open(self, name: str) -> tuple[bool, bool]:
        """Whether model and seed are those of the cell that asks: what the words of a source do not say."""
        words, trained = self.study.sources[name], name in self.study.parents
        below = [self._open(other) for other in references(words)]
        by_model = (trained and "--model" not in flags(words)) or any(model for model, _ in below)
        by_seed = (trained and "--seed" not in flags(words)) or any(seed for _, seed in below)
        return by_model, by_seed

    def _made(
        self,
        kind: Kind,
        name: str,
        words: Words,
        asker: tuple[str, int],
        axes: Mapping[str, str] = MappingProxyType({}),
    ) -> Job:
        """The job of these words, for a cell of the asker's model and seed."""
        key = f"{kind}/{name}"
        if key in self.held:
            return self.held[key]
        words = self._settled(name, words)
        needed = [(one, self.source(one, *asker)) for one in references(words)]
        settings = self._settings(kind, name, words)
        trained = kind in ("parents", "runs")
        seeded = trained and "--seed" not in flags(words)
        seed = asker[1] if seeded else int(settings["machine"]["seed"]) if trained else 0
        bits = "" if not trained else FLOAT if settings["quant"] is None else str(settings["quant"]["bits"])
        own = {"model": str(settings["model"]["model"]) if trained else "", "bits": bits}
        self.held[key] = Job(
            kind=kind,
            name=name,
            words=(*words, "--seed", str(seed)) if seeded else words,
            needs=tuple((one, job.key) for one, job in needed),
            hash=_hash(settings, seed, needed),
            settings=settings,
            seed=seed,
            **{**own, **axes},
        )
        return self.held[key]

    def _settled(self, name: str, words: Words) -> Words:
        try:
            return settled(words)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    def _settings(self, kind: Kind, name: str, words: Words) -> dict[str, Any]:
        """Once for all seeds: reading words takes longer than all the rest."""
        if (kind, words) not in self.read:
            try:
                self.read[kind, words] = self.settings(kind, words)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return self.read[kind, words]


def _hash(settings: dict[str, Any], seed: int, needed: Sequence[tuple[str, Job]]) -> str:
    """Of what decides the numbers; what is referred to counts by what it is, and not by its name."""
    decides = {name: _number(value) for name, value in flat(settings) if not name.startswith(PASSING)}
    needs = sorted(job.hash for _, job in needed)
    said = json.dumps([decides | {"machine.seed": seed}, needs], sort_keys=True, default=str)
    for name, job in needed:
        said = said.replace(f'"@{name}"', f'"@{job.hash}"')
    return sha256(said.encode()).hexdigest()


def _number(value: Any) -> Any:
    """A default may be written 0 where a word that says the same is read as 0.0."""
    return float(value) if type(value) is int else value


def _safe(model: str) -> str:
    return model.replace("/", "_").replace(":", "_")
