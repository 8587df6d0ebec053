"""How long, how fast, with what, and where the results go: the choices of a training run, in timm's words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class OptimSettings:
    """The optimizer."""

    opt: str = "adamw"
    """Optimizer, by timm's name: adamw, sgd, lamb, adan, muon, ..."""
    lr: float = 5e-4
    """Learning rate."""
    weight_decay: float = 0.05
    """Weight decay of weights. Biases, norms, and scales and offsets of quantizers have none."""
    scale_lr: float | None = None
    """Learning rate of scales and offsets; the same as --lr if not given."""
    momentum: float = 0.9
    """Momentum, for optimizers that have one."""
    opt_betas: tuple[float, float] | None = None
    """Betas, for optimizers that have them; the optimizer's own if not given."""
    opt_eps: float | None = None
    """Epsilon, for optimizers that have one; the optimizer's own if not given."""
    clip_grad: float | None = None
    """Clip the norm of all gradients to this; no clipping if not given."""

    def __post_init__(self) -> None:
        """Refuse what no optimizer can do."""
        _at_least("lr", self.lr, 0.0)
        _at_least("weight-decay", self.weight_decay, 0.0)
        _at_least("scale-lr", self.scale_lr, 0.0)
        if self.clip_grad is not None and not self.clip_grad > 0:
            raise ValueError(f"--clip-grad is the largest norm allowed, so it is above 0, got {self.clip_grad}")


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings:
    """The learning rate over time."""

    epochs: int = 100
    """Passes over the training images."""
    sched: Literal["cosine", "constant", "tanh", "linear"] = "cosine"
    """How the learning rate falls after the warm-up, step by step."""
    warmup_epochs: float = 0
    """Epochs in which the learning rate rises from --warmup-lr."""
    warmup_lr: float = 1e-6
    """Learning rate of the first step of a warm-up."""
    min_lr: float = 0.0
    """Learning rate at the end."""
    patience: int | None = None
    """Stop when the best epoch was so many epochs ago; never, if not given."""

    def __post_init__(self) -> None:
        """Refuse a schedule that never begins or never ends."""
        _at_least("epochs", self.epochs, 1)
        _at_least("patience", self.patience, 1)
        _at_least("warmup-lr", self.warmup_lr, 0.0)
        _at_least("min-lr", self.min_lr, 0.0)
        if not 0 <= self.warmup_epochs < self.epochs:
            raise ValueError(
                f"--warmup-epochs {self.warmup_epochs} does not fit into {self.epochs} epochs: --warmup-epochs 0"
            )


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """What the model is asked to learn."""

    smoothing: float = 0.0
    """Label smoothing."""
    mixup: float = 0.0
    """Mixup alpha; 0 is off."""
    cutmix: float = 0.0
    """Cutmix alpha; 0 is off."""
    mixup_prob: float = 1.0
    """How often a batch is mixed, where mixup or cutmix are on."""
    mixup_switch_prob: float = 0.5
    """How often cutmix is taken where both are on."""

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        for name in ("smoothing", "mixup_prob", "mixup_switch_prob"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"--{name.replace('_', '-')} is a share between 0 and 1, got {getattr(self, name)}")
        _at_least("mixup", self.mixup, 0.0)
        _at_least("cutmix", self.cutmix, 0.0)
        if self.mixup_prob != LossSettings.mixup_prob and not (self.mixup or self.cutmix):
            raise ValueError("--mixup-prob has no effect without --mixup or --cutmix: give one of them")
        if self.mixup_switch_prob != LossSettings.mixup_switch_prob and not (self.mixup and self.cutmix):
            raise ValueError("--mixup-switch-prob chooses between --mixup and --cutmix: give both")


@dataclass(frozen=True, kw_only=True)
class MachineSettings:
    """What the training runs on. Processes come from torchrun."""

    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU if there is one."""
    amp: bool = False
    """Compute in bfloat16 where that is safe (autocast); weights stay in float32."""
    torchcompile: bool = False
    """Compile the model's blocks: faster steps after a slower start."""
    channels_last: bool = False
    """Lay images out with channels last: faster for convolutional models."""
    grad_accum_steps: int = 1
    """Parts in which a step's images pass the model, to save memory. A step sees batch-size times this many images."""
    fsdp: bool = False
    """Shard weights, gradients and optimizer over the processes (FSDP2) instead of copying them (DDP)."""
    seed: int = 42
    """Everything random is a function of this number, of the epoch or step, and of the image."""

    def __post_init__(self) -> None:
        """Refuse parts of nothing."""
        _at_least("grad-accum-steps", self.grad_accum_steps, 1)
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"--seed is a number from 0 to {2**32 - 1}, got {self.seed}")


@dataclass(frozen=True, kw_only=True)
class AverageSettings:
    """A second model, the running average of the first."""

    model_ema: bool = False
    """Keep an exponential moving average of the weights, evaluate it too, and judge the run by it."""
    model_ema_decay: float = 0.9998
    """Decay of the average a step."""

    def __post_init__(self) -> None:
        """Refuse what is no decay."""
        if not 0 <= self.model_ema_decay < 1:
            raise ValueError(f"--model-ema-decay is between 0 and 1, got {self.model_ema_decay}")
        if not self.model_ema and self.model_ema_decay != AverageSettings.model_ema_decay:
            raise ValueError("--model-ema-decay has no effect without --model-ema: give both, or none")


@dataclass(frozen=True, kw_only=True)
class OutputSettings:
    """Where results go, and how often."""

    output: Path = Path("output")
    """Folder of all runs."""
    experiment: str | None = None
    """Folder of this run inside --output; made from method, model, bits and seed if not given."""
    resume: str | None = None
    """auto: go on where this run stopped, or begin if it never did. Or the path of a run or a checkpoint."""
    log_interval: int = 50
    """Steps between two lines of the log."""
    checkpoint_steps: int | None = None
    """Steps between checkpoints inside an epoch; at the end of an epoch there always is one."""
    checkpoint_keep: int | None = None
    """Also keep every so many-th epoch's checkpoint for good."""

    def __post_init__(self) -> None:
        """Refuse intervals of nothing."""
        _at_least("log-interval", self.log_interval, 1)
        _at_least("checkpoint-steps", self.checkpoint_steps, 1)
        _at_least("checkpoint-keep", self.checkpoint_keep, 1)
        if self.experiment is not None:
            folder = Path(self.experiment.strip())
            if folder.is_absolute() or not folder.name or ".." in folder.parts:
                raise ValueError(f"--experiment is the name of a folder inside --output, got {self.experiment!r}")


def _at_least(flag: str, value: float | None, least: float) -> None:
    if value is not None and not value >= least:
        raise ValueError(f"--{flag} is at least {least:g}, got {value}")
