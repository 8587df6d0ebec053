"""Exact counts, whatever the batches; and a model that is left as it was found."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from stillbit.data.batch import PADDING, Batch
from stillbit.data.generated import Generated
from stillbit.data.loaders import Loader
from stillbit.data.settings import DataSettings
from stillbit.train.evaluate import Evaluation, evaluate, scored
from tests.train import tiny

CPU = torch.device("cpu")


class Told(nn.Module):
    """Says what it was told to, image by image; the image holds its own number."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: Tensor) -> Tensor:
        return self.logits[x.flatten(1)[:, 0].long()]


class Listed:
    """A loader of batches made by hand."""

    def __init__(self, targets: Tensor, sizes: tuple[int, ...]) -> None:
        images = torch.arange(len(targets)).float()[:, None, None, None]
        numbers = torch.arange(len(targets))
        self.batches = [Batch(*cut) for cut in zip(*(x.split(sizes) for x in (images, targets, numbers)), strict=True)]

    def epoch(self, number: int) -> list[Batch]:
        return self.batches


def scores(logits: Tensor, targets: Tensor, sizes: tuple[int, ...], **options: Any) -> dict[str, float]:
    return evaluate(Told(logits), Listed(targets, sizes), device=CPU, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("sizes", [(10,), (4, 4, 2), (7, 3), (1,) * 10])
def test_counts_are_exact_however_the_images_are_dealt_out(sizes: tuple[int, ...]) -> None:
    logits, targets = torch.randn(10, 8), torch.randint(8, (10,))
    ranks = (logits > logits.gather(1, targets[:, None])).sum(1)
    found = scores(logits, targets, sizes)
    assert found["top1"] == 10 * int((ranks == 0).sum()) and found["top5"] == 10 * int((ranks < 5).sum())
    assert found["eval_loss"] == pytest.approx(float(cross_entropy(logits.double(), targets)), rel=1e-12)
    assert found["images"] == 10


def test_images_that_only_fill_a_batch_count_for_nothing() -> None:
    logits, targets = torch.randn(7, 6), torch.randint(6, (7,))
    padded = torch.cat([targets, torch.tensor([PADDING] * 3)])
    found = scores(torch.cat([logits, torch.full((3, 6), 99.0)]), padded, (4, 4, 2))
    assert found == pytest.approx(scores(logits, targets, (7,))) and found["images"] == 7


def test_batches_that_are_there_already_score_like_those_of_a_loader() -> None:
    logits, listed = torch.randn(10, 8), Listed(torch.randint(8, (10,)), (4, 6))
    assert scored(Told(logits), listed.epoch(0), device=CPU) == scores(
        logits, torch.cat([b.targets for b in listed.batches]), (4, 6)
    )


def test_with_fewer_than_five_classes_every_image_is_among_the_first_five() -> None:
    found = scores(torch.randn(6, 3), torch.randint(3, (6,)), (6,))
    assert found["top5"] == 100 and found["top1"] < 100


def test_where_not_one_image_could_be_read_there_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="not one image could be evaluated: every one is damaged"):
        scores(torch.randn(2, 3), torch.full((2,), PADDING), (2,))


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_looked_at_in_eval_mode_and_gets_its_own_mode_back(training: bool) -> None:
    model, modes = tiny.network(0.9).train(training), []
    model.register_forward_hook(lambda module, *_: modes.append((module.training, torch.is_grad_enabled())))
    loader = tiny.loader(9, train=False)
    first = evaluate(model, loader, device=CPU)
    assert set(modes) == {(False, False)} and model.training is training
    assert evaluate(model, loader, device=CPU) == first and first["images"] == 9


def test_half_precision_is_used_where_it_is_asked_for_and_scores_are_summed_in_full() -> None:
    model, seen = tiny.network(), []
    model.register_forward_hook(lambda module, given, out: seen.append(out.dtype))
    loader = tiny.loader(9, train=False)
    plain, half = (evaluate(model, loader, device=CPU, amp=amp) for amp in (False, True))
    assert seen[0] == torch.float32 and seen[-1] == torch.bfloat16
    assert plain["eval_loss"] == pytest.approx(half["eval_loss"], rel=0.05)


def test_a_loader_whose_last_batch_is_not_whole_counts_every_image_once() -> None:
    model = tiny.network()
    source = Generated(11, tiny.CLASSES, tiny.LOOK.size, 1)
    found = [
        evaluate(model, Loader(source, tiny.LOOK, DataSettings(batch_size=size, workers=0)), device=CPU)
        for size in (11, 4, 1)
    ]
    assert all(one == pytest.approx(found[0]) and one["images"] == 11 for one in found)


def test_the_run_is_judged_by_the_average_and_the_first_of_equals_stays_the_best() -> None:
    training = tiny.training(ema=True)
    assert training.ema is not None
    judge = Evaluation(tiny.loader(9, train=False), tiny.ALONE, False)
    training.epoch = 1
    judge.after_epoch(training)
    assert {"top1", "top5", "eval_loss", "ema_top1", "ema_top5", "ema_eval_loss"} < training.scores.keys()
    assert training.best == {"epoch": 1, "top1": training.scores["ema_top1"]}
    training.epoch = 2
    judge.after_epoch(training)
    assert training.best["epoch"] == 1
    plain = tiny.training()
    plain.epoch = 4
    judge.after_epoch(plain)
    assert plain.best == {"epoch": 4, "top1": plain.scores["top1"]} and "ema_top1" not in plain.scores
