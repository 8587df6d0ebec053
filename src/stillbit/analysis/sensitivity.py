"""Which part of a model suffers from few bits: one group at a time is lowered, or kept float.

Two questions. *lower* (Figure 2 of VVTQ): only the group has the low bits, the rest has 8; the worst group is the one
that hurts most. *keep* (its Table 1): everything has the low bits but for the group, which stays float; the group that
helps most is the one that hurt most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import nn

from stillbit.analysis.finite import check_finite
from stillbit.analysis.given import Given, Kind, kind_of
from stillbit.analysis.groups import Anatomy, By
from stillbit.analysis.inquiry import Inquiry, Question
from stillbit.analysis.proxy import proxies
from stillbit.analysis.record import Record
from stillbit.analysis.rows import spearman
from stillbit.analysis.scores import Scores
from stillbit.analysis.sweep import Sweep
from stillbit.analysis.switches import calibrated, join
from stillbit.analysis.table import Column, Table


@dataclass(frozen=True, kw_only=True)
class Group:
    """Some tensors of the model that have their bits changed together, and what comes of it."""

    by: By
    name: str
    """A role (FFN, query, ...), the name of a block or of a layer, or an attention with the number of its head."""
    layer: str | None
    """The block, the layer, or for a head its attention; None for a role."""
    head: int | None
    parameters: int
    """Weights and biases of the group."""
    share: float
    """Of all parameters of the model, 0 to 1."""
    scores: Scores
    loss_error: float
    """Standard error of the mean change of the loss, sample by sample, against the base."""
    proxy: float
    """What one backward pass says of it: the sum of half the sum of squared gradient times squared error, in nats."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well the proxy ranks the groups: Spearman's correlation of it with what was measured."""

    by: By
    groups: int
    with_kl: float | None
    """None where there are fewer than three groups, or all are equal."""
    with_loss: float | None


@final
@dataclass(frozen=True, kw_only=True)
class Sensitivity(Record):
    """Groups in the order of the model."""

    kind: ClassVar[str] = "sensitivity"

    question: Question
    low: str
    """The low bits, such as w2a2."""
    high: str
    """The bits of the rest: w8a8 for lower; the ends (first and last layer) have 8 in both questions."""
    source: str
    """Where the float weights are from."""
    images: int
    """Or texts, see ``what``."""
    outputs: int
    calibration_images: int
    steps: int
    """Of training for each group; 0 is calibration alone."""
    reference: Scores
    """The float model."""
    base: Scores
    """Everything at the high bits (lower), or at the low bits (keep)."""
    groups: tuple[Group, ...]
    agreements: tuple[Agreement, ...]
    what: Kind = "images"
    """What was looked at."""

    def of(self, by: By) -> tuple[Group, ...]:
        """The groups of one kind, worst first: by divergence, most where lowered, least where kept."""
        sign = -1 if self.question == "lower" else 1
        return tuple(sorted((g for g in self.groups if g.by == by), key=lambda g: sign * g.scores.kl))

    def tables(self) -> tuple[Table, ...]:
        """A table a kind of group, then how well the proxy agrees."""
        kinds = dict.fromkeys(group.by for group in self.groups)
        return (*(self._table(by) for by in kinds), *self._agreement())

    def _table(self, by: By) -> Table:
        rows = tuple(
            (
                group.name,
                group.scores.top1,
                group.scores.top1 - self.base.top1,
                group.scores.loss,
                group.loss_error,
                group.scores.kl,
                group.share,
                group.proxy,
            )
            for group in self.of(by)
        )
        return Table(title=f"{_TITLES[self.question]} {by}", columns=_COLUMNS, rows=rows, note=self._note())

    def _note(self) -> str:
        what = {
            "lower": f"only the group has {self.low}, the rest has {self.high}",
            "keep": f"everything has {self.low}, the first and the last layer 8 bits, and the group stays float",
        }[self.question]
        how = f"{self.steps} steps of training each" if self.steps else "from calibration alone"
        return (
            f"{what}; {how}; {self.images} {self.what}, {self.calibration_images} to calibrate; {self.source}. Base: "
            f"{100 * self.base.top1:.2f} %, loss {self.base.loss:.4g}, kl {self.base.kl:.4g}; float: "
            f"{100 * self.reference.top1:.2f} %, loss {self.reference.loss:.4g}"
        )

    def _agreement(self) -> tuple[Table, ...]:
        rows = tuple((a.by, a.groups, a.with_kl, a.with_loss) for a in self.agreements)
        if not rows:
            return ()
        columns = (
            Column(name="by"),
            Column(name="groups", kind="count"),
            Column(name="with kl", kind="number", about="Spearman's rank correlation of proxy and divergence"),
            Column(name="with loss", kind="number", about="Spearman's rank correlation of proxy and change of loss"),
        )
        note = "1: the proxy ranks the groups as the measurement does; 0: it knows nothing of it"
        return (Table(title="the gradient's ranking against the measured one", columns=columns, rows=rows, note=note),)


_TITLES = {"lower": "lowered, by", "keep": "kept float, by"}
_COLUMNS = (
    Column(name="group"),
    Column(name="top1", kind="share", about="first guesses that are right"),
    Column(name="change", kind="change", about="of top1 against the base"),
    Column(name="loss", kind="number", about="mean cross-entropy"),
    Column(name="+-", kind="number", about="standard error of the change of the loss"),
    Column(name="kl", kind="number", about="divergence from the float model, in nats"),
    Column(name="weights", kind="share", about="share of the model's parameters"),
    Column(name="proxy", kind="number", about="squared gradient times squared quantization error"),
)


def compute(
    model: nn.Module,
    batches: Sequence[Given],
    asked: Inquiry,
    lessons: Callable[[], Iterable[Given]] | None = None,
) -> Sensitivity:
    """The sensitivity of the float ``model``, which stays as it is, measured on ``batches``.

    Where ``asked`` wants training, ``lessons`` gives the same batches to learn from each time it is called.
    """
    check_finite(model, asked.subject)
    batches = asked.chunks(batches)
    seen = asked.first(batches)
    low, high = (calibrated(model, plan, seen) for plan in asked.plans())
    anatomy = Anatomy(model, high)
    groups = anatomy.groups(asked.by)
    switched = join(low, high)
    guesses = proxies(switched, seen, groups)
    sweep = Sweep(switched, groups, asked.question, anatomy.ends())
    if asked.steps:
        assert lessons is not None, "who trains needs something to learn from"
        sweep.train(batches, lessons, asked.steps, asked.optim)
    else:
        sweep.measure(batches)
    made = tuple(
        Group(
            by=group.by,
            name=group.name,
            layer=group.layer,
            head=group.head,
            parameters=group.parameters,
            share=group.parameters / anatomy.parameters,
            scores=tally.scores(),
            loss_error=tally.loss_error(),
            proxy=guess,
        )
        for group, tally, guess in zip(groups, sweep.tallies, guesses, strict=True)
    )
    base = sweep.base.scores()
    return Sensitivity(
        subject=asked.subject,
        question=asked.question,
        low=asked.bits,
        high=asked.high,
        source=asked.source,
        images=sweep.base.images,
        outputs=sweep.outputs,
        calibration_images=sum(len(batch.targets) for batch in seen),
        steps=asked.steps,
        reference=sweep.reference.scores(),
        base=base,
        groups=made,
        agreements=tuple(
            _agreement(by, made, base, asked.question) for by in dict.fromkeys(group.by for group in made)
        ),
        what=kind_of(batches),
    )


def _agreement(by: By, groups: Sequence[Group], base: Scores, question: Question) -> Agreement:
    """The proxy against what a group costs where it is lowered, or spares where it is kept."""
    ours = [group for group in groups if group.by == by]
    sign = 1 if question == "lower" else -1
    kl, loss = ([sign * (getattr(g.scores, name) - getattr(base, name)) for g in ours] for name in ("kl", "loss"))
    guesses = [group.proxy for group in ours]
    return Agreement(by=by, groups=len(ours), with_kl=_ranked(guesses, kl), with_loss=_ranked(guesses, loss))


def _ranked(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's correlation, where there is an order to compare."""
    if len(one) < 3 or len(set(one)) < 2 or len(set(other)) < 2:
        return None
    first, second = (torch.tensor(list(numbers), dtype=torch.float64) for numbers in (one, other))
    return float(spearman(first, second))
