"""One safetensors file for a quantized model: weights, scales, and the structure as JSON. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from stillbit.layers.walk import quantized
from stillbit.surgery import hf_folder, timm_names
from stillbit.surgery.plan import Plan, spec_from
from stillbit.surgery.resample import resample
from stillbit.surgery.settings import settings_of
from stillbit.surgery.swap import Record, rebuild, record_of

M = TypeVar("M", bound=nn.Module)

FORMAT = 1
"""The version of the layout written here; files of a later one are refused."""


def save(model: nn.Module, path: str | os.PathLike[str]) -> Path:
    """Write weights, scales and structure to ``path`` (a .safetensors file), all of it or nothing.

    For a model of transformers ``path`` may be a folder: it then gets a config.json too, and is all that `load` needs.
    """
    record = record_of(model)
    target = Path(path)
    if not target.parent.is_dir():
        raise ValueError(f"there is no folder {target.parent}: make it first")
    in_folder = hf_folder.is_wanted(model, target)
    if in_folder:
        target.mkdir(exist_ok=True)
        target = target / hf_folder.FILE
    if target.is_dir():
        raise ValueError(f"{target} is a folder: name a file, such as {target / 'model.safetensors'}")
    tensors = {k: v.detach().contiguous().cpu().clone() for k, v in model.state_dict().items()}
    layers = [name for name, _ in quantized(model)]
    about = {
        "format": FORMAT,
        "model": _architecture(model, record, layers, tensors),
        "class": type(model).__name__,
        "training": model.training,
        "plan": record.plan.to_dict(),
        "chosen": {name: None if spec is None else spec.to_dict() for name, spec in record.chosen.items()},
        "floats": record.floats,
        "layers": layers,
        "settings": _functional(_settings(model)),
    }
    about["checksum"] = _checksum(tensors, about)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    try:
        save_file(tensors, temporary, metadata={"stillbit": json.dumps(about)})
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if in_folder:
        hf_folder.write_config(model, target.parent)
    return target


def load(path: str | os.PathLike[str], model: M | None = None, *, img_size: int | tuple[int, int] | None = None) -> M:
    """The quantized model that `save` wrote, in the mode (training or not) it was in.

    A model of timm's is built from its name, one of transformers from the config.json of its folder; for any other pass
    the float ``model`` it was made from (its numbers do not matter, and it is left as it is). ``img_size`` asks for a
    model of another image size than the file's, as `resample` makes it.
    """
    if isinstance(path, nn.Module):
        raise ValueError("the path comes first: load(path, model)")
    source = Path(path)
    source = source / hf_folder.FILE if hf_folder.is_one(source) else source
    about = _about(source)
    tensors = _tensors(source, about)
    chosen = {name: spec_from(data) for name, data in about["chosen"].items()}
    record = Record(Plan.from_dict(about["plan"]), about["floats"], chosen)
    fresh = _float_model(model, about, source, tensors)
    try:
        built = rebuild(fresh, record, about["layers"])
    except ValueError as error:
        raise ValueError(f"{source} holds another model ({about['class']}): {error}") from None
    _compare(source, about, built.state_dict(), tensors)
    _compare_settings(source, about, _functional(_settings(built)))
    # A model of timm's takes the file's number types too; any other keeps its own types, devices and ties.
    built.load_state_dict(tensors, assign=about["model"] is not None and model is None)
    built = built.train(about["training"])
    return built if img_size is None else resample(built, img_size)  # type: ignore[return-value]


def _about(source: Path) -> dict[str, Any]:
    """The structure a file carries, or one sentence about why there is none."""
    if not source.is_file():
        raise ValueError(f"there is no file {source}")
    with source.open("rb") as file:
        head = file.read(9)
    # A safetensors file begins with the length of its header, which may be any bytes, and then the header's brace.
    if (head[:2] == b"PK" or head[:1] == b"\x80") and head[8:] != b"{":
        raise ValueError(
            f"{source} is a pickle, which stillbit never opens: write models with stillbit.save(model, path)"
        )
    try:
        with safe_open(source, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{source} is truncated or no safetensors file ({error}): save it again") from None
    if "stillbit" not in metadata:
        raise ValueError(f"{source} has no stillbit structure inside: write it with stillbit.save(model, path)")
    try:
        about = json.loads(metadata["stillbit"])
        written = int(about["format"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"the structure inside {source} cannot be read: the file is damaged, save it again") from None
    if written > FORMAT:
        raise ValueError(
            f"{source} was written by a newer stillbit (format {written}, this one reads up to {FORMAT}): "
            "pip install --upgrade stillbit"
        )
    missing = {"model", "class", "training", "plan", "chosen", "floats", "layers", "settings", "checksum"} - set(about)
    if missing:
        raise ValueError(f"the structure inside {source} lacks {', '.join(sorted(missing))}: save it again")
    return dict(about)


def _tensors(source: Path, about: dict[str, Any]) -> dict[str, Tensor]:
    try:
        with safe_open(source, framework="pt") as file:
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{source} is truncated ({error}): save it again") from None
    if _checksum(tensors, about) != about["checksum"]:
        raise ValueError(f"{source} is damaged, its checksum does not fit what it holds: save it again")
    return tensors


def _float_model(model: nn.Module | None, about: dict[str, Any], source: Path, tensors: dict[str, Tensor]) -> nn.Module:
    """A float model to rebuild on: a copy of the one given, or one made anew from timm's name."""
    if model is not None:
        if any(True for _ in quantized(model)):
            raise ValueError("load takes the float model, and this one is quantized already: load(path, float_model)")
        return deepcopy(model)
    made = about["model"]
    described = made is None and hf_folder.is_one(source.parent)
    if made is None and not described:
        raise ValueError(
            f"{source} holds a {about['class']} that timm cannot build by name: "
            "pass the float model it was made from, load(path, model=your_model)"
        )
    # Buffers that no file holds take the number type of the weights.
    kinds = {t.dtype for k, t in tensors.items() if t.is_floating_point() and "_quantizer." not in k}
    built = hf_folder.build(source.parent) if described else timm_names.create(made)
    return built.to(kinds.pop()) if len(kinds) == 1 else built


def _architecture(
    model: nn.Module, record: Record, layers: list[str], tensors: dict[str, Tensor]
) -> dict[str, Any] | None:
    """How timm builds this model, if building it so gives the very same names, shapes and settings."""
    made = timm_names.describe(model)
    if made is None:
        return None
    try:
        with torch.device("meta"):
            ghost = rebuild(timm_names.create(made), record, layers)
    except Exception:  # whatever timm says: the file then asks for the float model
        return None
    shapes = {k: v.shape for k, v in ghost.state_dict().items()}
    same = shapes == {k: v.shape for k, v in tensors.items()} and _settings(ghost) == _settings(model)
    return made if same else None


Settings = dict[str, dict[str, Any]]
HOW_NOT_WHAT = ("fused_attn", "grad_checkpointing", "inplace", "name_or_path")
"""Settings of a machine or a run, and where weights once came from: they do not change what a model computes."""


def _settings(model: nn.Module) -> Settings:
    """Class and plain settings of every module (heads, epsilons, rates): names and shapes alone make no function."""
    return {name: {"class": type(module).__name__, **settings_of(module)} for name, module in model.named_modules()}


def _functional(settings: Settings) -> Settings:
    """The settings that change what a model computes in eval mode, as JSON has them; rates of dropping do not."""
    dropping = ("Dropout", "DropPath", "Identity")
    kept = {
        name: {k: v for k, v in held.items() if "drop" not in k and k not in HOW_NOT_WHAT}
        for name, held in settings.items()
        if held["class"] not in dropping
    }
    return dict(json.loads(json.dumps(kept)))


def _compare(source: Path, about: dict[str, Any], wanted: dict[str, Tensor], held: dict[str, Tensor]) -> None:
    shapes = {k: tuple(v.shape) for k, v in held.items()}
    for name, tensor in wanted.items():
        if name not in shapes:
            raise ValueError(f"{source} holds another model ({about['class']}): it has no {name}")
        if shapes.pop(name) != tuple(tensor.shape):
            was, now = tuple(held[name].shape), tuple(tensor.shape)
            raise ValueError(f"{source} holds another model ({about['class']}): {name} is {was} there and {now} here")
    if shapes:
        raise ValueError(f"{source} holds another model ({about['class']}): it also has {next(iter(shapes))}")


def _compare_settings(source: Path, about: dict[str, Any], here: Settings) -> None:
    """What both know of must agree; a setting that one version of a library has and another has not says nothing."""
    there: Settings = about["settings"]
    for name in sorted(set(there) & set(here)):
        was, now = there[name], here[name]
        for key in sorted(set(was) & set(now)):
            if was[key] != now[key]:
                raise ValueError(
                    f"{source} holds another model ({about['class']}): {name or 'the model'}.{key} is "
                    f"{was[key]!r} there and {now[key]!r} here"
                )


def _checksum(tensors: dict[str, Tensor], about: dict[str, Any]) -> str:
    """SHA-256 over the structure, then over names, types, shapes and bytes in the order of the names."""
    structure = {k: v for k, v in about.items() if k != "checksum"}
    digest = hashlib.sha256(json.dumps(structure, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
