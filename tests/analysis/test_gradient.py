from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from stillbit.analysis.directions import movable
from stillbit.analysis.gradient import check_classes, counted, gradients, of_one_class
from stillbit.data.batch import PADDING, Batch
from tests.dynamics import small


def test_gradients_are_those_of_the_mean_over_all_images_that_count() -> None:
    model, whole = small.vit(4).double().eval(), small.batch(9)
    whole = whole._replace(images=whole.images.double())
    cut = [Batch(*(t[:4] for t in whole[:3])), Batch(*(t[4:] for t in whole[:3]))]
    padded = cut[1]._replace(
        images=torch.cat([cut[1].images, cut[1].images[:2]]),
        targets=torch.cat([cut[1].targets, torch.tensor([PADDING] * 2)]),
    )
    parameters = movable(model)
    loss = cross_entropy(model(whole.images).float(), whole.targets)
    wanted = torch.autograd.grad(loss, list(parameters.values()))
    found = gradients(model, parameters, [cut[0], padded])
    assert counted([cut[0], padded]) == 9
    for name, expected in zip(parameters, wanted, strict=True):
        assert found[name].dtype == torch.float64
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-7)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_weight_that_is_not_used_has_a_gradient_of_zero() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 5))
    chosen = {"used": model[1].weight, "not": nn.Linear(2, 2).weight}
    found = gradients(model, chosen, [small.batch()])
    assert found["used"].any() and not found["not"].any()


@pytest.mark.parametrize("outputs", [1, None])
def test_a_model_that_cannot_be_wrong_is_refused(outputs: int | None) -> None:
    model = nn.Conv2d(3, 2, 3) if outputs is None else nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, outputs))
    with pytest.raises(
        ValueError, match=r"it answers with a shape of .*, and a loss needs two classes or more: give a"
    ):
        check_classes(model, [small.batch()], "it")


def test_two_classes_are_enough() -> None:
    check_classes(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2)), [small.batch()], "it")


def test_what_only_fills_a_batch_is_no_second_class() -> None:
    one = small.batch(4)._replace(targets=torch.tensor([1, 1, PADDING, PADDING]))
    assert of_one_class([one]) and not of_one_class([one, one._replace(targets=torch.tensor([0, 1, 1, 1]))])
