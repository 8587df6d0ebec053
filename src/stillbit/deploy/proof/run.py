"""The proof itself: the training model and every engine run on the same images, and are held to the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from numpy import ndarray
from torch import nn

from stillbit.deploy.engine import Engine
from stillbit.deploy.file.check import shapes
from stillbit.deploy.inputs import Given, Wanted, cut, length, parts
from stillbit.deploy.program import MULTIPLIES, Array, Program
from stillbit.deploy.proof.codes import Difference, heard, walk
from stillbit.deploy.proof.layers import layers_of
from stillbit.deploy.proof.outcome import AGREEMENT, NEAR, TOLERANCE, Comparison, LayerCodes, Proof
from stillbit.deploy.tracing.call import answer
from stillbit.deploy.tracing.record import codes_of, evaluating

TRAINING = "training"
"""What the training model in fp32 is called among the engines."""
INTEGERS = 2**25
"""How many integers of an engine are held at a time; images are taken in portions that have about so many."""

Labels = Int64[ndarray, " n"]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a proof says beside its numbers, how strict it is, and what else there is to look at."""

    subject: str = "the model"
    seen: str = "images"
    """Which images, or sentences."""
    tolerance: float = TOLERANCE
    agreement: float = AGREEMENT
    labels: Labels | None = None
    """Of the images on which codes are compared."""
    more: Iterable[tuple[Given, Labels | None]] = ()
    """Batches on which only first classes are compared, and not those of an exact engine, which is slow."""
    progress: Callable[[str], None] = lambda words: None
    """Is told what is done."""


@dataclass
class _Tally:
    """One implementation, over portions of the images."""

    name: str
    run: Callable[..., Array]
    codes: Callable[[Given], Iterable[tuple[str, Array]]]
    exact: bool = False
    own: list[Array] = field(default_factory=list)
    """Its logits."""
    heard: list[Array] = field(default_factory=list)
    """Those of the run that its codes are of."""
    forced: list[Array] = field(default_factory=list)
    """Those of the reference on its codes."""
    differences: list[Difference] = field(default_factory=list)
    silent: tuple[str, ...] = ()
    first: list[Array] = field(default_factory=list)
    """First classes, or numbers, on further images."""


def prove(
    model: nn.Module | None,
    program: Program,
    engines: Mapping[str, Engine],
    given: Given,
    told: Told | None = None,
) -> Proof:
    """Compare all with the reference on ``given``, images or a tuple of what else the program takes in.

    ``model`` is the training model, where there still is one.
    """
    said = told or Told(seen=noun_of(program))
    images = length(given)
    if not images:
        raise ValueError("a proof needs one image at least: --samples 32")
    tallies = [] if model is None else [_training(model, program)]
    tallies += [_Tally(name, each, each.codes, bool(getattr(each, "exact", False))) for name, each in engines.items()]
    free: list[Array] = []
    for portion in _portions(program, given):
        free.append(walk(program, portion, {}).logits)
        for tally in tallies:
            _add(tally, program, portion)
        said.progress(f"proving: codes of {sum(map(len, free))} of {images} {noun_of(program)}")
    reference = np.concatenate(free)
    labels = _further(tallies, said, noun_of(program))
    firsts = [_firsts(tally, said, labels) for tally in tallies]
    pairs = zip(tallies, firsts, strict=True)
    return Proof(
        subject=said.subject,
        images=images,
        seen=said.seen,
        noun=noun_of(program),
        numbers=reference.shape[1] == 1,
        tolerance=said.tolerance,
        agreement=said.agreement,
        comparisons=tuple(
            _compared(tally, tallies[0], reference, (own, firsts[0]), said.tolerance) for tally, own in pairs
        ),
        layers=layers_of(program),
    )


def _training(model: nn.Module, program: Program) -> _Tally:
    """The training model as if it were an engine; its codes are its own."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))

    def tensors(given: Given) -> list[torch.Tensor]:
        return [torch.from_numpy(array).to(device) for array in Wanted.of(program).taken(given)]

    def run(*given: Array) -> Array:
        with evaluating(model):
            logits: Array = answer(model, program.inputs, tensors(given)).cpu().numpy()
        return logits

    return _Tally(TRAINING, run, lambda given: codes_of(model, tensors(given), program))


def _portions(program: Program, given: Given) -> Iterator[Given]:
    """So many images at a time that the integers of one portion fit into memory with ease."""
    known = shapes(program)
    an_image = sum(prod(known[step.output]) for step in program.steps if step.op in ("quantize", *MULTIPLIES))
    portion = max(1, min(16, INTEGERS // max(an_image, 1)))
    for start in range(0, length(given), portion):
        yield cut(given, start, start + portion)


def _add(tally: _Tally, program: Program, given: Given) -> None:
    """One portion: its logits, and the reference on its codes."""
    logits = tally.run(*parts(given))
    theirs = heard(tally.codes(given))
    walked = walk(program, given, theirs)
    tally.own.append(logits)
    tally.heard.append(theirs[program.output][-1] if program.output in theirs else logits)
    tally.forced.append(walked.logits)
    tally.differences += walked.differences
    quiet = (step.layer for step in program.steps if step.op == "quantize" and step.output not in theirs)
    tally.silent = tuple(dict.fromkeys(quiet))


def _further(tallies: list[_Tally], said: Told, noun: str) -> Labels | None:
    """First classes on further images, and the labels of these."""
    labels: list[Labels | None] = []
    done = 0
    for given, known in said.more:
        labels.append(known)
        said.progress(f"proving: first classes of {done} {noun}")
        done += length(given)
        for tally in tallies:
            if not tally.exact:
                tally.first.append(_first(tally.run(*parts(given))))
    known_all = [known for known in labels if known is not None]
    return np.concatenate(known_all) if known_all and len(known_all) == len(labels) else None


class _Firsts(NamedTuple):
    """The first classes that count, and the labels there: on further images, or on those of the codes."""

    classes: Array
    labels: Labels | None


def _firsts(tally: _Tally, said: Told, labels: Labels | None) -> _Firsts:
    if tally.first:
        return _Firsts(np.concatenate(tally.first), labels)
    return _Firsts(_first(np.concatenate(tally.own)), said.labels)


def _compared(
    tally: _Tally, begun: _Tally, reference: Array, firsts: tuple[_Firsts, _Firsts], tolerance: float
) -> Comparison:
    """``begun`` is whose first classes count: the training model, if there is one. ``firsts`` are of both."""
    own, heard, forced = (np.concatenate(parts) for parts in (tally.own, tally.heard, tally.forced))
    (first, labels), (begun_first, _) = firsts
    others = begun_first if len(begun_first) == len(first) else _first(np.concatenate(begun.own))
    if tally is begun or begun.name != TRAINING:  # the reference has seen no further images: it is slow
        first, others = _first(own), _first(reference)
    judged = firsts[0].classes
    return Comparison(
        engine=tally.name,
        exact=tally.exact,
        layers=_by_layer(tally.differences),
        silent=tally.silent,
        same_codes=_apart(heard, forced),
        free=_apart(own, reference),
        unseen=int((np.abs(own - heard).max(1) > tolerance * np.abs(heard).max()).sum()),
        images=len(first),
        same=_same(first, others),
        judged=0 if labels is None else len(labels),
        right=0 if labels is None else int((judged == labels).sum()),
    )


def _first(logits: Array) -> Array:
    """First classes; or the numbers, where a model answers with one."""
    found: Array = logits.argmax(1) if logits.shape[1] > 1 else logits[:, 0]
    return found


def _same(ours: Array, theirs: Array) -> int:
    """How many are the same; numbers are if they are near."""
    if ours.dtype.kind != "f":
        return int((ours == theirs).sum())
    return int((np.abs(ours - theirs) <= NEAR * np.abs(theirs).max()).sum())


def noun_of(program: Program) -> str:
    """What a batch has many of."""
    return "texts" if any(each.kind == "indices" for each in program.inputs) else "images"


def _apart(a: Array, b: Array) -> float:
    """The largest difference, relative to the largest of ``b``."""
    return float(np.abs(a - b).max() / max(float(np.abs(b).max()), float(np.finfo(np.float32).tiny)))


def _by_layer(differences: list[Difference]) -> tuple[LayerCodes, ...]:
    """Codes of one layer together, and its sums, over all portions."""
    layers: dict[tuple[str, str], list[Difference]] = {}
    for difference in differences:
        layers.setdefault((difference.layer, difference.what), []).append(difference)
    return tuple(
        LayerCodes(
            name=name,
            what=what,
            integers=sum(d.integers for d in held),
            differ=sum(d.differ for d in held),
            ties=sum(d.ties for d in held),
            largest=max(d.largest for d in held),
            farthest=max(d.farthest for d in held),
        )
        for (name, what), held in layers.items()
    )
