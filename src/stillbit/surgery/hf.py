"""Encoders of transformers: BERT and its kin, ViT and its kin. They differ by the names of a block's parts.

transformers is imported only when a model comes from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from stillbit.layers.attention import QuantAttention
from stillbit.layers.interface_attention import width_of
from stillbit.layers.linear import QuantLinear
from stillbit.layers.walk import heads_of
from stillbit.quantizers.spec import Range
from stillbit.surgery.site import Headed, Site, below, weight_site
from stillbit.surgery.timm_vit import range_behind


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Where the parts of a block are: paths from the block, but for the projections, which are the attention's."""

    attention: str
    query: str
    key: str
    value: str
    proj: str
    fc1: tuple[str, ...]
    fc2: str
    activation: str | None
    """What stands between fc1 and fc2; None for a gate, whose product has a sign."""


BERT = Parts(
    attention="attention.self",
    query="query",
    key="key",
    value="value",
    proj="attention.output.dense",
    fc1=("intermediate.dense",),
    fc2="output.dense",
    activation="intermediate.intermediate_act_fn",
)
DISTILBERT = Parts(
    attention="attention",
    query="q_lin",
    key="k_lin",
    value="v_lin",
    proj="attention.out_lin",
    fc1=("ffn.lin1",),
    fc2="ffn.lin2",
    activation="ffn.activation",
)
VIT = Parts(
    attention="attention",
    query="q_proj",
    key="k_proj",
    value="v_proj",
    proj="attention.o_proj",
    fc1=("mlp.fc1",),
    fc2="mlp.fc2",
    activation="mlp.activation_fn",
)
GATED = Parts(
    attention="attention",
    query="q_proj",
    key="k_proj",
    value="v_proj",
    proj="attention.o_proj",
    fc1=("mlp.gate_proj", "mlp.up_proj"),
    fc2="mlp.down_proj",
    activation=None,
)
BLOCKS: dict[str, tuple[Parts, ...]] = {
    "bert.modeling_bert.BertLayer": (BERT,),
    "roberta.modeling_roberta.RobertaLayer": (BERT,),
    "xlm_roberta.modeling_xlm_roberta.XLMRobertaLayer": (BERT,),
    "camembert.modeling_camembert.CamembertLayer": (BERT,),
    "electra.modeling_electra.ElectraLayer": (BERT,),
    "distilbert.modeling_distilbert.TransformerBlock": (DISTILBERT,),
    "vit.modeling_vit.ViTLayer": (VIT,),
    "deit.modeling_deit.DeiTLayer": (VIT,),
    "dinov2.modeling_dinov2.Dinov2Layer": (VIT, GATED),
    "dinov2_with_registers.modeling_dinov2_with_registers.Dinov2WithRegistersLayer": (VIT, GATED),
}
"""The blocks that are known, by class; where a class has two forms, the first whose parts are all there."""
TABLES = {
    "word_embeddings": ("first", "word"),
    "position_embeddings": ("position",),
    "token_type_embeddings": ("position", "type"),
}
"""The tables of a language model and their roles. In which of two sentences a token is, is a part of where it is."""
CLASSIFIERS = (
    "classifier",
    "cls_classifier",
    "distillation_classifier",
    "out_proj",
    "qa_outputs",
    "decoder",
    "vocab_projector",
    "seq_relationship",
)
"""What the last layer of a head is called, or the last two."""


def is_foreign(module: nn.Module) -> bool:
    """Whether the class of a module is from transformers."""
    return type(module).__module__.startswith("transformers.")


def claim(name: str, module: nn.Module, model: nn.Module) -> list[Site]:
    """The sites of a block or of the tables in front of the blocks; nothing for other modules."""
    if not is_foreign(module):
        return []
    kind = f"{type(module).__module__}.{type(module).__name__}".removeprefix("transformers.models.")
    for parts in BLOCKS.get(kind, ()):
        if _has(module, parts):
            return [*_attention_sites(name, module, parts), *_mlp_sites(name, module, parts)]
    if isinstance(getattr(module, "word_embeddings", None), nn.Embedding):
        tables = ((child, getattr(module, child, None), roles) for child, roles in TABLES.items())
        return [weight_site(below(name, c), t, roles) for c, t, roles in tables if isinstance(t, nn.Embedding)]
    return []


def refused(name: str, module: nn.Module) -> list[Site]:
    """The site of an attention that is none of those above: a plan may leave it float, and nothing else."""
    if not is_foreign(module) or "Attention" not in type(module).__name__:
        return []
    return [_refusal(name, module, f"{type(module).__name__} of transformers is not an attention that stillbit knows")]


def classifiers(model: nn.Module, names: Sequence[str]) -> set[str] | None:
    """Which weight layers are the last: those of a head, none in a bare encoder. None if there is no encoder here.

    The pooler belongs to the encoder, and is a linear like others.
    """
    encoders = [name for name, m in model.named_modules() if is_foreign(m) and getattr(m, "base_model", None) is m]
    if not encoders:
        return None
    outside = [name for name in names if not any(_is_below(name, encoder) for encoder in encoders)]
    return {name for name in outside if name.rpartition(".")[2] in CLASSIFIERS} or set(outside[-1:])


def _is_below(name: str, above: str) -> bool:
    return not above or name.startswith(f"{above}.")


def _has(block: nn.Module, parts: Parts) -> bool:
    try:
        for path in (parts.attention, parts.proj, *parts.fc1, parts.fc2):
            block.get_submodule(path)
    except AttributeError:
        return False
    return True


def _attention_sites(name: str, block: nn.Module, parts: Parts) -> list[Site]:
    """The attention of a block, the projections into it and the one out of it."""
    from stillbit.surgery.hf_attention import quantized_class

    attention: Any = block.get_submodule(parts.attention)
    inside, heads = below(name, parts.attention), heads_of(attention)
    if getattr(attention, "is_causal", False) or getattr(attention, "is_decoder", False):
        return [_refusal(inside, attention, "this is a decoder, whose tokens see only those before them")]
    sites = [
        Site(
            inside,
            attention,
            ("attention", "mhsa"),
            quantized_class(attention.__class__),
            num_heads=heads,
            width=width_of(attention),
        )
    ]
    linears = [(below(parts.attention, getattr(parts, role)), (role, "qkv"), 0) for role in ("query", "key", "value")]
    for path, roles, axis in (*linears, (parts.proj, ("proj",), 1)):
        linear = block.get_submodule(path)
        if isinstance(linear, nn.Linear):
            every = (*roles, "heads", "mhsa", "linear")
            sites.append(Site(below(name, path), linear, every, QuantLinear, heads=Headed(heads, axis)))
    return sites


def _mlp_sites(name: str, block: nn.Module, parts: Parts) -> list[Site]:
    """The linears of the MLP; what the activation makes is known of the second one's input."""
    entering = None
    if parts.activation is not None:
        above, _, child = parts.activation.rpartition(".")
        entering = getattr(block.get_submodule(above), child)
    linears: list[tuple[str, str, Range]] = [(path, "fc1", "signed") for path in parts.fc1]
    linears.append((parts.fc2, "fc2", range_behind(entering)))
    found = [(path, block.get_submodule(path), role, range_) for path, role, range_ in linears]
    return [weight_site(below(name, p), m, (r, "ffn"), g) for p, m, r, g in found if isinstance(m, nn.Linear)]


def _refusal(name: str, attention: nn.Module, why: str) -> Site:
    sentence = (
        f"{why}: leave its inside float with plan.but(Rule('@attention', None)), "
        f"or take an encoder of one of {', '.join(dict.fromkeys(path.partition('.')[0] for path in BLOCKS))}"
    )
    return Site(name, attention, ("attention", "mhsa"), QuantAttention, num_heads=1, refusal=sentence)
