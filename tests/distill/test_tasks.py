"""What a student learns: the same from stored labels as from the teacher itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from stillbit.data.batch import Batch
from stillbit.data.digits import Digits
from stillbit.data.loaders import Loader
from stillbit.data.look import Look
from stillbit.data.settings import DataSettings
from stillbit.distill.losses import distillation, hard_distillation
from stillbit.distill.panel import Expert
from stillbit.distill.replay import Replay
from stillbit.distill.settings import DistillSettings
from stillbit.distill.store import Store
from stillbit.distill.tasks import FromStore, FromTeacher
from stillbit.train.loop import Loop
from stillbit.train.settings import LossSettings, MachineSettings, OptimSettings
from stillbit.train.task import Classify, Task
from tests.distill.lessons import LOOK, Network, written
from tests.train import tiny

ELSEWHERE = Look((16, 16), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
"""How another model wants the same pixels."""


def batch(count: int = 6, look: Look = LOOK, classes: int = 3) -> Batch:
    images = torch.randn(count, look.channels, *look.size)
    return Batch(images, torch.arange(count) % classes, torch.arange(count))


def taught(teacher: nn.Module, student: nn.Module, look: Look = LOOK, loss: Any = None, **settings: Any) -> FromTeacher:
    """A task with this teacher, which sees images as ``look`` says."""
    labels = Classify(loss or LossSettings(), 3)
    asked = DistillSettings(teacher="a teacher", **settings)
    return FromTeacher(labels, Expert(name="a teacher", model=teacher, look=look), student, LOOK, asked)


# ------------------------------------------------------------------------------------------------ stored or asked now


def forever(loader: Loader) -> Iterator[Batch]:
    epoch = 0
    while True:
        yield from loader.epoch(epoch)
        epoch += 1


DIGITS = Look((8, 8), 1, (0.5,), (0.5,))


def learn(store: Store, task: Task, parts: int, steps: int = 50) -> list[float]:
    """The losses of a student that sees the stored views of digits."""
    training = tiny.training(Network(10, seed=2, look=DIGITS), OptimSettings(lr=3e-3), steps=50)
    source = Digits("val")
    views = Replay(store, source, DIGITS, 4)
    batches = forever(Loader(source, DIGITS, DataSettings(batch_size=64, workers=0), seed=3, views=views))
    loop = Loop(task, [], MachineSettings(grad_accum_steps=parts), tiny.ALONE, None)
    return [sum(float(x) for x in loop.step(training, next(batches), 64).values()) for _ in range(steps)]


@pytest.mark.parametrize(
    ("settings", "look", "parts"),
    [({"label_kind": "full"}, DIGITS, 1), ({"top_k": 9}, replace(DIGITS, mean=(0.3,), std=(0.2,)), 3)],
    ids=["all probabilities", "nine of ten, in another normalisation and in parts"],
)
def test_stored_labels_teach_what_the_teacher_would_on_the_same_crops(
    settings: dict[str, Any], look: Look, parts: int, tmp_path: Path
) -> None:
    """To 1e-4 in each of 50 steps, with probabilities of 16 bits. What nine leave to 1 is the tenth's."""
    teacher = Network(10, seed=1, look=look, width=32)
    store = written(tmp_path / "s", Digits("val"), teacher, look, **settings)
    student = Network(10, look=DIGITS)
    asked = DistillSettings(teacher="a teacher", teacher_share=1.0)
    expert = Expert(name="a teacher", model=teacher, look=look)
    online = FromTeacher(Classify(LossSettings(), 10), expert, student, DIGITS, asked)
    stored, now = learn(store, FromStore(store.layout.kind), parts), learn(store, online, parts)
    assert max(abs(a - b) for a, b in zip(stored, now, strict=True)) < 1e-4
    assert sum(stored[-10:]) < sum(stored[:10]), "and something is learned"


# ------------------------------------------------------------------------------------------------- what is asked for


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
@pytest.mark.parametrize(("distillation_", "temperature"), [("soft", 1.0), ("soft", 3.0), ("hard", 1.0)])
def test_labels_and_teacher_have_their_shares(share: float, distillation_: Any, temperature: float) -> None:
    teacher, student, held = Network(seed=1), Network(seed=2), batch()
    task = taught(teacher, student, teacher_share=share, distillation=distillation_, temperature=temperature)
    losses = task(student, task.prepare(held))
    with torch.no_grad():
        logits, answer = student(held.images), teacher(held.images)
    costs = hard_distillation(logits, answer) if distillation_ == "hard" else distillation(logits, answer, temperature)
    wanted = {"teacher": share * costs.mean()}
    if share < 1:
        wanted["labels"] = (1 - share) * cross_entropy(logits, held.targets)
    assert losses.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(losses[name], value)


def test_the_teacher_sees_the_pixels_in_its_own_normalisation() -> None:
    task = taught(Network(), Network(), ELSEWHERE)
    pixels = torch.rand(4, 3, 16, 16)

    def seen(look: Look) -> Tensor:
        mean, std = (torch.tensor(v)[:, None, None] for v in (look.mean, look.std))
        return (pixels - mean) / std

    with torch.no_grad():
        wanted = Network()(seen(ELSEWHERE))
    torch.testing.assert_close(task.ask(seen(LOOK)), wanted, rtol=1e-5, atol=1e-5)
    assert taught(Network(), Network()).renorm is None


def test_the_teacher_learns_nothing_and_is_never_in_training() -> None:
    teacher = nn.Sequential(nn.Dropout(0.9), Network()).train()
    task, student = taught(teacher, Network(seed=2)), Network(seed=2)
    before = [p.clone() for p in teacher.parameters()]
    losses = task(student, batch())
    sum(losses.values(), torch.zeros(())).backward()
    assert not teacher.training and not any(p.requires_grad or p.grad is not None for p in teacher.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, teacher.parameters(), strict=True))
    assert all(p.grad is not None for p in student.parameters())
    assert torch.equal(task.ask(batch().images), task.ask(batch().images)) is False, "other images"
    images = batch().images
    assert torch.equal(task.ask(images), task.ask(images)), "nothing is dropped"


def test_the_teacher_is_shown_the_mixture_that_the_student_learns() -> None:
    teacher, student, held = Network(seed=1), Network(seed=2), batch()
    task = taught(teacher, student, loss=LossSettings(mixup=0.8, cutmix=1.0, smoothing=0.1))
    mixed = task.prepare(Batch(held.images.clone(), held.targets, held.indices))
    assert mixed.targets.shape == (6, 3) and not torch.equal(mixed.images, held.images)
    losses = task(student, mixed)
    with torch.no_grad():
        logits, answer = student(mixed.images), teacher(mixed.images)
    torch.testing.assert_close(losses["teacher"], 0.5 * distillation(logits, answer).mean())
    torch.testing.assert_close(losses["labels"], 0.5 * cross_entropy(logits, mixed.targets))


def test_under_autocast_the_teacher_computes_in_bfloat16_and_is_compared_in_float32() -> None:
    task, student = taught(Network(), Network(seed=2)), Network(seed=2)
    with torch.autocast("cpu", torch.bfloat16):
        assert task.ask(batch().images).dtype == torch.bfloat16
        assert all(loss.dtype == torch.float32 for loss in task(student, batch()).values())


def test_labels_of_a_store_are_not_mixed() -> None:
    held = batch()
    assert FromStore("hard").prepare(held) is held


# ---------------------------------------------------------------------------------------------------------- two heads


def distilled() -> Any:
    torch.manual_seed(0)
    return timm.models.deit.VisionTransformerDistilled(
        img_size=16, patch_size=8, embed_dim=16, depth=1, num_heads=2, num_classes=3, global_pool="token"
    )


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_of_two_heads_one_learns_the_labels_and_the_other_the_teacher(kind: Any) -> None:
    student, teacher, held = distilled().train(), Network(), batch()
    losses = taught(teacher, student, distillation=kind)(student, held)
    first, second = student(held.images)
    with torch.no_grad():
        answer = teacher(held.images)
    cost = {"soft": distillation, "hard": hard_distillation}[kind]
    torch.testing.assert_close(losses["labels"], 0.5 * cross_entropy(first, held.targets))
    torch.testing.assert_close(losses["teacher"], 0.5 * cost(second, answer).mean())
    losses["teacher"].backward(retain_graph=True)
    assert student.head.weight.grad is None and student.head_dist.weight.grad is not None
    student.zero_grad()
    losses["labels"].backward()
    assert student.head.weight.grad is not None and student.head_dist.weight.grad is None
    assert isinstance(student.eval()(held.images), Tensor), "it is judged by the mean"


def test_if_only_the_teacher_counts_both_heads_learn_from_it() -> None:
    student = distilled().train()
    losses = taught(Network(), student, teacher_share=1.0)(student, batch())
    losses["teacher"].backward()
    assert student.head.weight.grad is not None and student.head_dist.weight.grad is not None
