"""A site: one place of a float model where quantizers can go, and what is known of the tensors there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import nn

from stillbit.layers.base import QuantLayer
from stillbit.layers.conv import QuantConv2d
from stillbit.layers.embedding import QuantEmbedding
from stillbit.layers.linear import QuantLinear
from stillbit.quantizers.spec import Range


@dataclass(frozen=True)
class Headed:
    """Attention heads along an axis of a weight."""

    blocks: int
    axis: int


@dataclass(frozen=True)
class Site:
    """A module that a plan may quantize.

    ``range`` is what is known of the input; ``heads`` where heads lie in the weight; ``tokens`` how many tokens enter,
    if that is fixed; ``num_heads`` and ``width`` describe an attention, ``width`` being the channels of one head;
    ``runs`` is how often the module runs in one forward pass; ``refusal`` why it must stay float, said to a plan that
    wants it otherwise.
    """

    name: str
    module: nn.Module
    roles: tuple[str, ...]
    layer: type[QuantLayer]
    range: Range = "signed"
    heads: Headed | None = None
    tokens: int | None = None
    num_heads: int = 0
    width: int = 0
    runs: int = 1
    merge: Callable[[nn.Module], nn.Module] | None = field(default=None, compare=False)
    refusal: str = ""

    @property
    def is_attention(self) -> bool:
        """Whether the site multiplies activations with each other."""
        return self.num_heads > 0


@dataclass
class Survey:
    """What was found in a model: the sites, and what must stay float, each with the reason."""

    sites: list[Site] = field(default_factory=list)
    floats: dict[str, str] = field(default_factory=dict)


def below(name: str, child: str) -> str:
    """The name of a child; the model itself is called by the empty name."""
    return f"{name}.{child}" if name else child


def weight_site(
    name: str, module: nn.Module, roles: tuple[str, ...], range_: Range = "signed", tokens: int | None = None
) -> Site:
    """The site of a linear, a convolution or an embedding."""
    for float_class, kind, layer in (
        (nn.Linear, "linear", QuantLinear),
        (nn.Conv2d, "conv", QuantConv2d),
        (nn.Embedding, "embedding", QuantEmbedding),
    ):
        if isinstance(module, float_class):
            return Site(name, module, (*roles, kind), layer, range=range_, tokens=tokens)
    raise AssertionError(f"{name} is a {type(module).__name__}, not a weight layer")
