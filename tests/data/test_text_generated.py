from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from stillbit.data.text_generated import generate
from stillbit.data.text_source import Texts
from stillbit.data.text_tasks import GENERATED

NAMES = [task.name for task in GENERATED]
each = pytest.mark.parametrize("task", NAMES)


def sentences(texts: Texts) -> set[str]:
    return {*texts.first, *(texts.second or ())}


@each
def test_no_sentence_is_both_trained_on_and_judged_by_whatever_the_seeds(task: str) -> None:
    train = sentences(generate(task, "train", 1500, 0)) | sentences(generate(task, "train", 600, 1))
    assert not train & sentences(generate(task, "val", 600, 0))
    assert not train & sentences(generate(task, "val", 600, 2))


@each
def test_every_label_comes_equally_often(task: str) -> None:
    for split in ("train", "val"):
        texts = generate(task, split, 600)
        assert (
            len(set(np.bincount(texts.targets).tolist())) == 1 and len(np.bincount(texts.targets)) == texts.task.outputs
        )


@each
def test_no_example_comes_twice(task: str) -> None:
    texts = generate(task, "train", 1500)
    assert len(set(zip(texts.first, texts.second or texts.first, strict=True))) == 1500


@each
def test_more_examples_begin_with_the_same_ones_and_another_seed_with_others(task: str) -> None:
    few, more, others = generate(task, "val", 50), generate(task, "val", 200), generate(task, "val", 50, 1)
    assert more.first[:50] == few.first and more.targets[:50].tolist() == few.targets.tolist()
    assert set(others.first) != set(few.first)


def test_another_process_generates_the_same() -> None:
    asked = f"""
from stillbit.data.text_generated import generate
for task in {NAMES!r}:
    print(generate(task, "train", 300, 5).describe()["fingerprint"])
"""
    run = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [generate(task, "train", 300, 5).describe()["fingerprint"] for task in NAMES]


def test_examples_are_numbered_and_know_where_they_are_from() -> None:
    texts = generate("entailment", "val", 10, 3)
    assert texts.name(9) == "entailment of seed 3, val, example 9" and len(texts) == 10


def test_what_is_not_generated_or_empty_is_refused() -> None:
    with pytest.raises(
        ValueError, match="the task rte is not a generated one: use entailment, acceptability, paraphrase"
    ):
        generate("rte", "train", 10)
    with pytest.raises(ValueError, match="at least one example, got 0"):
        generate("entailment", "train", 0)
