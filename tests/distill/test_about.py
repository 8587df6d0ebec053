"""What is said of a store's labels is what dense labels, summed one by one, say."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stillbit.distill import about as abouts
from stillbit.distill.about import about, agreement, entropies, likeliest
from stillbit.distill.boxes import ONE
from stillbit.distill.kinds import KINDS
from stillbit.distill.layout import FLIP, UNLABELLED, Layout, dense, fill
from stillbit.distill.store import Store
from tests.distill.stores import answers, manifest, random_records, store


def entropy(label):
    held = label[label > 0]
    return float(-(held * np.log(held)).sum())


@given(st.sampled_from(KINDS), st.integers(2, 40), st.integers(1, 12))
def test_entropy_is_that_of_the_whole_label(kind, classes, top_k):
    layout = Layout(kind=kind, top_k=top_k, classes=classes)
    records = np.zeros((3, 5), layout.dtype)
    fill(records.reshape(-1), answers(15, classes), layout)
    expected = [[entropy(label) for label in row] for row in dense(records, layout)]
    np.testing.assert_allclose(entropies(records, layout), expected, rtol=1e-9, atol=1e-12)


def test_a_teacher_that_knows_nothing_has_the_entropy_of_a_guess():
    layout = Layout(kind="marginal_smoothing", top_k=5, classes=1024)
    records = np.zeros(2, layout.dtype)
    fill(records, torch.full((2, 1024), 1 / 1024), layout)
    np.testing.assert_allclose(entropies(records, layout), math.log(1024), rtol=1e-12)


def test_a_class_that_is_certain_has_no_entropy():
    layout = Layout(kind="marginal_smoothing", top_k=2, classes=5)
    records = np.zeros(1, layout.dtype)
    fill(records, torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.0]]), layout)
    assert entropies(records, layout).tolist() == [0.0] and likeliest(records, layout).tolist() == [1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("boxes", [True, False])
def test_everything_is_what_a_loop_over_all_views_finds(kind, boxes, tmp_path, monkeypatch):
    monkeypatch.setattr(abouts, "_BLOCK", 1)  # a sample a block
    layout = Layout(kind=kind, top_k=3, classes=6, boxes=boxes)
    records, targets = random_records(layout, 9, 5), np.arange(9) % 6
    found = about(Store(store(tmp_path, manifest(layout, 9, 5), records, targets)), None)
    labels = dense(records, layout)
    first = labels.argmax(-1)
    assert found.looked_at == 9 and found.unlabelled == 0
    assert found.agreement == pytest.approx((first == targets[:, None]).mean())
    most = [np.bincount(row).argmax() for row in first]
    assert found.agreement_of_samples == pytest.approx(np.mean(most == targets))
    assert found.entropy == pytest.approx(np.mean([entropy(label) for label in labels.reshape(-1, 6)]), abs=1e-12)
    if kind in ("full", "hard"):
        assert found.kept is None
    else:
        assert found.kept == pytest.approx(records["probabilities"].astype(np.float64).sum(-1).mean())
    if boxes:
        assert found.area == pytest.approx((records["box"][..., 2] / ONE * (records["box"][..., 3] / ONE)).mean())
        assert found.flipped == pytest.approx((records["flags"] & FLIP).mean())
    else:
        assert found.area is None and found.flipped is None


def test_samples_without_labels_are_counted_and_left_out(tmp_path):
    layout = Layout(kind="hard", top_k=1, classes=3)
    records = np.zeros((4, 2), layout.dtype)
    records["classes"][:] = 1
    records[2] = np.zeros((), layout.dtype)
    records["flags"][2] = UNLABELLED
    found = about(Store(store(tmp_path, manifest(layout, 4, 2), records, np.array([1, 1, 0, 2]))), None)
    assert found.unlabelled == 1 and found.looked_at == 4
    assert found.agreement == found.agreement_of_samples == pytest.approx(2 / 3)


def test_a_store_of_damaged_images_alone_says_so_and_divides_by_nothing(tmp_path):
    layout = Layout(kind="smoothing", top_k=1, classes=3)
    records = np.zeros((2, 2), layout.dtype)
    records["flags"] = UNLABELLED
    found = about(Store(store(tmp_path, manifest(layout, 2, 2), records, np.zeros(2))), None)
    assert found.unlabelled == 2 and found.agreement == 0


def test_some_samples_are_spread_over_the_store(tmp_path):
    layout = Layout(kind="hard", top_k=1, classes=100)
    records = np.zeros((100, 1), layout.dtype)
    records["classes"][:, 0, 0] = np.arange(100)
    targets = np.where(np.arange(100) % 10 == 0, np.arange(100), 0)  # right at every tenth
    opened = Store(store(tmp_path, manifest(layout, 100, 1), records, targets))
    heard = []
    found = about(opened, 10, lambda done, of: heard.append((done, of)))
    assert found.looked_at == 10 and found.agreement == 1 and heard[-1] == (10, 10)
    assert agreement(opened, None) == pytest.approx(0.1)
    assert agreement(opened) == pytest.approx(0.1), "a small store is looked at as a whole"


def test_with_many_classes_no_whole_label_is_made(tmp_path):
    """70,000 classes x 2,000 views would be a gigabyte."""
    layout = Layout(kind="marginal_smoothing", top_k=5, classes=70000)
    records = np.zeros((20, 100), layout.dtype)
    records["classes"] = np.arange(69995, 70000)
    records["probabilities"] = 0.125
    opened = Store(store(tmp_path, manifest(layout, 20, 100), records, np.full(20, 69995)))
    found = about(opened, None)
    rest = 1 - 5 / 8
    assert found.entropy == pytest.approx(5 / 8 * math.log(8) + rest * math.log(69995 / rest))
    assert found.agreement == 1 and found.kept == 5 / 8
