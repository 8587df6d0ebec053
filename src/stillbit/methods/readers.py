"""Teachers of texts, by what a person calls them: a run, a folder of transformers, or a name of its hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from stillbit.data.text_tables import Tables, check_pieces, check_task
from stillbit.data.text_tasks import TextTask
from stillbit.data.wordpiece import Pieces, fetch_pieces, read_pieces
from stillbit.distill.panel import Expert, Reads
from stillbit.methods.target import of_folder, open_target
from stillbit.methods.texts import pieces_of
from stillbit.models import encoders


class Reader(NamedTuple):
    """A teacher, and what it was trained with."""

    expert: Expert
    pieces: Pieces
    tables: Tables
    max_length: int | None
    """As its run was asked; None if nobody said."""


def open_reader(said: str, task: TextTask, *, numbers: bool = True) -> Reader:
    """One that answers for ``task``; ``numbers=False`` leaves the weights of a folder or of the hub unread."""
    path = Path(said)
    if (path / "recipe.json").is_file():
        return _of_run(said, task)
    if encoders.is_ours(said):
        raise ValueError(f"{said} has random weights and nothing to teach: train it, and give the run, --teacher RUN")
    if path.is_file():
        raise ValueError(f"{said} is a file, and a teacher of texts has a tokenizer too: give the folder that it is in")
    config = _config(said)
    pieces = read_pieces(path) if path.is_dir() else fetch_pieces(said)
    tables = _fitting(config, pieces, task)
    model = _weighted(said, config) if numbers else encoders.build(config)
    return _made(path.resolve().name if path.is_dir() else said, model, pieces, tables)


def _config(said: str) -> str:
    try:
        return encoders.config_of(said)
    except ValueError as error:
        if "cannot find the model" not in str(error):
            raise
        raise ValueError(
            f"cannot find the teacher {said}: give a run of stillbit train, a folder of transformers, or a name of the "
            "hub"
        ) from None


def _of_run(said: str, task: TextTask) -> Reader:
    target = open_target(said)
    recipe = target.recipe
    wanted = f"give a run of --task {task.name}"
    if not recipe.reads:
        raise ValueError(f"the teacher {said} sees images, and {task.name} is about texts: {wanted}")
    if recipe.text.task != task.name:
        raise ValueError(f"the teacher {said} was trained on {recipe.text.task}, and this is {task.name}: {wanted}")
    assert recipe.model.config is not None, "a run writes it down"
    pieces = pieces_of(recipe)
    reader = _made(recipe.name, target.model, pieces, _fitting(recipe.model.config, pieces, task))
    return reader._replace(max_length=recipe.text.max_length)


def _fitting(config: str, pieces: Pieces, task: TextTask) -> Tables:
    tables = Tables.of(encoders.read_config(config))
    try:
        check_task(task, tables)
    except ValueError as error:
        raise ValueError(str(error).replace("build it with", "the teacher has to be trained on it, with")) from None
    check_pieces(pieces, tables)
    return tables


def _weighted(said: str, config: str) -> Any:
    """A folder may hold a quantized model; the hub has float ones."""
    return of_folder(Path(said)) if Path(said).is_dir() else encoders.fetch(said, config).eval()


def _made(name: str, model: Any, pieces: Pieces, tables: Tables) -> Reader:
    reads = Reads(tokenizer=pieces.fingerprint, types=tables.types > 0)
    return Reader(Expert(name=name, model=model, reads=reads), pieces, tables, None)
