"""Scores against scikit-learn and scipy, at the edges, and against tables that were published."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from stillbit.data import glue_metrics
from stillbit.data.batch import PADDING
from stillbit.data.glue_metrics import answers, glue_average, need_packages, scores, task_score
from stillbit.data.text_tasks import GLUE, TASKS, find_task


def some(classes: int, count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    targets = generator.integers(0, classes, count)
    return np.where(generator.random(count) < 0.6, targets, generator.integers(0, classes, count)), targets


@pytest.mark.parametrize("task", [task for task in TASKS.values() if task.labels is not None], ids=lambda t: t.name)
def test_classes_are_judged_as_scikit_learn_judges(task) -> None:
    said, targets = some(task.outputs)
    judges = {
        "accuracy": accuracy_score,
        "f1": lambda t, s: f1_score(t, s, pos_label=1),
        "matthews": matthews_corrcoef,
    }
    assert scores(task, said, targets) == {
        name: pytest.approx(100 * judges[name](targets, said), abs=1e-10) for name in task.metrics
    }


def test_similarity_is_judged_as_scipy_judges() -> None:
    generator = np.random.default_rng(0)
    targets = (generator.integers(0, 26, 100) / 5).astype(np.float32)
    said = targets + generator.normal(0, 1, 100).astype(np.float32)
    found = scores(find_task("stsb"), said, targets)
    assert found["pearson"] == pytest.approx(100 * pearsonr(said, targets).statistic)
    assert found["spearman"] == pytest.approx(100 * spearmanr(said, targets).statistic)
    assert scores(find_task("stsb"), targets**3, targets)["spearman"] == pytest.approx(100)


def test_glue_names_these_metrics() -> None:
    assert {task.name: task.metrics for task in GLUE if task.metrics != ("accuracy",)} == {
        "cola": ("matthews",),
        "mrpc": ("f1", "accuracy"),
        "stsb": ("pearson", "spearman"),
        "qqp": ("f1", "accuracy"),
    }


@pytest.mark.parametrize(
    ("task", "said", "targets", "expected"),
    [
        ("cola", [1, 1, 1], [0, 1, 1], {"matthews": 0.0}),
        ("cola", [0, 1], [1, 1], {"matthews": 0.0}),
        ("cola", [1, 1], [1, 1], {"matthews": 0.0}),
        ("mrpc", [0, 0], [0, 0], {"f1": 0.0, "accuracy": 100.0}),
        ("mrpc", [0, 0], [1, 0], {"f1": 0.0, "accuracy": 50.0}),
        ("mrpc", [1, 1], [1, 1], {"f1": 100.0, "accuracy": 100.0}),
        ("stsb", [2.0, 2.0], [1.0, 3.0], {"pearson": 0.0, "spearman": 0.0}),
        ("stsb", [1.0, 2.0], [3.0, 3.0], {"pearson": 0.0, "spearman": 0.0}),
        ("stsb", [1.0], [3.0], {"pearson": 0.0, "spearman": 0.0}),
        ("stsb", [1.0, math.nan, 3.0], [1.0, 2.0, 3.0], {"pearson": 0.0, "spearman": 0.0}),
        ("stsb", [1.0, math.inf], [1.0, 2.0], {"pearson": 0.0, "spearman": 0.0}),
        ("stsb", [0.0, 0.0], [0.0, 0.0], {"pearson": 0.0, "spearman": 0.0}),
    ],
)
def test_what_mathematics_leaves_undefined_is_zero(task: str, said: list, targets: list, expected: dict) -> None:
    assert scores(find_task(task), np.array(said), np.array(targets)) == expected


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=12))
def test_every_score_of_classes_is_finite_and_within_its_bounds(pairs: list[tuple[int, int]]) -> None:
    said, targets = np.array(pairs).T
    for name in ("cola", "mrpc"):
        assert all(-100 <= score <= 100 for score in scores(find_task(name), said, targets).values())


@given(st.lists(st.tuples(st.floats(-9, 9, width=32), st.floats(0, 5, width=32)), min_size=1, max_size=12))
def test_every_correlation_is_finite(pairs: list[tuple[float, float]]) -> None:
    said, targets = np.array(pairs, np.float32).T
    assert all(-100.001 <= score <= 100.001 for score in scores(find_task("stsb"), said, targets).values())


def test_padding_counts_for_nothing() -> None:
    said, targets = np.array([0, 1, 1, 0]), np.array([0, 1, PADDING, PADDING])
    assert scores(find_task("rte"), said, targets) == {"accuracy": 100.0}
    with pytest.raises(ValueError, match="no example to judge by"):
        scores(find_task("rte"), said, np.full(4, PADDING))
    with pytest.raises(ValueError, match="3 answers do not belong to 4 targets"):
        scores(find_task("rte"), said[:3], targets)


def test_an_answer_is_the_likeliest_class_or_the_number_itself() -> None:
    assert answers(find_task("mnli"), np.array([[0.1, 0.9, 0.2], [3.0, 1, 2]])).tolist() == [1, 0]
    assert answers(find_task("stsb"), np.array([[2.5], [-1.0]])).tolist() == [2.5, -1.0]


BERT_LARGE: Mapping[str, Mapping[str, float]] = {
    "cola": {"matthews": 60.5},
    "sst2": {"accuracy": 94.9},
    "mrpc": {"f1": 89.3, "accuracy": 85.4},
    "stsb": {"pearson": 87.6, "spearman": 86.5},
    "qqp": {"f1": 72.1, "accuracy": 89.3},
    "mnli": {"matched": 86.7, "mismatched": 85.9},
    "qnli": {"accuracy": 92.7},
    "rte": {"accuracy": 70.1},
    "wnli": {"accuracy": 65.1},
}
"""GLUE's own table of results on the test sets; the average there is 80.5."""


def test_the_average_is_the_one_that_glue_shows_for_bert_large() -> None:
    assert f"{glue_average(BERT_LARGE):.1f}" == "80.5"


def one_number(*numbers: float) -> dict[str, dict[str, float]]:
    names = ("mnli", "qqp", "qnli", "sst2", "cola", "stsb", "mrpc", "rte")
    return {name: {"score": number} for name, number in zip(names, numbers, strict=True)}


@pytest.mark.parametrize(
    ("numbers", "average"),
    [
        ((79.45, 85.4, 86.4, 89.9, 32.9, 72.0, 79.9, 62.1), "73.5"),
        ((77.3, 82.9, 85.7, 87.7, 25.1, 71.1, 79.7, 58.8), "71.0"),
    ],
)
def test_the_average_without_wnli_is_the_one_of_the_binary_rows_of_bit(numbers: tuple, average: str) -> None:
    assert f"{glue_average(one_number(*numbers), wnli=False):.1f}" == average


def test_mrpc_and_qqp_can_be_judged_by_accuracy_alone() -> None:
    both = glue_average(BERT_LARGE)
    alone = glue_average(BERT_LARGE, accuracy_alone=True)
    assert alone - both == pytest.approx(((85.4 - 87.35) + (89.3 - 80.7)) / 9)


def test_an_average_over_other_tasks_is_refused() -> None:
    eight = {name: found for name, found in BERT_LARGE.items() if name != "wnli"}
    with pytest.raises(ValueError, match=r"over 9 tasks, and this lacks wnli; wnli=False leaves out WNLI"):
        glue_average(eight)
    with pytest.raises(ValueError, match="over 8 tasks, and this has wnli too"):
        glue_average(BERT_LARGE, wnli=False)
    assert task_score(BERT_LARGE["mrpc"]) == pytest.approx(87.35)


def test_what_cannot_be_judged_is_said_before_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    for task in TASKS.values():
        need_packages(task)
    monkeypatch.setattr(glue_metrics, "find_spec", lambda name: None)
    need_packages(find_task("rte"))
    with pytest.raises(ValueError, match=r"cola is judged by matthews: pip install scikit-learn"):
        need_packages(find_task("cola"))
    with pytest.raises(ValueError, match=r"stsb is judged by pearson, spearman: pip install scipy"):
        need_packages(find_task("stsb"))
