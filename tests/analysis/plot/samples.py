"""One record of every kind, small, with numbers made up by a formula and names that try to be markup."""

from __future__ import annotations

import math
from dataclasses import replace

from stillbit.analysis.activations import Flow, Ranges
from stillbit.analysis.attention import Attention, Looks, Map, Picture, Seen
from stillbit.analysis.cost import Cost, LayerCost, Point
from stillbit.analysis.curves import Curve, Curves
from stillbit.analysis.distributions import Channel, Ridge, Ridges, Spread
from stillbit.analysis.error import Errors, GradientAgreement, TensorError
from stillbit.analysis.hardware import Design, Hardware, Unit
from stillbit.analysis.landscape import Curvature, Landscape, Surface
from stillbit.analysis.latent import Latents
from stillbit.analysis.oscillation import (
    HeadPair,
    LayerPast,
    Moment,
    Oscillations,
    Path,
    Tracked,
    Unsettled,
)
from stillbit.analysis.record import Record
from stillbit.analysis.sdam import Deviation
from stillbit.analysis.sensitivity import Agreement, Group, Scores, Sensitivity
from stillbit.analysis.sentence import Sentence
from stillbit.analysis.variation import Variation

EVIL = "<script>alert(1)</script>\"'&]]>"
"""A name that would run, were it not escaped."""
LAYERS = ("blocks.0.attn.qkv", "blocks.1.attn.qkv", "blocks.2.attn.qkv", f"blocks.0.{EVIL}")
HEADS = 3


def attentions() -> tuple[str, ...]:
    """Those of the layers that have heads."""
    return tuple(layer for layer in LAYERS if layer.endswith("qkv"))


# The smallest picture there is: one grey pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="


def wave(*at: float) -> float:
    """Some number between 0 and 1 that looks like data."""
    return 0.5 + 0.5 * math.sin(sum((index + 1.7) * value for index, value in enumerate(at, 1)))


def curves(subject: str = "run") -> Curves:
    steps = tuple(range(10, 310, 10))
    falling = tuple(2 + wave(step) / 4 - step / 200 for step in steps)
    return Curves(
        subject=subject,
        epochs=3,
        planned=5,
        steps=300,
        steps_an_epoch=100.0,
        seconds=61.5,
        ended=False,
        best=71.25,
        best_epoch=2,
        curves=(
            _curve("loss", "step", steps, falling),
            _curve("top1", "epoch", (100, 200, 300), (40.0, 60.0, 71.25)),
            _curve(EVIL, "epoch", (100, 200, 300), (1.0, 1.0, 1.0)),
            _curve("once", "epoch", (100,), (1.0,)),
        ),
    )


def _curve(name: str, per, steps: tuple[int, ...], values: tuple[float, ...]) -> Curve:
    return Curve(
        name=name,
        per=per,
        steps=steps,
        values=values,
        logged=len(steps),
        broken=0,
    )


def oscillation(subject: str = "run", *, tracked: bool = True) -> Oscillations:
    return Oscillations(subject=subject, about="best.pt", tracked=_tracked() if tracked else None, latents=_latents())


def _tracked() -> Tracked:
    steps = tuple(range(100, 160))
    return Tracked(
        momentum=0.01,
        threshold=0.005,
        every=1,
        looks=300,
        step=300,
        weights=4_000,
        oscillating=0.05,
        layers=tuple(_unsettled(layer, None, None, index) for index, layer in enumerate(LAYERS)),
        pieces=tuple(
            _unsettled(layer, role, head, index + head)
            for index, layer in enumerate(attentions())
            for role in ("query", "key")
            for head in range(HEADS)
        ),
        moments=tuple(
            Moment(epoch=epoch, step=100 * epoch + 100, oscillating=0.1 / (epoch + 1), moved=0.2) for epoch in range(3)
        ),
        past_steps=(100, 200, 300),
        past=tuple(
            LayerPast(layer=layer, oscillating=(0.1, 0.08, 0.05), scale=(0.1, 0.11, 0.12 + index / 100))
            for index, layer in enumerate(LAYERS)
        ),
        path_steps=steps,
        paths=tuple(
            Path(
                layer=layer,
                index=index,
                low=-2,
                high=1,
                positions=tuple(1.6 * wave(step / 9, index) - 0.9 for step in steps),
                flips=5 + index,
            )
            for layer in LAYERS
            for index in range(8)
        ),
        pairs=tuple(
            HeadPair(layer=layer, head=head, query=wave(index, head) / 10, key=wave(index, head, 1) / 10)
            for index, layer in enumerate(attentions())
            for head in range(HEADS)
        ),
        together=0.42,
    )


def _unsettled(layer: str, role: str | None, head: int | None, seed: int) -> Unsettled:
    return Unsettled(
        layer=layer,
        role=role,
        head=head,
        bits=2,
        weights=1_000,
        oscillating=wave(seed) / 10,
        frequency=wave(seed) / 50,
        flips=100 + seed,
        moved=0.2,
        upward=0.5,
    )


def _latents() -> tuple[Latents, ...]:
    return tuple(
        Latents(
            layer=layer,
            bits=2,
            weights=1_000,
            low=-2,
            high=1,
            first=-3.0,
            per_code=8,
            counts=tuple(int(40 * wave(bar / 3, index)) for bar in range(40)),
            below=0,
            above=3,
            clipped=0.01,
            near=0.12,
            undecided=0.01,
        )
        for index, layer in enumerate(LAYERS)
    )


def variation(subject: str = "run", *, images: int = 8) -> Variation:
    return Variation(
        subject=subject,
        about="best.pt",
        images=images,
        parameters=10_000,
        weights=_deviations(),
        activations=_deviations() if images else (),
        spreads=tuple(
            Spread(
                layer=layer,
                role=role,
                head=head,
                count=100,
                mean=0.0,
                deviation=0.1,
                magnitude=0.05 + wave(index, head) / 20,
                kurtosis=2.5 + 4 * wave(index, head, 2),
                beyond3=0.003,
                beyond6=0.0,
                peak=5.0,
            )
            for index, layer in enumerate(attentions())
            for role in ("query", "key", "value")
            for head in range(HEADS)
        ),
        channels=tuple(
            Channel(
                layer=LAYERS[0], role="query", head=0, side="output", index=index, loudness=2.0, peak=20.0 / (index + 1)
            )
            for index in range(5)
        ),
        ridges=tuple(
            Ridges(layer=layer, by=by, of=9, edges=_edges(), lines=_ridges())
            for layer in LAYERS
            for by in ("head", "channel")
        ),
        flows=tuple(
            Flow(
                layer=layer,
                role="input",
                head=None,
                count=100,
                mean=0.0,
                deviation=1.0,
                magnitude=0.8,
                kurtosis=3.0,
                peak=4 + index,
            )
            for index, layer in enumerate(LAYERS if images else ())
        ),
        ranges=tuple(_range(layer, by) for layer in LAYERS for by in ("channel", "token")) if images else (),
    )


def _deviations() -> tuple[Deviation, ...]:
    return (
        Deviation(over="modules", parts=12, sets=1, mean=0.1, deviation=0.02, relative=0.2),
        Deviation(over="heads", parts=9, sets=3, mean=0.1, deviation=0.01, relative=0.1),
    )


def _edges() -> tuple[float, ...]:
    return tuple(-0.2 + 0.4 * index / 24 for index in range(25))


def _ridges() -> tuple[Ridge, ...]:
    return tuple(
        Ridge(
            role=role,
            index=head,
            counts=tuple(int(100 * math.exp(-(((bar - 12) / (2.5 + head + place)) ** 2))) for bar in range(24)),
            quantiles=(-0.2, -0.15, -0.05, 0.0, 0.05, 0.15, 0.2),
        )
        for place, role in enumerate(("query", "key", "value"))
        for head in range(HEADS)
    )


def _range(layer: str, by) -> Ranges:
    at = tuple(range(20))
    return Ranges(
        layer=layer,
        by=by,
        of=40,
        index=at,
        low=tuple(-2 - wave(i) for i in at),
        low_usual=tuple(-1 - wave(i) / 3 for i in at),
        high_usual=tuple(1 + wave(i) / 3 for i in at),
        high=tuple(2 + wave(i) for i in at),
    )


def cost(subject: str = "run", *, top1: float | None = 71.25, bits: float = 2.0) -> Cost:
    return Cost(
        subject=subject,
        about="best.pt",
        image="3 x 32 x 32",
        layers=tuple(
            LayerCost(
                layer=layer,
                role="qkv",
                product=product,
                heads=3,
                macs=1e6 * (index + 1),
                left_bits=bits,
                right_bits=bits,
                bitops=bits * bits * 1e6 * (index + 1),
                weight_bytes=1e3,
                activation_bytes=2e3,
                outputs=1e4,
                scales=1,
            )
            for index, layer in enumerate(LAYERS)
            for product in ("weight", "scores", "mixing")
        ),
        parameters=10_000,
        macs=3e7,
        bitops=bits * bits * 3e7,
        weight_bytes=4e3,
        activation_bytes=8e3,
        points=(
            Point(name="as it is", bitops=bits * bits * 3e7, weight_bytes=4e3, top1=top1),
            Point(name="float", bitops=1024 * 3e7, weight_bytes=4e4, top1=None),
            Point(name="w4a4", bitops=16 * 3e7, weight_bytes=8e3, top1=None),
        ),
        hardware=Hardware(
            source="a paper",
            formulas=("a = b",),
            units=(Unit(name="2 x 2 bits", bits=2.0, area=50.0, energy=0.01),),
            weight_bits=2.0,
            activation_bits=2.0,
            imagined=True,
            designs=(
                Design(name="single", about="One width.", area=100.0, mac_energy=5.0, scale_energy=0.5),
                Design(name="mixed, widest", about="As wide.", area=200.0, mac_energy=9.0, scale_energy=0.4),
            ),
        ),
    )


def error(subject: str = "run") -> Errors:
    return Errors(
        subject=subject,
        about="best.pt",
        images=16,
        loss=1.5,
        float_loss=1.0,
        weights=tuple(_tensor(layer, "weight", None, index) for index, layer in enumerate(LAYERS)),
        pieces=tuple(
            _tensor(layer, part, head, index + head)
            for index, layer in enumerate(attentions())
            for part in ("query", "key", "value")
            for head in range(HEADS)
        ),
        activations=(
            *(_tensor(layer, "input", None, index + 5) for index, layer in enumerate(LAYERS)),
            TensorError(
                layer="head", role="input", head=None, bits=8, relative=0.0, sqnr=None, clipped=0.0, elements=9
            ),
        ),
        gradients=tuple(
            GradientAgreement(layer=layer, cosine=wave(index), ratio=1.0) for index, layer in enumerate(LAYERS)
        ),
        agreement=0.6,
    )


def _tensor(layer: str, role: str, head: int | None, seed: int) -> TensorError:
    return TensorError(
        layer=layer,
        role=role,
        head=head,
        bits=2.0,
        relative=0.1,
        sqnr=4 + 12 * wave(seed),
        clipped=0.01,
        elements=1_000,
    )


def sensitivity(subject: str = "run", question="lower") -> Sensitivity:
    layers = attentions()
    named = [("role", role, None, None) for role in ("all", "FFN", "MHSA", "query")]
    named += [("layer", layer, layer, None) for layer in LAYERS]
    named += [("head", f"{layer} head {head}", layer, head) for layer in layers for head in range(HEADS)]
    groups = tuple(_group(by, name, layer, head, seed) for seed, (by, name, layer, head) in enumerate(named))
    return Sensitivity(
        subject=subject,
        question=question,
        low="w2a2",
        high="w8a8",
        source="its own latents",
        images=64,
        outputs=10,
        calibration_images=64,
        steps=0,
        reference=Scores(top1=0.9, loss=0.3, kl=0.0),
        base=Scores(top1=0.89, loss=0.31, kl=0.001),
        groups=groups,
        agreements=(Agreement(by="head", groups=9, with_kl=0.7, with_loss=None),),
    )


def _group(by, name: str, layer: str | None, head: int | None, seed: int) -> Group:
    kl = 0.01 + wave(seed) / 4
    return Group(
        by=by,
        name=name,
        layer=layer,
        head=head,
        parameters=100,
        share=0.01,
        scores=Scores(top1=0.89 - kl / 3, loss=0.31 + kl, kl=kl),
        loss_error=0.01,
        proxy=kl**2,
    )


def landscape(subject: str = "run", *, dimensions=2, whole: bool = True) -> Landscape:
    points = 11
    at = [2 * (index - 5) / 10 for index in range(points)]
    grid = [(x, y) for y in (at if dimensions == 2 else [0.0]) for x in at]
    return Landscape(
        subject=subject,
        about="best.pt",
        data="0" * 64,
        dimensions=dimensions,
        points=points,
        reach=1.0,
        images=64,
        seed=0,
        surfaces=tuple(
            Surface(
                of=of,
                about="best.pt",
                weights="0" * 64,
                losses=tuple(
                    None if index == 3 and not whole else 0.3 + x * x + 2 * y * y + shift * wave(9 * x, 7 * y)
                    for index, (x, y) in enumerate(grid)
                ),
                top1s=tuple(None if index == 3 and not whole else 90.0 for index in range(len(grid))),
                curvatures=(
                    Curvature(how="exact", distance=None, eigenvalue=12.5, iterations=20, residual=1e-4, images=16),
                ),
            )
            for of, shift in (("quantized", 0.6), ("float", 0.1))
        ),
    )


def attention(subject: str = "run", *, maps: bool = True) -> Attention:
    def seen(name: str, shift: float) -> Seen:
        return Seen(
            name=name,
            about="",
            layers=tuple(
                Looks(
                    layer=layer,
                    keys=17,
                    entropy=tuple(1 + wave(index, head) + shift for head in range(HEADS)),
                    silent=(0.0,) * HEADS,
                    correlation=tuple(1 - shift * wave(index, head) for head in range(HEADS)),
                )
                for index, layer in enumerate(LAYERS)
            ),
            fused_correlation=1 - shift if maps else None,
            rollout_correlation=1 - shift if maps else None,
            maps=tuple(_map(image, shift) for image in range(2)) if maps else (),
        )

    return Attention(
        subject=subject,
        images=16,
        reads="The class token's",
        no_maps="" if maps else "Windows have no map of the whole image.",
        models=(seen("float", 0.0), seen(EVIL, 0.4)),
        pictures=tuple(Picture(number=image, target=image, png=PIXEL) for image in range(2)) if maps else (),
    )


def _map(image: int, shift: float) -> Map:
    rows = tuple(tuple(wave(row, column, image, shift) for column in range(4)) for row in range(4))
    return Map(fused=rows, rollout=tuple(reversed(rows)))


def reading(subject: str = "run") -> Attention:
    """Attention over texts, the first of four tokens, the second of three out of many."""
    held = attention(subject)
    texts = (("[CLS]", EVIL, "words", "[SEP]"), ("[CLS]", "a" * 30, "b"))
    sentences = tuple(
        Sentence(number=7 + number, target=float(number), tokens=tokens, of=4 + 36 * number)
        for number, tokens in enumerate(texts)
    )
    models = tuple(
        replace(seen, maps=tuple(_text_map(len(tokens), shift) for tokens in texts))
        for shift, seen in enumerate(held.models)
    )
    return replace(held, models=models, pictures=(), sentences=sentences, what="texts")


def _text_map(tokens: int, shift: int) -> Map:
    rows = tuple(tuple(wave(row, column, shift) for column in range(tokens)) for row in range(tokens))
    return Map(fused=rows[:1], rollout=rows[1:2], heads=(rows,) * HEADS)


def every(subject: str = "run") -> tuple[Record, ...]:
    """One of each kind."""
    return (
        curves(subject),
        oscillation(subject),
        variation(subject),
        cost(subject),
        error(subject),
        sensitivity(subject),
        landscape(subject),
        attention(subject),
    )
