"""Group after group, against the same thing done the long way."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from itertools import repeat

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from stillbit.analysis.retrain import retrained
from stillbit.analysis.scores import Scores
from stillbit.analysis.sweep import Sweep
from stillbit.data.batch import Batch
from stillbit.train.settings import OptimSettings
from tests.analysis.lowered import batch, pair, vit


def long_way(model: nn.Module, floats: nn.Module, given: Batch) -> Scores:
    with torch.no_grad():
        logits, reference = model(given.images).double(), floats(given.images).double().log_softmax(1)
    divergence = (reference.exp() * (reference - logits.log_softmax(1))).sum(1).mean()
    hits = (logits.argmax(1) == given.targets).double().mean()
    return Scores(top1=hits.item(), loss=cross_entropy(logits, given.targets).item(), kl=divergence.item())


def close(one: Scores, other: Scores) -> bool:
    pairs = ((one.top1, other.top1), (one.loss, other.loss), (one.kl, other.kl))
    return all(a == pytest.approx(b, rel=1e-5, abs=1e-7) for a, b in pairs)


def test_lowered_groups_are_those_of_a_model_in_which_whole_layers_have_the_low_bits() -> None:
    """The layers of the low model put into the high one, by hand."""
    held, given = pair(), batch(20)
    groups = held.anatomy.groups(("layer", "block"))
    sweep = Sweep(held.switched, groups, "lower", held.anatomy.ends())
    sweep.measure([batch(20)])
    assert close(sweep.reference.scores(), long_way(vit(), vit(), given))
    assert close(sweep.base.scores(), long_way(held.high, vit(), given))
    for group, tally in zip(groups, sweep.tallies, strict=True):
        mixed = deepcopy(held.high)
        for part in group.parts:
            quantizer = getattr(held.low.get_submodule(part.layer), f"{part.role}_quantizer")
            setattr(mixed.get_submodule(part.layer), f"{part.role}_quantizer", quantizer)
        assert close(tally.scores(), long_way(mixed, vit(), given)), group.name
    assert sweep.outputs == 5


def test_kept_groups_are_float_in_a_model_of_low_bits_with_ends_of_eight() -> None:
    held, given = pair(bits="w3a3"), batch(20)
    groups = held.anatomy.groups(("layer",))
    sweep = Sweep(held.switched, groups, "keep", held.anatomy.ends())
    sweep.measure([given])
    base = pair(bits="w3a3").low
    for end in held.anatomy.ends():
        for role in ("weight_quantizer", "input_quantizer"):
            setattr(base.get_submodule(end), role, getattr(held.high.get_submodule(end), role))
    assert close(sweep.base.scores(), long_way(base, vit(), given))
    for group, tally in zip(groups, sweep.tallies, strict=True):
        kept = {part: getattr(base.get_submodule(part.layer), f"{part.role}_quantizer") for part in group.parts}
        for part in kept:
            setattr(base.get_submodule(part.layer), f"{part.role}_quantizer", None)
        assert close(tally.scores(), long_way(base, vit(), given)), group.name
        for part, quantizer in kept.items():
            setattr(base.get_submodule(part.layer), f"{part.role}_quantizer", quantizer)


def test_keeping_all_is_the_float_model_but_for_the_ends() -> None:
    held = pair()
    groups = held.anatomy.groups(("role",))
    sweep = Sweep(held.switched, groups, "keep", held.anatomy.ends())
    sweep.measure([batch(20)])
    scores = {group.name: tally.scores() for group, tally in zip(groups, sweep.tallies, strict=True)}
    assert scores["all"].kl < 0.01 * sweep.base.scores().kl
    assert scores["all"].kl < min(scores["MHSA"].kl, scores["FFN"].kl) and scores["MHSA"].kl < sweep.base.scores().kl


def test_how_images_are_dealt_out_does_not_matter() -> None:
    found = []
    for size in (3, 20):
        held, given = pair(), batch(20)
        sweep = Sweep(held.switched, held.anatomy.groups(("head",)), "lower", held.anatomy.ends())
        cuts = zip(*(tensor.split(size) for tensor in given[:3]), strict=True)
        sweep.measure([Batch(*cut) for cut in cuts])
        found.append([tally.scores() for tally in sweep.tallies])
    assert all(close(one, other) for one, other in zip(*found, strict=True))


def test_trained_groups_are_each_trained_from_the_start_with_the_same_batches() -> None:
    held, given, optim = pair(), batch(20), OptimSettings(lr=3e-3)
    groups = held.anatomy.groups(("block",))
    sweep = Sweep(held.switched, groups, "keep", held.anatomy.ends())
    begun = 0

    def lessons() -> Iterator[Batch]:
        nonlocal begun
        begun += 1
        return repeat(given)

    sweep.train([given], lessons, 6, optim)
    assert begun == 1 + len(groups)
    other = pair()
    again = Sweep(other.switched, groups, "keep", other.anatomy.ends())
    again.switched.set(again._base, groups[1].parts, "float")
    model = retrained(again.switched, repeat(given), 6, optim)
    assert close(sweep.tallies[1].scores(), long_way(model, vit(), given))
    assert sweep.tallies[0].loss_error() > 0


def test_a_model_without_classes_and_images_of_others_are_one_sentence() -> None:
    one = pair(vit(num_classes=1))
    with pytest.raises(ValueError, match="needs a model that tells classes apart, and this one gives \\(12, 1\\)"):
        Sweep(one.switched, (), "lower", ()).measure([batch()])
    held, given = pair(), batch()
    given.targets[3] = 7
    with pytest.raises(ValueError, match="tells 5 classes apart and there is an image of class 7: give the data"):
        Sweep(held.switched, (), "lower", ()).measure([given])
