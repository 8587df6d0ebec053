"""``stillbit predict`` with texts: what they are, where each comes from, and what is said of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from rich.console import Console

from stillbit.cli.predict_show import head, likeliest, show
from stillbit.data.wordpiece import Pieces
from stillbit.deploy.about import Reading
from stillbit.deploy.engine import Opened
from stillbit.deploy.texts import inputs_of, lengths_of, pieces_of

if TYPE_CHECKING:
    from stillbit.cli.predict import Predict

STDIN = Path("-")
BOM = b"\xef\xbb\xbf"


class Question(NamedTuple):
    """One text, or two that belong together; or why there is none."""

    place: str
    """Where it stands, for a message."""
    texts: tuple[str, ...]
    fault: str = ""
    line: int | None = None
    """Of a file."""


def read(asked: Predict, opened: Opened) -> int:
    """A block of lines a text; one that cannot be used is named, and the others are shown."""
    reading = opened.about.text
    assert reading is not None, "asked only of a model of texts"
    pieces = pieces_of(reading, asked.file.parent)
    console, aside = Console(highlight=False), Console(stderr=True, highlight=False)
    found: list[dict[str, Any]] = []
    broken = 0
    for question in _questions(asked, reading):
        fault = question.fault or _fault(question.texts)
        if fault:
            broken += 1
            aside.print(f"stillbit: {question.place}: {fault}", markup=False, soft_wrap=True)
            continue
        said = _answer(opened, pieces, question, asked.top)
        if not asked.json:
            _show(console, said, reading, apart=bool(found))
        found.append(said)
    if not found and not broken:
        raise ValueError(f"there is no text in {asked.lines}: give a text a line")
    if asked.json:
        console.print_json(data=found)
    return 2 if broken else 0


def _answer(opened: Opened, pieces: Pieces, question: Question, top: int) -> dict[str, Any]:
    """What is said of a text: its classes, or its number."""
    engine, about = opened
    assert about.text is not None, "asked only of a model of texts"
    sides = [[text] for text in question.texts]
    length = int(lengths_of(pieces, *sides)[0])
    logits = engine(*inputs_of(about.text, pieces, *sides))[0]
    said: dict[str, Any] = {} if question.line is None else {"line": question.line}
    said |= {"texts": list(question.texts), "pieces": length, "cut": length > about.text.length}
    if len(logits) == 1:
        return {**said, "number": float(logits[0])}
    return {**said, "classes": likeliest(logits, about.classes, top)}


def _questions(asked: Predict, reading: Reading) -> Iterator[Question]:
    """From a file, or from the command line; never from both."""
    if asked.lines is None:
        yield from _of_words(asked.given, reading)
    elif asked.given:
        raise ValueError("texts come from the command line or from a file: leave out --lines, or the texts")
    elif asked.lines == STDIN:
        yield from _without_blank_end(_of_lines(sys.stdin.buffer, "stdin", reading))
    elif asked.lines.is_file():
        with asked.lines.open("rb") as file:
            yield from _without_blank_end(_of_lines(file, str(asked.lines), reading))
    else:
        raise ValueError(f"there is no file {asked.lines}: give one with a text a line, or - for stdin")


def _of_words(words: Sequence[str], reading: Reading) -> list[Question]:
    file = next((word for word in words if " " not in word and Path(word).is_file()), None)
    if file is not None:
        raise ValueError(f"{file} is a file, and this model reads texts: --lines {file} takes a text a line")
    if not reading.pairs:
        return [Question(f"text {number}", (word,)) for number, word in enumerate(words, start=1)]
    if len(words) % 2:
        raise ValueError(
            f"this model was trained on pairs of texts, and there {'is' if len(words) == 1 else 'are'} {len(words)}: "
            'give two for each answer, as in "the first" "the second"'
        )
    pairs = zip(words[::2], words[1::2], strict=True)
    return [Question(f"pair {number}", pair) for number, pair in enumerate(pairs, start=1)]


def _of_lines(file: BinaryIO, name: str, reading: Reading) -> Iterator[Question]:
    """A line ends with a line feed and with nothing else; so it is in the files to train on."""
    for number, raw in enumerate(file, start=1):
        place = f"{name}, line {number}"
        try:
            line = (raw.removeprefix(BOM) if number == 1 else raw).decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            yield Question(place, (), f"byte {error.start + 1} of the line is no UTF-8", number)
            continue
        texts = tuple(line.split("\t")) if reading.pairs else (line,)
        wrong = f"it has {len(texts)} of the two texts of a pair, which a tab keeps apart"
        right = len(texts) == 2 or not reading.pairs or not line.strip()
        yield Question(place, texts, "" if right else wrong, number)


def _without_blank_end(questions: Iterator[Question]) -> Iterator[Question]:
    """An empty line is a fault, unless nothing follows."""
    blank: list[Question] = []
    for question in questions:
        if question.texts and not any(text.strip() for text in question.texts):
            blank.append(question)
        else:
            yield from blank
            blank.clear()
            yield question


def _fault(texts: tuple[str, ...]) -> str:
    """Why nothing can be said of these."""
    if not all(text.strip() for text in texts):
        return (
            "it is empty" if len(texts) == 1 or not any(text.strip() for text in texts) else "one of its texts is empty"
        )
    if any("\udc80" <= letter <= "\udcff" for text in texts for letter in text):  # as Python keeps such bytes
        return "it is no UTF-8"
    return ""


SHOWN = 200
"""Letters of a text that a terminal gets."""


def _show(console: Console, said: dict[str, Any], reading: Reading, *, apart: bool) -> None:
    title = " | ".join(text if len(text) <= SHOWN else f"{text[:SHOWN]}..." for text in said["texts"])
    if "number" in said:
        head(console, title, apart=apart)
        console.print(f"  {said['number']:.3f}")
    else:
        show(console, title, said["classes"], apart=apart)
    if said["cut"]:
        lost = f"  cut: it has {said['pieces']} pieces, and this model reads {reading.length}"
        console.print(lost, markup=False, soft_wrap=True, style="dim")
