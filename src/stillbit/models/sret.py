"""SReT, the sliced recursive transformer (arXiv 2111.05297): blocks that run twice, attention within slices of tokens.

The second run of a block attends among tokens dealt to the slices like cards, so that what was apart meets. The authors
permute them at random, anew in every forward pass, also in eval mode; here the permutation is fixed, and eval repeats.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import torch
from jaxtyping import Float
from timm.layers import Attention, ConvNormAct, DropPath, LayerNorm, Mlp, NormMlpClassifierHead, trunc_normal_
from timm.layers import calculate_drop_path_rates as rising
from timm.models import build_model_with_cfg, checkpoint_seq
from torch import Tensor, nn

from stillbit.models.register import config, register

Map = Float[Tensor, "batch channels height width"]
Tokens = Float[Tensor, "batch tokens channels"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Shape:
    """What tells one SReT from another: a number a stage, and for the slices one a run."""

    base_dim: int = 32
    heads: tuple[int, ...] = (2, 4, 8)
    blocks: tuple[int, ...] = (2, 5, 3)
    slices: tuple[tuple[int, int], ...] = ((8, 2), (4, 1), (1, 1))
    mlp_ratio: float = 3.6


TINY = Shape()
PICO = Shape(base_dim=16, blocks=(1, 2, 1))


def cut(x: Tokens, slices: int, dealt: bool) -> Float[Tensor, "batch_slices fewer channels"]:
    """Lay the tokens out in slices: neighbours together, or dealt to the slices one by one."""
    laid: Tensor = x.unflatten(1, (-1, slices)).transpose(1, 2) if dealt else x.unflatten(1, (slices, -1))
    return laid.flatten(0, 1)


def join(x: Float[Tensor, "batch_slices fewer channels"], slices: int, dealt: bool) -> Tokens:
    """The inverse of `cut`."""
    laid: Tensor = x.unflatten(0, (-1, slices))
    return (laid.transpose(1, 2) if dealt else laid).flatten(1, 2)


@final
class Residual(nn.Module):
    """``keep * x + add * y`` with two learned coefficients, both one at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.keep = nn.Parameter(torch.ones(1))
        self.add = nn.Parameter(torch.ones(1))

    def forward(self, x: Tokens, y: Tokens) -> Tokens:
        """Both, weighed."""
        return self.keep * x + self.add * y


@final
class Projection(nn.Module):
    """The non-linear projection layer (NPL) behind a run: the part of the recursion that is not shared."""

    def __init__(self, width: int, drop_path: float) -> None:
        super().__init__()
        self.norm = LayerNorm(width)
        self.mlp = Mlp(width, width)
        self.drop_path = DropPath(drop_path)
        self.residual = Residual()

    def forward(self, x: Tokens) -> Tokens:
        """One residual branch."""
        y: Tensor = self.residual(x, self.drop_path(self.mlp(self.norm(x))))
        return y


@final
class RecursiveBlock(nn.Module):
    """A transformer block that runs twice with the same weights, with slices and a projection of each run's own."""

    def __init__(self, width: int, heads: int, slices: tuple[int, int], mlp_ratio: float, drop_path: float) -> None:
        super().__init__()
        self.slices = slices
        self.norm1 = LayerNorm(width)
        self.attn = Attention(width, heads, qkv_bias=True)
        self.residual1 = Residual()
        self.norm2 = LayerNorm(width)
        self.mlp = Mlp(width, int(width * mlp_ratio))
        self.residual2 = Residual()
        self.drop_path = DropPath(drop_path)
        self.first = Projection(width, drop_path)
        self.second = Projection(width, drop_path)

    def forward(self, x: Tokens) -> Tokens:
        """Both runs."""
        y: Tensor = self.second(self.run(self.first(self.run(x, 0)), 1))
        return y

    def run(self, x: Tokens, number: int) -> Tokens:
        """The shared part. Modules inside it that have a method ``begin_run`` are told which run begins."""
        for inside in (*self.attn.modules(), *self.mlp.modules()):
            if hasattr(type(inside), "begin_run"):  # of the class: far faster to ask
                inside.begin_run(number)
        slices, dealt = self.slices[number], number > 0
        y = join(self.attn(cut(self.norm1(x), slices, dealt)), slices, dealt)
        x = self.residual1(x, self.drop_path(y))
        x = self.residual2(x, self.drop_path(self.mlp(self.norm2(x))))
        return x


@final
class Stem(nn.Sequential):
    """Three convolutions, each of stride 2: a map an eighth as wide and high as the image."""

    def __init__(self, img_size: tuple[int, int], in_chans: int, width: int) -> None:
        widths = (in_chans, width // 2, width, width)
        super().__init__(*(ConvNormAct(a, b, 3, stride=2) for a, b in pairwise(widths)))
        self.img_size = img_size


@final
class Stage(nn.Module):
    """Blocks at one resolution, behind a convolution that halves it and doubles the width (but in the first stage)."""

    def __init__(self, shape: Shape, number: int, drop_paths: list[float]) -> None:
        super().__init__()
        heads = shape.heads[number]
        width = shape.base_dim * heads
        before = shape.base_dim * shape.heads[number - 1]
        self.grad_checkpointing = False
        self.pool = nn.Conv2d(before, width, 3, 2, 1, groups=before) if number else nn.Identity()
        self.blocks = nn.Sequential(
            *(RecursiveBlock(width, heads, shape.slices[number], shape.mlp_ratio, p) for p in drop_paths)
        )

    def forward(self, x: Map) -> Map:
        """Map in, map out; the blocks see it as tokens, row by row."""
        x = self.pool(x)
        tokens: Tensor = x.flatten(2).mT
        tokens = checkpoint_seq(self.blocks, tokens) if self.grad_checkpointing else self.blocks(tokens)
        return tokens.mT.reshape(x.shape)


@final
class SReT(nn.Module):
    """Stem, a position map, stages of recursive blocks, the mean of all tokens, a norm and a classifier."""

    def __init__(
        self,
        shape: Shape = TINY,
        img_size: int | tuple[int, int] = 224,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        """The arguments are those that timm's models have."""
        super().__init__()
        size = (img_size, img_size) if isinstance(img_size, int) else (img_size[0], img_size[1])
        if any(side < 32 or side % 32 for side in size):
            raise ValueError(f"SReT halves its images five times, got img_size={img_size}: give a multiple of 32")
        widths = [shape.base_dim * heads for heads in shape.heads]
        self.in_chans, self.num_classes, self.global_pool = in_chans, num_classes, global_pool
        self.num_features = self.head_hidden_size = widths[-1]
        self.patch_embed = Stem(size, in_chans, widths[0])
        self.pos_embed = nn.Parameter(torch.empty(1, widths[0], size[0] // 8, size[1] // 8))
        rates = rising(drop_path_rate, list(shape.blocks), stagewise=True)
        self.stages = nn.Sequential(*(Stage(shape, i, rate) for i, rate in enumerate(rates)))
        self.head = NormMlpClassifierHead(widths[-1], num_classes, pool_type=global_pool, drop_rate=drop_rate)
        self.feature_info = [
            {"num_chs": width, "reduction": 8 * 2**i, "module": f"stages.{i}"} for i, width in enumerate(widths)
        ]
        trunc_normal_(self.pos_embed, std=0.02)
        self.apply(_init)

    def forward_features(self, x: Map) -> Map:
        """The map of the last stage."""
        y: Tensor = self.stages(self.patch_embed(x) + self.pos_embed)
        return y

    def forward_head(self, x: Map, pre_logits: bool = False) -> Float[Tensor, "batch outputs"]:
        """Logits, or with ``pre_logits`` what the classifier sees."""
        y: Tensor = self.head(x, pre_logits=pre_logits)
        return y

    def forward(self, x: Map) -> Float[Tensor, "batch outputs"]:
        """Logits."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """The last linear."""
        last: nn.Module = self.head.fc
        return last

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new classifier, for other classes."""
        self.num_classes = num_classes
        self.global_pool = self.global_pool if global_pool is None else global_pool
        self.head.reset(num_classes, global_pool)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Trade time for memory: compute what is inside a block once more in the backward pass."""
        for stage in self.stages:
            stage.grad_checkpointing = enable  # type: ignore[assignment]

    def no_weight_decay(self) -> set[str]:
        """What weight decay leaves alone, besides all vectors."""
        return {"pos_embed"}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """How parameters fall into layers, for learning rates that decay from layer to layer."""
        fine = [(r"^stages\.(\d+)\.pool", (0,)), (r"^stages\.(\d+)\.blocks\.(\d+)", None)]
        return {"stem": r"^patch_embed|pos_embed", "blocks": r"^stages\.(\d+)" if coarse else fine}


def _init(module: nn.Module) -> None:
    """As timm does for transformers; convolutions as torch does."""
    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


def _config(size: int, mean: Any, std: Any, crop_pct: float) -> dict[str, Any]:
    ends = {"first_conv": "patch_embed.0.conv", "classifier": "head.fc"}
    return config(size, mean=mean, std=std, crop_pct=crop_pct, **ends)


default_cfgs = {"sret_tiny": _config(224, MEAN, STD, 0.875), "sret_pico": _config(64, 0.5, 0.5, 1.0)}


def _build(name: str, pretrained: bool, shape: Shape, options: dict[str, Any]) -> Any:
    features = {"out_indices": (0, 1, 2), "feature_cls": "hook"}
    return build_model_with_cfg(SReT, name, pretrained, feature_cfg=features, shape=shape, **options)


@register
def sret_tiny(pretrained: bool = False, **options: Any) -> SReT:
    """SReT-T, as published: 4.8 M parameters and 1.1 G FLOPs at 224 pixels."""
    model: SReT = _build("sret_tiny", pretrained, TINY, options)
    return model


@register
def sret_pico(pretrained: bool = False, **options: Any) -> SReT:
    """Half as wide, with a block or two a stage, for images of 64 pixels."""
    model: SReT = _build("sret_pico", pretrained, PICO, options)
    return model
