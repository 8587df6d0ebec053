"""Which part suffers from few bits: bars by role and layer, a map of heads, and what a cheap ranking knew of it."""

from __future__ import annotations

from stillbit.analysis.markup import Markup
from stillbit.analysis.plot.charts import Bar, Dot, Heat, Part, Words, bars, heat, scatter
from stillbit.analysis.plot.figure import Figure, Option, figure
from stillbit.analysis.sensitivity import Group, Sensitivity
from stillbit.analysis.svg.axis import short
from stillbit.analysis.svg.colour import series

TITLES = {"role": "Roles", "block": "Blocks", "layer": "Layers", "head": "Heads"}


def figures(record: Sensitivity) -> tuple[Figure, ...]:
    """A figure a kind of group, the heads as a map, and what the proxy knew."""
    kinds = dict.fromkeys(group.by for group in record.groups)
    ranked = tuple(_bars(record, by) for by in kinds if by != "head")
    return (*(_heads(record) if "head" in kinds else ()), *ranked, *_proxy(record))


def _bars(record: Sensitivity, by: str) -> Figure:
    # Roles are few and ranked; blocks and layers keep the order of the model, in which neighbours mean something.
    groups = record.of("role") if by == "role" else tuple(one for one in record.groups if one.by == by)
    options = (
        Option(name="divergence", svg=_measured(record, groups, by, "kl")),
        Option(name="loss", svg=_measured(record, groups, by, "loss")),
        Option(name="top-1", svg=_measured(record, groups, by, "top1")),
    )
    return Figure(
        name=f"sensitivity-{by}",
        title=TITLES[by],
        caption=f"{_asked(record)} {_read(record)} {_how(record)}",
        options=options,
        choose="score",
    )


def _measured(record: Sensitivity, groups: tuple[Group, ...], by: str, score: str) -> Markup:
    rows = [Bar(one.name, (Part(_score(record, one, score), _says(record, one)),)) for one in groups]
    x = {
        "kl": "divergence from the float model, nats",
        "loss": "change of the loss",
        "top1": "change of top-1, percentage points",
    }[score]
    largest = max((one.scores.kl for one in groups), default=0.0)
    visible = score == "kl" and record.base.kl > largest / 50
    rule = ((record.base.kl, "all at the base"),) if visible else ()
    said = Words(title=f"{TITLES[by]} by {x}", about=_asked(record), x=x)
    return bars(said, rows, rules=rule)


def _heads(record: Sensitivity) -> tuple[Figure, ...]:
    held = [one for one in record.groups if one.by == "head" and one.head is not None]
    layers = list(dict.fromkeys(one.layer or one.name for one in held))
    heads = sorted({one.head for one in held if one.head is not None})
    options = []
    for name, score, unit in (("divergence", "kl", " nats"), ("loss", "loss", ""), ("top-1", "top1", " points")):
        known = {(one.layer or one.name, one.head): _score(record, one, score) for one in held}
        values = [[known.get((layer, head)) for head in heads] for layer in layers]
        said = Words(title=f"Heads by {name}", about="A row an attention, a column a head", x="head", zero=True)
        drawn = heat(
            said,
            Heat(layers, [str(head) for head in heads], values),
            ramp="amount" if score == "kl" else "change",
            unit=unit,
        )
        options.append(Option(name=name, svg=drawn))
    worst = record.of("head")[0]
    caption = f"{_asked(record)} {_read(record)} First comes {worst.name}. {_how(record)}"
    return (Figure(name="sensitivity-head", title="Heads", caption=caption, options=tuple(options), choose="score"),)


def _proxy(record: Sensitivity) -> tuple[Figure, ...]:
    kinds = list(dict.fromkeys(one.by for one in record.groups))
    dots = [
        Dot(
            one.proxy,
            _score(record, one, "kl"),
            one.name,
            f"{_says(record, one)}, proxy {short(one.proxy)}",
            series(kinds.index(one.by)),
        )
        for one in record.groups
        if one.proxy > 0 and _score(record, one, "kl") > 0
    ]
    if len(dots) < 3:
        return ()
    related = "; ".join(f"{one.by}: {one.with_kl:+.2f}" for one in record.agreements if one.with_kl is not None)
    said = Words(
        title="The cheap ranking against the measured one",
        about="A dot a group",
        x="squared gradient times squared error, one backward pass",
        y="measured divergence, nats",
        log_x=True,
        log_y=True,
    )
    caption = (
        "Each dot is a group: what one backward pass says of it against what was measured. Dots on a rising line mean "
        f"that the cheap ranking can be trusted; Spearman's correlation by kind: {related or 'not known'}."
    )
    classes = [(TITLES[kind].lower(), series(index)) for index, kind in enumerate(kinds)]
    return (
        figure(
            "sensitivity-proxy",
            "A cheap ranking",
            caption,
            scatter(said, dots, classes=classes, named=False),
            spare=True,
        ),
    )


def _score(record: Sensitivity, one: Group, score: str) -> float:
    if score == "kl":
        return one.scores.kl
    if score == "loss":
        return one.scores.loss - record.base.loss
    return 100 * (one.scores.top1 - record.base.top1)


def _says(record: Sensitivity, one: Group) -> str:
    return (
        f"{one.name}: divergence {one.scores.kl:.4g}, loss {one.scores.loss:.4g} "
        f"({one.scores.loss - record.base.loss:+.3g}), top-1 {100 * one.scores.top1:.2f} %"
    )


def _asked(record: Sensitivity) -> str:
    if record.question == "lower":
        return f"What happens when only this part has {record.low} and the rest {record.high}."
    return f"What happens when everything has {record.low} and only this part stays float."


def _read(record: Sensitivity) -> str:
    return {
        "lower": "The longer or darker, the more it needs its bits.",
        "keep": "The shorter or paler, the more this part was to blame.",
    }[record.question]


def _how(record: Sensitivity) -> str:
    how = f"{record.steps} training steps each" if record.steps else "calibration alone"
    return f"Measured on {record.images:,} {record.what}, with {how}."
