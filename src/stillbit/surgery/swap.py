"""Float model in, quantized model out, and back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from stillbit.layers.attention import QuantAttention
from stillbit.layers.base import QuantLayer
from stillbit.layers.linear import QuantLinear
from stillbit.layers.merged_attention import MergedAttention
from stillbit.layers.rectify import Rectify
from stillbit.layers.walk import quantized
from stillbit.quantizers.base import Quantizer
from stillbit.quantizers.granularity import per_channel
from stillbit.quantizers.spec import Range, build
from stillbit.surgery import hf_positions
from stillbit.surgery.plan import AttentionSpec, LayerSpec, Plan
from stillbit.surgery.site import Headed, Site, Survey
from stillbit.surgery.survey import survey

M = TypeVar("M", bound=nn.Module)
Chosen = dict[str, LayerSpec | AttentionSpec | None]


@dataclass(frozen=True)
class Record:
    """What was done to a model: the plan, and what stayed float, each with the reason."""

    plan: Plan
    floats: dict[str, str]
    chosen: Chosen
    """The plan as it was resolved: what every site became."""


def quantize(model: M, plan: Plan | str, *, inplace: bool = False) -> M:
    """A model that computes on the grids of ``plan``; weights have their scales, activations await `calibrate`.

    ``plan`` is a `Plan` or a preset such as "w4a4". The float model is left as it is unless ``inplace=True``; a call
    that fails leaves it as it is in any case.
    """
    _check_model(model)
    if "_stillbit" in model.__dict__ or any(layer.quantizers() for _, layer in quantized(model)):
        raise ValueError("this model is quantized already: call stillbit.dequantize(model) first, or load it anew")
    if any(True for _ in quantized(model)):
        raise ValueError(
            "query and key of this model are merged and stay so: begin with the float model before the merge"
        )
    plan = Plan.of(plan)
    target = model if inplace else deepcopy(model)
    found = survey(target)
    chosen = plan.choose(found.sites)
    swaps = _layers(found, chosen)
    if not swaps:
        why = next(
            (f"{name}: {reason}" for name, reason in found.floats.items()), "it has no linear and no convolution"
        )
        raise ValueError(f"nothing in this model was quantized ({why}): give the plan a rule that speaks of its layers")
    _start_weights({s.name: swaps[id(s.module)] for s in found.sites if id(s.module) in swaps})
    floats = {**found.floats, **{s.name: "no rule speaks of it" for s in found.sites if s.name not in chosen}}
    floats |= {name: "the plan says so" for name, spec in chosen.items() if spec is None}
    if inplace and id(target) in swaps:
        raise ValueError("a single layer cannot be replaced in place: use the result of quantize(layer, plan)")
    return _swapped(target, swaps, Record(plan, floats, chosen))


def dequantize(model: M, *, inplace: bool = False) -> M:
    """The float model again, with the weights as they are now. Merged query-key matrices stay merged."""
    if not any(True for _ in quantized(model)):
        raise ValueError("this model is not quantized: there is nothing to take back")
    target = model if inplace else deepcopy(model)
    floats = {id(layer): layer.release() for _, layer in quantized(target)}
    target = floats.get(id(target), target)  # type: ignore[assignment]
    _put(target, floats)
    hf_positions.unwatch(target)
    target.__dict__.pop("_stillbit", None)
    return target


def record_of(model: nn.Module) -> Record:
    """What `quantize` noted on a model."""
    _check_model(model)
    record = model.__dict__.get("_stillbit")
    if not isinstance(record, Record):
        raise ValueError("this model was not made by stillbit: call model = stillbit.quantize(model, 'w4a4') first")
    return record


def rebuild(model: M, record: Record, only: Collection[str]) -> M:
    """`quantize` in place as ``record`` says, without looking at any weight: a file brings its own scales.

    ``only`` names the layers that were quantized when the file was written; others (a new classifier) stay float.
    """
    kept = {n: s for n, s in record.chosen.items() if n in only or _is_merged_away(n, record.chosen)}
    return _swapped(model, _layers(survey(model), kept), record)


def _check_model(model: object) -> None:
    """A model comes first, and it comes bare."""
    kind = type(model).__name__
    if not isinstance(model, nn.Module):
        raise ValueError(f"the first argument is a model (nn.Module), got {kind}: quantize(model, 'w4a4')")
    inside = {"OptimizedModule": "_orig_mod", "DataParallel": "module", "DistributedDataParallel": "module"}.get(kind)
    if inside:
        raise ValueError(f"the model is inside this {kind}: pass model.{inside}")


def _swapped(model: M, swaps: Mapping[int, QuantLayer], record: Record) -> M:
    """``model`` with its sites replaced, and the record of it."""
    target = swaps.get(id(model), model)
    _put(target, swaps)
    hf_positions.watch(target)
    target.__dict__["_stillbit"] = record
    return target  # type: ignore[return-value]


def _layers(found: Survey, chosen: Chosen) -> dict[int, QuantLayer]:
    """The quantized layer of every site that has a spec, by the identity of the module it replaces."""
    return {
        id(site.module): _layer(site, chosen)
        for site in found.sites
        if chosen.get(site.name) is not None and not _is_merged_away(site.name, chosen)
    }


def _is_merged_away(name: str, chosen: Chosen) -> bool:
    """Whether ``name`` is the fused qkv that a merged attention replaces: no layer bears its name afterwards."""
    parent, _, child = name.rpartition(".")
    above = chosen.get(parent)
    return child == "qkv" and isinstance(above, AttentionSpec) and above.merge


def _layer(site: Site, chosen: Chosen) -> QuantLayer:
    """The quantized layer of one site."""
    spec = chosen[site.name]
    try:
        if isinstance(spec, AttentionSpec):
            return _attention(site, spec, chosen)
        assert isinstance(spec, LayerSpec), "sites without a spec are left out"
        return _weighted(site, spec)
    except ValueError as error:
        raise ValueError(f"{site.name}: {error}") from None


def _weighted(site: Site, spec: LayerSpec) -> QuantLayer:
    module = site.module
    weight: torch.Tensor = module.weight  # type: ignore[assignment]
    parts: dict[str, Quantizer | None] = {}
    with weight.device:
        heads, axis = (site.heads.blocks, site.heads.axis) if site.heads else (None, 0)
        cut = spec.weight.granularity.of_weight(tuple(weight.shape), heads=heads, head_axis=axis)
        parts["weight_quantizer"] = build(spec.weight, "weight", cut, "signed")
        if "input_quantizer" in site.layer.roles and not spec.input.is_float:
            granularity = spec.input.granularity
            if isinstance(module, nn.Conv2d):
                blocks, channels = (g.of_image(module.in_channels) for g in (granularity, per_channel))
            else:
                inner_heads = heads if axis == 1 else None
                blocks = granularity.of_tokens(weight.size(1), tokens=site.tokens, heads=inner_heads)
                channels = per_channel.of_tokens(weight.size(1))
            parts["input_quantizer"] = build(spec.input, "activation", blocks, site.range, site.runs, channels)
    return site.layer.adopt(module, **_fitted(parts, module, weight))


def _attention(site: Site, spec: AttentionSpec, chosen: Chosen) -> QuantLayer:
    module = site.module
    assert issubclass(site.layer, QuantAttention), "attention sites hold attention layers"
    if site.refusal:
        raise ValueError(site.refusal)
    merged = _merged(site, chosen) if spec.merge else None
    weight = next(module.parameters())
    parts: dict[str, Quantizer | None] = {}
    rectifiers = _rectifiers(site, weight) if spec.rectify else {}
    # A merged query has the channels of the input; the probabilities have a column a key.
    widths = {"query": merged.qk.in_features if merged else site.width, "probability": site.tokens}
    roles = MergedAttention.roles if merged is not None else site.layer.roles
    with weight.device:
        for role in (r.removesuffix("_quantizer") for r in roles if r.endswith("_quantizer")):
            tensor = getattr(spec, role)
            width = widths.get(role, site.width)
            if width is None and tensor.granularity.kind in ("channel", "group"):
                raise ValueError(f"{tensor.granularity} of {role} needs a fixed number of tokens: use per_head")
            blocks = tensor.granularity.of_heads(site.num_heads, width or 1, tokens=site.tokens)
            natural: Range = "unsigned" if role == "probability" else "signed"
            channels = per_channel.of_heads(site.num_heads, width or 1)
            parts[f"{role}_quantizer"] = build(tensor, "activation", blocks, natural, site.runs, channels)
    fitted = _fitted(parts, module, weight)
    if merged is None:
        return site.layer.adopt(module, **fitted, **rectifiers)
    for name, quantizer in fitted.items():
        setattr(merged, name, quantizer)
    return merged


def _rectifiers(site: Site, like: torch.Tensor) -> dict[str, Rectify]:
    """What rectifies query and key; refused where something else gives them their spread."""
    layer, module = site.layer, site.module
    assert issubclass(layer, QuantAttention), "attention sites hold attention layers"
    norms = [getattr(module, norm, nn.Identity()) for norm in ("q_norm", "k_norm")]
    if layer.normalises or not all(isinstance(norm, nn.Identity) for norm in norms):
        raise ValueError(
            f"{type(module).__name__} normalises query and key already, and leaves nothing to rectify: "
            "use rectify=False"
        )
    roles = ("query_rectify", "key_rectify")
    return {r: Rectify(site.num_heads).to(like.device, like.dtype).train(module.training) for r in roles}


def _merged(site: Site, chosen: Chosen) -> MergedAttention:
    """The merged attention, its two linears quantized as the plan wants the fused one."""
    if site.merge is None:
        raise ValueError(
            f"{type(site.module).__name__} cannot merge query and key, which are layers of their own or have more than "
            "a product between them (a cosine, a rotation, biases apart): use merge=False"
        )
    merged = site.merge(site.module)
    assert isinstance(merged, MergedAttention), "a family merges into a merged attention"
    spec = chosen.get(f"{site.name}.qkv")
    if isinstance(spec, LayerSpec):
        for child in ("qk", "v"):
            inside = Site(
                f"{site.name}.{child}",
                merged.get_submodule(child),
                (child, "heads", "mhsa", "linear"),
                QuantLinear,
                heads=Headed(site.num_heads, 0),
                tokens=site.tokens,
                runs=site.runs,
            )
            layer = _weighted(inside, spec)
            if child == "v" and not spec.input.is_float:
                layer.input_quantizer, layer.shares_input = None, True  # type: ignore[assignment]
            setattr(merged, child, layer)
    return merged


def _fitted(parts: dict[str, Quantizer | None], module: nn.Module, weight: torch.Tensor) -> dict[str, Quantizer | None]:
    """Quantizers in the mode of the module they enter, their scales in float32, or in float64 where the model is."""
    for quantizer in parts.values():
        if quantizer is not None:
            quantizer.train(module.training)
            quantizer.to(torch.float64 if weight.dtype == torch.float64 else torch.float32)
    return parts


def _start_weights(swaps: Mapping[str, QuantLayer]) -> None:
    for name, root in swaps.items():
        for _, layer in quantized(root):
            weight, quantizer = getattr(layer, "weight", None), getattr(layer, "weight_quantizer", None)
            if quantizer is not None and weight is not None and not weight.is_meta:
                try:
                    quantizer.start(weight.detach())
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None


def _put(model: nn.Module, swaps: Mapping[int, nn.Module]) -> None:
    """Replace modules wherever they stand, a shared module everywhere by the same layer."""
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        module = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        for name, child in module._modules.items():
            if child is not None:
                module._modules[name] = swaps.get(id(child), child)
        waiting.extend(m for m in module._modules.values() if m is not None)
