"""What an export of a run about texts works on: texts of one length, and what a person has to know of that length."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stillbit.cli.proof_seen import looked_at, shown_by
from stillbit.data.whole import whole
from stillbit.deploy.about import About
from stillbit.deploy.inputs import Given
from stillbit.deploy.proof.noise import noise
from stillbit.deploy.proof.run import Told
from stillbit.methods.deployed import about_of
from stillbit.methods.deployed_texts import (
    Library,
    class_names,
    library_of_run,
    reading_for,
    trained_length,
    wanted_of,
)
from stillbit.methods.recipe import Recipe
from stillbit.methods.subject import Subject
from stillbit.methods.target import with_data

if TYPE_CHECKING:
    from stillbit.cli.proving import Proving

TOKENIZER = "tokenizer.json"
SPARE = 2
"""How many times as long as the longest text a file has to be for that to be said."""


class Material(NamedTuple):
    """What a deployed file says of itself, what it is proven on, and what a person has to know."""

    about: About
    given: Given
    told: Told
    notes: list[str]


def material(subject: Subject, asked: Proving, length: int | None) -> Material:
    """Texts of ``length`` pieces (of those that the run was trained with, if it is None) as ``asked`` wants them."""
    recipe = with_data(subject.recipe, data_dir=asked.data_dir, dataset=asked.dataset, val_split=asked.val_split)
    reading = reading_for(recipe, length)
    about = about_of(subject, class_names(recipe), reading)
    notes = _of_length(recipe, reading.length)
    if asked.noise:
        given = noise(wanted_of(recipe, reading), asked.samples, pad=reading.pad)
        return Material(about, given, Told(seen="texts of chance words"), notes)
    shown = shown_by(lambda: library_of_run(recipe, reading))
    return Material(about, *looked_at(shown, asked), [*notes, *_of_texts(shown, max(asked.samples, asked.images))])


def _of_length(recipe: Recipe, length: int) -> list[str]:
    trained = trained_length(recipe)
    if length <= trained:
        return []
    return [
        f"note: the run was trained on texts of up to {trained} pieces: positions behind these have learned nothing"
    ]


def _of_texts(shown: Library, count: int) -> list[str]:
    """Whether texts are cut, or mostly padding."""
    lengths, length = shown.lengths(count), shown.reading.length
    longest, cut = int(lengths.max()), int((lengths > length).sum())
    of_all = f"of {len(lengths):,} {shown.words}"
    if cut:
        return [f"note: {cut:,} {of_all} lose their end: the longest has {longest} pieces, and this file {length}"]
    if SPARE * longest <= length:
        enough = max(8, -(-longest // 8) * 8)
        return [f"note: the longest {of_all} has {longest} pieces: a file of --length {enough} is faster"]
    return []


def beside(subject: Subject, about: About, home: Path) -> list[str]:
    """Put a tokenizer that is too large for a file beside it; the lines that say so."""
    if about.text is None or about.text.tokenizer:
        return []
    assert subject.folder is not None, "only a run reads"
    own, target = subject.folder / TOKENIZER, home / TOKENIZER
    if not target.exists():
        with whole(target) as temporary:
            temporary.write_bytes(own.read_bytes())
        return [f"written: {target}", "note: the tokenizer is too large to be in the file: keep the two together"]
    if target.read_bytes() == own.read_bytes():
        return []
    return [f"note: {target} is another tokenizer than that of this model, {own}, which belongs there"]
