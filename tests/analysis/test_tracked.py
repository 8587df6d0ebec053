from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from timm.models.eva import Eva
from torch import nn

from stillbit import Plan, calibrate, quantize
from stillbit.analysis.given import to_calibrate
from stillbit.analysis.oscillation import Tracked, Unsettled
from stillbit.analysis.tracked import WINDOW, head_pairs, pearson, tracked
from stillbit.dynamics.oscillation import Oscillation
from stillbit.dynamics.settings import TrackSettings
from stillbit.train.settings import LossSettings
from stillbit.train.task import Classify
from tests.analysis import texts
from tests.dynamics import small

TRACK = TrackSettings(track=True, track_momentum=0.1, track_threshold=0.05, track_samples=3, track_window=40)


def trained(steps: int = 25, settings: TrackSettings = TRACK, **plan: object) -> tuple[nn.Module, Oscillation]:
    model = small.vit(**plan)
    tracker = Oscillation(model, settings)
    small.train(small.training(model), steps, [tracker])
    return model, tracker


def seen(steps: int = 25, **plan: object) -> tuple[Tracked, Oscillation]:
    model, tracker = trained(steps, **plan)
    return tracked(model, tracker.state(), TRACK, step=steps), tracker


@pytest.mark.parametrize("method", ["lsq", "statsq"])
def test_shares_are_those_of_a_loop_over_the_frequencies(method: str) -> None:
    found, tracker = seen(bits=3, weight=method)
    counts, sizes = Counter[str](), Counter[str]()
    for name, flips in tracker.flips.items():
        for frequency in flips.frequency.flatten().tolist():
            counts[name] += frequency > 0.05
            sizes[name] += 1
    assert [layer.layer for layer in found.layers] == list(sizes)
    for layer in found.layers:
        assert layer.oscillating == pytest.approx(counts[layer.layer] / sizes[layer.layer])
        assert (layer.weights, layer.bits, layer.role, layer.head) == (sizes[layer.layer], 3, None, None)
    assert found.oscillating == pytest.approx(counts.total() / sizes.total()) and found.oscillating
    assert found.weights == sizes.total()


def test_choices_stand_beside_the_numbers() -> None:
    found, _ = seen(25)
    assert (found.momentum, found.threshold, found.every, found.looks, found.step) == (0.1, 0.05, 1, 25, 25)


def test_the_past_and_the_paths_are_the_trackers() -> None:
    found, tracker = seen(25)
    steps, shares, scales = tracker.history.past()
    assert found.past_steps == tuple(steps.tolist()) == (10, 20)
    for number, past in enumerate(found.past):
        assert past.oscillating == tuple(shares[:, number].tolist())
        assert past.scale == tuple(scales[:, number].tolist())
    assert found.path_steps == tuple(range(1, 26)) and len(found.paths) == 3 * len(found.layers)
    for path in found.paths:
        where = tracker.paths.indices[path.layer].tolist().index(path.index)
        kept = tracker.paths.path(path.layer)[1][:, where]
        assert np.array_equal(np.array(path.positions, dtype=np.float32), kept.numpy())


def test_flips_of_a_path_are_counted_where_it_crosses_a_threshold() -> None:
    for plan in ({"bits": 2}, {"bits": 3, "weight": "statsq"}):
        found, _ = seen(25, **plan)
        for path in found.paths:
            codes = [min(max(math.ceil(p - 0.5), path.low), path.high) for p in path.positions]
            assert path.flips == sum(a != b for a, b in pairwise(codes))
        assert any(path.flips for path in found.paths)


def test_a_long_path_shows_its_end() -> None:
    model, tracker = trained(1, TrackSettings(track=True, track_samples=2, track_window=600))
    for step in range(2, 403):
        tracker.look(step)
    settings = TrackSettings(track=True, track_samples=2, track_window=600)
    found = tracked(model, tracker.state(), settings, step=402)
    assert found.path_steps == tuple(range(402 - WINDOW + 1, 403))
    assert all(len(path.positions) == WINDOW for path in found.paths)


def test_epochs_behind_the_checkpoint_do_not_count() -> None:
    model, tracker = trained(20)
    rows = [{"epoch": n, "step": 10 * n, "oscillating": n / 10, "moved": n / 5} for n in (1, 2, 3)]
    rows.insert(1, {"epoch": 9, "step": 15, "top1": 3.0})
    found = tracked(model, tracker.state(), TRACK, step=20, epochs=rows)
    assert [(m.epoch, m.step, m.oscillating, m.moved) for m in found.moments] == [(1, 10, 0.1, 0.2), (2, 20, 0.2, 0.4)]


def test_a_state_without_a_history_has_no_past() -> None:
    model, tracker = trained(20)
    older = {name: held for name, held in tracker.state().items() if name != "history"}
    found = tracked(model, older, TRACK, step=20)
    assert found.past == () and found.past_steps == () and found.layers


def test_reading_a_state_changes_neither_it_nor_the_model() -> None:
    model, tracker = trained(20)
    state, weights = tracker.state(), {n: t.clone() for n, t in model.state_dict().items()}
    tracked(model, state, TRACK, step=20)
    assert all(torch.equal(t, weights[n]) for n, t in model.state_dict().items())
    assert torch.equal(state["flips"]["blocks.0.mlp.fc1"]["codes"], tracker.flips["blocks.0.mlp.fc1"].codes)


def test_query_and_key_of_a_head_are_a_pair() -> None:
    found, _ = seen(30)
    shares = {(p.role, p.head): p.oscillating for p in found.pieces if p.layer == "blocks.0.attn.qkv"}
    assert [(p.layer, p.head) for p in found.pairs] == [("blocks.0.attn", head) for head in range(3)]
    assert all((p.query, p.key) == (shares["query", p.head], shares["key", p.head]) for p in found.pairs)
    assert found.together == pearson([p.query for p in found.pairs], [p.key for p in found.pairs])


def test_queries_and_keys_of_layers_of_their_own_are_pairs_too() -> None:
    options = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "num_heads": 2, "num_classes": 5, "depth": 1}
    model = quantize(Eva(**options, qkv_fused=False, use_rot_pos_emb=True), "w2a4")
    calibrate(model, [small.batch().images])
    found = tracked(model, Oscillation(model, TRACK).state(), TRACK, step=0)
    assert [(p.layer, p.head) for p in found.pairs] == [("blocks.0.attn", 0), ("blocks.0.attn", 1)]


def test_a_key_that_queries_share_is_no_pair_and_a_merged_one_neither() -> None:
    def piece(layer: str, role: str, head: int | None) -> Unsettled:
        zero = {"oscillating": 0.0, "frequency": 0.0, "flips": 0, "moved": 0.0, "upward": 0.5}
        return Unsettled(layer=layer, role=role, head=head, bits=2, weights=4, **zero)

    assert head_pairs([piece("a.q_proj", "query", 0), piece("a.q_proj", "query", 1), piece("a.k_proj", "key", 0)]) == ()
    assert head_pairs([piece("a.qk", "query-key", 0), piece("b.fc1", "fc1", None)]) == ()


def test_the_correlation_is_pearsons() -> None:
    one, other = torch.randn(9).tolist(), torch.randn(9).tolist()
    assert pearson(one, other) == pytest.approx(np.corrcoef(one, other)[0, 1])
    assert pearson(one, [2 * x + 1 for x in one]) == pytest.approx(1.0)
    assert pearson(one[:2], other[:2]) is None and pearson(one, [1.0] * 9) is None and pearson([], []) is None


@pytest.mark.parametrize("family", texts.READERS)
def test_binary_weights_that_train_on_texts_flip_where_they_cross_the_mean(family: str) -> None:
    plan = Plan.uniform(1, 1, weight="sign", activation="elastic")
    model, batches = quantize(texts.reader(family).float(), plan), texts.texts()
    calibrate(model, to_calibrate(batches))
    tracker, task = Oscillation(model, TRACK), Classify(LossSettings(), 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    held = {w.name: w.parameter for w in tracker.weights}
    signs = {name: [_side(weight)] for name, weight in held.items()}
    for step in range(8):
        optimizer.zero_grad()
        sum(task(model, batches[step % 2]).values(), start=torch.zeros(())).backward()
        optimizer.step()
        tracker.look(step + 1)
        for name, weight in held.items():
            signs[name].append(_side(weight))
    found = tracked(model, tracker.state(), TRACK, step=8)
    assert len(found.layers) == 2 * 6 + 1 and all(layer.bits == 1 for layer in found.layers)
    for layer in found.layers:
        seen = torch.stack(signs[layer.layer])
        assert layer.flips == int((seen[1:] != seen[:-1]).sum())
        assert layer.moved == pytest.approx(float((seen[-1] != seen[0]).double().mean()))
    assert sum(layer.flips for layer in found.layers) > 0
    assert {(p.role, p.head) for p in found.pieces if p.head is not None} == {
        (role, head) for role in ("query", "key", "value", "proj") for head in range(3)
    }
    assert len(found.pairs) == 6


def _side(weight: torch.Tensor) -> torch.Tensor:
    """On which side of the mean of its tensor or row a weight is."""
    return (weight.detach() - weight.detach().mean(1, keepdim=True)) >= 0
