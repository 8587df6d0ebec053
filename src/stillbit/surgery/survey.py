"""Look at a float model: every place where quantizers can go, and what must stay float, each with its reason."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from dataclasses import replace
from functools import cache
from typing import Any

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from stillbit.surgery import cnn, hf, sret, timm_eva, timm_swin, timm_vit
from stillbit.surgery.site import Site, Survey, weight_site

FAMILIES = (cnn.claim, timm_vit.claim, timm_swin.claim, timm_eva.claim, sret.claim, hf.claim)
WEIGHT_LAYERS = (nn.Linear, nn.Conv2d, nn.Embedding)
OTHER_LAYERS = (
    nn.Conv1d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.Bilinear,
)
"""Layers of torch that multiply and have no quantized counterpart here."""
MATMUL = re.compile(
    r"scaled_dot_product_attention|multi_head_attention_forward|ALL_ATTENTION_FUNCTIONS|\bmatmul\(|\bbmm\(|einsum\(| @ "
)


def survey(model: nn.Module) -> Survey:
    """Families first; then every linear, convolution and embedding that computes with its own forward."""
    found: dict[str, Site] = {}
    floats: dict[str, str] = {}
    parents, read = _parents(model), _read_past_forward(model)
    for name, module in model.named_modules():
        if name in found or name in floats:
            continue
        claimed = [site for claim in FAMILIES for site in claim(name, module, model)]
        if claimed:
            found.update((site.name, site) for site in claimed if site.name not in found)
        elif isinstance(module, WEIGHT_LAYERS):
            why = _why_float(module) or read.get(id(module))
            if why:
                floats[name] = why
            else:
                found[name] = weight_site(name, module, (), "unsigned" if _after_relu(module, parents) else "signed")
        elif isinstance(module, OTHER_LAYERS):
            floats[name] = f"there is no quantized {type(module).__name__}"
        elif _multiplies(_class(module)):
            found.update((site.name, site) for site in hf.refused(name, module))
            floats[name] = f"the products inside {type(module).__name__} are known to no family"
    ordered = [found[name] for name, _ in model.named_modules() if name in found]
    return Survey(_with_ends(model, ordered), floats)


def _with_ends(model: nn.Module, sites: list[Site]) -> list[Site]:
    """The sites, the first and the last weight layer named so."""
    config: Any = getattr(model, "pretrained_cfg", None) or {}
    weights = [s for s in sites if not s.is_attention and "position" not in s.roles and "embedding" not in s.roles]
    if not weights:
        return sites
    names = {s.name for s in weights}
    claimed = any("first" in s.roles for s in sites)
    first = set() if claimed else _listed(config.get("first_conv")) & names or {weights[0].name}
    ends = {**dict.fromkeys(_last(model, weights), ("last",)), **dict.fromkeys(first, ("first",))}
    return [replace(s, roles=(*ends.get(s.name, ()), *s.roles)) for s in sites]


def _last(model: nn.Module, weights: list[Site]) -> set[str]:
    """The names of the classifiers, or of the layer that was registered last."""
    heads = _classifiers(model)
    named = {s.name for s in weights if any(s.module is head for head in heads)}
    foreign = hf.classifiers(model, [s.name for s in weights])
    return named or ({weights[-1].name} if foreign is None else foreign)


def _listed(names: Any) -> set[str]:
    return set() if names is None else {names} if isinstance(names, str) else set(names)


def _classifiers(model: Any) -> list[nn.Module]:
    """What timm calls the classifier: one layer, or two in a distilled model."""
    if not hasattr(model, "get_classifier"):
        return []
    heads = model.get_classifier()
    inside = [m for head in (heads if isinstance(heads, tuple | list) else [heads]) for m in _modules(head)]
    return [m for m in inside if isinstance(m, WEIGHT_LAYERS)]


def _modules(head: Any) -> list[nn.Module]:
    return list(head.modules()) if isinstance(head, nn.Module) else []


def _parents(model: nn.Module) -> dict[int, list[tuple[nn.Module, str]]]:
    parents: dict[int, list[tuple[nn.Module, str]]] = {}
    for module in model.modules():
        for child_name, child in module.named_children():
            parents.setdefault(id(child), []).append((module, child_name))
    return parents


def _why_float(module: nn.Module) -> str | None:
    """Why this layer's forward cannot be replaced, if it cannot."""
    plain = next(kind for kind in WEIGHT_LAYERS if isinstance(module, kind))
    if type(module).forward is not plain.forward or (
        isinstance(module, nn.Conv2d) and type(module)._conv_forward is not nn.Conv2d._conv_forward
    ):
        return f"{type(module).__name__} has a forward of its own"
    return "its weight is parametrized" if is_parametrized(module) else None


def _read_past_forward(model: nn.Module) -> dict[int, str]:
    """Modules whose weight is read by the code of a module above them, each with the sentence that says so."""
    found: dict[int, str] = {}
    for module in model.modules():
        for path in _weights_read(_class(module)):
            try:
                inside = module.get_submodule(path)
            except AttributeError:
                continue
            found[id(inside)] = f"{type(module).__name__} reads its weight past its forward"
    return found


def _after_relu(module: nn.Module, parents: dict[int, list[tuple[nn.Module, str]]]) -> bool:
    """Whether the layer stands in a Sequential behind a ReLU, with nothing between that could make a sign."""
    for parent, _ in parents.get(id(module), []):
        if not isinstance(parent, nn.Sequential):
            return False
        for before in reversed(list(parent)[: list(parent).index(module)]):
            if isinstance(before, nn.ReLU | nn.ReLU6):
                return True
            if not isinstance(before, nn.MaxPool2d | nn.AvgPool2d | nn.Dropout | nn.Flatten | nn.Identity):
                return False
    return False


def _class(module: nn.Module) -> type:
    return type(module)


@cache
def _methods(kind: type) -> tuple[ast.FunctionDef, ...]:
    """The methods that ``kind.forward`` may run: itself, and those of the class that it calls, inherited ones too."""
    defined: dict[str, ast.FunctionDef] = {}
    for base in kind.__mro__:
        if base is nn.Module:
            break
        for method in _defined(base):
            defined.setdefault(method.name, method)
    reached: dict[str, ast.FunctionDef] = {}
    waiting = ["forward"]
    while waiting:
        name = waiting.pop()
        if name in defined and name not in reached:
            reached[name] = defined[name]
            waiting += [n.attr for n in ast.walk(defined[name]) if isinstance(n, ast.Attribute)]
    return tuple(reached.values())


@cache
def _defined(kind: type) -> tuple[ast.FunctionDef, ...]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError, SyntaxError):
        return ()
    return tuple(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef))


@cache
def _weights_read(kind: type) -> frozenset[str]:
    """Paths of the children whose ``self.PATH.weight`` a class reads itself; its type and its place are no numbers."""
    nodes = [n for method in _methods(kind) for n in ast.walk(method) if isinstance(n, ast.Attribute)]
    asked = {id(n.value) for n in nodes if n.attr in ("dtype", "device")}
    paths = (_path(n.value) for n in nodes if n.attr == "weight" and id(n) not in asked)
    return frozenset(path for path in paths if path)


def _path(node: ast.expr) -> str | None:
    """``inside.fc`` for ``self.inside.fc``, ``chain.0`` for ``self.chain[0]``; None for anything else."""
    match node:
        case ast.Name(id="self"):
            return ""
        case ast.Attribute(value=value, attr=attr):
            before, last = _path(value), attr
        case ast.Subscript(value=value, slice=ast.Constant(value=int(number))):
            before, last = _path(value), str(number)
        case _:
            return None
    return None if before is None else f"{before}.{last}".lstrip(".")


@cache
def _multiplies(kind: type) -> bool:
    """Whether a class computes a product of activations in its own code."""
    return any(MATMUL.search(ast.unparse(method)) for method in _methods(kind))
