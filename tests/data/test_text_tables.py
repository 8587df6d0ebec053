from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from stillbit.data.text_tables import Tables, check_pieces, check_task, longest
from stillbit.data.text_tasks import find_task
from stillbit.data.wordpiece import train_pieces

PIECES = train_pieces(["the dog runs"], 40)
BERT = Tables(pieces=100, positions=64, types=2, outputs=2, pad=0)


def config(**more: Any) -> Any:
    about = {"model_type": "bert", "vocab_size": 100, "max_position_embeddings": 64, "type_vocab_size": 2}
    names = {"pad_token_id": 0, "id2label": {0: "LABEL_0", 1: "LABEL_1"}}
    return SimpleNamespace(**{**about, **names, **more})


def test_tables_are_read_from_a_config() -> None:
    assert Tables.of(config()) == BERT
    roberta = config(
        model_type="roberta", max_position_embeddings=514, pad_token_id=1, bos_token_id=0, type_vocab_size=1
    )
    assert Tables.of(roberta) == replace(BERT, positions=512, pad=1, start=0, types=1)
    assert Tables.of(config(type_vocab_size=None)).types == 0
    assert Tables.of(config(id2label={1: "yes", 0: "no"})).labels == ("no", "yes")


@pytest.mark.filterwarnings("ignore")  # those of that package and of what it imports
def test_roberta_of_transformers_takes_as_many_pieces_as_its_tables_say_and_not_one_more() -> None:
    import torch

    transformers = pytest.importorskip("transformers")
    small = {
        "vocab_size": 30,
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 8,
    }
    made = transformers.RobertaConfig(**small, max_position_embeddings=20, pad_token_id=1)
    model = transformers.RobertaModel(made)
    most = Tables.of(made).positions
    assert most == 18
    model(torch.full((1, most), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, most + 1), 5))


def test_sequences_have_128_pieces_or_what_the_model_can_take() -> None:
    assert longest(None, BERT) == 64 and longest(None, replace(BERT, positions=512)) == 128
    assert longest(40, BERT) == 40 and longest(384, replace(BERT, positions=512)) == 384
    with pytest.raises(ValueError, match="has 64 positions, too few for sequences of 65: --max-length 64 or less"):
        longest(65, BERT)


@pytest.mark.parametrize(
    ("task", "tables", "said"),
    [
        ("mnli", BERT, "the task mnli has 3 labels and the model answers with 2: build it with num_labels=3"),
        ("stsb", BERT, "the task stsb is a number and the model answers with 2: build it with num_labels=1"),
        (
            "rte",
            replace(BERT, labels=("NOT_ENTAILMENT", "ENTAILMENT")),
            "the model counts the labels NOT_ENTAILMENT, ENTAILMENT and rte entailment, not_entailment",
        ),
    ],
)
def test_a_model_that_does_not_fit_the_task_is_refused(task: str, tables: Tables, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_task(find_task(task), tables)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_model_that_fits_passes() -> None:
    check_task(find_task("rte"), BERT)
    check_task(find_task("rte"), replace(BERT, labels=("Entailment", "Not_Entailment")))
    check_task(find_task("rte"), replace(BERT, labels=("yes", "no")))
    check_task(find_task("stsb"), replace(BERT, outputs=1, labels=("score",)))
    check_pieces(PIECES, BERT)
    check_pieces(PIECES, replace(BERT, pieces=PIECES.rows, pad=None, start=2, end=3))


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (replace(BERT, pieces=PIECES.rows - 1), f"{PIECES.rows} pieces and the model embeddings for {PIECES.rows - 1}"),
        (replace(BERT, pad=1), "pads with piece 0 and the model with 1"),
        (replace(BERT, start=0), "begins with piece 2 and the model with 0"),
        (replace(BERT, end=2), "ends with piece 3 and the model with 2"),
    ],
)
def test_a_tokenizer_of_another_model_is_refused(tables: Tables, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_pieces(PIECES, tables)
    assert said in str(caught.value) and "use the tokenizer that the model was trained with" in str(caught.value)
