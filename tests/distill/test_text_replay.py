"""Stored labels of texts, beside the examples that they are of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from stillbit.data.text import TextLoader
from stillbit.data.text_settings import TextSettings
from stillbit.distill.layout import dense
from stillbit.distill.store import Store
from stillbit.distill.tasks import FromStore
from stillbit.distill.text_replay import Said
from tests.data.text_examples import pairs
from tests.distill.readers import Reader, examples, told, written
from tests.distill.stores import small


def loader(store: Store, count: int = 43) -> TextLoader:
    settings = TextSettings(task="rte", batch_size=8)
    return TextLoader(examples(pairs(count)).tokens, settings, training=True, seed=3, answers=Said(store))


@pytest.mark.parametrize("kind", ["full", "hard", "smoothing", "marginal_smoothing"])
def test_every_example_of_a_batch_brings_what_the_teacher_said_of_it(kind: str, tmp_path: Path) -> None:
    store = written(tmp_path, pairs(43), label_kind=kind)
    seen = set()
    for batch in loader(store).epoch(0):
        seen |= set(batch.indices.tolist())
        assert batch.probabilities is not None and (batch.classes is None) == (kind == "full")
        for row, index in enumerate(batch.indices.tolist()):
            (record,) = store.records(index)
            if kind != "hard":
                assert np.array_equal(batch.probabilities[row].numpy(), record["probabilities"])
            if batch.classes is not None:
                assert batch.classes[row].tolist() == record["classes"].tolist()
    assert len(seen) == 40


def test_a_student_learns_the_teachers_answer_and_not_the_true_class(tmp_path: Path) -> None:
    store, student = written(tmp_path, pairs(43), label_kind="full"), Reader(5)
    batch = next(iter(loader(store).epoch(0)))
    found = FromStore("full")(student, batch)["loss"]
    label = torch.from_numpy(told(pairs(43))[batch.indices.numpy()])
    wanted = cross_entropy(student(*batch.inputs).logits, label)
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)
    held = np.concatenate([dense(store.records(int(n)), store.layout) for n in batch.indices])
    assert np.abs(held - label.numpy()).max() < 1e-3
    assert abs(found - cross_entropy(student(*batch.inputs).logits, batch.targets)) > 0.01


def test_labels_of_crops_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has labels for images, and this is about texts"):
        Said(Store(small(tmp_path)))
