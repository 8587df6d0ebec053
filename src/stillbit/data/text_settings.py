"""What a command line says about texts. Imports no numbers package, so that ``--help`` is quick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

LONGEST = 128
"""Pieces a sequence at most, where nobody says otherwise: what GLUE is trained with."""


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """What is asked about texts, and how they become numbers."""

    task: str = ""
    """Train on texts: a task of GLUE, a generated one (entailment, acceptability, paraphrase), or classify or regress:
    your own."""
    columns: tuple[str, ...] = ()
    """Your own task: the column of its text, or the columns of its two."""
    label_column: str = "label"
    """Your own task: the column of the label."""
    class_names: tuple[str, ...] = ()
    """To classify: the names of the classes, in the order of their numbers."""
    examples: int = 20_000
    """Generated tasks: examples to train on."""
    val_examples: int = 2_000
    """Generated tasks: examples to be judged by."""
    text_seed: int = 0
    """Generated tasks: another seed draws other examples."""
    tokenizer: Path | None = None
    """The folder of a tokenizer (tokenizer.json, or vocab.txt); the model's own if left out, and one that is trained on
    the texts for a model that has none."""
    vocabulary: int = 1000
    """Pieces of a vocabulary that is trained on the texts."""
    max_length: int | None = None
    """Pieces a sequence at most; 128 if left out, or what the model can take if that is less."""
    too_long: Literal["truncate", "fatal"] = "truncate"
    """A longer sequence loses its end (of a pair, the longer text does), or ends the run."""
    pad_multiple: int = 1
    """Batches are padded to their longest sequence, and up to a multiple of this; 8 suits tensor cores."""
    bucket: int = 0
    """Training batches of like lengths: sorted within so many batches; 0 leaves the order alone."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        _need(self.examples >= 1, f"a data set has at least one example, got {self.examples}: --examples 20000")
        _need(self.val_examples >= 1, f"a data set has at least one example, got {self.val_examples}")
        _need(self.vocabulary >= 1, f"a vocabulary has pieces, got {self.vocabulary}: --vocabulary 1000")
        length = self.max_length
        _need(
            length is None or length >= 8, f"a sequence has room for 8 pieces at least, got {length}: --max-length 128"
        )
        _need(self.pad_multiple >= 1, f"pad_multiple is 1 or more, got {self.pad_multiple}: --pad-multiple 8")
        _need(self.bucket >= 0, f"bucket counts batches, got {self.bucket}: --bucket 50, or 0 for none")


@dataclass(frozen=True, kw_only=True)
class TextSettings(TaskSettings):
    """The same, with where the texts are, and how they are loaded."""

    task: str = "sst2"
    data_dir: Path | None = None
    """The folder with the files of the task, or with one folder a task; with a name of the hub, where to keep it."""
    dataset: str = "folder"
    """Where the texts are: folder, or hfds/NAME (Hugging Face's hub; GLUE is hfds/nyu-mll/glue)."""
    train_split: str = "train"
    """The split to train on."""
    val_split: str | None = None
    """The split to be judged by; the task's own if left out (two for mnli)."""
    batch_size: int = 32
    """Examples a step and process."""
    corrupt: Literal["fatal", "skip"] = "fatal"
    """A line that cannot be used ends the run, or is left out, named and counted."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        super().__post_init__()
        _need(self.batch_size >= 1, f"a batch has at least one example, got {self.batch_size}: --batch-size 32")


def _need(holds: bool, sentence: str) -> None:
    if not holds:
        raise ValueError(sentence)
