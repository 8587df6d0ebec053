"""Float weights from files, and into them. Nothing in a file is ever run."""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import save_file
from timm.models import load_state_dict
from torch import Tensor, nn

from stillbit.data.whole import whole

POSITIONS = ("pos_embed", "relative_position_bias_table")
"""What a model knows of where a token is, and what depends on the size of its images."""


def load(model: nn.Module, path: Path) -> list[str]:
    """Begin with the weights of a run, of a .safetensors or of a .pth file; what quantizers learned is left out.

    A classifier of another number of classes keeps its random start. Returns the names of what was left so. Positions
    of another image size are interpolated.
    """
    source = path / "model.safetensors" if path.is_dir() else path
    if not source.is_file():
        hint = "that run has not ended yet" if path.is_dir() else "give a run, a .safetensors or a .pth file"
        raise ValueError(f"there are no weights {source}: {hint}")
    try:
        held = load_state_dict(str(source), weights_only=True)
        if not all(isinstance(value, Tensor) for value in held.values()):
            raise ValueError("not all of it is tensors")
    except Exception as error:  # whatever a damaged file makes its reader say
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{source} is damaged or holds no weights ({first[:120]})") from None
    held = _resized({name: value for name, value in held.items() if "_quantizer." not in name}, model)
    wanted = model.state_dict()
    classifiers = _classifiers(model)
    new = [n for n, t in wanted.items() if n.startswith(classifiers) and n in held and held[n].shape != t.shape]
    _check(source, wanted, held, new)
    model.load_state_dict({**held, **{name: wanted[name] for name in new}})
    return new


def _resized(held: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Positions of another image size are interpolated, as timm does it for this kind of model."""
    wanted = model.state_dict()
    other = {
        n for n, t in held.items() if n in wanted and wanted[n].shape != t.shape and wanted[n].shape[-1] == t.shape[-1]
    }
    fit = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if fit is None or not any(name.endswith(POSITIONS) for name in other):
        return held
    fitted = fit(dict(held), model)
    return {**held, **{name: fitted[name] for name in other if name.endswith(POSITIONS) and name in fitted}}


def save(model: nn.Module, target: Path) -> Path:
    """Write the weights as timm and others read them, all of them or nothing."""
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    with whole(target) as path:
        save_file(tensors, path, metadata={"format": "pt"})
    return target


def _classifiers(model: nn.Module) -> tuple[str, ...]:
    names = (getattr(model, "pretrained_cfg", None) or {}).get("classifier") or "head"
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


def _check(source: Path, wanted: dict[str, Tensor], held: dict[str, Tensor], new: list[str]) -> None:
    for name, tensor in wanted.items():
        if name not in held:
            raise ValueError(f"{source} holds another model: it has no {name}; give --model the name of that one")
        if held[name].shape != tensor.shape and name not in new:
            was, now = tuple(held[name].shape), tuple(tensor.shape)
            raise ValueError(f"{source} holds another model: {name} is {was} there and {now} here")
    extra = sorted(set(held) - set(wanted))
    if extra:
        raise ValueError(f"{source} holds another model: it also has {extra[0]}; give --model the name of that one")
