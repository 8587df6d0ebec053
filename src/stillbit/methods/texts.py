"""Texts for a recipe: what is read, cut into pieces, and fitted to a model of transformers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

from stillbit.data.loaders import Place
from stillbit.data.settings import AugmentSettings, DataSettings
from stillbit.data.text import TextLoader
from stillbit.data.text_settings import TextSettings
from stillbit.data.text_source import Texts
from stillbit.data.text_sources import open_texts, splits_of, task_of
from stillbit.data.text_tables import Tables, check_pieces, check_task, longest
from stillbit.data.text_tasks import TextTask
from stillbit.data.text_tokens import Tokens, tokenise
from stillbit.data.wordpiece import Pieces, fetch_pieces, read_pieces, train_pieces, write_pieces
from stillbit.distill.manifest import Reading
from stillbit.distill.store import Store
from stillbit.distill.text_replay import Said
from stillbit.methods.recipe import ModelSettings, Recipe
from stillbit.models import encoders
from stillbit.surgery.plan import AttentionSpec, Plan
from stillbit.train import weights
from stillbit.train.distributed import Share
from stillbit.train.exam import Exam
from stillbit.train.files import write_json

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class TextData:
    """The examples to learn from, those to be judged by (of mnli two sets), and the pieces that both are cut into."""

    task: TextTask
    train: Texts
    vals: dict[str, Texts]
    """By the name of their split."""
    pieces: Pieces
    config: str
    """The model's, which the task and the pieces had a say in."""
    cut: dict[str, Tokens]
    """Every split as numbers; ``train`` is the one to learn from."""

    @property
    def words(self) -> str:
        """What there is, for a heading."""
        judged = sum(map(len, self.vals.values()))
        kind = "numbers to find" if self.task.labels is None else f"{self.task.outputs} classes"
        return f"{len(self.train):,} + {judged:,} examples of {self.task.name}, {kind}, in {self.pieces.rows:,} pieces"

    def describe(self) -> dict[str, Any]:
        """Plain data for the record of a run."""
        splits = {"train": self.train, **self.vals}
        held = {name: {**texts.describe(), **self.cut[name].describe()} for name, texts in splits.items()}
        return {**held, "tokenizer": self.pieces.fingerprint}


def text_settings(recipe: Recipe) -> TextSettings:
    """What the recipe says of texts, in the words of the room that reads them."""
    said, data = recipe.text, recipe.data
    split = None if data.val_split == DataSettings.val_split else data.val_split
    return TextSettings(
        **{each.name: getattr(said, each.name) for each in fields(said)},
        data_dir=data.data_dir,
        dataset=data.dataset,
        train_split=data.train_split,
        val_split=split,
        batch_size=data.batch_size,
        corrupt=data.corrupt,
    )


def open_data(recipe: Recipe) -> TextData:
    """All splits, cut into pieces that the model has rows for."""
    check_words(recipe)
    encoders.check_name(recipe.model.model)
    settings = text_settings(recipe)
    train = open_texts(settings, settings.train_split)
    pieces = _pieces(recipe, train)
    config = recipe.model.config or _config(recipe, task_of(settings), pieces.rows)
    vals = {split: open_texts(settings, split) for split in splits_of(settings)}
    cut = {name: _cut(settings, texts, pieces, config) for name, texts in {"train": train, **vals}.items()}
    return TextData(train.task, train, vals, pieces, config, cut)


def open_exam(recipe: Recipe, place: Place, limit: int | None = None) -> Exam:
    """The examples that a trained model is judged by, as its own tokenizer cuts them; the first ``limit``, if given."""
    settings = text_settings(recipe)
    pieces, config = pieces_of(recipe), recipe.model.config
    assert config is not None, "the recipe of a run says what it is of"
    cut = {split: _cut(settings, open_texts(settings, split), pieces, config) for split in splits_of(settings)}
    return _exam(task_of(settings), cut, settings, place)


def damaged_of(recipe: Recipe) -> dict[str, str]:
    """Which lines to be judged by were left out, each with the reason."""
    if recipe.data.corrupt == DataSettings.corrupt:
        return {}
    settings = text_settings(recipe)
    return dict(fault for split in splits_of(settings) for fault in open_texts(settings, split).damaged)


def pieces_of(recipe: Recipe) -> Pieces:
    """The tokenizer of a model that is trained."""
    assert recipe.text.tokenizer is not None, "a run has its own"
    return read_pieces(recipe.text.tokenizer)


def lines_of(recipe: Recipe, split: str) -> Texts:
    """The examples of one side, ``train`` or ``val`` (of several splits to be judged by, the first), as words."""
    settings = text_settings(recipe)
    return open_texts(settings, settings.train_split if split == "train" else splits_of(settings)[0])


def loader_of(recipe: Recipe, texts: Texts, place: Place, **order: Any) -> TextLoader:
    """Batches of ``texts``, cut as the trained model of the recipe wants them; ``order`` is the loader's."""
    assert recipe.model.config is not None, "the recipe of a run says what it is of"
    settings = text_settings(recipe)
    cut = _cut(settings, texts, pieces_of(recipe), recipe.model.config)
    return TextLoader(cut, settings, place=place, **order)


def keep_reader(data: Any, folder: Path) -> None:
    """Write the tokenizer and the config into the folder of a run, as transformers reads them; nothing for images."""
    if not isinstance(data, TextData):
        return
    positions = encoders.read_config(data.config).max_position_embeddings
    write_pieces(data.pieces, folder, positions)
    write_json(folder / "config.json", encoders.to_keep(data.config))


def reading(recipe: Recipe, data: TextData) -> Reading:
    """How the texts of a training become pieces."""
    most = longest(recipe.text.max_length, Tables.of(encoders.read_config(data.config)))
    return Reading(task=data.task.name, tokenizer=data.pieces.fingerprint, max_length=most)


def unrectified(recipe: Recipe) -> Recipe:
    """The recipe with the model's own activation in the place of ReLU."""
    assert recipe.model.config is not None, "the data has been opened, or a run read"
    rows = encoders.read_config(recipe.model.config).vocab_size
    bare = replace(recipe, model=replace(recipe.model, relu=False))
    config = _config(bare, task_of(text_settings(recipe)), rows)
    return replace(bare, model=replace(bare.model, config=config))


def resolved(recipe: Recipe, data: TextData) -> Recipe:
    """The recipe with the model's config written in, so that it builds the same model without the data."""
    return replace(recipe, model=replace(recipe.model, num_classes=data.task.outputs, config=data.config))


def float_model(recipe: Recipe, *, numbers: bool = True) -> Any:
    """The model before anything is quantized."""
    settings = recipe.model
    assert settings.config is not None, "the data has been opened, or a run read"
    if numbers and not encoders.is_ours(settings.model) and settings.initial_checkpoint is None:
        return encoders.fetch(settings.model, settings.config)
    model = encoders.build(settings.config)
    if numbers and settings.initial_checkpoint is not None:
        weights.load(model, settings.initial_checkpoint)
    return model


def loaders(recipe: Recipe, data: TextData, share: Share, store: Store | None = None) -> tuple[TextLoader, Exam]:
    """Of the examples to learn from (with the labels of the store, if there is one); and of those to be judged by."""
    place, settings = Place(share.rank, share.world, str(share.device)), text_settings(recipe)
    a_step = replace(settings, batch_size=settings.batch_size * recipe.machine.grad_accum_steps)
    order: dict[str, Any] = {"training": True, "seed": recipe.machine.seed, "place": place}
    learned = TextLoader(data.cut["train"], a_step, answers=None if store is None else Said(store), **order)
    judged = {split: data.cut[split] for split in data.vals}
    return learned, _exam(data.task, judged, settings, place)


def first_inputs(recipe: Recipe, data: TextData, share: Share, count: int) -> Iterator[dict[str, Any]]:
    """What the first ``count`` examples of the training call a model with, whatever the number of processes."""
    batch = min(64, count)
    settings = replace(text_settings(recipe), batch_size=batch)
    place = Place(device=str(share.device))
    loader = TextLoader(data.cut["train"], settings, training=True, seed=recipe.machine.seed, place=place)
    for number, found in enumerate(islice(loader.epoch(0), -(-count // batch))):
        yield {name: each[: count - number * batch] for name, each in found.named.items()}


def unshifted(plan: Plan) -> Plan:
    """The plan with probabilities that have a code for exactly zero, which is what padding gets."""

    def changed(spec: Any) -> Any:
        if not isinstance(spec, AttentionSpec) or spec.probability is None or spec.probability.quantizer != "lsq+":
            return spec
        return replace(spec, probability=replace(spec.probability, quantizer="lsq"))

    return Plan(tuple(replace(rule, spec=changed(rule.spec)) for rule in plan.rules))


def check_words(recipe: Recipe) -> None:
    """Refuse choices that are for images."""
    default, model = ModelSettings(), recipe.model
    changed = {
        **{f"--{n.replace('_', '-')}": getattr(model, n) != getattr(default, n) for n in ("img_size", "in_chans")},
        "--drop-path": bool(model.drop_path),
        "--pretrained": model.pretrained,
        "--mixup": bool(recipe.loss.mixup),
        "--cutmix": bool(recipe.loss.cutmix),
        "--fresh": recipe.data.fresh,
        "--no-aug, --scale and their like": recipe.augment != AugmentSettings(),
    }
    said = next((flag for flag, wrong in changed.items() if wrong), None)
    outputs = task_of(text_settings(recipe)).outputs
    if model.num_classes not in (None, outputs):
        raise ValueError(
            f"the task {recipe.text.task} has {outputs} outputs, got {model.num_classes}: leave out --num-classes"
        )
    if said is not None:
        raise ValueError(f"{said} is for images, and --task {recipe.text.task} is about texts: leave it out")


def _pieces(recipe: Recipe, train: Texts) -> Pieces:
    """The tokenizer: as asked, or that of the weights to begin with, or the model's, or one trained on the texts."""
    name, begun = recipe.model.model, recipe.model.initial_checkpoint
    if recipe.text.tokenizer is not None:
        return read_pieces(recipe.text.tokenizer)
    if begun is not None and (begun / TOKENIZER).is_file():
        return read_pieces(begun)
    if encoders.is_ours(name):
        return _trained(train, recipe.text.vocabulary)
    return read_pieces(Path(name)) if Path(name).is_dir() else fetch_pieces(name)


def _trained(train: Texts, size: int) -> Pieces:
    try:
        return train_pieces([*train.first, *(train.second or ())], size=size)
    except ValueError as error:
        raise ValueError(str(error).replace("size=", "--vocabulary ")) from None


def _config(recipe: Recipe, task: TextTask, rows: int) -> str:
    """That of the weights to begin with, where they say theirs, so that no hub is asked twice; or else the model's."""
    model, begun = recipe.model, recipe.model.initial_checkpoint
    has_one = begun is not None and (begun / "config.json").is_file() and not encoders.is_ours(model.model)
    found = encoders.config_of(str(begun) if has_one else model.model, rows)
    return encoders.answering(found, task.outputs, task.labels, relu=model.relu)


def _cut(settings: TextSettings, texts: Texts, pieces: Pieces, config: str) -> Tokens:
    tables = Tables.of(encoders.read_config(config))
    check_task(texts.task, tables)
    check_pieces(pieces, tables)
    return tokenise(texts, pieces, tables, settings.max_length, settings.too_long)


def _exam(task: TextTask, cut: dict[str, Tokens], settings: TextSettings, place: Place) -> Exam:
    return Exam(task, {split: TextLoader(tokens, settings, place=place) for split, tokens in cut.items()})
