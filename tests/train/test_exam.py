"""Answers are judged as the task judges, all together, however they were dealt out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import f1_score, matthews_corrcoef
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from stillbit.data.text import TextLoader
from stillbit.data.text_settings import TextSettings
from stillbit.data.text_tasks import find_task
from stillbit.data.text_tokens import Tokens
from stillbit.train import distributed
from stillbit.train.evaluate import evaluate
from stillbit.train.exam import Exam

COUNT = 23


@dataclass
class Wrapped:
    logits: Tensor


class Told(nn.Module):
    """Says what it was told to; a text is its own number."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, ids: Tensor, mask: Tensor) -> Wrapped:
        assert not self.training and not torch.is_grad_enabled()
        return Wrapped(self.logits[ids[:, 0]])


def loader(targets: Any, batch: int = 5) -> TextLoader:
    count = len(targets)
    tokens = Tokens(np.arange(count, dtype=np.int32), None, np.arange(count + 1), np.asarray(targets), 0, 8, 0)
    return TextLoader(tokens, TextSettings(batch_size=batch))


def drawn(outputs: int) -> tuple[Tensor, Any]:
    rng = np.random.default_rng(outputs)
    targets = rng.integers(0, outputs, COUNT) if outputs > 1 else rng.uniform(0, 5, COUNT).astype(np.float32)
    return torch.from_numpy(rng.normal(size=(COUNT, outputs))), targets


def test_a_task_of_classes_is_judged_by_its_own_metrics() -> None:
    logits, targets = drawn(2)
    model = Told(logits).train()
    found = Exam(find_task("mrpc"), {"validation": loader(targets)}).scores(model)
    said = logits.argmax(1).numpy()
    assert model.training, "left as it was"
    assert found["f1"] == pytest.approx(100 * f1_score(targets, said))
    assert found["accuracy"] == found["top1"] == pytest.approx(100 * np.mean(said == targets))
    assert found["score"] == pytest.approx((found["f1"] + found["accuracy"]) / 2)
    assert found["eval_loss"] == pytest.approx(float(cross_entropy(logits, torch.from_numpy(targets))))
    assert found["images"] == COUNT


def test_matthews_is_not_accuracy() -> None:
    logits, targets = drawn(2)
    found = Exam(find_task("cola"), {"validation": loader(targets)}).scores(Told(logits))
    assert found["score"] == pytest.approx(100 * matthews_corrcoef(targets, logits.argmax(1).numpy()))
    assert found["top1"] != found["score"]


def test_a_number_is_judged_by_correlation_and_has_no_classes() -> None:
    logits, targets = drawn(1)
    found = Exam(find_task("stsb"), {"validation": loader(targets)}).scores(Told(logits))
    said = logits[:, 0].numpy()
    assert found["pearson"] == pytest.approx(100 * pearsonr(said, targets).statistic)
    assert found["spearman"] == pytest.approx(100 * spearmanr(said, targets).statistic)
    assert "top1" not in found
    assert found["eval_loss"] == pytest.approx(float(np.mean((said - targets) ** 2)))


def test_two_splits_have_two_names_and_one_score() -> None:
    logits, targets = drawn(3)
    both = {"validation_matched": loader(targets), "validation_mismatched": loader(targets[::-1].copy())}
    found = Exam(find_task("mnli"), both).scores(Told(logits))
    assert {name for name in found if "accuracy" in name} == {"accuracy_matched", "accuracy_mismatched"}
    assert found["score"] == pytest.approx((found["accuracy_matched"] + found["accuracy_mismatched"]) / 2)
    assert found["images"] == 2 * COUNT


@pytest.mark.parametrize("batch", [1, 7, 23])
def test_the_size_of_a_batch_changes_nothing(batch: int) -> None:
    logits, targets = drawn(2)
    exams = [Exam(find_task("cola"), {"validation": loader(targets, size)}) for size in (batch, 5)]
    assert exams[0].scores(Told(logits)) == exams[1].scores(Told(logits))


def test_what_other_processes_found_is_judged_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, targets = drawn(2)
    alone = Exam(find_task("cola"), {"validation": loader(targets)}).scores(Told(logits))
    other = (logits[10:].numpy(), targets[10:].astype(np.float64))
    monkeypatch.setattr(distributed, "gathered", lambda mine: [mine, other])
    half = Exam(find_task("cola"), {"validation": loader(targets[:10])}).scores(Told(logits))
    assert half == alone


def test_evaluate_asks_the_exam() -> None:
    logits, targets = drawn(2)
    exam = Exam(find_task("cola"), {"validation": loader(targets)})
    assert evaluate(Told(logits), exam, device=torch.device("cpu")) == exam.scores(Told(logits))
