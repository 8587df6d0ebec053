"""What a model has rows for, and whether a task, a tokenizer and a length fit it.

Without these checks, a number beyond a table ends a training with an index error on a CPU and with a broken device on a
GPU, and a padding piece of another number trains without a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

from stillbit.data.text_settings import LONGEST
from stillbit.data.text_tasks import TextTask
from stillbit.data.wordpiece import Pieces

_AFTER_PADDING = frozenset(
    (
        *("camembert", "data2vec-text", "esm", "ibert", "layoutlmv3", "lilt", "longformer", "luke", "markuplm"),
        *("mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"),
    )
)
"""Models whose first position is the row after that of the padding piece; the rows before it are never used."""


@final
@dataclass(frozen=True, kw_only=True)
class Tables:
    """What a model has rows for."""

    pieces: int
    positions: int
    types: int
    """Kinds of segments; 0 if the model knows none."""
    outputs: int
    """How many numbers it answers with."""
    labels: tuple[str, ...] | None = None
    """What it calls its classes, if it has names for them."""
    pad: int | None = None
    start: int | None = None
    end: int | None = None

    @staticmethod
    def of(config: Any) -> Tables:
        """Those of a model of transformers, by its config."""
        positions, pad = config.max_position_embeddings, getattr(config, "pad_token_id", None)
        names = tuple(config.id2label[number] for number in sorted(config.id2label))
        unnamed = all(name == f"LABEL_{number}" for number, name in enumerate(names))
        return Tables(
            pieces=config.vocab_size,
            positions=positions - (pad or 0) - 1 if config.model_type in _AFTER_PADDING else positions,
            types=getattr(config, "type_vocab_size", None) or 0,
            outputs=len(names),
            labels=None if unnamed else names,
            pad=pad,
            start=getattr(config, "bos_token_id", None),
            end=getattr(config, "eos_token_id", None),
        )


def longest(asked: int | None, tables: Tables) -> int:
    """How many pieces a sequence may have: as asked, else 128, else what the model has positions for."""
    if asked is not None and asked > tables.positions:
        raise ValueError(
            f"the model has {tables.positions} positions, too few for sequences of {asked}: "
            f"--max-length {tables.positions} or less"
        )
    return min(LONGEST, tables.positions) if asked is None else asked


def check_task(task: TextTask, tables: Tables) -> None:
    """Refuse a model that answers with another number of labels, or counts the same ones in another order."""
    if tables.outputs != task.outputs:
        kind = "is a number" if task.labels is None else f"has {task.outputs} labels"
        raise ValueError(
            f"the task {task.name} {kind} and the model answers with {tables.outputs}: "
            f"build it with num_labels={task.outputs}"
        )
    if task.labels is None or tables.labels is None:
        return
    ours, theirs = ([name.lower() for name in names] for names in (task.labels, tables.labels))
    if ours != theirs and set(ours) == set(theirs):
        raise ValueError(
            f"the model counts the labels {', '.join(tables.labels)} and {task.name} {', '.join(task.labels)}: "
            "give its output the task's order, and set id2label so"
        )


def check_pieces(pieces: Pieces, tables: Tables) -> None:
    """Refuse a tokenizer that does not belong to the model."""
    if pieces.rows > tables.pieces:
        raise ValueError(
            f"the tokenizer has {pieces.rows} pieces and the model embeddings for {tables.pieces}: "
            "use the tokenizer that the model was trained with"
        )
    special = (("pads with", pieces.pad, tables.pad), ("begins with", pieces.start, tables.start))
    for does, ours, theirs in (*special, ("ends with", pieces.end, tables.end)):
        if theirs is not None and ours is not None and ours != theirs:
            raise ValueError(
                f"the tokenizer {does} piece {ours} and the model with {theirs}: "
                "use the tokenizer that the model was trained with"
            )
