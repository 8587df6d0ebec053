"""A study file: TOML in, a `Study` out, and a sentence for every mistake that can be seen without training."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from stillbit.methods import RECIPES
from stillbit.study.settings import MEASURES, PLAIN, Block, Study, Switch, Words, flags, references

KEYS = (
    *("name", "seeds", "words", "child", "measure", "baseline", "timeout"),
    *("data", "parents", "labels", "methods", "switches", "cells", "claims"),
)
AXES = ("models", "methods", "bits", "switches", "seeds")
MINE = {"--output", "--experiment", "--resume", "--device", "--dry-run", "--recipe"}
"""Options that the study sets itself, everywhere."""
AXIS = {"--model": "models", "--bits": "bits", "--seed": "seeds"}
"""Options that are axes of the cells."""


def read(path: Path) -> Study:
    """The study of a file."""
    try:
        held = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"there is no study {path} ({error.strerror}): stillbit study FILE.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no TOML: {error}") from None
    try:
        return study(held, path.stem)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def study(held: Mapping[str, Any], stem: str) -> Study:
    """The study of a file's content; it is called after the file where it does not name itself."""
    _known(held, KEYS, "a study file has no")
    switches = {name: _switch(name, said) for name, said in _table(held, "switches").items()}
    methods = {name: _method(name, said) for name, said in _table(held, "methods").items()}
    made = Study(
        name=_name(_of(str, held, "name", stem), "name"),
        words=_words(held.get("words", ""), "words"),
        child=_words(held.get("child", ""), "child"),
        data={name: _words(said, f"data.{name}", MINE) for name, said in _table(held, "data").items()},
        parents={name: _parent(name, said) for name, said in _table(held, "parents").items()},
        labels={name: _words(said, f"labels.{name}", MINE) for name, said in _table(held, "labels").items()},
        methods=methods,
        switches=switches,
        blocks=_blocks(held),
        measure=() if held.get("measure") == [] else _listed(held, "measure", str, ("cost",)),
        baseline=None if "baseline" not in held else _of(str, held, "baseline"),
        timeout=None if "timeout" not in held else _minutes(held["timeout"]),
        claims={name: _of(str, _table(held, "claims"), name) for name in _table(held, "claims")},
    )
    _check(made)
    return made


def _check(made: Study) -> None:
    """What holds between the parts."""
    _known(made.measure, MEASURES, "there is nothing to measure called", "measure")
    twice = [name for name in made.sources if sum(name in of for of in (made.data, made.parents, made.labels)) > 1]
    if twice:
        raise ValueError(f"@{twice[0]} would be two things: data, parents and labels have names of their own each")
    said = {"words": made.words, "child": made.child, **{f"methods.{n}": w for n, w in made.methods.items()}}
    said |= {f"switches.{n}": s.words for n, s in made.switches.items()}
    said |= {f"parents.{n}": w for n, w in made.parents.items()} | {f"labels.{n}": w for n, w in made.labels.items()}
    for where, words in said.items():
        _known(references(words), made.sources, f"{where} refers to what is not there:", mark="@")
    for name in made.sources:
        _no_circle(made, name, ())
    _known(references(made.words), made.data, "words are of the parents too, and refer to data only, not to", mark="@")
    methods = {*RECIPES, *made.methods}
    for name, switch in made.switches.items():
        _known(switch.methods or (), methods, f"switches.{name} is for a method that is not there:")
    for number, block in enumerate(made.blocks, 1):
        where = f"[[cells]] number {number}"
        _known(block.methods, methods, f"{where} has a method that is not there:")
        parts = [part for name in block.switches if name != PLAIN for part in name.split("+")]
        _known(parts, made.switches, f"{where} has a switch that is not there:")
    if made.baseline is not None and made.baseline not in {m for block in made.blocks for m in block.methods}:
        raise ValueError(f"baseline {made.baseline!r} is a method of no cell: name one that is")


def _no_circle(made: Study, name: str, above: tuple[str, ...]) -> None:
    if name in above:
        raise ValueError(f"@{name} needs itself, by way of {' and '.join('@' + one for one in above)}")
    for other in references(made.sources[name]):
        _no_circle(made, other, (*above, name))


def _blocks(held: Mapping[str, Any]) -> tuple[Block, ...]:
    said = held.get("cells", [])
    if not (isinstance(said, list) and said and all(isinstance(one, dict) for one in said)):
        raise ValueError("there are no cells: begin a block with [[cells]], and say models, methods and bits in it")
    return tuple(_block(one, held, f"[[cells]] number {number}") for number, one in enumerate(said, 1))


def _block(said: dict[str, Any], above: Mapping[str, Any], where: str) -> Block:
    _known(said, AXES, f"{where} has a key that is not there:")
    try:
        block = Block(
            models=_listed(said, "models", str),
            methods=_listed(said, "methods", str),
            bits=_listed(said, "bits", str),
            switches=_listed(said, "switches", str, (PLAIN,)),
            seeds=_listed(said if "seeds" in said else above, "seeds", int, (0,)),
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    odd = [bits for bits in block.bits if not re.fullmatch(r"w\d+a\d+", bits)]
    if odd:
        raise ValueError(f"{where}: bits are said as w4a4 or w2a2, got {odd[0]!r}")
    if min(block.seeds) < 0:
        raise ValueError(f"{where}: seeds are whole numbers from 0, got {min(block.seeds)}")
    return block


def _switch(name: str, said: Any) -> Switch:
    where = f"switches.{_name(name, 'a switch')}"
    if name == PLAIN:
        raise ValueError(f"{where}: {PLAIN} is the switch that changes nothing: give it another name")
    if not isinstance(said, dict):
        return Switch(words=_words(said, where))
    if any(isinstance(one, dict) for one in said.values()):
        raise ValueError(f'{where}: a name with a dot stands in quotes, as in "obr-0.01" = ...')
    _known(said, ("words", "for"), f"{where} has a key that is not there:")
    methods = None if "for" not in said else _listed(said, "for", str)
    return Switch(words=_words(said.get("words"), where), methods=methods)


def _method(name: str, said: Any) -> Words:
    return _begun(said, f"methods.{_name(name, 'a method')}", MINE | AXIS.keys())


def _parent(name: str, said: Any) -> Words:
    return _begun(said, f"parents.{_name(name, 'a parent')}", MINE)


def _begun(said: Any, where: str, taken: Iterable[str]) -> Words:
    """Words that begin with a method."""
    words = _words(said, where, taken)
    if not words or words[0] not in RECIPES:
        raise ValueError(
            f'{where} begins with one of the methods {", ".join(RECIPES)}, as in "lsq --lr 1e-3"; it says '
            f"{' '.join(words) or 'nothing'!r}"
        )
    return words


def _words(said: Any, where: str, taken: Iterable[str] = (*MINE, *AXIS)) -> Words:
    if not isinstance(said, str):
        raise ValueError(f'{where} is words of a command line in quotes, as in "--lr 1e-3"; it is {said!r}')
    try:
        words = tuple(shlex.split(said))
    except ValueError as error:
        raise ValueError(f"{where} cannot be split into words ({str(error).lower()}): {said}") from None
    for flag in sorted(flags(words) & set(taken)):
        if flag in AXIS:
            raise ValueError(f"{where}: leave out {flag}, which is an axis: say {AXIS[flag]} in [[cells]]")
        raise ValueError(f"{where}: leave out {flag}, which the study says itself")
    return words


def _listed(held: Mapping[str, Any], key: str, kind: type, default: tuple[Any, ...] | None = None) -> tuple[Any, ...]:
    """A list of words or whole numbers, each once; one alone needs no brackets."""
    if key not in held:
        if default is None:
            raise ValueError(f"{key} is missing: say {key} = [...]")
        return default
    said = held[key] if isinstance(held[key], list) else [held[key]]
    wanted = "words in quotes" if kind is str else "whole numbers"
    if not said or not all(type(one) is kind for one in said):
        raise ValueError(f"{key} is a list of {wanted}, and it is {held[key]!r}")
    return tuple(dict.fromkeys(said))


def _table(held: Mapping[str, Any], key: str) -> dict[str, Any]:
    said = held.get(key, {})
    if not isinstance(said, dict):
        raise ValueError(f"{key} is a table: begin it with [{key}]")
    return said


def _of(kind: type, held: Mapping[str, Any], key: str, default: Any = None) -> Any:
    said = held.get(key, default)
    if type(said) is not kind:
        raise ValueError(f"{key} is words in quotes, and it is {said!r}")
    return said


def _minutes(said: Any) -> float:
    if isinstance(said, bool) or not isinstance(said, int | float) or not said > 0:
        raise ValueError(f"timeout is so many minutes, above 0, and it is {said!r}")
    return float(said)


def _name(said: str, what: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", said):
        raise ValueError(f"{what} is called by letters, digits, and _ . - between them; it says {said!r}")
    return said


def _known(said: Iterable[str], there: Iterable[str], what: str, where: str = "", mark: str = "") -> None:
    """Refuse the first that is not there, and name what is near."""
    known = list(there)
    for one in said:
        if one not in known:
            near = get_close_matches(one, known, n=1)
            meant = f"did you mean {mark}{near[0]}?" if near else f"there are {', '.join(sorted(known)) or 'none'}"
            raise ValueError(f"{where + ': ' if where else ''}{what} {mark}{one}: {meant}")
