"""Records: their size, what is filled in, and the labels that come back."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stillbit.distill.kinds import KINDS
from stillbit.distill.layout import FULLEST, UNLABELLED, Layout, dense, fill
from tests.distill.stores import answers


def recovered(kind, top_k, probabilities):
    """The label that FKD's rules make of these probabilities, class by class, in float64 of the stored 16 bits."""
    label = np.zeros(probabilities.shape)
    count = probabilities.shape[-1]
    for row, p in zip(label, probabilities.half().double().numpy(), strict=True):
        k = count if kind == "full" else 1 if kind in ("hard", "smoothing") else min(top_k, count)
        listed = np.argsort(-p, kind="stable")[:k]
        held = np.ones(1) if kind == "hard" else p[listed]
        if kind == "marginal_renorm":
            held = held / held.sum()
        if kind in ("smoothing", "marginal_smoothing") and count > k:
            row[:] = max(0.0, 1 - held.sum()) / (count - k)
        row[listed] = held
    return label


def written(layout, probabilities):
    records = np.zeros(len(probabilities), layout.dtype)
    fill(records, probabilities, layout)
    return records


def distinct(count, classes):
    """Probabilities that stay apart in 16 bits, so that the order of the likeliest is one."""
    steps = torch.stack([torch.randperm(classes) for _ in range(count)]) + 1.0
    return steps / steps.sum(-1, keepdim=True)


@given(st.sampled_from(KINDS), st.integers(1, 100), st.integers(2, 60), st.integers(1, 5), st.booleans(), st.randoms())
def test_the_label_that_was_stored_comes_back(kind, top_k, classes, count, boxes, random):
    torch.manual_seed(random.getrandbits(32))
    layout = Layout(kind=kind, top_k=top_k, classes=classes, boxes=boxes)
    probabilities = distinct(count, classes)
    label = dense(written(layout, probabilities), layout)
    np.testing.assert_allclose(label, recovered(kind, top_k, probabilities), rtol=1e-12)


@given(st.sampled_from(["marginal_smoothing", "marginal_renorm", "smoothing", "hard"]), st.integers(2, 40))
def test_every_label_but_a_full_one_sums_to_one(kind, classes):
    layout = Layout(kind=kind, top_k=5, classes=classes)
    sums = dense(written(layout, answers(20, classes)), layout).sum(-1)
    # With no class left to share the rest, 16 bits of rounding stay; and k numbers of 16 bits may sum to more than 1.
    np.testing.assert_allclose(sums, 1, atol=5 * 2.0**-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [2, 65536, 65537, 70000])
def test_classes_beyond_16_bits_are_listed_in_32(kind, classes):
    layout = Layout(kind=kind, top_k=2, classes=classes)
    probabilities = torch.full((1, classes), 1e-6)
    probabilities[0, classes - 1], probabilities[0, 0] = 0.75, 0.25
    records = written(layout, probabilities)
    if kind != "full":
        assert records["classes"].dtype.itemsize == (2 if classes <= 65536 else 4)
        assert records["classes"][0, 0] == classes - 1
    assert dense(records, layout)[0].argmax() == classes - 1


@pytest.mark.parametrize(
    ("kind", "top_k", "classes", "size"),
    [
        ("hard", 5, 1000, 11),
        ("smoothing", 5, 1000, 13),
        ("marginal_smoothing", 1, 1000, 13),
        ("marginal_smoothing", 5, 1000, 29),
        ("marginal_renorm", 10, 1000, 49),
        ("marginal_smoothing", 100, 1000, 409),
        ("marginal_smoothing", 5, 70000, 39),
        ("full", 5, 1000, 2009),
    ],
)
def test_a_view_has_the_bytes_that_the_page_says(kind, top_k, classes, size):
    layout = Layout(kind=kind, top_k=top_k, classes=classes)
    assert layout.bytes_a_view == size
    assert Layout(kind=kind, top_k=top_k, classes=classes, boxes=False).bytes_a_view == size - 9


def test_records_have_no_gaps_and_little_ends():
    dtype = Layout(kind="marginal_smoothing", top_k=5, classes=1000).dtype
    assert {name: dtype.fields[name][1] for name in dtype.names} == {
        "box": 0,
        "flags": 8,
        "classes": 9,
        "probabilities": 19,
    }
    assert all(dtype[name].base.str in ("<u2", "|u1", "<f2") for name in dtype.names)


def test_the_likeliest_class_is_listed_first():
    layout = Layout(kind="marginal_renorm", top_k=7, classes=30)
    held = written(layout, answers(50, 30))["probabilities"].astype(np.float64)
    assert (np.diff(held, axis=-1) <= 0).all()


def test_what_has_no_label_is_no_class_at_all():
    layout = Layout(kind="hard", top_k=1, classes=4)
    records = np.zeros((2, 3), layout.dtype)
    records["flags"][0] = UNLABELLED
    label = dense(records, layout)
    assert not label[0].any() and (label[1].sum(-1) == 1).all()


def test_a_kept_sum_of_zero_gives_a_label_of_zeros_and_no_nan():
    layout = Layout(kind="marginal_renorm", top_k=2, classes=4)
    assert not dense(np.zeros(1, layout.dtype), layout).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -0.5, 1.5])
def test_a_teacher_whose_answer_is_no_probability_is_refused(kind, wrong):
    layout = Layout(kind=kind, top_k=3, classes=3)
    probabilities = torch.full((2, 3), 1 / 3)
    probabilities[1, 1] = wrong
    if kind in ("hard", "smoothing") and wrong == -0.5:
        return  # it is not among what is kept
    with pytest.raises(ValueError, match="the teacher's answer is no probability"):
        written(layout, probabilities)


def test_filling_leaves_boxes_and_flags_alone():
    layout = Layout(kind="smoothing", top_k=1, classes=3)
    records = np.zeros(2, layout.dtype)
    records["box"], records["flags"] = 7, 1
    fill(records, answers(2, 3), layout)
    assert (records["box"] == 7).all() and (records["flags"] == 1).all()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"kind": "soft"}, "no labels of kind 'soft': use one of full, hard"),
        ({"classes": 0}, "1 to 4294967296 classes, got 0"),
        ({"top_k": 0}, "lists 1 to 100 classes, got 0: --top-k 5"),
        ({"top_k": 101}, "lists 1 to 100 classes, got 101"),
        ({"kind": "full", "classes": FULLEST + 1}, "full labels have at most 1048576 classes"),
    ],
)
def test_labels_that_cannot_be_are_refused(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        Layout(**{"kind": "hard", "top_k": 5, "classes": 10} | wrong)
