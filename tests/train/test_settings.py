"""Every choice that cannot be meant is refused where it is written, in one sentence with its flag."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from stillbit.train import settings

NAN = float("nan")


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        ("Optim", "lr", (-1e-3, NAN)),
        ("Optim", "weight_decay", (-0.1, NAN)),
        ("Optim", "scale_lr", (-1e-9, NAN)),
        ("Optim", "clip_grad", (0, -1.0, NAN)),
        ("Schedule", "epochs", (0, -3)),
        ("Schedule", "warmup_epochs", (-1, 100, NAN)),
        ("Schedule", "warmup_lr", (-1e-6, NAN)),
        ("Schedule", "min_lr", (-1e-6, NAN)),
        ("Loss", "smoothing", (-0.1, 1.1, NAN)),
        ("Loss", "mixup", (-0.1, NAN)),
        ("Loss", "cutmix", (-0.1, NAN)),
        ("Loss", "mixup_prob", (-0.1, 1.5)),
        ("Loss", "mixup_switch_prob", (-0.1, 1.5)),
        ("Machine", "grad_accum_steps", (0, -1)),
        ("Machine", "seed", (-1, 2**32)),
        ("Average", "model_ema_decay", (-0.1, 1.0, NAN)),
        ("Output", "log_interval", (0, -5)),
        ("Output", "checkpoint_steps", (0, -5)),
        ("Output", "checkpoint_keep", (0, -5)),
        ("Output", "experiment", ("", " ", ".", "..", "a/..", "../a", "a/../../b", str(Path("/").resolve() / "a"))),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_flag(kind: str, name: str, values: tuple[Any, ...]) -> None:
    for value in values:
        with pytest.raises(ValueError) as caught:
            getattr(settings, f"{kind}Settings")(**{name: value})
        said = str(caught.value)
        assert f"--{name.replace('_', '-')}" in said and "\n" not in said, said


@pytest.mark.parametrize(
    "made",
    [
        settings.OptimSettings(lr=0.0, weight_decay=0.0, scale_lr=0.0, clip_grad=1e-9),
        settings.ScheduleSettings(epochs=1, warmup_epochs=0.5, warmup_lr=0.0),
        settings.LossSettings(smoothing=1.0, mixup=0.1, mixup_prob=0.0),
        settings.MachineSettings(seed=2**32 - 1),
        settings.AverageSettings(model_ema=True, model_ema_decay=0.0),
        settings.OutputSettings(experiment="a/b", checkpoint_steps=1),
    ],
)
def test_what_is_at_the_edge_is_allowed_and_frozen(made: Any) -> None:
    with pytest.raises(FrozenInstanceError):
        made.anything = 1


def test_the_warm_up_has_to_end_before_the_training() -> None:
    with pytest.raises(ValueError, match="--warmup-epochs 5 does not fit into 5 epochs"):
        settings.ScheduleSettings(epochs=5, warmup_epochs=5)


def test_everything_can_be_left_out_and_nothing_goes_by_position() -> None:
    for kind in ("Optim", "Schedule", "Loss", "Machine", "Average", "Output"):
        make = getattr(settings, f"{kind}Settings")
        make()
        with pytest.raises(TypeError):
            make(1)


@pytest.mark.parametrize(
    ("kind", "options", "flag"),
    [
        (settings.AverageSettings, {"model_ema_decay": 0.5}, "--model-ema"),
        (settings.LossSettings, {"mixup_prob": 0.5}, "--mixup"),
        (settings.LossSettings, {"mixup": 0.2, "mixup_switch_prob": 0.7}, "--cutmix"),
    ],
)
def test_what_would_have_no_effect_is_refused(kind: Any, options: dict[str, float], flag: str) -> None:
    with pytest.raises(ValueError, match=flag):
        kind(**options)
