"""Attention over texts: each text as its tokens, shaded by what is looked at, and every head over all pairs of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stillbit.analysis.attention import Attention, Map, Seen
from stillbit.analysis.markup import Child, Markup, tag
from stillbit.analysis.plot.figure import Figure, Option
from stillbit.analysis.sentence import Sentence
from stillbit.analysis.svg.colour import ink_on, ramp
from stillbit.analysis.svg.marks import scale
from stillbit.analysis.svg.plane import LETTER, WIDTH, cut, label, picture
from stillbit.analysis.svg.png import cells

GAP = 14.0
NAME = 11
"""Letters of a model's name beside its row of tokens."""
LINE = 22.0
CELL = 11.0
"""Of a token, in the panel of a head."""
SMALL = 5.6
"""How wide a letter beside a panel is, about."""
LONGEST = 12
"""Letters of a token beside a panel; the middle of a longer one is left out."""


def strips(record: Attention, name: str) -> Markup:
    """Every text once a model, its tokens shaded by the map of this name."""
    models = [one for one in record.models if one.maps]
    parts: list[Child] = [label(GAP, 16, _alike(models, name), class_="small")]
    top = 40.0 if len(models) > 1 else 20.0
    for row, sentence in enumerate(record.sentences):
        parts.append(label(GAP, top, _told(sentence), class_="head"))
        top += 8
        for one in models:
            held = one.maps[row]
            shares = (held.fused if name == "fused" else held.rollout)[0]
            parts.append(tag("g", tag("title", one.about), label(GAP, top + 14, cut(one.name, NAME), class_="small")))
            drawn, top = _tokens(sentence, shares, top)
            parts += drawn
        top += 26
    about = f"{len(record.sentences)} texts, each once for every model: {', '.join(one.name for one in models)}"
    return picture(f"Attention over tokens, {name}", about, top - 16, *parts)


def heads(record: Attention) -> Figure:
    """A picture a text and model: a panel a head of the last attention."""
    options = tuple(
        Option(name=f"text {sentence.number}, {one.name}", svg=_panels(sentence, one, one.maps[row]))
        for one in record.models  # outside, so that a page with room for every second picture has some of each
        for row, sentence in enumerate(record.sentences)
        if one.maps
    )
    caption = (
        "Every head of the last attention: a row is a token that looks, a column one that is looked at, and dark is "
        "much (by the square root, of the largest in the picture). A dark column is a token that all look at."
    )
    return Figure(
        name="attention-heads", title="What each head looks at", caption=caption, options=options, choose="text"
    )


def _told(sentence: Sentence) -> str:
    shown = "" if len(sentence.tokens) == sentence.of else f", its first {len(sentence.tokens)} of {sentence.of} tokens"
    return f"text {sentence.number}, class {sentence.target:g}{shown}"


def _alike(models: Sequence[Seen], name: str) -> str:
    """How alike the maps of all texts are to those of the first model."""
    values = [(one.name, one.fused_correlation if name == "fused" else one.rollout_correlation) for one in models[1:]]
    said = ", ".join(f"{cut(who, NAME)} {value:.3f}" for who, value in values if value is not None)
    return f"Spearman's ρ with {cut(models[0].name, NAME)}: {said}" if said else ""


def _tokens(sentence: Sentence, shares: Sequence[float], top: float) -> tuple[list[Child], float]:
    """Boxes in lines that fit, and where the next thing may begin."""
    left = GAP + LETTER * NAME + 8
    # The first token sees itself most, in a rollout above all: beside it all others would look alike.
    least, most = min(shares), max(shares[1:] or shares)
    x, parts = left, list[Child]()
    for words, share in zip(sentence.tokens, shares, strict=True):
        wide = LETTER * len(words) + 7
        if x + wide > WIDTH - GAP and x > left:
            x, top = left, top + LINE
        colour = ramp((share - least) / (most - least) if most > least else 0.5)
        box = tag("rect", x=x, y=top, width=wide, height=LINE - 3, rx=2.0, fill=colour)
        word = tag("text", words, x=x + wide / 2, y=top + 14, text_anchor="middle", class_=f"in {ink_on(colour)}")
        parts.append(tag("g", tag("title", f"{words}: {100 * share:.2f} %"), box, word))
        x += wide + 2
    return parts, top + LINE


def _panels(sentence: Sentence, one: Seen, held: Map) -> Markup:
    """Panels side by side, the tokens above each and beside the first of a row."""
    words = [cut(word, LONGEST) for word in sentence.tokens]
    room, side = SMALL * max(map(len, words)) + 8, CELL * len(words)
    columns = max(1, int((WIDTH - room - GAP) / (side + GAP)))
    most = max(max(map(max, head)) for head in held.heads) or 1.0
    high = side + room + 30
    parts: list[Child] = [scale(WIDTH - 220, 8, "0", f"{most:.3g}", wide=140.0)]
    for head, rows in enumerate(held.heads):
        left, top = room + (head % columns) * (side + GAP), 30 + (head // columns) * high
        parts.append(label(left, top + 4, f"head {head}", class_="head"))
        parts += _above(words, left, top + room + 8)
        if head % columns == 0:
            parts += _aside(words, left, top + room + 8)
        shares = [[(value / most) ** 0.5 for value in row] for row in rows]
        parts.append(_panel(shares, f"head {head} of {one.name}", left, top + room + 12, side))
    about = f"{len(held.heads)} heads of {one.name} over {_told(sentence)}"
    return picture("Attention, head by head", about, 34 + -(-len(held.heads) // columns) * high, *parts)


def _panel(shares: Sequence[Sequence[float]], says: str, left: float, top: float, side: float) -> Markup:
    held = f"data:image/png;base64,{cells(shares)}"
    image = tag("image", href=held, x=left, y=top, width=side, height=side, class_="cells")
    return tag("g", tag("title", says), image, tag("rect", x=left, y=top, width=side, height=side, class_="frame"))


def _above(words: Sequence[str], left: float, bottom: float) -> Iterator[Markup]:
    """The words of the columns, upright."""
    for column, word in enumerate(words):
        x = left + (column + 0.5) * CELL + 3
        yield tag("text", word, transform=f"translate({x:.1f} {bottom:.1f}) rotate(-90)", class_="token")


def _aside(words: Sequence[str], left: float, top: float) -> Iterator[Markup]:
    """Those of the rows, from the top."""
    for row, word in enumerate(words):
        yield tag("text", word, x=left - 4, y=top + 4 + (row + 0.5) * CELL + 3, text_anchor="end", class_="token")
