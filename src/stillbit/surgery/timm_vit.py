"""timm's plain transformers: every model whose blocks use timm's `Attention` and `Mlp` (ViT, DeiT, PiT, Mixer, ...)."""

from __future__ import annotations

from typing import Any, final

from timm.layers import Attention, GluMlp, Linear, Mlp, SwiGLU
from torch import nn

from stillbit.layers.attention import QuantAttention
from stillbit.layers.linear import QuantLinear
from stillbit.layers.merged_attention import MergedAttention
from stillbit.quantizers.spec import Range
from stillbit.surgery.qk_reparam import merge
from stillbit.surgery.site import Headed, Site, below, weight_site


@final
class QuantViTAttention(QuantAttention, Attention):
    """timm's attention, quantized."""


@final
class MergedViTAttention(MergedAttention, Attention):
    """timm's attention with query and key merged."""


def claim(name: str, module: nn.Module, model: nn.Module) -> list[Site]:
    """The sites of an attention or an MLP of timm's; nothing for other modules."""
    if type(module) is Attention:
        return attention_sites(name, module, tokens_of(model), QuantViTAttention, MergedViTAttention)
    if type(module) is Linear:  # torch's, but for a cast that autocast does anyway
        return [weight_site(name, module, (), "signed", None)]
    if type(module) in (Mlp, GluMlp, SwiGLU):
        return _mlp_sites(name, module, tokens_of(model))
    return []


def attention_sites(
    name: str,
    module: Any,
    tokens: int | None,
    layer: type[QuantAttention],
    merged: type[MergedAttention] | None,
) -> list[Site]:
    """An attention and its linears: a fused qkv, or a projection each."""
    heads = module.num_heads
    key_heads = getattr(module, "num_kv_heads", None) or heads
    linears = {
        "qkv": Headed(3 * heads, 0),
        "q_proj": Headed(heads, 0),
        "k_proj": Headed(key_heads, 0),
        "v_proj": Headed(key_heads, 0),
        "gate": Headed(heads, 0),
        "proj": Headed(heads, 1),
    }
    sites = [
        Site(
            name,
            module,
            ("attention", "mhsa"),
            layer,
            tokens=tokens,
            num_heads=heads,
            width=module.proj.in_features // heads,
            merge=None if merged is None else lambda attention: merge(attention, merged),
        )
    ]
    for child, headed in linears.items():
        inside = getattr(module, child, None)
        if isinstance(inside, nn.Linear):
            role = "qkv" if child in ("q_proj", "k_proj", "v_proj") else child
            roles = tuple(dict.fromkeys((child, role, "heads", "mhsa", "linear")))
            sites.append(Site(below(name, child), inside, roles, QuantLinear, heads=headed, tokens=tokens))
    return sites


def _mlp_sites(name: str, module: nn.Module, tokens: int | None) -> list[Site]:
    sites = []
    for child, layer in module.named_children():
        role = "fc2" if child == "fc2" else "fc1" if child.startswith("fc1") else None
        if role is None or not isinstance(layer, nn.Linear | nn.Conv2d):
            continue
        range_: Range = _after(module) if role == "fc2" else "signed"
        sites.append(weight_site(below(name, child), layer, (role, "ffn"), range_, tokens))
    return sites


def _after(mlp: Any) -> Range:
    """What is known of the input of fc2: what the activation makes, unless a norm or a gate stands behind it."""
    if type(mlp) is not Mlp or not isinstance(mlp.norm, nn.Identity):
        return "signed"
    return range_behind(mlp.act)


def range_behind(activation: Any) -> Range:
    """What is known of a tensor that an activation function has made."""
    if isinstance(activation, nn.ReLU | nn.ReLU6):
        return "unsigned"
    return "shifted" if isinstance(activation, nn.GELU | nn.SiLU) or "GELU" in type(activation).__name__ else "signed"


def tokens_of(model: Any) -> int | None:
    """How many tokens enter a block, where the model fixes it."""
    patches = getattr(getattr(model, "patch_embed", None), "num_patches", None)
    fixed = not getattr(model, "dynamic_img_size", False) and isinstance(
        getattr(model, "patch_drop", nn.Identity()), nn.Identity
    )
    prefix = getattr(model, "num_prefix_tokens", None)
    return patches + prefix if patches is not None and prefix is not None and fixed else None
