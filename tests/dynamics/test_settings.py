from __future__ import annotations

import sys
from dataclasses import fields, replace
from subprocess import run
from typing import Any, get_type_hints

import pytest

from stillbit.dynamics import settings
from stillbit.dynamics.settings import (
    AnnealSettings,
    DynamicsSettings,
    FreezeSettings,
    PenaltySettings,
    TrackSettings,
    TransitionSettings,
)
from stillbit.methods.recipe import Recipe
from tests.house.source import PACKAGE

ALL = (TrackSettings, PenaltySettings, FreezeSettings, AnnealSettings, TransitionSettings)


def test_all_is_off_unless_it_is_asked_for() -> None:
    made = DynamicsSettings()
    assert not made.track.track and not made.freeze.freeze and not made.anneal.anneal_epochs
    assert not (made.penalty.bin_reg or made.penalty.dampen or made.penalty.kure or made.transition.transition_rate)


@pytest.mark.parametrize(
    "group, choices, said",
    [
        (TrackSettings, {"track_every": 5}, "--track-every has no effect without --track: give both, or none"),
        (TrackSettings, {"track": True, "track_every": 0}, "--track-every is at least 1, got 0"),
        (TrackSettings, {"track": True, "track_momentum": 0.0}, "--track-momentum is above 0 and at most 1"),
        (TrackSettings, {"track": True, "track_threshold": 1.0}, "--track-threshold is a frequency"),
        (PenaltySettings, {"bin_reg": -1.0}, "--bin-reg is at least 0, got -1.0"),
        (PenaltySettings, {"bin_reg_form": "sum"}, "--bin-reg-form has no effect without --bin-reg"),
        (PenaltySettings, {"dampen_form": "sum"}, "--dampen-form has no effect without --dampen"),
        (PenaltySettings, {"kure_target": 2.0}, "--kure-target has no effect without --kure"),
        (PenaltySettings, {"kure": 1.0, "penalty_start": 0.5}, "--penalty-start has no effect"),
        (PenaltySettings, {"bin_reg": 1.0, "penalty_start": 1.0}, "--penalty-start is a share of the training"),
        (PenaltySettings, {"bin_reg": 1.0, "bin_reg_bits": (2, 9)}, "--bin-reg-bits are widths from 1 to 8"),
        (PenaltySettings, {"bin_reg": 1.0, "bin_reg_bits": ()}, "--bin-reg-bits 2 3"),
        (FreezeSettings, {"freeze_momentum": 0.1}, "--freeze-momentum has no effect without --freeze"),
        (FreezeSettings, {"freeze": True, "freeze_start": 1.0}, "--freeze-start is a share of the training"),
        (FreezeSettings, {"freeze": True, "freeze_threshold": 0.0}, "--freeze-threshold is above 0"),
        (AnnealSettings, {"anneal_range": 0.1}, "--anneal-range has no effect without --anneal-epochs"),
        (AnnealSettings, {"anneal_epochs": -1}, "--anneal-epochs is at least 0"),
        (AnnealSettings, {"anneal_epochs": 3, "anneal_range": 0.5}, "--anneal-range is above 0 and below half a step"),
        (TransitionSettings, {"transition_gain": 2.0}, "--transition-gain has no effect without --transition-rate"),
        (TransitionSettings, {"transition_rate": 1.0}, "--transition-rate is a share"),
        (TransitionSettings, {"transition_rate": 0.01, "transition_momentum": 1.0}, "--transition-momentum is from 0"),
        (TransitionSettings, {"transition_rate": 0.01, "transition_gain": 0.0}, "--transition-gain is above 0"),
    ],
)
def test_what_means_nothing_is_refused_in_a_sentence(group: Any, choices: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        group(**choices)


def test_sensible_choices_are_taken() -> None:
    TrackSettings(track=True, track_every=10, track_momentum=0.001, track_samples=0)
    PenaltySettings(bin_reg=0.1, bin_reg_bits=(4,), dampen=0.1, dampen_form="kernel_mean", kure=1.0, penalty_start=0.0)
    FreezeSettings(freeze=True, freeze_threshold=0.011)
    AnnealSettings(anneal_epochs=30, anneal_range=0.01)
    TransitionSettings(transition_rate=5e-3, transition_gain=0.5)
    assert replace(DynamicsSettings(), track=TrackSettings(track=True)).track.track


def test_no_flag_is_called_like_one_of_another_room() -> None:
    mine = [field.name for group in ALL for field in fields(group)]
    assert len(set(mine)) == len(mine)
    hints = get_type_hints(Recipe)
    groups = [kind for field in fields(Recipe) for kind in kinds(hints[field.name]) if kind not in kinds_of_dynamics()]
    others = {inside.name for kind in groups for inside in fields(kind)} | {field.name for field in fields(Recipe)}
    assert len(others) > 30 and not others & set(mine)


def kinds(hint: Any) -> list[Any]:
    return [kind for kind in (hint, *getattr(hint, "__args__", ())) if hasattr(kind, "__dataclass_fields__")]


def kinds_of_dynamics() -> set[Any]:
    return {*ALL, DynamicsSettings}


def test_every_choice_is_explained() -> None:
    text = (PACKAGE / "dynamics" / "settings.py").read_text()
    for group in ALL:
        for field in fields(group):
            line = next(n for n, said in enumerate(text.splitlines()) if said.startswith(f"    {field.name}: "))
            assert text.splitlines()[line + 1].startswith('    """'), field.name


def test_settings_need_no_torch() -> None:
    code = f"import sys; import {settings.__name__}; assert 'torch' not in sys.modules"
    assert run([sys.executable, "-c", code], check=False).returncode == 0
