"""Hidden states that are the teacher's, against sums by hand in float64."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stillbit.data.text import TextBatch
from stillbit.distill.hidden import Hidden, distance
from stillbit.distill.panel import Expert
from stillbit.distill.settings import DistillSettings
from stillbit.distill.tasks import FromTeacher
from stillbit.surgery.compile import block_names
from stillbit.surgery.swap import quantize
from stillbit.train.loop import parts
from stillbit.train.settings import LossSettings
from stillbit.train.task import Classify
from tests.distill.lessons import Network
from tests.distill.test_relate import swin, vit
from tests.distill.test_tasks import batch, taught
from tests.surgery import tiny_hf


def made(teacher: nn.Module, student: nn.Module, strength: float = 1.0, task: Any = None, **settings: Any) -> Hidden:
    task = task or taught(teacher, student, **settings)
    return Hidden(task, student, strength, (block_names(student), block_names(teacher)))


def texts(count: int = 3) -> TextBatch:
    held = tiny_hf.sentences(count)
    return TextBatch(held["input_ids"], held["attention_mask"], None, torch.arange(count) % 3, torch.arange(count))


def reading(teacher: nn.Module, student: nn.Module, strength: float = 1.0) -> Hidden:
    labels = Classify(LossSettings(), 10)
    settings = DistillSettings(teacher="a teacher", teacher_share=1.0)
    task = FromTeacher(labels, Expert(name="a teacher", model=teacher, look=None), student, None, settings)
    return made(teacher, student, strength, task)


def bert(seed: int, **options: Any) -> Any:
    torch.manual_seed(seed)
    return tiny_hf.bert(**{"num_hidden_layers": 2, **options})


def states_of(model: Any, held: TextBatch) -> list[Tensor]:
    """By transformers' own word for them: the embeddings, and what every layer puts out."""
    return list(model.double()(*held.inputs, output_hidden_states=True).hidden_states)


def by_hand(mine: list[Tensor], other: list[Tensor], mask: Tensor) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for here, there in zip(mine, other, strict=True):
        for n in range(len(here)):
            for t in range(int(mask[n].sum())):
                total = total + (here[n, t] - there[n, t]).square().mean() / mask[n].sum() / len(here)
    return total


def test_for_a_bert_it_is_the_loop_over_embeddings_layers_sentences_and_words() -> None:
    student, teacher, held = bert(1), bert(2), texts()
    found = reading(teacher, student)(student, held)
    assert found.keys() == {"teacher", "hidden"}
    with torch.no_grad():
        mine, other = states_of(student, held), states_of(teacher, held)
    wanted = by_hand(mine, other, held.mask)
    assert len(mine) == 3 and found["hidden"].item() == pytest.approx(wanted.item(), rel=1e-5) and wanted > 0.1


def test_its_gradient_is_that_of_the_loop() -> None:
    student, teacher, held = bert(1).double(), bert(2).double(), texts()
    reading(teacher, student)(student, held)["hidden"].backward()
    found = {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}
    student.zero_grad()
    with torch.no_grad():
        other = states_of(teacher, held)
    by_hand(states_of(student, held), other, held.mask).backward()
    for name, parameter in student.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(found[name], parameter.grad, rtol=1e-9, atol=1e-12)
    assert "bert.embeddings.word_embeddings.weight" in found and "classifier.weight" not in found
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.parametrize("family", sorted(tiny_hf.READERS))
def test_padding_does_not_count(family: str) -> None:
    torch.manual_seed(0)
    layers = {"n_layers" if family == "distilbert" else "num_hidden_layers": 2}
    student, teacher = (tiny_hf.READERS[family](**layers) for _ in range(2))
    held, task = texts(), reading(teacher, student)
    longer = [torch.cat([t, torch.full((3, 5), fill)], 1) for t, fill in ((held.ids, tiny_hf.PAD), (held.mask, 0))]
    found, padded = (task(student, b)["hidden"].item() for b in (held, held._replace(ids=longer[0], mask=longer[1])))
    assert padded == pytest.approx(found, rel=1e-5) and found > 0


def test_parts_of_a_batch_add_up_to_it_whatever_their_lengths() -> None:
    student, teacher, held = bert(1), bert(2), texts(4)
    task = reading(teacher, student)
    pieces = sum(task(student, part)["hidden"].item() * share for part, share, _ in parts(held, 3))
    assert pieces == pytest.approx(task(student, held)["hidden"].item(), rel=1e-5)


@pytest.mark.parametrize("family", [vit, swin])
def test_for_a_model_of_images_it_is_the_mean_over_blocks_and_tokens(family: Any) -> None:
    student, teacher, held = family(1), family(2), batch()
    found = made(teacher, student)(student, held)["hidden"]
    kept: list[list[Tensor]] = []
    for model in (student, teacher):
        states: list[Tensor] = []
        blocks = [model.get_submodule(name) for name in block_names(model)]
        handles = [blocks[0].register_forward_pre_hook(lambda _, args, states=states: states.append(args[0]))]
        handles += [b.register_forward_hook(lambda _, args, out, states=states: states.append(out)) for b in blocks]
        with torch.no_grad():
            model.double()(held.images.double())
        kept.append(states)
        for handle in handles:
            handle.remove()
    wanted = sum((one - two).square().mean() for one, two in zip(*kept, strict=True))
    assert found.item() == pytest.approx(float(wanted), rel=1e-5) and len(kept[0]) == len(blocks) + 1


def test_a_student_that_is_its_teacher_has_nothing_to_learn() -> None:
    model, held = vit(), batch()
    assert made(deepcopy(model), model)(model, held)["hidden"].item() == 0


def test_the_losses_of_the_task_stay_as_they_are_and_the_strength_is_a_factor() -> None:
    student, teacher, held = vit(1), vit(2), batch()
    plain = taught(teacher, student)(student, held)
    one, three = (made(teacher, student, strength)(student, held) for strength in (1.0, 3.0))
    assert all(torch.equal(one[name], plain[name]) and torch.equal(three[name], plain[name]) for name in plain)
    torch.testing.assert_close(three["hidden"], 3 * one["hidden"])


def test_a_quantized_student_learns_from_a_float_teacher_and_from_a_quantized_one() -> None:
    student, held = quantize(vit(1), "w2a2"), batch()
    for teacher in (vit(2), quantize(vit(2), "w4a4")):
        task = made(teacher, student)
        student.zero_grad()
        task(student, held)["hidden"].backward()
        assert all(p.grad is None for p in teacher.parameters())
        assert student.blocks[0].mlp.fc1.weight.grad.abs().sum() > 0


class Wrapped(nn.Module):
    """A model in a wrapper, as DDP is one."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Any:
        return self.module(*inputs)


def test_the_student_may_be_called_in_a_wrapper_and_nothing_listens_afterwards() -> None:
    student, teacher, held = vit(1), vit(2), batch()
    task = made(teacher, student)
    assert task.prepare(held) is held
    found = task(Wrapped(student), held)["hidden"]
    assert torch.equal(found, task(student, held)["hidden"])
    assert not any(m._forward_hooks or m._forward_pre_hooks for model in (student, teacher) for m in model.modules())
    assert not any(states.states for states in task.seen)


def test_in_bfloat16_it_is_what_it_is_in_float32_but_for_bfloat16() -> None:
    student, teacher, held = bert(1), bert(2), texts()
    task = reading(teacher, student)
    whole = task(student, held)["hidden"]
    with torch.autocast("cpu", torch.bfloat16):
        rough = task(student, held)["hidden"]
    assert rough.dtype == torch.float32 and rough.item() == pytest.approx(whole.item(), rel=0.02)


def test_a_sentence_of_nothing_but_padding_counts_nothing() -> None:
    one, other = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0]])
    assert distance(one, other, mask).item() == pytest.approx((one - other)[0, :2].square().mean().item() / 2)


@pytest.mark.parametrize(
    ("teacher", "student", "said"),
    [
        (lambda: vit(depth=3), vit, "the student has 2 layers where the teacher has 3 layers: take a teacher of the"),
        (lambda: vit(embed_dim=32), vit, "are 16 numbers wide and the teacher's 32: take a teacher of"),
        (Network, vit, "the student has 2 layers where the teacher has no repeated layers"),
        (Network, Network, "or leave the hidden states out, --hidden 0"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_the_first_step(teacher: Any, student: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made(teacher(), student())


def test_states_of_other_sides_are_refused() -> None:
    with pytest.raises(ValueError, match="hidden states are 4 x 3 and the teacher's 5 x 3, which cannot be compared"):
        distance(torch.zeros(2, 4, 3), torch.zeros(2, 5, 3))
