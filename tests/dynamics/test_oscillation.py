from __future__ import annotations

import io
from itertools import pairwise

import pytest
import torch

from stillbit.dynamics.boundary import histogram
from stillbit.dynamics.oscillation import Oscillation
from stillbit.dynamics.settings import TrackSettings
from stillbit.train.hooks import Hook
from tests.dynamics import small

TRACK = TrackSettings(track=True, track_momentum=0.1, track_threshold=0.05, track_samples=3, track_window=50)


def tracked(steps: int, settings: TrackSettings = TRACK, **plan: object) -> Oscillation:
    model = small.vit(**plan)
    tracker = Oscillation(model, settings)
    small.train(small.training(model), steps, [tracker])
    return tracker


def test_a_training_is_followed_step_by_step() -> None:
    model = small.vit(3)
    tracker = Oscillation(model, TRACK)
    training, path = small.training(model), [small.codes(model)]
    for _ in range(15):
        small.train(training, 1, [tracker])
        path.append(small.codes(model))
    name = "blocks.0.attn.qkv"
    last = torch.zeros_like(path[0][name])
    frequency = torch.zeros(last.shape)
    for before, now in pairwise(path):
        change = (now[name] - before[name]).sign()
        frequency = 0.9 * frequency + 0.1 * (change * last == -1)
        last = torch.where(change != 0, change, last)
    torch.testing.assert_close(tracker.flips[name].frequency, frequency)
    assert torch.equal(tracker.flips[name].direction, last.to(torch.int8)) and frequency.any()


@pytest.mark.parametrize("method", ["lsq", "statsq", "dorefa"])
def test_the_report_says_layer_role_and_head_and_what_its_numbers_mean(method: str) -> None:
    tracker = tracked(12, bits=2, weight=method)
    report = tracker.report()
    assert (report.momentum, report.threshold, report.every, report.looks) == (0.1, 0.05, 1, 12)
    parts = [(p.layer.removeprefix("blocks.0."), p.role, p.head) for p in report.pieces]
    heads = range(3)
    assert parts == [
        *(("attn.qkv", role, head) for role in ("query", "key", "value") for head in heads),
        *(("attn.proj", "proj", head) for head in heads),
        ("mlp.fc1", "fc1", None),
        ("mlp.fc2", "fc2", None),
    ]
    assert sum(p.weights for p in report.pieces) == sum(w.parameter.numel() for w in tracker.weights)
    flips = tracker.flips["blocks.0.attn.qkv"]
    query = report.pieces[1]
    assert query.flips == flips.count[8:16].sum() and query.weights == 8 * 24
    assert query.oscillating == pytest.approx((flips.frequency[8:16] > 0.05).float().mean().item())
    assert query.moved == pytest.approx((flips.codes != flips.begin)[8:16].float().mean().item())
    assert query.frequency == pytest.approx(flips.frequency[8:16].mean().item())
    up, down = ((flips.direction[8:16] == way).sum().item() for way in (1, -1))
    assert query.upward == pytest.approx(up / (up + down)) and up and down
    assert flips.count.sum() > 0 and any(p.oscillating for p in report.pieces)


def test_a_model_that_stands_still_does_not_oscillate() -> None:
    model = small.vit()
    tracker = Oscillation(model, TRACK)
    small.train(small.training(model, lr=0.0, weight_decay=0.0), 4, [tracker])
    assert all((p.oscillating, p.flips, p.moved, p.upward) == (0, 0, 0, 0.5) for p in tracker.report().pieces)


def test_looks_may_be_taken_every_few_steps() -> None:
    tracker = tracked(12, TrackSettings(track=True, track_every=5))
    assert tracker.looks == 2 and tracker.report().every == 5
    assert tracker.paths.path("blocks.0.mlp.fc1")[0].tolist() == [5, 10]


def test_the_log_gets_the_shares_of_all_weights_and_what_defines_them() -> None:
    tracker = tracked(12)
    training = small.training(small.vit())
    training.scores = {"top1": 1.0}
    tracker.after_epoch(training)
    parts = tracker.report().pieces
    count = sum(p.weights for p in parts)
    assert training.scores == {
        "top1": 1.0,
        "oscillating": pytest.approx(sum(p.oscillating * p.weights for p in parts) / count),
        "oscillation_momentum": 0.1,
        "oscillation_threshold": 0.05,
        "moved": pytest.approx(sum(p.moved * p.weights for p in parts) / count),
    }


def test_histograms_are_of_the_weights_of_now() -> None:
    tracker = tracked(3)
    counts = tracker.histograms(10)
    for weight in tracker.weights:
        assert torch.equal(counts[weight.name], histogram(weight.latent(), 10))
        assert counts[weight.name].sum() == weight.parameter.numel()


def test_a_run_that_goes_on_sees_what_a_run_without_a_break_sees() -> None:
    whole = tracked(24)
    model = small.vit()
    first, training = Oscillation(model, TRACK), small.training(model)
    small.train(training, 16, [first])
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second = Oscillation(model, TRACK)
    second.load_state(torch.load(file, weights_only=True))
    small.train(training, 8, [second])
    assert second.report() == whole.report()
    for one, other in zip(whole.history.past(), second.history.past(), strict=True):
        assert torch.equal(one, other) and len(one) == 2
    for weight in whole.weights:
        for one, other in zip(whole.paths.path(weight.name), second.paths.path(weight.name), strict=True):
            assert torch.equal(one, other)


def test_every_tenth_look_is_remembered_layer_by_layer() -> None:
    model = small.vit(3)
    tracker, training = Oscillation(model, TRACK), small.training(model)
    for step in (10, 20):
        small.train(training, 10, [tracker])
        steps, shares, scales = tracker.history.past()
        assert steps[-1] == step
        for weight, share, scale in zip(tracker.weights, shares[-1], scales[-1], strict=True):
            assert share == (tracker.flips[weight.name].frequency > 0.05).double().mean()
            assert scale == pytest.approx(weight.quantizer.get_parameter("scale").abs().mean().item(), rel=1e-6)
    assert len(steps) == 2 and shares.any()


def test_a_layer_in_one_piece_is_the_mean_of_its_pieces() -> None:
    tracker = tracked(15)
    pieces = [p for p in tracker.report().pieces if p.layer == "blocks.0.attn.qkv"]
    whole = next(p for p in tracker.layers() if p.layer == "blocks.0.attn.qkv")
    assert whole.weights == sum(p.weights for p in pieces) and whole.flips == sum(p.flips for p in pieces)
    for name in ("oscillating", "frequency", "moved"):
        mean = sum(getattr(p, name) * p.weights for p in pieces) / whole.weights
        assert getattr(whole, name) == pytest.approx(mean)
    assert [p.layer for p in tracker.layers()] == [w.name for w in tracker.weights]


def test_a_checkpoint_of_a_tracker_without_a_history_can_still_be_read() -> None:
    whole = tracked(14)
    older = {name: held for name, held in whole.state().items() if name != "history"}
    tracker = Oscillation(small.vit(), TRACK)
    tracker.load_state(older)
    assert tracker.report() == whole.report() and not len(tracker.history.past().steps)


def test_without_a_state_it_begins_at_the_codes_of_now() -> None:
    model = small.vit()
    tracker = Oscillation(model, TRACK)
    small.train(small.training(model), 3)
    tracker.load_state({})
    assert torch.equal(tracker.flips["blocks.0.mlp.fc1"].begin, small.codes(model)["blocks.0.mlp.fc1"].to(torch.int8))


def test_looking_changes_nothing() -> None:
    plain, seen = small.vit(), small.vit()
    hook: Hook = Oscillation(seen, TRACK)
    small.train(small.training(plain), 5)
    small.train(small.training(seen), 5, [hook])
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), seen.state_dict().values(), strict=True))
