"""A plan says which module gets which quantizers: ordered rules, the first that matches wins."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from stillbit.quantizers.granularity import Granularity, per_channel, per_tensor
from stillbit.quantizers.grid import FLOAT_BITS, check_bits
from stillbit.quantizers.spec import METHODS, Spec
from stillbit.surgery.site import Site

ENDS = ("@first", "@last", "@position")
"""Layers that keep more bits in a uniform plan: the first, the last, and those that tell where a token is."""


@dataclass(frozen=True)
class LayerSpec:
    """The two tensors a linear, a convolution or an embedding multiplies (an embedding has no input to quantize)."""

    weight: Spec
    input: Spec

    def __post_init__(self) -> None:
        """Refuse what is no spec where it was written."""
        for spec in (self.weight, self.input):
            if not isinstance(spec, Spec):
                raise ValueError(f"a LayerSpec is made of specs, got {spec!r}: write LayerSpec(Spec(4), Spec(4))")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {"kind": "layer", "weight": self.weight.to_dict(), "input": self.input.to_dict()}


@dataclass(frozen=True)
class AttentionSpec:
    """The four tensors inside attention; its linears have rules of their own.

    ``merge=True`` replaces query and key by one matrix a head (OFQ's query-key reparameterization): ``query`` is then
    the product of that matrix with the input, and ``key`` is the input itself, quantized where it enters the block.
    ``rectify=True`` gives query and key of every head a mean and a spread of their own before they are quantized
    (Q-ViT's information rectification).
    """

    query: Spec
    key: Spec
    value: Spec
    probability: Spec
    merge: bool = False
    rectify: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no sense where it was written."""
        if self.merge and self.rectify:
            raise ValueError("merged query and key have no statistics of their own: use merge=False or rectify=False")
        if self.probability.moves:
            raise ValueError(
                "a probability takes no moves, since one that a mask hides has to stay zero: "
                "leave moves out of its spec, as AttentionSpec.all does by itself"
            )

    @classmethod
    def all(cls, spec: Spec, *, merge: bool = False, rectify: bool = False) -> AttentionSpec:
        """The same spec for all four, but for moves, which a probability does not have."""
        return cls(spec, spec, spec, replace(spec, moves=False), merge, rectify)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        named = {k: getattr(self, k).to_dict() for k in ("query", "key", "value", "probability")}
        return {"kind": "attention", "merge": self.merge, "rectify": self.rectify, **named}


@dataclass(frozen=True)
class Rule:
    """A pattern and what the modules it matches become.

    A pattern is a glob over module names (``blocks.*.attn.qkv``) or a role: ``@first``, ``@last``, ``@qkv``, ``@proj``,
    ``@fc1``, ``@fc2``, ``@attention``, ``@linear``, ``@conv``, ``@embedding``, ... A `LayerSpec` speaks of weight
    layers, an `AttentionSpec` of attentions, ``None`` (stay float) of both. A rule that matches nothing is an error
    unless ``optional``.
    """

    pattern: str
    spec: LayerSpec | AttentionSpec | None
    optional: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no spec where it was written."""
        if self.spec is not None and not isinstance(self.spec, LayerSpec | AttentionSpec):
            raise ValueError(
                f"the rule for {self.pattern!r} needs a LayerSpec, an AttentionSpec or None, got {self.spec!r}: "
                "write Rule(pattern, LayerSpec(weight=Spec(4), input=Spec(4)))"
            )

    def speaks_of(self, site: Site) -> bool:
        """Whether the pattern names this site and the spec is of its kind."""
        if isinstance(self.spec, AttentionSpec) and not site.is_attention:
            return False
        if isinstance(self.spec, LayerSpec) and site.is_attention:
            return False
        if self.pattern.startswith("@"):
            return self.pattern[1:] in site.roles
        return fnmatchcase(site.name, self.pattern)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        spec = None if self.spec is None else self.spec.to_dict()
        return {"pattern": self.pattern, "spec": spec, "optional": self.optional}


@dataclass(frozen=True)
class Plan:
    """Ordered rules. What no rule speaks of stays float, and the summary says so."""

    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        """Refuse what is not a rule where it was written."""
        if isinstance(self.rules, Rule):
            raise ValueError("a plan is a tuple of rules, got one rule: write Plan((rule,))")
        object.__setattr__(self, "rules", tuple(self.rules))
        for rule in self.rules:
            if not isinstance(rule, Rule):
                raise ValueError(f"a plan is made of rules, got {rule!r}: write Plan((Rule('@qkv', spec), ...))")

    @classmethod
    def uniform(
        cls,
        weights: int = 4,
        activations: int = 4,
        *,
        weight: str = "lsq",
        activation: str = "lsq",
        granularity: Granularity = per_channel,
        ends: int | None = None,
        merge: bool = False,
    ) -> Plan:
        """The same bits everywhere, and ``ends`` bits (8, unless all is float) for the first and last layer.

        ``weight`` and ``activation`` name quantizers; ``granularity`` is that of the weights. On layers that have no
        heads per_head falls back to per_channel, or to per_tensor where bits are learned. Change single layers by
        putting rules in front: `plan.but(...)`.
        """
        check_bits(weights), check_bits(activations)
        if ends is None:
            ends = FLOAT_BITS if weights == activations == FLOAT_BITS else 8
        w, a = Spec(weights, weight, granularity), Spec(activations, activation, per_tensor)
        end = LayerSpec(Spec(ends, "lsq", per_channel), Spec(ends, "lsq", per_tensor))
        method = METHODS[weight].weight
        fallback = per_channel if method is None or "channel" in method.granularities else per_tensor
        plain = LayerSpec(w if granularity.kind != "head" else Spec(weights, weight, fallback), a)
        headed = (Rule("@heads", LayerSpec(w, a), optional=True),) if granularity.kind == "head" else ()
        return cls(
            (
                *(Rule(role, end, optional=True) for role in ENDS),
                Rule("@attention", AttentionSpec.all(a, merge=merge), optional=not merge),
                *headed,
                Rule("*", plain, optional=True),
            )
        )

    @classmethod
    def of(cls, plan: Plan | str) -> Plan:
        """A plan as it is; a preset such as "w4a4" as `uniform` reads it."""
        return plan if isinstance(plan, Plan) else cls.uniform(*preset(plan))

    def but(self, *rules: Rule) -> Plan:
        """This plan with ``rules`` in front, where they win."""
        return Plan((*rules, *self.rules))

    def tuned(self, quantizer: str, **options: Any) -> Plan:
        """This plan with ``options`` for every weight that ``quantizer`` serves."""

        def tune(spec: LayerSpec | AttentionSpec | None) -> LayerSpec | AttentionSpec | None:
            if not isinstance(spec, LayerSpec) or spec.weight.quantizer != quantizer:
                return spec
            return replace(spec, weight=replace(spec.weight, options={**spec.weight.options, **options}))

        return Plan(tuple(replace(rule, spec=tune(rule.spec)) for rule in self.rules))

    def choose(self, sites: Sequence[Site]) -> dict[str, LayerSpec | AttentionSpec | None]:
        """What every site becomes; a site that no rule speaks of is missing from the answer."""
        chosen: dict[str, LayerSpec | AttentionSpec | None] = {}
        for index, rule in enumerate(self.rules):
            matched = [site.name for site in sites if rule.speaks_of(site)]
            fresh = [name for name in matched if name not in chosen]
            if not fresh and not rule.optional:
                raise ValueError(_unmatched(rule, sites, self.rules[:index] if matched else ()))
            chosen.update(dict.fromkeys(fresh, rule.spec))
        return chosen

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {"rules": [rule.to_dict() for rule in self.rules]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Plan:
        """The inverse of `to_dict`."""
        rules = (Rule(r["pattern"], spec_from(r["spec"]), r["optional"]) for r in data["rules"])
        return cls(tuple(rules))


def preset(name: str) -> tuple[int, int]:
    """The bits of weights and of activations that a name such as "w4a4" stands for."""
    said = re.fullmatch(r"w(\d+)a(\d+)", name.lower()) if isinstance(name, str) else None
    if said is None:
        raise ValueError(
            f"a plan is a Plan or a preset such as 'w4a4' (weights 4 bits, activations 4 bits), got {name!r}: "
            "write quantize(model, 'w4a4') or quantize(model, Plan.uniform(4, 4))"
        )
    return int(said[1]), int(said[2])


def spec_from(data: dict[str, Any] | None) -> LayerSpec | AttentionSpec | None:
    """The inverse of a spec's ``to_dict``."""
    if data is None:
        return None
    specs = {k: Spec.from_dict(v) for k, v in data.items() if isinstance(v, dict)}
    if data["kind"] == "layer":
        return LayerSpec(**specs)
    return AttentionSpec(**specs, merge=data["merge"], rectify=data.get("rectify", False))


def _unmatched(rule: Rule, sites: Sequence[Site], earlier: Sequence[Rule]) -> str:
    said = f"the rule for {rule.pattern!r}"
    if earlier:
        return f"{said} never applies: earlier rules take all it matches; put it in front of them (plan.but(rule))"
    kind = {AttentionSpec: "attention", LayerSpec: "weight layer"}.get(type(rule.spec), "module")
    of_kind = [s for s in sites if kind == "module" or s.is_attention == (kind == "attention")]
    names = [f"@{role}" for s in of_kind for role in s.roles] + [s.name for s in of_kind]
    if "*" in rule.pattern:
        names = [re.sub(r"(?<=\.)\d+(?=\.|$)", "*", name) for name in names]
    names = list(dict.fromkeys(names))
    near = get_close_matches(rule.pattern, names, n=3, cutoff=0.3)
    there = f"near it: {', '.join(map(repr, near))}" if near else f"the model has {', '.join(map(repr, names[:4]))}"
    return f"{said} matches no {kind} of this model; {there}"
