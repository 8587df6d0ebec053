"""What a command line says about teachers and their labels. Imports no numbers package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stillbit.data.settings import AugmentSettings, Interpolation
from stillbit.distill.kinds import MOST, Kind

SELF = "self"
"""The teacher that is the student before it was quantized."""
BEFORE = "before"
"""The teacher that is the model of the width before, where a training goes through several."""
INSIDE = ("relations", "features", "hidden")
"""Ways to learn from the inside of a teacher, and not from its answer alone."""


@dataclass(frozen=True, kw_only=True)
class DistillSettings:
    """Learn from a teacher: from stored labels of many crops, or from one that is asked at every step."""

    labels: Path | None = None
    """A store of labels, made by `stillbit labels write`: train on its crops, and on nothing but what it says."""
    crops: int = 4
    """Stored crops of an image in a batch: the image is decoded once for all of them."""
    teacher: str | None = None
    """A teacher that is asked at every step: a run, a file that stillbit wrote, timm's name of a model, `self`, the
    float model with its start weights, or `before`, the model of the width before (--through)."""
    taught: bool = False
    """Refuse to begin without --labels or --teacher."""
    distillation: Literal["soft", "hard"] = "soft"
    """What of the teacher's answer counts: its probabilities, or (DeiT's) its likeliest class."""
    temperature: float = 1.0
    """Both answers are softened by this before they are compared."""
    teacher_share: float = 0.5
    """How much the teacher's answer counts; the rest is the true label's."""
    relations: float = 0.0
    """How much queries and keys of a head shall relate as the teacher's do (Q-ViT's DGD); 0 is off."""
    features: float = 0.0
    """How much the classifier's input shall be like the teacher's (feature mimicking, as in GPLQ); 0 is off."""
    hidden: float = 0.0
    """How much what every layer puts out, and what enters the first, shall be the teacher's (as in BiT); 0 is off."""

    def __post_init__(self) -> None:
        """Refuse what contradicts itself, and what would have no effect."""
        if self.crops < 1:
            raise ValueError(f"--crops is at least 1, got {self.crops}")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"--temperature is a number above 0, got {self.temperature}")
        if not 0 < self.teacher_share <= 1:
            raise ValueError(f"--teacher-share is above 0 and at most 1, got {self.teacher_share}")
        for name in INSIDE:
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"--{name} is a strength from 0, got {getattr(self, name)}")
        if self.labels is not None and self.teacher is not None:
            raise ValueError("--labels are a teacher's answers already: leave out --labels or --teacher")
        if self.labels is None and self.crops != DistillSettings.crops:
            raise ValueError("--crops are stored crops of an image: give the store too, --labels STORE")
        if self.teacher is None:
            self._needs_teacher()
        if self.distillation == "hard" and self.temperature != DistillSettings.temperature:
            raise ValueError(
                "--temperature softens answers, and hard distillation takes the likeliest class: leave it out"
            )

    def _needs_teacher(self) -> None:
        for name in ("distillation", "temperature", "teacher_share", *INSIDE):
            if getattr(self, name) != getattr(DistillSettings, name):
                flag = f"--{name.replace('_', '-')}"
                if self.labels is not None:
                    raise ValueError(
                        f"{flag} is for a teacher that is asked at every step: stored labels are as they are"
                    )
                raise ValueError(f"{flag} has no effect without a teacher: give one, --teacher RUN_OR_NAME")


@dataclass(frozen=True, kw_only=True)
class TeacherSettings:
    """Whose labels are written."""

    teacher: tuple[str, ...]
    """Runs, files that stillbit wrote, or timm's names, whose weights are then downloaded; of several, the mean."""
    teacher_weights: Path | None = None
    """Weights for a teacher given by timm's name, from a file (.safetensors or .pth): nothing is downloaded."""
    device: str = "auto"
    """cpu, cuda, ...; auto takes a GPU if there is one."""
    torchcompile: bool = False
    """Compile the teacher's blocks: faster on a GPU after a slower start. The labels' last bits may differ."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if not self.teacher:
            raise ValueError("labels need a teacher: --teacher NAME_OR_RUN")
        if self.teacher_weights is not None and len(self.teacher) > 1:
            raise ValueError("--teacher-weights is for one teacher, and there are several: name runs or files instead")


@dataclass(frozen=True, kw_only=True)
class WriteSettings:
    """Which labels are written."""

    output: Path
    """The folder of the store: new, empty, or begun with the same options."""
    crops: int = 200
    """Random crops of every image, each with its label."""
    label_kind: Kind = "marginal_smoothing"
    """What is kept: all, the likeliest class, or the top k, where the others share the rest or (renorm) get nothing."""
    top_k: int = 5
    """How many classes the marginal kinds keep."""
    scale: tuple[float, float] = (0.08, 1.0)
    """Smallest and largest share of the area that a crop keeps."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Lowest and highest ratio of width to height of a crop."""
    hflip: float = 0.5
    """Probability of a flip from left to right."""
    vflip: float = 0.0
    """Probability of a flip upside down."""
    interpolation: Interpolation = "bicubic"
    """How crops are resized, for the teacher and for all that learn from it."""
    seed: int = 0
    """Another seed draws other crops."""
    batch_size: int = 256
    """Crops that a teacher sees at a time."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Compute in bfloat16 where that is safe, or all in float32."""
    shard_samples: int = 1024
    """Images of a file: what a process that is killed does again, at most."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        for name in ("crops", "batch_size", "shard_samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name.replace('_', '-')} is at least 1, got {getattr(self, name)}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"--seed is a number from 0 to {2**32 - 1}, got {self.seed}")
        if not 1 <= self.top_k <= MOST:
            raise ValueError(f"a label keeps 1 to {MOST} classes, got {self.top_k}: --top-k 5")
        if self.top_k != WriteSettings.top_k and not self.label_kind.startswith("marginal"):
            raise ValueError(f"--top-k is for the marginal kinds, and this is {self.label_kind}: leave it out")
        self.augment()

    def augment(self) -> AugmentSettings:
        """The crops, in the words of a training."""
        return AugmentSettings(
            scale=self.scale,
            ratio=self.ratio,
            hflip=self.hflip,
            vflip=self.vflip,
            train_interpolation=self.interpolation,
        )


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """What FKD's label files do not say of themselves."""

    output: Path
    """The folder of the store: new, empty, or begun with the same options."""
    label_kind: Kind | None = None
    """What the labels are; from their shape if not given, where two rows of k are marginal_smoothing."""
    teacher: str = "FKD"
    """Who gave them, for the record, such as tf_efficientnet_l2_ns_475."""
    scale: tuple[float, float] = (0.08, 0.936)
    """Smallest and largest share of the area that a crop keeps, for the record; the default is FKD's."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Lowest and highest ratio of width to height of a crop, for the record."""
    hflip: float = 0.5
    """Probability of a flip from left to right, for the record."""
    interpolation: Interpolation = "bilinear"
    """How a training resizes the crops; the default is FKD's."""
    shard_samples: int = 1024
    """Images of a file of the store."""

    def __post_init__(self) -> None:
        """Refuse what no store can say."""
        if self.shard_samples < 1:
            raise ValueError(f"a shard has at least one image, got {self.shard_samples}: --shard-samples 1024")
        AugmentSettings(scale=self.scale, ratio=self.ratio, hflip=self.hflip, train_interpolation=self.interpolation)
