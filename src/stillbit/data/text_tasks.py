"""What is asked about a text: the nine tasks of GLUE, the three that are generated, and one's own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import get_close_matches
from typing import final

TRAIN, VALIDATION = "train", "validation"
MATCHED, MISMATCHED = "validation_matched", "validation_mismatched"


class UnknownLabel(Exception):
    """A label that a task does not have; the reason is its text."""


@final
@dataclass(frozen=True)
class Layout:
    """The columns of a file: those of the texts, that of the label, and all of them where the file has no header."""

    columns: tuple[str, ...]
    label: str
    unnamed: tuple[str, ...] | None = None


@final
@dataclass(frozen=True, kw_only=True)
class TextTask:
    """One or two texts in, a label out."""

    name: str
    layouts: tuple[Layout, ...]
    """How its columns may be called: by Hugging Face first, then by the files that GLUE gives out."""
    labels: tuple[str, ...] | None
    """The names of the classes, in the order of their numbers; None where a text has a number and no class."""
    metrics: tuple[str, ...] = ("accuracy",)
    """What it is judged by."""
    val: tuple[str, ...] = (VALIDATION,)
    """The splits that it is judged on."""
    folder: str = ""
    """The folder in which GLUE's own download keeps it."""

    @property
    def outputs(self) -> int:
        """How many numbers a model has to answer with."""
        return 1 if self.labels is None else len(self.labels)

    @property
    def paired(self) -> bool:
        """Whether it is about two texts."""
        return len(self.layouts[0].columns) == 2

    def target(self, label: object) -> float | int:
        """The number of a label: files write its name or its number. Raises `UnknownLabel`."""
        said = str(label).strip()
        if self.labels is None:
            try:
                number = float(said)
            except ValueError:
                number = math.nan
            if not math.isfinite(number):
                raise UnknownLabel(f"the label {said!r} is no number")
            return number
        if said in self.labels:
            return self.labels.index(said)
        if said.isdecimal() and int(said) < len(self.labels):
            return int(said)
        raise UnknownLabel(f"the label {said!r} is none of {', '.join(self.labels)}")


def find_task(name: str) -> TextTask:
    """The task of a name."""
    if name in TASKS:
        return TASKS[name]
    near = get_close_matches(name.lower().replace("-", ""), TASKS, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"unknown task {name!r}: {meant}use one of {', '.join(TASKS)}, or classify or regress")


def own_task(columns: tuple[str, ...], label: str, labels: tuple[str, ...] | None) -> TextTask:
    """A task of one's own: of classes with these names, or with None of numbers."""
    if len(columns) not in (1, 2):
        raise ValueError(f"a task is about one text or two, and {len(columns)} columns are named: --columns text")
    if label in columns:
        raise ValueError(f"the column {label} is named as a text and as the label: --label-column COLUMN")
    if labels is not None and (len(labels) < 2 or len(set(labels)) < len(labels)):
        raise ValueError(
            f"a task has two labels or more, each once, got {', '.join(labels) or 'none'}: --class-names no yes"
        )
    metrics = ("pearson", "spearman") if labels is None else ("accuracy",)
    name = "regress" if labels is None else "classify"
    return TextTask(name=name, layouts=(Layout(columns, label),), labels=labels, metrics=metrics)


_PAIR = Layout(("sentence1", "sentence2"), "label")
_ENTAILED = ("entailment", "not_entailment")
_THREE = ("entailment", "neutral", "contradiction")

GLUE = (
    TextTask(
        name="cola",
        layouts=(
            Layout(("sentence",), "label"),
            Layout(("sentence",), "label", ("source", "label", "judgment", "sentence")),
        ),
        labels=("unacceptable", "acceptable"),
        metrics=("matthews",),
        folder="CoLA",
    ),
    TextTask(name="sst2", layouts=(Layout(("sentence",), "label"),), labels=("negative", "positive"), folder="SST-2"),
    TextTask(
        name="mrpc",
        layouts=(_PAIR, Layout(("#1 String", "#2 String"), "Quality")),
        labels=("not_equivalent", "equivalent"),
        metrics=("f1", "accuracy"),
        folder="MRPC",
    ),
    TextTask(
        name="stsb",
        layouts=(_PAIR, Layout(("sentence1", "sentence2"), "score")),
        labels=None,
        metrics=("pearson", "spearman"),
        folder="STS-B",
    ),
    TextTask(
        name="qqp",
        layouts=(Layout(("question1", "question2"), "label"), Layout(("question1", "question2"), "is_duplicate")),
        labels=("not_duplicate", "duplicate"),
        metrics=("f1", "accuracy"),
        folder="QQP",
    ),
    TextTask(
        name="mnli",
        layouts=(Layout(("premise", "hypothesis"), "label"), Layout(("sentence1", "sentence2"), "gold_label")),
        labels=_THREE,
        val=(MATCHED, MISMATCHED),
        folder="MNLI",
    ),
    TextTask(name="qnli", layouts=(Layout(("question", "sentence"), "label"),), labels=_ENTAILED, folder="QNLI"),
    TextTask(name="rte", layouts=(_PAIR,), labels=_ENTAILED, folder="RTE"),
    TextTask(name="wnli", layouts=(_PAIR,), labels=_ENTAILED[::-1], folder="WNLI"),
)
"""Wang et al. 2019, arXiv 1804.07461. Classes are numbered as Hugging Face's nyu-mll/glue numbers them."""

GENERATED = (
    TextTask(name="entailment", layouts=(Layout(("premise", "hypothesis"), "label"),), labels=_THREE),
    TextTask(
        name="acceptability",
        layouts=(Layout(("sentence",), "label"),),
        labels=("unacceptable", "acceptable"),
        metrics=("matthews", "accuracy"),
    ),
    TextTask(name="paraphrase", layouts=(_PAIR,), labels=("not_equivalent", "equivalent"), metrics=("f1", "accuracy")),
)

TASKS = {task.name: task for task in (*GLUE, *GENERATED)}
