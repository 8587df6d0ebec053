"""Encoders of texts: BERT in Google's sizes by a name of ours, or any of transformers, by its folder or its hub name.

A name of ours is a model with random weights. What a folder or the hub names has weights, which are read once: a run
keeps the config, and is built from that from then on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

SIZES: dict[str, tuple[int, int, int]] = {
    "bert_pico": (2, 64, 2),
    "bert_tiny": (2, 128, 2),
    "bert_mini": (4, 256, 4),
    "bert_small": (4, 512, 8),
    "bert_medium": (8, 512, 8),
    "bert_base": (12, 768, 12),
    "bert_large": (24, 1024, 16),
}
"""Layers, width and heads; but for the first these are Google's (Turc et al. 2019, arXiv 1908.08962)."""
SMALL = 256
"""Up to this width a model is for small tasks, learned from nothing: no dropout, and start weights large enough to."""


def is_ours(name: str) -> bool:
    """Whether it is one of `SIZES`, which has no weights of its own, and no vocabulary."""
    return name in SIZES


def config_of(name: str, rows: int | None = None) -> str:
    """The config of a model as transformers writes it, in JSON; ``rows`` are the pieces that one of ours has."""
    need_package()
    return _written(_own(name, rows) if is_ours(name) else _found(name))


def answering(said: str, outputs: int, labels: tuple[str, ...] | None, *, relu: bool = False) -> str:
    """The config of a model that tells these classes apart, or that answers with a number, if ``labels`` is None."""
    config = read_config(said)
    if relu:
        _with_relu(config)
    if labels is None:
        config.num_labels, config.problem_type = outputs, "regression"
    else:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: number for number, label in enumerate(labels)}
    return _written(config)


def read_config(said: str) -> Any:
    """The inverse: a config of transformers."""
    need_package()
    from transformers import AutoConfig

    held = json.loads(said)
    return AutoConfig.for_model(held.pop("model_type"), **held)


def to_keep(said: str) -> dict[str, Any]:
    """What ``config.json`` holds, by which transformers and `stillbit.load` know what lies in a folder."""
    return {**json.loads(said), "architectures": [type(build(said)).__name__]}


def build(said: str) -> nn.Module:
    """The model of a config, with random weights."""
    from transformers import AutoModelForSequenceClassification

    model: nn.Module = AutoModelForSequenceClassification.from_config(read_config(said))
    return model


def fetch(name: str, said: str) -> nn.Module:
    """The model of a config, with the weights of a folder or of the hub; nothing is unpickled."""
    from transformers import AutoModelForSequenceClassification

    try:
        with _quiet():
            model: nn.Module = AutoModelForSequenceClassification.from_pretrained(
                name, config=read_config(said), use_safetensors=True, ignore_mismatched_sizes=True
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"cannot read the weights of {name}: {_line(error)}") from None
    return model.float()


def need_package() -> None:
    """Refuse what only transformers can build, where it is missing."""
    if find_spec("transformers") is None:
        raise ValueError("models of texts are those of transformers: pip install 'stillbit[hf]'")


def _own(name: str, rows: int | None) -> Any:
    from transformers import BertConfig

    layers, width, heads = SIZES[name]
    small = width <= SMALL
    return BertConfig(
        vocab_size=rows or BertConfig.vocab_size,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        hidden_dropout_prob=0.0 if small else 0.1,
        attention_probs_dropout_prob=0.0 if small else 0.1,
        initializer_range=0.1 if small else 0.02,
    )


def check_name(name: str) -> None:
    """Refuse what is no model of ours, no folder and no name of a hub, before a hub is asked."""
    path = Path(name)
    if path.is_dir() and not (path / "config.json").is_file():
        raise ValueError(f"the folder {name} has no config.json: give one that transformers wrote, or a name")
    if not path.is_dir() and len(path.parts) > 2:
        raise ValueError(f"there is no folder {name}: give one that transformers wrote, or a name")
    near = get_close_matches(name, SIZES, n=1, cutoff=0.75)
    if near and not is_ours(name) and not path.is_dir():
        raise ValueError(f"there is no model {name!r}: did you mean {near[0]}?")


def _found(name: str) -> Any:
    from transformers import AutoConfig

    check_name(name)
    try:
        with _quiet():
            return AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        ours = ", ".join(SIZES)
        raise ValueError(
            f"cannot find the model {name}: give a folder of transformers, a name of its hub, or one of {ours} "
            f"({_line(error)})"
        ) from None


def _written(config: Any) -> str:
    said = {**config.to_diff_dict(), "model_type": config.model_type}
    said.pop("transformers_version", None)  # a run may go on with another one
    return json.dumps(said, sort_keys=True)


def _with_relu(config: Any) -> None:
    for word in ("hidden_act", "activation"):
        if hasattr(config, word):
            setattr(config, word, "relu")
            return
    raise ValueError(f"a {config.model_type} does not say which activation it has: leave out --relu")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what transformers says of every classifier that begins anew, and of every attempt to reach the hub."""
    loggers = [logging.getLogger(name) for name in ("transformers", "huggingface_hub")]
    was = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, was, strict=True):
            logger.setLevel(level)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
