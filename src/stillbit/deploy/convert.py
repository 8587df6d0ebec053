"""In Python: a trained model goes in, one that computes on integers comes out."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar, final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from stillbit.deploy.about import About
from stillbit.deploy.file.packed import Packed, write
from stillbit.deploy.proof.layers import Layer, layers_of
from stillbit.deploy.proof.outcome import Proof
from stillbit.deploy.proof.run import prove
from stillbit.deploy.runtime.integer import Integer
from stillbit.deploy.tracing.trace import trace
from stillbit.surgery.macs import example_of

Images = TypeVar("Images", Tensor, NDArray[np.float32])


@final
class Converted:
    """A program, and the integer runtime that runs it; call it with images for their logits."""

    def __init__(self, model: nn.Module, example: Float[Tensor, "n ..."], about: About) -> None:
        self.model, self.about = model, about
        self.program = trace(model, example)
        self.runtime = Integer(self.program)

    def __call__(self, images: Images) -> Images:
        """Logits; of the kind that the images are, a tensor or an array."""
        if isinstance(images, Tensor):
            return torch.from_numpy(self.runtime(images.detach().cpu().float().numpy()))
        return self.runtime(np.asarray(images, np.float32))

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

    def verify(self, images: Float[Tensor, "n ..."] | NDArray[np.float32]) -> Proof:
        """The training model and the integer runtime, exact and fast, held to the reference on ``images``.

        ``print`` shows the proof, and its `Proof.failure` is None if all is as it was trained.
        """
        held = images.detach().cpu().float().numpy() if isinstance(images, Tensor) else np.asarray(images, np.float32)
        engines = {"exact": Integer(self.program, exact=True), "integer": self.runtime}
        return prove(self.model, self.program, engines, held)


def convert(
    model: nn.Module, example: Float[Tensor, "n ..."] | None = None, *, about: About | None = None
) -> Converted:
    """``model`` as it is deployed: its codes as integers, multiplied as integers.

    ``example`` is a batch of what it takes in; a timm model says so itself. The model stays as it is, and `verify`
    compares with it: train it further, and it is another one.
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


def _about(model: Any, example: Float[Tensor, "n ..."]) -> About:
    """What timm knows of the model, if it is one of timm's; the size of its pictures is that of ``example``."""
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


def _place(path: str | os.PathLike[str], suffix: str) -> Path:
    target = Path(path)
    if target.suffix != suffix:
        raise ValueError(f"such a file ends in {suffix}, and this is {target.name}: {target.with_suffix(suffix).name}")
    if not target.parent.is_dir():
        raise ValueError(f"there is no folder {target.parent}: make it first")
    return target
