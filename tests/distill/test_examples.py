"""Texts as a teacher is shown them, and the store that it writes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stillbit.data.text_source import Row, gather
from stillbit.data.text_tasks import find_task
from stillbit.distill.layout import dense
from stillbit.distill.store import Store
from stillbit.distill.write import Standing, Work, Written, request, write_labels
from tests.data.text_examples import pairs, single
from tests.distill.readers import LONGEST, PIECES, examples, panel, reading, settings, told, written
from tests.distill.teachers import bytes_of


def test_a_view_is_the_pieces_of_an_example_its_mask_and_its_types() -> None:
    texts, seen = pairs(9), examples(pairs(9))
    assert texts.second is not None
    for number in range(9):
        rows = seen.views(number).inputs
        assert rows.shape == (1, 3, int(seen.tokens.lengths.max()))
        alone = PIECES.tokenizer.encode(texts.first[number], texts.second[number])
        there = rows[0, 1].bool()
        assert rows[0, 0, there].tolist() == alone.ids and rows[0, 2, there].tolist() == alone.type_ids
        assert (rows[0, 1].diff() <= 0).all() and not rows[0][:, ~there].any()


def test_a_teacher_that_asks_for_no_types_is_shown_none() -> None:
    assert examples(single(5), types=False).views(2).inputs.shape[:2] == (1, 2)


def test_what_it_says_of_itself() -> None:
    texts = pairs(9)
    said = examples(texts).data
    assert (said.kind, said.count, said.classes) == ("text", 9, ("entailment", "not_entailment"))
    assert said.fingerprint == texts.describe()["fingerprint"]
    assert examples(texts).targets().tolist() == texts.targets.tolist()


def test_texts_with_a_number_and_no_class_have_no_labels_to_store() -> None:
    rows = [Row(1, ("a dog", "a cat"), 2.5), Row(2, ("it rains", "it pours"), 4.8)]
    with pytest.raises(ValueError, match=r"stsb has a number for each example .* ask the teacher at every step"):
        examples(gather(find_task("stsb"), rows, origin="made up"))


def test_the_labels_are_what_the_teacher_says_of_each_text_alone(tmp_path: Path) -> None:
    """Padding says nothing, whatever stands beside a text in its batch."""
    store = written(tmp_path, pairs(43), label_kind="full")
    store.check()
    held = np.concatenate([dense(store.records(number), store.layout) for number in range(43)])
    assert np.abs(held - told(pairs(43))).max() < 1e-3
    assert held.argmax(1).min() == 0 and held.argmax(1).max() == 1, "it says more than one thing"


def test_a_batch_is_padded_to_its_own_longest_text_and_no_further(tmp_path: Path) -> None:
    texts = pairs(43)
    seen, asked, wanted = examples(texts), panel(), settings(tmp_path)
    asked.twin = lambda: asked  # type: ignore[method-assign]
    write_labels(tmp_path, request(seen, asked, wanted, reading(texts)), seen, asked, Work())
    lengths = [seen.tokens.lengths[shard : shard + 20] for shard in (0, 20, 40)]
    longest = [int(part[at : at + 8].max()) for part in lengths for at in range(0, len(part), 8)]
    assert sorted(asked.experts[0].model.widths) == sorted(longest) and len(set(longest)) > 1


def test_the_store_says_how_the_texts_were_read_and_what_decided_the_numbers(tmp_path: Path) -> None:
    said = written(tmp_path, pairs(9)).manifest
    assert said.reading is not None and said.crops is None and said.views == 1
    assert (said.reading.task, said.reading.max_length) == ("rte", LONGEST)
    assert said.reading.tokenizer == PIECES.fingerprint
    assert "tokenizers" in said.made_with and "timm" not in said.made_with


def test_it_is_the_same_bytes_for_any_number_of_workers_and_after_any_stop(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def stop(standing: Standing) -> None:
        if standing.done >= 20:
            raise Enough

    written(tmp_path / "whole", pairs(43))
    with pytest.raises(Enough):
        written(tmp_path / "twice", pairs(43), Work(tell=stop))
    with pytest.raises(ValueError, match="is not finished"):
        Store(tmp_path / "twice")
    written(tmp_path / "twice", pairs(43), Work(workers=2))
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "twice")


def test_another_task_tokenizer_or_length_is_another_store(tmp_path: Path) -> None:
    texts = pairs(9)
    written(tmp_path, texts)
    seen, asked, wanted = examples(texts), panel(), settings(tmp_path)

    def again(**other: object) -> Written:
        said = request(seen, asked, wanted, replace(reading(texts), **other))
        return write_labels(tmp_path, said, seen, asked, Work())

    assert again().mine == 0
    with pytest.raises(ValueError, match=r"is another store \(--max-length 20 there and 30 here\)"):
        again(max_length=30)
    with pytest.raises(ValueError, match=r"the tokenizer [0-9a-f]{16}\.\.\. there and other here"):
        again(tokenizer="other")
    seen = examples(pairs(8))
    with pytest.raises(ValueError, match=r"the texts .* there and .* here; the number of examples 9 there and 8 here"):
        again()
