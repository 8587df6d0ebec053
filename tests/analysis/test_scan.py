from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from stillbit import dequantize
from stillbit.analysis.directions import direction, movable
from stillbit.analysis.hessian import PowerSettings
from stillbit.analysis.landscape import Landscape
from stillbit.analysis.record import from_json, to_json
from stillbit.analysis.scan import OFTEN, ScanSettings, Side, begin, differences, scan
from stillbit.data.batch import Batch
from stillbit.layers.walk import scale_names
from stillbit.train.evaluate import evaluate
from tests.analysis.alive import alive, seen
from tests.dynamics import small


class Held:
    """A loader of what is there."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def epoch(self, number: int) -> list[Batch]:
        return self.batches


def sides(bits: int = 2) -> list[Side]:
    model = small.vit(bits)
    return [Side("quantized", "the run", model), Side("float", "its latents", dequantize(model))]


def batches() -> list[Batch]:
    whole = small.batch(13)
    return [Batch(*(t[cut] for t in whole[:3])) for cut in (slice(0, 8), slice(8, 13))]


def scanned(
    given: list[Side],
    keep: Callable[[Landscape], None] = lambda found: None,
    power: PowerSettings | None = None,
    **settings: Any,
) -> Landscape:
    chosen = ScanSettings(**{"points": 5, **settings})
    begun = begin(given, batches(), chosen, subject="run", about="best.pt")
    return scan(begun, given, batches(), keep, power)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_the_centre_is_what_an_evaluation_says_exactly(dimensions: int) -> None:
    given = sides()
    found = scanned(given, dimensions=dimensions, points=3)
    for surface, side in zip(found.surfaces, given, strict=True):
        scores = evaluate(side.model, Held(batches()), device=torch.device("cpu"))  # type: ignore[arg-type]
        assert (surface.loss, surface.top1) == (scores["eval_loss"], scores["top1"])
    assert found.done and found.images == 13


@pytest.mark.parametrize("number", [0, 1])
def test_every_point_is_the_loss_of_the_moved_weights(number: int) -> None:
    given = sides()
    found = scanned(given, dimensions=2, points=3, reach=0.5, seed=4)
    model = given[number].model.eval()
    origin = {name: p.detach().clone() for name, p in movable(model).items()}
    one, other = (direction(origin, seed=4, number=n) for n in (0, 1))
    places = [(x, y) for y in (-0.5, 0.0, 0.5) for x in (-0.5, 0.0, 0.5)]
    whole = small.batch(13)
    for (x, y), loss, top1 in zip(places, found.surfaces[number].losses, found.surfaces[number].top1s, strict=True):
        for name, parameter in movable(model).items():
            parameter.data = origin[name] + x * one[name] + y * other[name]
        with torch.no_grad():
            logits = model(whole.images)
        assert loss == pytest.approx(cross_entropy(logits.double(), whole.targets).item(), rel=1e-5)
        assert top1 == pytest.approx(100 * (logits.argmax(1) == whole.targets).double().mean().item())
    assert len(set(found.surfaces[number].losses)) == 9


def test_scales_stand_still_while_latents_move() -> None:
    given = sides()
    scales = scale_names(given[0].model)
    before = {name: given[0].model.get_parameter(name).clone() for name in scales}
    stood: list[bool] = []

    def look(module: nn.Module, args: object) -> None:
        stood.append(all(torch.equal(module.get_parameter(name), before[name]) for name in scales))

    hook = given[0].model.register_forward_pre_hook(look)
    scanned(given, points=3)
    hook.remove()
    assert len(stood) == 1 + 3 * len(batches()) and all(stood) and scales


def stop_after(count: int) -> tuple[list[Landscape], Callable[[Landscape], None]]:
    kept: list[Landscape] = []

    def keep(found: Landscape) -> None:
        kept.append(found)
        if len(kept) == count:
            raise KeyboardInterrupt

    return kept, keep


@pytest.mark.parametrize("stop", [1, 3, 6])
def test_a_scan_that_was_stopped_goes_on_to_the_same_numbers(stop: int) -> None:
    given, chosen = sides(), ScanSettings(points=3, dimensions=2)
    power = PowerSettings(iterations=2)
    whole = scanned(given, points=3, dimensions=2, power=power)
    begun = begin(given, batches(), chosen, subject="run", about="best.pt")
    kept, keep = stop_after(stop)
    with pytest.raises(KeyboardInterrupt):
        scan(begun, given, batches(), keep, power)
    half = from_json(Landscape, to_json(kept[-1]), "x")
    assert not differences(half, begun)
    runs: list[int] = []
    hook = given[0].model.register_forward_pre_hook(lambda *_: runs.append(1))
    assert scan(half, given, batches(), lambda found: None, power) == whole
    hook.remove()
    missing = sum(loss is None for loss in half.surfaces[0].losses)
    bent = 0 if half.surfaces[0].curvatures else 2 * 2  # products with the Hessian, with two gradients each
    assert len(runs) == (missing + bent) * len(batches())


def test_what_is_there_is_kept_every_few_points() -> None:
    known: list[int] = []
    scanned(sides()[:1], lambda found: known.append(sum(x is not None for x in found.surfaces[0].losses)), points=9)
    assert known == [OFTEN, 2 * OFTEN, 9]


@pytest.mark.parametrize("fails", [False, True])
def test_the_models_are_as_they_were(fails: bool) -> None:
    given = sides()
    given[0].model.train()
    given[0].model.blocks[0].eval()
    states = [{n: t.clone() for n, t in side.model.state_dict().items()} for side in given]
    modes, random = [m.training for m in given[0].model.modules()], torch.get_rng_state()
    keep = stop_after(1)[1] if fails else lambda found: None
    try:
        scanned(given, keep, power=PowerSettings(iterations=1))
    except KeyboardInterrupt:
        assert fails
    for side, state in zip(given, states, strict=True):
        assert all(torch.equal(t, state[n]) for n, t in side.model.state_dict().items())
    assert modes == [m.training for m in given[0].model.modules()] and torch.equal(random, torch.get_rng_state())


def test_float_and_quantized_move_along_the_same_directions() -> None:
    found = scanned(sides(8), points=5, reach=0.3)
    coarse, exact = found.surfaces
    for one, other in zip(coarse.losses, exact.losses, strict=True):
        assert one == pytest.approx(other, abs=0.1)


def test_curvatures_are_of_each_model_in_the_ways_it_allows() -> None:
    found = scanned(sides(), points=3, power=PowerSettings(iterations=1))
    assert [[c.how for c in s.curvatures] for s in found.surfaces] == [["differences"], ["exact", "differences"]]


def test_another_scan_is_told_apart() -> None:
    given, chosen = sides(), ScanSettings(points=5)
    fresh = begin(given, batches(), chosen, subject="run", about="best.pt")
    assert differences(fresh, begin(given, batches(), chosen, subject="moved", about="elsewhere.pt")) == []
    other = ScanSettings(points=7, reach=0.5, seed=1)
    told = differences(fresh, begin(given, batches()[:1], other, subject="run", about="best.pt"))
    assert told == [
        "points 5 there and 7 here",
        "reach 1.0 there and 0.5 here",
        "images 13 there and 8 here",
        "seed 0 there and 1 here",
    ]
    changed = [batches()[0]._replace(images=batches()[0].images + 1), batches()[1]]
    assert differences(fresh, begin(given, changed, chosen, subject="run", about="best.pt")) == ["other images"]
    given[0].model.blocks[0].mlp.fc1.weight.data[0, 0] += 1
    assert differences(fresh, begin(given, batches(), chosen, subject="run", about="best.pt")) == ["other weights"]


class Steep(nn.Module):
    """Nobody can compute with it far from where it is."""

    def forward(self, x: Tensor) -> Tensor:
        return x.exp().exp()


def test_a_loss_without_an_end_is_one_sentence() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 5), Steep())
    with pytest.raises(ValueError, match=r"loss of the float model is not finite at \(-50\): stay nearer, --range 0.5"):
        scanned([Side("float", "it", model)], reach=50)


def test_a_model_of_one_class_is_refused() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 1))
    with pytest.raises(ValueError, match=r"a loss needs two classes or more"):
        scanned([Side("float", "it", model)])


def test_a_model_without_matrices_is_refused() -> None:
    with pytest.raises(ValueError, match="run has no matrix and no kernel to move: give a model with linear layers"):
        scanned([Side("float", "it", nn.Sequential(nn.Flatten(), nn.LayerNorm(3 * 16 * 16)))])


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ({"points": 4}, "--points 5"),
        ({"points": 1}, "--points 3"),
        ({"reach": 0.0}, "--range 1"),
        ({"reach": float("nan")}, "--range 1"),
    ],
)
def test_a_grid_without_a_centre_or_a_size_is_refused(wrong: dict[str, Any], right: str) -> None:
    with pytest.raises(ValueError, match=right):
        ScanSettings(**wrong)


@pytest.mark.parametrize("family", ["swin", "swin_v2", "eva", "sret", "timm_resnet", "mixer", "shared", "multihead"])
def test_every_family_has_a_landscape(family: str) -> None:
    model = alive(family)
    given = [Side("quantized", "it", model), Side("float", "it", dequantize(model))]
    begun = begin(given, seen(), ScanSettings(points=3, reach=0.5), subject="it", about="it")
    found = scan(begun, given, seen(), lambda held: None, PowerSettings(iterations=1))
    assert found.done and all(len(set(surface.losses)) == 3 for surface in found.surfaces)


def test_broken_weights_are_named() -> None:
    given = sides()
    given[1].model.blocks[0].mlp.fc1.weight.data[3, 3] = torch.nan
    with pytest.raises(ValueError, match=r"weights of run are broken, blocks\.0\.mlp\.fc1\.weight holds NaN"):
        scanned(given)


def test_images_of_one_class_are_refused() -> None:
    same = [batch._replace(targets=torch.zeros_like(batch.targets)) for batch in batches()]
    with pytest.raises(ValueError, match="all images are of one class, and a loss on them says little of run"):
        begin(sides(), same, ScanSettings(points=5), subject="run", about="best.pt")
