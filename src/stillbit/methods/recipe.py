"""A recipe: everything that decides what a run computes. Plain frozen values, from which the command line is made."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from stillbit.data.settings import AugmentSettings, DataSettings
from stillbit.data.text_settings import TaskSettings
from stillbit.distill.settings import DistillSettings
from stillbit.dynamics.settings import DynamicsSettings
from stillbit.methods.widths import check_through, the_width
from stillbit.train.settings import (
    AverageSettings,
    LossSettings,
    MachineSettings,
    OptimSettings,
    OutputSettings,
    ScheduleSettings,
)


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The model."""

    model: str = "vit_pico_patch4_32"
    """Model, by timm's name, such as deit_tiny_patch16_224. For --task: bert_pico, bert_tiny, bert_base, ... (random
    weights), a folder of transformers, or its name on the hub, such as bert-base-uncased."""
    pretrained: bool = False
    """Download timm's weights for it."""
    initial_checkpoint: Path | None = None
    """Float weights to begin with: a run of `stillbit train` (of a quantized one its latent weights, without scales), a
    .safetensors or a .pth file."""
    num_classes: int | None = None
    """Outputs of the model; as many as the data has classes if not given."""
    img_size: int | None = None
    """Side of the images; the model's own if not given."""
    in_chans: int = 3
    """Channels of the images: 3, or 1 for grey ones."""
    drop_path: float = 0.0
    """Stochastic depth: how often a whole block is left out of a training step."""
    relu: bool = False
    """Put ReLU where the model has GELU: what is behind it is 0 or more then, which suits one bit (BiT)."""
    config: Annotated[str | None, tyro.conf.Fixed] = None
    """Of a model of transformers: its config, in JSON; a run writes it down."""


@dataclass(frozen=True, kw_only=True)
class QuantSettings:
    """Who gets how many bits, and how."""

    bits: str = "w4a4"
    """Bits of weights and activations: w4a4, w2a2, w3a8, ..."""
    weight: str = "lsq"
    """Quantizer of the weights: lsq, statsq, minmax, dorefa, ..."""
    activation: str = "lsq"
    """Quantizer of the activations: lsq, lsq+, pact, minmax, ..."""
    granularity: Literal["channel", "head", "tensor"] = "channel"
    """Who shares a scale of the weights; head is for attention's projections, the rest then stays per channel."""
    gradscale: Literal["by_count", "by_magnitude"] | None = None
    """For learned weight scales: divide their gradient by LSQ's count (if not given), or by VVTQ's magnitude."""
    reach: Literal["paper", "bits"] | None = None
    """For statsq: the paper's range (if not given), or one for each bit-width."""
    ste: Literal["identity", "clipped"] | None = None
    """For sign: gradients pass it everywhere (identity, if not given), or between its two levels alone (clipped)."""
    ends: int = 8
    """Bits of the first and the last layer."""
    embedding_bits: int | None = None
    """Of a model of texts: bits of the word embeddings, with a scale a row; those of --ends if not given."""
    activation_granularity: Literal["tensor", "token", "head"] = "tensor"
    """Who shares a scale of the activations. token is OFQ's, one a position, but for values, which have one a channel;
    head is for what attention computes, the rest then has one a tensor."""
    moves: bool = False
    """Learn what is added to each channel of the activations before and after they snap (OFQ's learnable shifts)."""
    rectify: bool = False
    """Give query and key of each head a mean and a spread of their own before they snap (Q-ViT's IRM)."""
    merge_qk: bool = False
    """Merge query and key into one matrix a head (OFQ's reparameterization)."""
    calibration_images: int = 256
    """Training images from which activations get their start values."""
    bit_budget: float | None = None
    """For learned bits: the 10^9 bit operations of an image that the model may have."""
    bit_budget_strength: float = 0.1
    """What it costs to be above the budget."""
    bit_freeze: float = 0.9
    """Share of the training after which learned bits stay as they are."""
    weights_last: bool = False
    """Train with float weights, and quantize them when the training has ended (GPLQ)."""
    through: tuple[str, ...] = ()
    """Widths to train first, such as w32a32 w1a2: a run for each, of which the next one takes its start weights, and
    with --teacher before its teacher. w32a32 is the float model, trained on the true labels."""
    through_epochs: tuple[int, ...] = ()
    """Epochs of each of these; --epochs if not given."""
    through_lr: tuple[float, ...] = ()
    """Learning rate of each of these; --lr if not given."""

    def __post_init__(self) -> None:
        """Refuse to begin from nothing, and words that contradict each other."""
        if self.calibration_images < 1:
            raise ValueError(f"--calibration-images is at least 1, got {self.calibration_images}")
        if self.weights_last and self.merge_qk:
            raise ValueError("--merge-qk makes new weights at the beginning, and --weights-last quantizes at the end")
        if self.rectify and self.merge_qk:
            raise ValueError("--rectify is for queries and keys, which --merge-qk makes one: leave out one of the two")
        check_through(self.bits, self.through, self.through_epochs, self.through_lr)
        if self.bits.lower().endswith("a32"):
            self._without_activations()
        if "learned_bits" in (self.weight, self.activation):
            self._check_learned()
        else:
            self._without_learned()

    def at(self, bits: str) -> QuantSettings:
        """These words at another width, to be reached straight: what only one bit has is learned scales at more."""
        made, width = replace(self, bits=bits, through=(), through_epochs=(), through_lr=()), the_width(bits)
        if width.weights > 1 and self.weight == "sign":
            made = replace(made, weight="lsq", ste=None)
        if width.activations > 1 and self.activation == "elastic":
            made = replace(made, activation="lsq")
        return made

    def _check_learned(self) -> None:
        for word, side in (("weight", 1), ("activation", 2)):
            found = re.fullmatch(r"w(\d+)a(\d+)", self.bits.lower())
            if found and getattr(self, word) == "learned_bits" and not 2 <= int(found[side]) <= 8:
                raise ValueError(
                    f"--{word} learned_bits begins at 2 to 8 bits, and not at --bits {self.bits}: --bits w5a5"
                )
        if self.weights_last and self.weight == "learned_bits":
            raise ValueError("--weight learned_bits learns while weights train, and --weights-last leaves them float")
        if self.weight == "learned_bits" and self.granularity == "channel":
            raise ValueError(
                "--weight learned_bits has a width a tensor or a head: --granularity head, or --granularity tensor"
            )
        if self.activation == "learned_bits" and self.activation_granularity == "token":
            raise ValueError(
                "--activation learned_bits has a width a tensor or a head: --activation-granularity head, or tensor"
            )
        if self.bit_budget is None and self.bit_budget_strength != QuantSettings.bit_budget_strength:
            raise ValueError("--bit-budget-strength has no effect without --bit-budget: give both, or none")
        if self.bit_budget is not None and not self.bit_budget > 0:
            raise ValueError(f"--bit-budget is above 0, got {self.bit_budget}: DeiT-T at 4 bits has 21.455")
        if not 0 < self.bit_freeze <= 1:
            raise ValueError(f"--bit-freeze is a share of the training, above 0 and at most 1, got {self.bit_freeze}")

    def _without_learned(self) -> None:
        for name in ("bit_budget", "bit_budget_strength", "bit_freeze"):
            if getattr(self, name) != getattr(QuantSettings, name):
                flag = name.replace("_", "-")
                raise ValueError(f"--{flag} is for bits that are learned: add --weight learned_bits, or leave it out")

    def _without_activations(self) -> None:
        for name, off in (("moves", "--no-moves"), ("activation_granularity", "--activation-granularity tensor")):
            if getattr(self, name) != getattr(QuantSettings, name):
                flag = name.replace("_", "-")
                raise ValueError(f"--{flag} is for activations that snap, and --bits {self.bits} leaves them: {off}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A method and all its choices."""

    method: Annotated[str, tyro.conf.Fixed]
    """Name of the method."""
    model: ModelSettings = field(default_factory=ModelSettings)
    quant: QuantSettings | None = None
    """None: the model stays float."""
    data: DataSettings = field(default_factory=DataSettings)
    text: TaskSettings = field(default_factory=TaskSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    distill: DistillSettings = field(default_factory=DistillSettings)
    dynamics: DynamicsSettings = field(default_factory=DynamicsSettings)
    optim: OptimSettings = field(default_factory=OptimSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    average: AverageSettings = field(default_factory=AverageSettings)
    machine: MachineSettings = field(default_factory=MachineSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    taught_by: Annotated[str | None, tyro.conf.Fixed] = None
    """Which labels or which teacher it was, by their hash; a run writes it down."""

    @property
    def name(self) -> str:
        """What a run of it is called: method, model, bits and seed."""
        bits = "" if self.quant is None else f"-{self.quant.bits}"
        model = self.model.model.replace("/", "_").replace(":", "_")
        task = f"-{self.text.task}" if self.reads else ""
        return f"{self.method}-{model}{task}{bits}-seed{self.machine.seed}"

    @property
    def reads(self) -> bool:
        """Whether it is about texts, and not about images."""
        return bool(self.text.task)
