"""In Python: a trained model goes in, one that computes on integers comes out."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, final

import numpy as np
import torch
from torch import Tensor, nn

from stillbit.deploy.about import About, Reading
from stillbit.deploy.file.packed import Packed, write
from stillbit.deploy.inputs import Wanted
from stillbit.deploy.program import Array
from stillbit.deploy.proof.layers import Layer, layers_of
from stillbit.deploy.proof.outcome import Proof
from stillbit.deploy.proof.run import prove
from stillbit.deploy.runtime.integer import Integer
from stillbit.deploy.tracing.call import Example, check_example, inputs_of, ordered
from stillbit.deploy.tracing.trace import trace
from stillbit.surgery.macs import example_of

Kind = TypeVar("Kind", Tensor, Array)


@final
class Converted:
    """A program, and the integer runtime that runs it; call it with what the model takes in for its logits."""

    def __init__(self, model: nn.Module, example: Example, about: About) -> None:
        self.model, self.about = model, about
        self.program = trace(model, example)
        self.runtime = Integer(self.program)

    def __call__(self, *given: Kind) -> Kind:
        """Logits of images, or of ``(input_ids, attention_mask)``; of the kind that these are, tensors or arrays."""
        logits: Any = self.runtime(*map(_array, given))
        return cast(Kind, torch.from_numpy(logits) if any(isinstance(each, Tensor) for each in given) else logits)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """The packed file, for `stillbit predict` and every other command that takes one."""
        target = _place(path, ".safetensors")
        write(Packed(program=self.program, about=self.about), target)
        return target

    def onnx(self, path: str | os.PathLike[str], flavour: Literal["integer", "compact"] = "integer") -> Path:
        """A graph of standard operators; it needs ``pip install "stillbit[onnx]"``."""
        from stillbit.deploy.graphs.onnx_file import write_onnx

        target = _place(path, ".onnx")
        write_onnx(self.program, self.about, target, flavour=flavour)
        return target

    def layers(self) -> tuple[Layer, ...]:
        """What every layer computes on, its bits, multiplications and bytes."""
        return layers_of(self.program)

    def verify(self, *given: Tensor | Array) -> Proof:
        """The training model and the integer runtime, exact and fast, held to the reference on a batch.

        ``print`` shows the proof, and its `Proof.failure` is None if all is as it was trained.
        """
        taken = Wanted.of(self.program).taken(tuple(map(_array, given)))
        engines = {"exact": Integer(self.program, exact=True), "integer": self.runtime}
        return prove(self.model, self.program, engines, taken)


def convert(model: nn.Module, example: Example | None = None, *, about: About | None = None) -> Converted:
    """``model`` as it is deployed: its codes as integers, multiplied as integers.

    ``example`` is a batch of what it takes in; a timm model says so itself. For a model of texts it is what a tokenizer
    gives, by name, or ``(input_ids, attention_mask)``, and its length is that of every later batch. The model stays as
    it is, and `verify` compares with it: train it further, and it is another one.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"convert takes a model, and this is {type(model).__name__}: stillbit.load(path) reads one")
    if example is None:
        ghost = example_of(model)
        if ghost is None:
            raise ValueError("the model does not say what it takes in: stillbit.convert(model, one_batch)")
        chance = torch.Generator().manual_seed(0)
        example = torch.randn(2, *ghost.shape[1:], generator=chance)
    return Converted(model, example, about or _about(model, example))


def _array(given: Tensor | Array) -> Array:
    """As a program takes it in: floats are float32 there."""
    array = given.detach().cpu() if isinstance(given, Tensor) else np.asarray(given)
    if isinstance(array, Tensor):
        array = (array.float() if array.is_floating_point() else array).numpy()
    return array


def _about(model: Any, example: Example) -> About:
    """What the model says of itself; the size of its pictures, or the length of its texts, is that of ``example``."""
    if not isinstance(example, Tensor):
        return _of_texts(model, example)
    config = getattr(model, "pretrained_cfg", None) or {}
    name = str(config.get("architecture") or type(model).__name__)
    if "input_size" not in config:
        return About(model=name)
    from stillbit.data.look import Look
    from stillbit.deploy.picture import preprocess_of
    from stillbit.models.names import wants

    look = Look.of(wants(model))
    if example.ndim != 4 or example.shape[1] != look.channels:
        return About(model=name)
    return About(model=name, preprocess=preprocess_of(replace(look, size=(example.shape[2], example.shape[3]))))


def _of_texts(model: Any, example: Example) -> About:
    """What transformers knows of the model, if it is one of its."""
    check_example(example)
    inputs, config = inputs_of(model, ordered(model, example)), getattr(model, "config", None)
    labels = dict(getattr(config, "id2label", None) or {})
    named = [name for number, name in sorted(labels.items()) if name != f"LABEL_{number}"]
    lengths = {each.dims for each in inputs if each.kind == "indices" and len(each.dims) == 2}
    text = None
    if len(lengths) == 1 and all(each.kind == "indices" for each in inputs):
        pad = getattr(config, "pad_token_id", None) or 0
        names = tuple(each.name for each in inputs)
        text = Reading(length=inputs[0].dims[1], inputs=names, pad=pad, config=_config(config))
    return About(model=type(model).__name__, classes=tuple(named), text=text)


def _config(config: Any) -> str:
    """That of transformers, what is as in its class left out."""
    if not hasattr(config, "to_diff_dict"):
        return ""
    said = {**config.to_diff_dict(), "model_type": config.model_type}
    return json.dumps({name: value for name, value in said.items() if name != "transformers_version"}, sort_keys=True)


def _place(path: str | os.PathLike[str], suffix: str) -> Path:
    target = Path(path)
    if target.suffix != suffix:
        raise ValueError(f"such a file ends in {suffix}, and this is {target.name}: {target.with_suffix(suffix).name}")
    if not target.parent.is_dir():
        raise ValueError(f"there is no folder {target.parent}: make it first")
    return target
