"""A store is of one list of texts, of one task, cut by one tokenizer; and it says what became of that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stillbit.data.text_source import Row, Texts, gather
from stillbit.data.text_tasks import own_task
from stillbit.distill.store import Store
from stillbit.distill.text_matches import reading_of, reads_alike, texts_match
from tests.data.text_examples import pairs, single
from tests.distill.readers import reading, written
from tests.distill.stores import small


def refused(store: Store, texts: Texts) -> str:
    with pytest.raises(ValueError) as caught:
        texts_match(store, texts)
    said = str(caught.value)
    assert "\n" not in said and len(said) < 400
    assert said.endswith(f"write labels for these texts, stillbit labels write --task {texts.task.name}")
    return said


def test_the_texts_that_were_labelled_match_wherever_they_come_from(tmp_path: Path) -> None:
    store = written(tmp_path, pairs(12))
    texts_match(store, pairs(12))
    texts_match(store, replace(pairs(12), origin="elsewhere.tsv", unit="row"))
    reads_alike(store, reading(pairs(12)))


def test_another_task_is_named_with_the_one_of_the_store(tmp_path: Path) -> None:
    said = refused(written(tmp_path, pairs(12)), single(12))
    assert "has labels for the task rte, and this is sst2: --task rte, or write" in said


def test_a_text_more_or_less_is_counted_with_its_class(tmp_path: Path) -> None:
    store = written(tmp_path, pairs(12))
    assert "for other texts: 12 and not 13 (of entailment 6 and not 7); give the texts" in refused(store, pairs(13))
    assert "12 and not 11 (of not_entailment 6 and not 5)" in refused(store, pairs(11))


def test_a_text_that_changed_or_moved_is_seen(tmp_path: Path) -> None:
    texts = pairs(12)
    store = written(tmp_path, texts)
    other = replace(texts, first=("another dog", *texts.first[1:]))
    order = np.array([2, 1, 0, *range(3, 12)])
    assert texts.second is not None
    moved = replace(
        texts,
        first=[texts.first[number] for number in order],
        second=[texts.second[number] for number in order],
        targets=texts.targets[order],
    )
    for changed in (other, moved):
        assert "as many of each class, 12 in all, but changed or in another order" in refused(store, changed)


def test_the_classes_of_your_own_task_are_compared_in_their_order(tmp_path: Path) -> None:
    def own(*names: str) -> Texts:
        rows = [Row(number, (f"the dog {number}",), number % 2) for number in range(6)]
        return gather(own_task(("text",), "label", names), rows, origin="made up")

    said = refused(written(tmp_path, own("no", "yes")), own("yes", "no"))
    assert "has labels for the classes no, yes, and these texts have yes, no: give --class-names as they were" in said


def test_a_store_of_images_or_of_anything_else_is_no_store_of_texts(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has labels for images, and this is about texts: give labels of texts"):
        texts_match(Store(small(tmp_path)), pairs(7))


def test_pieces_that_the_teacher_did_not_read_are_refused(tmp_path: Path) -> None:
    store = written(tmp_path, pairs(12))
    there = reading_of(store)
    with pytest.raises(ValueError, match=r"cut by another tokenizer: give the one of the teacher, --tokenizer FOLDER"):
        reads_alike(store, replace(there, tokenizer="other"))
    with pytest.raises(ValueError, match=r"at most 20 pieces a sequence, and this reads 64: --max-length 20, if"):
        reads_alike(store, replace(there, max_length=64))
