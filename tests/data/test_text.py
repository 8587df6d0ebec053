"""Batches of texts: what is in them, and that they come the same to any number of ranks and after any stop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from stillbit.data.loaders import Place
from stillbit.data.text import TextBatch, TextLoader
from stillbit.data.text_settings import TextSettings
from stillbit.data.text_source import Row, gather
from stillbit.data.text_tables import Tables
from stillbit.data.text_tasks import find_task
from stillbit.data.text_tokens import Tokens, tokenise
from stillbit.data.wordpiece import train_pieces
from tests.data.text_examples import LINES, pairs

PIECES = train_pieces([*LINES, "0123456789"], 200)
TABLES = Tables(pieces=300, positions=512, types=2, outputs=2, pad=0)
SETTINGS = TextSettings(batch_size=8)


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return tokenise(pairs(53), PIECES, TABLES)


def same(a: list[TextBatch], b: list[TextBatch]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, y) for left, right in zip(a, b, strict=True) for x, y in zip(left[:5], right[:5], strict=True)
    )


def rows(batches: list[TextBatch]) -> dict[int, tuple[list[int], list[int], float]]:
    """What is known of each example, without padding."""
    found = {}
    for batch in batches:
        assert batch.types is not None
        for ids, mask, types, target, index in zip(*batch[:5], strict=True):
            there = mask.bool()
            found[int(index)] = ids[there].tolist(), types[there].tolist(), target.item()
    return found


def test_a_batch_holds_each_sequence_and_padding_behind_it(tokens: Tokens) -> None:
    batches = list(TextLoader(tokens, SETTINGS).epoch(0))
    assert torch.cat([batch.indices for batch in batches]).tolist() == list(range(53))
    texts = pairs(53)
    assert texts.second is not None
    for index, (ids, types, target) in rows(batches).items():
        alone = PIECES.tokenizer.encode(texts.first[index], texts.second[index])
        assert (ids, types, target) == (alone.ids, alone.type_ids, texts.targets[index])
    for batch in batches:
        assert batch.types is not None
        assert batch.ids.dtype == batch.mask.dtype == batch.types.dtype == batch.targets.dtype == torch.int64
        assert (batch.mask.diff(dim=1) <= 0).all()  # nothing comes after padding
        assert not batch.ids[batch.mask == 0].any() and not batch.types[batch.mask == 0].any()


def test_a_batch_is_as_wide_as_its_longest_sequence_or_up_to_a_multiple(tokens: Tokens) -> None:
    plain = list(TextLoader(tokens, SETTINGS, training=True).epoch(0))
    eights = list(TextLoader(tokens, replace(SETTINGS, pad_multiple=8), training=True).epoch(0))
    assert rows(plain) == rows(eights)
    for narrow, wide in zip(plain, eights, strict=True):
        assert narrow.ids.shape[1] == narrow.mask.sum(1).max()
        assert wide.ids.shape[1] % 8 == 0 and 0 <= wide.ids.shape[1] - narrow.ids.shape[1] < 8
    assert len({batch.ids.shape[1] for batch in plain}) > 1


def test_padding_up_to_a_multiple_stops_where_the_positions_of_the_model_do() -> None:
    tokens = tokenise(pairs(9), PIECES, replace(TABLES, positions=15))
    assert next(TextLoader(tokens, replace(SETTINGS, pad_multiple=8)).epoch(0)).ids.shape[1] == 15


@pytest.mark.parametrize("bucket", [0, 3])
def test_two_ranks_see_together_what_one_process_sees(bucket: int, tokens: Tokens) -> None:
    settings = replace(SETTINGS, bucket=bucket)
    alone = list(TextLoader(tokens, settings, training=True, seed=1).epoch(2))
    half = replace(settings, batch_size=4)
    ranks = [list(TextLoader(tokens, half, training=True, seed=1, place=Place(r, 2)).epoch(2)) for r in (0, 1)]
    for whole, *parts in zip(alone, *ranks, strict=True):
        assert torch.cat([part.indices for part in parts]).tolist() == whole.indices.tolist()
        assert rows(parts) == rows([whole])


@pytest.mark.parametrize("bucket", [0, 3])
def test_an_epoch_goes_on_from_any_step(bucket: int, tokens: Tokens) -> None:
    loader = TextLoader(tokens, replace(SETTINGS, bucket=bucket), training=True, seed=1)
    whole = list(loader.epoch(4))
    abandoned = loader.epoch(7)
    next(abandoned)
    assert len(whole) == len(loader) == 6 and loader.samples == 48
    assert same(list(loader.epoch(4, start=2)), whole[2:])
    assert not same(list(loader.epoch(5)), whole)


def test_loading_draws_nothing_from_the_generators_that_training_uses(tokens: Tokens) -> None:
    before = torch.get_rng_state()
    list(TextLoader(tokens, SETTINGS, training=True).epoch(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_rank_with_nothing_left_gets_a_sequence_that_counts_for_nothing() -> None:
    tokens = tokenise(pairs(17), PIECES, TABLES)
    loaders = [TextLoader(tokens, SETTINGS, place=Place(rank, 2)) for rank in (0, 1)]
    first, second = (list(loader.epoch(0)) for loader in loaders)
    assert [len(b.targets) for b in first] == [len(b.targets) for b in second] == [8, 1]
    last = sorted([first[-1].targets.item(), second[-1].targets.item()])
    assert last == [-100, 16 % 2] and all(batch[-1].mask.sum() > 2 for batch in (first, second))


def test_similarities_stay_floats_also_where_they_count_for_nothing() -> None:
    stsb = gather(find_task("stsb"), [Row(i, ("a dog", "no dog"), i / 4) for i in range(3)], origin="x")
    tokens = tokenise(stsb, PIECES, replace(TABLES, outputs=1))
    loaders = [TextLoader(tokens, replace(SETTINGS, batch_size=1), place=Place(rank, 2)) for rank in (0, 1)]
    found = torch.cat([batch.targets for loader in loaders for batch in loader.epoch(0)])
    assert found.dtype == torch.float32 and sorted(found.tolist()) == [-100.0, 0.0, 0.25, 0.5]


def test_a_model_is_called_with_types_only_if_it_knows_them(tokens: Tokens) -> None:
    batch = next(TextLoader(tokens, SETTINGS).epoch(0))
    assert [x is y for x, y in zip(batch.inputs, (batch.ids, batch.mask, batch.types), strict=True)] == [True] * 3
    assert len(batch._replace(types=None).inputs) == 2


def test_a_batch_larger_than_the_data_is_refused_with_one_that_fits(tokens: Tokens) -> None:
    for bucket in (0, 3):
        with pytest.raises(
            ValueError, match=r"a batch of 64 is larger than the data, 53 examples: --batch-size 26 or less"
        ):
            TextLoader(tokens, TextSettings(batch_size=32, bucket=bucket), training=True, place=Place(0, 2))


@pytest.mark.filterwarnings("ignore")  # those of that package and of what it imports
@pytest.mark.parametrize("family", ["Bert", "DistilBert", "Roberta"])
def test_models_of_transformers_take_a_batch_as_it_is_and_padding_changes_no_answer(
    family: str, tokens: Tokens
) -> None:
    transformers = pytest.importorskip("transformers")
    small: dict[str, Any] = {"vocab_size": 200, "max_position_embeddings": 64}
    if family == "DistilBert":
        small |= {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
    else:
        small |= {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = getattr(transformers, f"{family}Config")(**small)
    model = getattr(transformers, f"{family}ForSequenceClassification")(config).double().eval()
    found = tokenise(pairs(9), PIECES, Tables.of(config))
    if family == "Roberta":
        found = replace(found, pad=1)  # the piece whose positions it does not count
    together = next(TextLoader(found, replace(SETTINGS, pad_multiple=8)).epoch(0))
    with torch.no_grad():
        logits = model(*together.inputs).logits
        for i, alone in enumerate(TextLoader(found, replace(SETTINGS, batch_size=1)).epoch(0)):
            if i < 8:
                torch.testing.assert_close(model(*alone.inputs).logits[0], logits[i])


@pytest.mark.gpu
def test_batches_arrive_on_the_device(tokens: Tokens) -> None:
    there = TextLoader(tokens, SETTINGS, training=True, place=Place(device="cuda")).epoch(0)
    for far, near in zip(there, TextLoader(tokens, SETTINGS, training=True).epoch(0), strict=True):
        assert far.ids.is_cuda and same([TextBatch(*(x if x is None else x.cpu() for x in far))], [near])


def test_a_batch_brings_what_a_teacher_said_of_each_of_its_examples(tokens: Tokens) -> None:
    def answers(numbers: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        said = torch.from_numpy(numbers)[:, None]
        return said % 2, said / 100

    for batch in TextLoader(tokens, SETTINGS, training=True, seed=2, answers=answers).epoch(1):
        assert batch.classes is not None and batch.probabilities is not None
        assert batch.classes[:, 0].tolist() == (batch.indices % 2).tolist()
        assert batch.probabilities[:, 0].tolist() == (batch.indices / 100).tolist()
    assert next(TextLoader(tokens, SETTINGS).epoch(0)).probabilities is None
