"""``stillbit train METHOD``: every field of a recipe is an option."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from rich.console import Console

from stillbit.cli.options import parse
from stillbit.cli.pillars import begun, listed, said_in, without
from stillbit.methods import RECIPES, described
from stillbit.methods.glue import SETS, tuned
from stillbit.methods.recipe import Recipe
from stillbit.methods.recipe_file import read

EXAMPLE = "stillbit train fp --data-dir FOLDER --model deit_tiny_patch16_224"


@dataclass(frozen=True, kw_only=True)
class Train:
    """The options of ``stillbit train``."""

    recipe: Recipe
    dry_run: bool = False
    """Build everything, take two steps on generated images, say what the run would cost, and write nothing."""


def run(words: Sequence[str]) -> int:
    """Train, or say what it would cost."""
    console = Console()
    if not words or words[0] in ("-h", "--help"):
        console.print(_usage(), highlight=False)
        return 0 if words else 2
    said = asked(words)
    task = said.recipe.text.task
    if task in SETS:
        return _run_all(task, said, words, console)
    if said.dry_run:
        from stillbit.methods.dry_run import dry_run

        console.print(dry_run(said.recipe))
        return 0
    from stillbit.methods.perform import perform

    result = perform(said.recipe, console)
    if result.signal:
        return _stopped(result.folder, result.signal, console)
    name = "score" if "score" in result.best else "top1"
    best = f"Best {name} {result.best[name]:.2f} %, after epoch {result.best['epoch']}."
    console.print(f"{best} The model is {result.model}", highlight=False, soft_wrap=True)
    return 0


def _run_all(word: str, said: Train, words: Sequence[str], console: Console) -> int:
    """A run for each task of a set, each with the numbers of its task."""
    from stillbit.methods.glue_runs import perform_all, table_of

    recipes = {task: asked([*words, "--task", task]).recipe for task in SETS[word]}
    if said.dry_run:
        from stillbit.methods.dry_run import dry_run

        for recipe in recipes.values():
            console.print(dry_run(recipe))
            console.print()
        return 0
    sat = perform_all(word, recipes, console)
    if sat.signal:
        return _stopped(sat.folder, sat.signal, console)
    console.print(table_of(sat), highlight=False)
    return 1 if sat.failed else 0


def _stopped(folder: Path, signal: int, console: Console) -> int:
    stopped = f"Stopped, and saved in {folder}: the same command with --resume auto goes on."
    console.print(stopped, highlight=False, soft_wrap=True)
    return 128 + signal


def asked(words: Sequence[str]) -> Train:
    """What the words stand for; nothing is opened, and nothing is written."""
    wanted, rest = _recipe(list(words))
    about = f"{described()[wanted.method]} Under torchrun: torchrun --nproc-per-node 8 -m stillbit.cli train ..."
    recipe = without(wanted, rest)
    if not any(word.partition("=")[0] == "--recipe" for word in words):  # a file has said all of it
        recipe = tuned(recipe, said_in(rest), listed(rest, "--through"))
    default = Train(recipe=recipe)
    return parse(Train, rest, prog=f"stillbit train {wanted.method}", default=default, about=about)


def _recipe(words: list[str]) -> tuple[Recipe, list[str]]:
    """The recipe to begin with, by name or from a file, and the options that change it."""
    for at, word in enumerate(words):
        flag, _, value = word.partition("=")
        if flag == "--recipe":
            if not value and at + 1 == len(words):
                raise ValueError("--recipe needs a file: stillbit train --recipe RUN/recipe.json")
            rest = words[:at] + words[at + (1 if value else 2) :]
            if rest and not rest[0].startswith("-"):
                raise ValueError(f"--recipe names its own method: leave out {rest[0]!r}")
            return read(Path(value or words[at + 1])), rest
    name, *rest = words
    if name.startswith("-"):
        raise ValueError(f"the method comes first, one of {', '.join(RECIPES)}: {EXAMPLE}")
    if name not in RECIPES:
        near = get_close_matches(name, RECIPES, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"there is no method {name!r}: {meant}there are {', '.join(RECIPES)}")
    return begun(name, rest), rest


def _usage() -> str:
    width = max(map(len, RECIPES))
    lines = [f"  [bold]{name:<{width}}[/]  {what}" for name, what in described().items()]
    return "\n".join(
        [
            "usage: stillbit train METHOD \\[OPTIONS]",
            "       stillbit train --recipe RUN/recipe.json \\[OPTIONS]",
            "",
            *lines,
            "",
            f"For example: {EXAMPLE}",
            "stillbit train METHOD --help lists the options.",
        ]
    )
