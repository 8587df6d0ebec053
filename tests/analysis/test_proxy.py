"""The guess against what it stands for: small errors, one by one."""

from __future__ import annotations

import gc
from weakref import ref

import pytest
import torch
from torch import nn

from stillbit.analysis.groups import Tensors
from stillbit.analysis.proxy import proxies
from stillbit.analysis.scores import log_probabilities
from stillbit.analysis.switches import Part, Setting, Switch, Switched
from stillbit.data.batch import Batch
from tests.analysis.lowered import batch, pair


def test_for_weights_alone_it_is_half_the_square_of_the_error_in_the_fisher_metric() -> None:
    """With one image, all labels tried and each weighed with its probability, by autograd."""
    held, one = pair(), batch(1)
    only = Tensors("layer", "head", (Part("head", "weight"),), 1)
    found = proxies(held.switched, [one], [only], samples=150)[0]
    held.switched.set("float")
    layer = held.switched.model.get_submodule("head")
    said = held.switched(one.images)[0].log_softmax(0)
    error = (held.switched.switches["head", "weight"].at("low", layer.weight) - layer.weight).detach()
    exact = 0.0
    for label in range(5):
        gradient = torch.autograd.grad(said[label], layer.weight, retain_graph=True)[0]
        exact += 0.5 * float(said[label].exp().detach() * (gradient * error).square().sum())
    assert found == pytest.approx(exact, rel=0.4) and exact > 0


@torch.no_grad()
def test_for_small_errors_it_is_about_the_divergence() -> None:
    """At seven bits errors are small, and of both signs."""
    held, given = pair(bits="w6a6"), batch(64)
    groups = held.anatomy.groups(("role",))
    guesses = proxies(held.switched, [given], groups, samples=8)
    held.switched.set("float")
    reference = log_probabilities(held.switched(given.images))
    for group, guess in zip(groups, guesses, strict=True):
        held.switched.set("float", group.parts, "low")
        said = log_probabilities(held.switched(given.images))
        measured = float((reference.exp() * (reference - said)).sum(1).mean())
        assert measured / 6 < guess < measured * 6, group.name


def test_a_group_is_the_sum_of_its_parts() -> None:
    held, given = pair(), [batch(6), batch(3)]
    groups = held.anatomy.groups(("role", "head", "layer"))
    guess = dict(zip([(g.by, g.name) for g in groups], proxies(held.switched, given, groups), strict=True))
    layers = sum(v for (by, name), v in guess.items() if by == "layer" and ".mlp." in name)
    assert guess["role", "FFN"] == pytest.approx(layers, rel=1e-9)
    assert guess["role", "all"] == pytest.approx(guess["role", "FFN"] + guess["role", "MHSA"], rel=1e-9)
    heads = sum(v for (by, _), v in guess.items() if by == "head")
    inputs = Tensors("layer", "x", tuple(Part(f"blocks.{i}.attn.qkv", "input") for i in range(2)), 0)
    alone = proxies(held.switched, given, [inputs])[0]
    assert heads + alone == pytest.approx(guess["role", "MHSA"], rel=1e-9), "heads are all but the input they share"


def test_it_draws_from_no_generator_that_others_use_and_leaves_no_gradient() -> None:
    held, groups = pair(), pair().anatomy.groups(("head",))
    state = torch.get_rng_state()
    first, second = (proxies(held.switched, [batch()], groups) for _ in range(2))
    assert first == second and torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in held.switched.model.parameters())
    assert not any(module._forward_hooks for module in held.switched.model.modules())


def test_no_activation_outlives_the_pass() -> None:
    """A hook that holds its own tensor keeps it for ever, where no garbage collector looks."""
    held, seen = pair(), list[ref[torch.Tensor]]()
    held.switched.switches["blocks.0.mlp.fc2", "input"].register_forward_hook(
        lambda switch, args, ready: seen.append(ref(args[0]))
    )
    proxies(held.switched, [batch()], held.anatomy.groups(("head",)))
    gc.collect()
    assert seen and all(one() is None for one in seen)


def test_a_head_whose_errors_are_large_is_guessed_to_be_the_worst() -> None:
    """Its quantizer is coarse on purpose."""

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)
            self.switch = Switch(None, None)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.fc(self.switch(x).value())
            return y

    class Coarse(Switch):
        def at(self, setting: Setting, x: torch.Tensor) -> torch.Tensor:
            return x if setting != "low" else x + torch.tensor([0.0, 0.0, 0.5, 0.0])

    model = Named()
    model.switch = Coarse(None, None)  # type: ignore[misc]
    switched = Switched(model, {("switch", "input"): model.switch})
    groups = [Tensors("head", str(i), (Part("switch", "input", -1, i, 1),), 0) for i in range(4)]
    given = Batch(torch.randn(9, 4), torch.randint(3, (9,)), torch.arange(9))
    assert [guess > 0 for guess in proxies(switched, [given], groups)] == [False, False, True, False]
