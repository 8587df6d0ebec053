"""Where models look: maps over pictures side by side, and how far each layer's attention is from the float model's."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from stillbit.analysis.attention import Attention, Picture, Seen
from stillbit.analysis.markup import Child, Markup, tag
from stillbit.analysis.plot.charts import Series, Words, lines
from stillbit.analysis.plot.figure import Figure, figure
from stillbit.analysis.plot.tokens import heads, strips
from stillbit.analysis.svg.plane import WIDTH, cut, label, picture
from stillbit.analysis.svg.png import shade

GAP = 10.0
HEAD = 40.0
"""Room for the names above the columns."""
SIDE = 132.0
"""Of a picture at most."""
PLACES = "Bright places are looked at (by the square root): models that see the same have the same bright places."
TOKENS = (
    "Dark tokens are looked at, from the least to the most of a row; the first token, which sees itself, is not what "
    "the most is taken from. Models that see the same have the same dark tokens."
)


def figures(record: Attention) -> tuple[Figure, ...]:
    """Maps where there are some, then entropy and correlation by layer."""
    return (*_maps(record), _entropy(record), *_correlation(record))


def _maps(record: Attention) -> tuple[Figure, ...]:
    if not any(one.maps for one in record.models):
        return ()
    over, shades = ("each text", TOKENS) if record.sentences else ("each image", PLACES)
    reads = record.reads[:1].lower() + record.reads[1:]
    found = []
    for name, title, says in (
        ("fused", "What the last layer looks at", "the last attention, of all heads the largest"),
        ("rollout", "What the output depends on", "attention rolled out through all layers (Abnar and Zuidema 2020)"),
    ):
        caption = f"{says[0].upper()}{says[1:]}, over {over}; it is {reads}. {shades}"
        drawn = strips(record, name) if record.sentences else _grid(record, name)
        found.append(figure(f"attention-{name}", title, caption, drawn, spare=name == "rollout"))
    return (*found, *((heads(record),) if record.sentences else ()))


def _grid(record: Attention, name: str) -> Markup:
    models = [one for one in record.models if one.maps]
    count = len(models) + 1
    side = min(SIDE, (WIDTH - GAP * (count + 1)) / count)
    parts: list[Child] = [label(GAP, HEAD - 22, "image", class_="head")]
    room = max(4, int(side / 6.8))
    for column, one in enumerate(models, 1):
        left = GAP + column * (side + GAP)
        parts.append(label(left, HEAD - 22, cut(one.name, room), class_="head"))
        if column > 1:  # the first is what the others are compared with
            parts.append(label(left, HEAD - 7, _related(one, name), class_="small"))
    for row, image in enumerate(record.pictures):
        top = HEAD + row * (side + GAP)
        known_as = _id(record.subject, name, str(row), image.png)
        parts.append(_image(image, known_as, GAP, top, side))
        for column, one in enumerate(models, 1):
            held = one.maps[row]
            heights = held.fused if name == "fused" else held.rollout
            by = column * (side + GAP)
            parts.append(_shaded(known_as, heights, by, GAP + by, top, side))
    about = (
        f"{len(record.pictures)} images in rows; the columns are the image and {', '.join(one.name for one in models)}"
    )
    return picture(f"Attention maps, {name}", about, HEAD + len(record.pictures) * (side + GAP), *parts)


def _id(*words: str) -> str:
    """A name within a page, on which many pictures of many runs may stand."""
    return "image-" + sha256("\0".join(words).encode("utf-8", "replace")).hexdigest()[:16]


def _related(one: Seen, name: str) -> str:
    value = one.fused_correlation if name == "fused" else one.rollout_correlation
    return "" if value is None else f"ρ = {value:.3f}"


def _image(image: Picture, known_as: str, left: float, top: float, side: float) -> Markup:
    says = f"image {image.number} of its data, class {image.target}"
    held = tag("image", href=f"data:image/png;base64,{image.png}", x=left, y=top, width=side, height=side, id=known_as)
    return tag("g", tag("title", says), held)


def _shaded(
    known_as: str, heights: Sequence[Sequence[float]], by: float, left: float, top: float, side: float
) -> Markup:
    """The image, ``by`` to the right of where it is drawn first, under a shade that lets through what is looked at."""
    veil = f"data:image/png;base64,{shade(heights)}"
    over = tag("image", href=veil, x=left, y=top, width=side, height=side, preserveAspectRatio="none")
    return tag("g", tag("use", href=f"#{known_as}", x=by), over)


def _entropy(record: Attention) -> Figure:
    held = [
        Series(one.name, [(float(index), _mean(layer.entropy)) for index, layer in enumerate(one.layers)])
        for one in record.models
    ]
    said = Words(
        title="Entropy of attention by layer",
        about="A line a model",
        x="attention, in order",
        y="nats",
        zero=True,
        whole_x=True,
    )
    caption = (
        f"How widely attention is spread, mean over heads and {record.images:,} {record.what}, from the first layer to "
        "the last. Low is a sharp look, high is an even one; a line that leaves the float one's changed its way of "
        "looking."
    )
    return figure("attention-entropy", "How sharp the looks are", caption, lines(said, held, dots=True))


def _correlation(record: Attention) -> tuple[Figure, ...]:
    held = [
        Series(one.name, [(float(index), _mean(layer.correlation)) for index, layer in enumerate(one.layers)])
        for one in record.models[1:]
    ]
    if not held:
        return ()
    said = Words(
        title="Rank correlation with the float model",
        about="A line a model",
        x="attention, in order",
        y="Spearman's ρ",
        whole_x=True,
    )
    caption = (
        "Whether each layer still ranks what it looks at as the float model's does: 1 is the same order, 0 none. "
        "A drop marks the layer at which the looks part."
    )
    return (figure("attention-correlation", "Where the looks part", caption, lines(said, held, dots=True)),)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(len(values), 1)
