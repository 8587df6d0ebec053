"""How much of a model runs on codes: multiply-accumulates under the default plan, model by model.

    python benchmarks/coverage.py            write docs/coverage.md
    python benchmarks/coverage.py --check    change nothing; fail if the page is out of date

Everything happens on the meta device, without a weight or an image: half a second a model.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
import tyro

import stillbit
from stillbit.surgery import macs
from stillbit.surgery.swap import record_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "coverage.md"
PLAN = "w4a4"

FAMILIES = {
    "ViT": (
        "vit_tiny_patch16_224",
        "vit_base_patch16_224",
        "vit_small_patch14_reg4_dinov2",
        "vit_base_patch16_siglip_224",
    ),
    "DeiT": ("deit_tiny_patch16_224", "deit_small_distilled_patch16_224", "deit3_small_patch16_224"),
    "Swin": ("swin_tiny_patch4_window7_224", "swin_base_patch4_window12_384"),
    "Swin v2": ("swinv2_tiny_window8_256", "swinv2_base_window16_256"),
    "PiT": ("pit_ti_224",),
    "BEiT": ("beitv2_base_patch16_224",),
    "EVA-02": ("eva02_tiny_patch14_224",),
    "Mixer": ("mixer_b16_224", "resmlp_12_224", "gmlp_s16_224"),
    "ResNet": ("resnet18", "resnet50"),
    "VGG": ("vgg11",),
    "DenseNet": ("densenet121",),
    "RegNet": ("regnety_002",),
    "EfficientNet": ("efficientnet_b0", "mobilenetv3_small_100"),
    "ConvNeXt": ("convnext_tiny",),
    "MetaFormer": ("poolformer_s12", "caformer_s18"),
    "MobileViT": ("mobilevit_xs",),
    "MaxViT": ("coatnet_0_rw_224", "maxvit_tiny_tf_224"),
    "PVT": ("pvt_v2_b0", "twins_svt_small"),
    "LeViT": ("levit_128s",),
    "ConViT": ("convit_tiny",),
    "CaiT": ("cait_xxs24_224",),
    "XCiT": ("xcit_tiny_12_p16_224",),
    "VOLO": ("volo_d1_224",),
    "MViT": ("mvitv2_tiny", "hiera_tiny_224"),
    "TinyViT": ("tiny_vit_5m_224",),
    "FocalNet": ("focalnet_tiny_srf",),
    "Sequencer": ("sequencer2d_s",),
}
WHOLE = ("ViT", "DeiT", "Swin", "Swin v2")
"""Families whose blocks have to run on codes altogether."""
A_TRIFLE = 1e-4
"""A model with less than this of its MACs in float is shown by its remainder, not by a rounded 100 %."""

HEAD = """\
# Coverage

How much of a model runs on codes, as a share of all multiply-accumulates (MACs) of one image.
The plan is the default one, `{plan}`: weights and activations 4 bits, the first and the last layer 8.
No rule was added for any model.

- A MAC counts as *on codes* when both of its factors are quantized. One float factor, and it does not count.
- MACs are those of linear layers, convolutions and matrix products, counted by torch on the meta device. Norms,
  softmax, activation functions and products element by element have none, and run in float in every model.
- The last column gives a share of the MACs, then how many modules it is and why, in the words of `stillbit.summary`.
  In a family that stillbit knows, attention is quantized inside. In any other attention the linears are quantized, and
  the products of activations stay float.
- Shares are rounded down, so that 100 % means all.

{models} models of {families} families, counted with timm {timm}. This page is written by `benchmarks/coverage.py`.

| family | model | MACs | on codes | in float, and why |
|---|---|---:|---:|---|
"""


@dataclass(frozen=True)
class Covered:
    """One row: a model, its MACs, those on codes, and the float ones by reason."""

    family: str
    name: str
    total: int
    on_codes: int
    floats: dict[str, int]
    places: dict[str, int]

    def row(self) -> str:
        """The row in Markdown."""
        # Rounded down: 100 % is written only where it is true.
        said = "100 %" if self.on_codes == self.total else f"{self.on_codes * 10000 // self.total / 100:.2f} %"
        floats = [f"{_percent(part / self.total)}: {self._where(why)}" for why, part in self.floats.items()]
        return f"| {self.family} | `{self.name}` | {_short(self.total)} | {said} | {'; '.join(floats) or 'none'} |"

    def _where(self, why: str) -> str:
        return f"{self.places[why]} × {why}" if why in self.places else why


def cover(family: str, name: str) -> Covered:
    """Quantize a model that has no numbers, and count."""
    with torch.device("meta"):
        model = timm.create_model(name, pretrained=False)
    example = torch.empty(1, *model.pretrained_cfg["input_size"], device="meta")
    quantized = stillbit.quantize(model, PLAN)
    counted = macs.count(quantized, example)
    floats: Counter[str] = Counter()
    places: Counter[str] = Counter()
    for module, why in record_of(quantized).floats.items():
        if own := counted.by_module.get(module, 0):
            floats[why] += own
            places[why] += 1
    unnamed = counted.total - counted.on_codes - floats.total()
    if unnamed:
        floats["modules that `stillbit.summary` does not list"] = unnamed
    return Covered(family, name, counted.total, counted.on_codes, dict(floats.most_common()), dict(places))


def page(rows: list[Covered]) -> str:
    """The whole page."""
    families = len({row.family for row in rows})
    head = HEAD.format(plan=PLAN, models=len(rows), families=families, timm=timm.__version__)
    return head + "".join(f"{row.row()}\n" for row in rows)


def main(check: bool = False) -> None:
    """Count, and write the page or (``check``) compare it with what is there."""
    rows = [cover(family, name) for family, names in FAMILIES.items() for name in names]
    short = [row.name for row in rows if row.family in WHOLE and row.total - row.on_codes > A_TRIFLE * row.total]
    if short:
        sys.exit(f"these have to run on codes altogether, and do not: {', '.join(short)}")
    text = page(rows)
    if not check:
        PAGE.write_text(text, encoding="utf-8")
        print(f"{PAGE.name}: {len(rows)} models")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit(f"docs/{PAGE.name} is out of date: run python benchmarks/{Path(__file__).name}")


def _percent(share: float) -> str:
    return "< 0.01 %" if share < A_TRIFLE else f"{share:.2%}".replace("%", " %")


def _short(number: int) -> str:
    return f"{number / 1e9:.2f} G" if number >= 1e9 else f"{number / 1e6:.0f} M"


if __name__ == "__main__":
    tyro.cli(main)
