from __future__ import annotations

import pytest

from stillbit.data.text_tasks import GENERATED, GLUE, TASKS, UnknownLabel, find_task, own_task


def test_glue_has_nine_tasks_and_three_more_are_generated() -> None:
    names = "cola sst2 mrpc stsb qqp mnli qnli rte wnli entailment acceptability paraphrase"
    assert " ".join(TASKS) == names and len(GLUE) == 9 and len(GENERATED) == 3


def test_models_answer_with_a_number_a_label_and_with_one_for_similarity() -> None:
    assert {task.name: task.outputs for task in GLUE} == dict(
        cola=2, sst2=2, mrpc=2, stsb=1, qqp=2, mnli=3, qnli=2, rte=2, wnli=2
    )


def test_only_cola_and_sst2_are_about_one_text() -> None:
    assert [task.name for task in GLUE if not task.paired] == ["cola", "sst2"]


def test_the_word_that_means_entailment_has_another_number_in_wnli_than_in_rte() -> None:
    assert find_task("rte").target("entailment") == 0 and find_task("wnli").target("entailment") == 1


@pytest.mark.parametrize(("label", "target"), [("neutral", 1), ("2", 2), (0, 0), (" contradiction ", 2)])
def test_a_label_is_a_name_or_a_number(label: object, target: int) -> None:
    assert find_task("mnli").target(label) == target


@pytest.mark.parametrize("label", ["3", -1, "-", "", "Neutral", "1.5", "²"])
def test_what_is_no_label_of_the_task_is_none(label: object) -> None:
    with pytest.raises(UnknownLabel, match="is none of entailment, neutral, contradiction"):
        find_task("mnli").target(label)


def test_a_similarity_is_any_finite_number() -> None:
    assert find_task("stsb").target("3.8") == 3.8
    for label in ("nan", "inf", "five", ""):
        with pytest.raises(UnknownLabel, match="is no number"):
            find_task("stsb").target(label)


def test_an_unknown_task_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(ValueError, match=r"unknown task 'SST-2': did you mean sst2\? use one of cola, sst2"):
        find_task("SST-2")


@pytest.mark.parametrize(
    ("columns", "labels", "said"),
    [
        (("a", "b", "c"), ("no", "yes"), "one text or two, and 3 columns"),
        (("label",), ("no", "yes"), "named as a text and as the label"),
        (("a",), ("no",), "two labels or more"),
        (("a",), ("no", "no"), "two labels or more"),
    ],
)
def test_a_task_of_ones_own_has_to_make_sense(columns: tuple, labels: tuple, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        own_task(columns, "label", labels)


def test_a_task_of_ones_own_without_labels_is_about_a_number() -> None:
    task = own_task(("text",), "stars", None)
    assert task.outputs == 1 and task.metrics == ("pearson", "spearman") and task.target("4") == 4.0
