"""What a recipe says about weights in motion reaches the loop."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from stillbit.dynamics.settings import (
    AnnealSettings,
    DynamicsSettings,
    FreezeSettings,
    PenaltySettings,
    TrackSettings,
    TransitionSettings,
)
from stillbit.methods.phases import scheduled
from stillbit.methods.recipe import Recipe
from stillbit.train.checkpoint import read
from tests.methods import small


def steered(root: Path, method: str = "lsq", **settings: Any) -> Recipe:
    schedule = settings.pop("schedule", {"epochs": 3})
    recipe = small.recipe(method, root, schedule=schedule)
    return replace(recipe, dynamics=DynamicsSettings(**settings))


def lines(folder: Path, kind: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == kind]


def test_penalties_are_losses_that_the_log_shows_and_the_bin_penalty_rises(tmp_path: Path) -> None:
    settings = PenaltySettings(bin_reg=0.1, dampen=0.1, kure=0.01)
    result, _ = small.run(steered(tmp_path, penalty=settings))
    epochs = lines(result.folder, "epoch")
    assert [name in epochs[0] for name in ("train_bins", "train_dampen", "train_kurtosis")] == [True] * 3
    assert epochs[0]["train_bins"] < epochs[-1]["train_bins"]


def test_what_is_seen_of_the_weights_is_logged_every_epoch(tmp_path: Path) -> None:
    settings = {"track": TrackSettings(track=True), "freeze": FreezeSettings(freeze=True, freeze_momentum=0.1)}
    result, _ = small.run(steered(tmp_path, **settings))
    for row in lines(result.folder, "epoch"):
        assert 0 <= row["oscillating"] <= 100 and 0 <= row["frozen"] <= 100


def test_annealing_begins_when_the_schedule_has_ended(tmp_path: Path) -> None:
    recipe = steered(tmp_path, schedule={"epochs": 4, "min_lr": 1e-4}, anneal=AnnealSettings(anneal_epochs=2))
    assert scheduled(recipe).epochs == 2
    result, _ = small.run(recipe)
    rates = [row["lr"] for row in lines(result.folder, "epoch")]
    assert rates[2] == rates[3] == pytest.approx(1e-4) and rates[0] > 1e-3
    assert ["in_band" in row for row in lines(result.folder, "epoch")] == [False, False, True, True]


def test_what_is_out_of_the_band_is_bit_identical_through_the_annealing(tmp_path: Path) -> None:
    recipe = steered(tmp_path, schedule={"epochs": 3, "min_lr": 1e-3}, anneal=AnnealSettings(anneal_epochs=1))
    recipe = replace(recipe, output=replace(recipe.output, checkpoint_keep=1))
    result, _ = small.run(recipe)
    before, after = (read(result.folder / f"epoch-000{epoch}.pt")["model"] for epoch in (2, 3))
    for name in ("blocks.0.attn.qkv.weight", "blocks.2.mlp.fc1.weight"):
        moved = (before[name] != after[name]).float().mean().item()
        assert 0 < moved < 0.2, f"{name}: {moved}"
    assert not torch.equal(before["blocks.0.norm1.weight"], after["blocks.0.norm1.weight"])


def test_the_learning_rate_can_follow_the_rate_of_transitions(tmp_path: Path) -> None:
    settings = TransitionSettings(transition_rate=0.005)
    result, _ = small.run(steered(tmp_path, transition=settings))
    row = lines(result.folder, "epoch")[-1]
    assert row["transition_rate"] >= 0 and math.isfinite(row["transition_lr"])


def test_annealing_before_any_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"weights have to be trained before .* --epochs 6"):
        small.run(steered(tmp_path, anneal=AnnealSettings(anneal_epochs=3)))


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"track": TrackSettings(track=True)}, "--track"),
        ({"penalty": PenaltySettings(bin_reg=0.1)}, "--bin-reg"),
        ({"anneal": AnnealSettings(anneal_epochs=1)}, "--anneal-epochs"),
        ({"transition": TransitionSettings(transition_rate=0.01)}, "--transition-rate"),
    ],
)
def test_float_weights_have_no_codes_to_steer(settings: dict[str, Any], flag: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^{flag} is about codes, and the weights of fp have none"):
        small.run(steered(tmp_path, "fp", **settings))


def test_the_bin_penalty_is_refused_where_all_weights_have_eight_bits(tmp_path: Path) -> None:
    recipe = steered(tmp_path, penalty=PenaltySettings(bin_reg=0.1))
    assert recipe.quant is not None
    with pytest.raises(ValueError, match="--bin-reg is for weights of 2 or 3 bits, and this model has 8: --bin-reg"):
        small.run(replace(recipe, quant=replace(recipe.quant, bits="w8a8")))


def test_learned_bits_are_logged_and_a_budget_that_is_not_met_is_said(tmp_path: Path) -> None:
    recipe = small.recipe("qvit_mixed", tmp_path, quant={"bits": "w5a5", "bit_budget": 0.02})
    result, said = small.run(recipe)
    row = lines(result.folder, "epoch")[-1]
    assert 2 <= row["weight_bits"] <= 8 and 2 <= row["activation_bits"] <= 8 and row["gbitops"] > 0.02
    held = json.loads((result.folder / "result.json").read_text())
    assert held["gbitops"] == row["gbitops"] and held["weight_bits"] == row["weight_bits"]
    assert "and its budget is 0.02: train longer, or give a higher --bit-budget-strength" in said
