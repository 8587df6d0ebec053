"""Teachers: what they are shown, in which mode they answer, and what several of them say together."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor, nn

from stillbit.data.generated import Generated
from stillbit.data.loaders import Loader
from stillbit.data.look import Look
from stillbit.data.settings import DataSettings
from stillbit.distill.panel import Expert, Panel
from tests.data.text_examples import pairs
from tests.distill import readers
from tests.distill.teachers import LOOK, Pairs, Reader, network, panel


def inputs(count: int = 6, look: Look = LOOK) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (count, look.channels, *look.size), generator=generator, dtype=torch.uint8)


def normal(look: Look) -> Tensor:
    mean, std = (torch.tensor(part)[:, None, None] for part in (look.mean, look.std))
    return (inputs().float() / 255 - mean) / std


def test_an_answer_is_the_softmax_of_the_model_in_eval_mode_on_normalised_pixels() -> None:
    model = network(2).train()
    wanted = network(2).eval()(normal(LOOK)).softmax(-1)
    asked = Panel([Expert(name="net", model=model, look=LOOK)], 7, precision="fp32")
    torch.testing.assert_close(asked(inputs()), wanted)
    assert torch.equal(asked(inputs()), asked(inputs())), "dropout is off"


def test_pixels_are_normalised_with_the_bits_of_the_loader_of_a_training() -> None:
    source = Generated(6, 7, LOOK.size, 3)
    loader = Loader(source, LOOK, DataSettings(batch_size=6, workers=0))
    held: list[Tensor] = []

    class Keep(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            held.append(images)
            return torch.zeros(len(images), 7)

    Panel([Expert(name="keep", model=Keep(), look=LOOK)], 7)(torch.stack([source.image(i, 0) for i in range(6)]))
    assert torch.equal(held[0], next(iter(loader.epoch(0))).images)


def test_no_gradients_and_no_running_means_move() -> None:
    model = network(2).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    answer = Panel([Expert(name="net", model=model, look=LOOK)], 7)(inputs())
    assert not answer.requires_grad and not any(p.requires_grad for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_in_bfloat16_the_layers_are_and_the_softmax_is_not() -> None:
    rough, fine = panel(1, precision="bf16")(inputs()), panel(1, precision="fp32")(inputs())
    assert rough.dtype == fine.dtype == torch.float32
    assert 0 < (rough - fine).abs().max() < 0.05
    torch.testing.assert_close(rough.sum(-1), torch.ones(6))


def test_several_teachers_say_the_mean_of_their_probabilities_each_with_its_own_normalisation() -> None:
    other = Look((8, 8), 3, (0.1, 0.1, 0.1), (0.5, 0.6, 0.7))
    one, two = (Expert(name="a", model=network(1), look=LOOK), Expert(name="b", model=network(2), look=other))
    alone = [Panel([expert], 7, precision="fp32")(inputs()) for expert in (one, two)]
    together = Panel([one, two], 7, precision="fp32")
    torch.testing.assert_close(together(inputs()), (alone[0] + alone[1]) / 2)
    assert [said.mean for said in together.describe()] == [LOOK.mean, other.mean]


@pytest.mark.parametrize("look", [Look((16, 16)), Look((8, 8), 1, (0.5,), (0.5,))])
def test_teachers_that_want_to_see_other_pixels_cannot_answer_together(look: Look) -> None:
    with pytest.raises(ValueError, match=r"a wants 8 x 8 in 3 channels, b .* in . channels: take teachers of one size"):
        Panel([Expert(name="a", model=network(1), look=LOOK), Expert(name="b", model=network(1), look=look)], 7)


def test_a_panel_without_teachers_and_one_of_images_and_text_are_refused() -> None:
    with pytest.raises(ValueError, match="labels need a teacher: --teacher"):
        Panel([], 7)
    with pytest.raises(ValueError, match="one sees images, the other does not"):
        Panel([Expert(name="a", model=network(1), look=LOOK), Expert(name="b", model=Reader())], 7)


def test_a_teacher_of_other_classes_or_of_something_else_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"net 0 answers with \(7,\) a view, and the data has 9 classes"):
        Panel(panel(0).experts, 9)(inputs())

    class Pair(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return images, images

    with pytest.raises(ValueError, match="two answers with tuple"):
        Panel([Expert(name="two", model=Pair(), look=LOOK)], 7)(inputs())


def test_an_answer_that_is_no_number_is_refused() -> None:
    model = network(0)
    model[4].weight.data[:] = torch.inf
    with pytest.raises(ValueError, match="bad answers with what is no number: --precision fp32, or another"):
        Panel([Expert(name="bad", model=model, look=LOOK)], 7)(inputs())


def test_text_is_shown_as_it_is() -> None:
    pairs, reader = Pairs(5), Reader()
    asked = Panel([Expert(name="reader", model=reader)], 2, precision="fp32")
    torch.testing.assert_close(asked(pairs.tokens), reader(pairs.tokens).softmax(-1))
    assert asked.describe()[0].size is None


def test_a_twin_has_modules_of_its_own_and_the_same_numbers_in_the_same_place() -> None:
    first = panel(1, 2)
    twin = first.twin()
    for one, other in zip(first.experts, twin.experts, strict=True):
        assert {id(m) for m in one.model.modules()}.isdisjoint({id(m) for m in other.model.modules()})
        there = {name: t.data_ptr() for name, t in other.model.state_dict().items()}
        assert there == {name: t.data_ptr() for name, t in one.model.state_dict().items()}
    assert torch.equal(first(inputs()), twin(inputs()))


def test_a_twin_may_be_asked_while_a_model_that_remembers_its_forward_is_in_it() -> None:
    """As layers do that run more than once with the same weights."""

    class Remembers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.begun, self.go = threading.Event(), threading.Event()
            self.number = 0

        def __deepcopy__(self, memo: object) -> nn.Module:
            return Remembers()

        def forward(self, images: Tensor) -> Tensor:
            self.number = int(images[0, 0, 0, 0])
            if self.number:
                self.begun.set()
                self.go.wait(10)
            return torch.nn.functional.one_hot(torch.full((len(images),), self.number), 7).float() * 9

    model = Remembers()
    plain = Look((8, 8), 3, (0.0,) * 3, (1 / 255,) * 3)
    asked = Panel([Expert(name="slow", model=model, look=plain)], 7)
    answers: list[Tensor] = []
    slow = threading.Thread(target=lambda: answers.append(asked(torch.full((1, 3, 8, 8), 5, dtype=torch.uint8))))
    slow.start()
    assert model.begun.wait(10)
    assert asked.twin()(torch.zeros(1, 3, 8, 8, dtype=torch.uint8)).argmax() == 0
    model.go.set()
    slow.join()
    assert answers[0].argmax() == 5


def test_a_teacher_of_texts_is_called_with_pieces_mask_and_types_without_what_is_padding_for_all() -> None:
    seen, asked = readers.examples(pairs(6)), readers.panel(3)
    shown = torch.cat([seen.views(number).inputs for number in range(3)])
    longest = int(shown[:, 1].sum(-1).max())
    assert longest < shown.size(-1)
    wanted = readers.Reader(3)(*shown.long().unbind(1)).logits.softmax(-1)
    torch.testing.assert_close(asked(shown), wanted)
    assert asked.experts[0].model.widths == [longest]
    assert asked.describe()[0].size is None


def test_a_compiled_teacher_of_texts_is_shown_one_width_since_another_would_be_compiled_anew() -> None:
    seen = readers.examples(pairs(6))
    expert = readers.panel().experts[0]
    asked = Panel([expert], 2, compiled=True)
    asked(seen.views(0).inputs)
    assert expert.model.widths == [int(seen.tokens.lengths.max())]


def test_teachers_that_cut_texts_in_another_way_cannot_answer_together() -> None:
    one, other = readers.panel().experts[0], readers.panel(types=False).experts[0]
    with pytest.raises(ValueError, match=r"read the same pieces, and reader 0 and reader 0 cut texts in another way"):
        Panel([one, other], 2)
