"""BERT-base as a packed file: the size that one bit promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import BertConfig, BertForSequenceClassification

import stillbit
from stillbit.data.wordpiece import SPECIAL, Pieces
from stillbit.deploy.about import About
from stillbit.deploy.file.packed import Packed, bytes_of, read, write
from stillbit.deploy.texts import reading_of
from stillbit.deploy.tracing.trace import trace
from tests.deploy.reading import binary


@pytest.mark.slow  # builds and traces 110 million parameters
def test_bert_base_at_one_bit_is_a_file_below_15_megabytes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig())
    with torch.no_grad():
        for parameter in model.parameters():  # as after training nothing is left at zero or one
            parameter.add_(0.02 * torch.randn_like(parameter))
    model = stillbit.quantize(model, binary()).eval()
    ids = torch.randint(1000, 30000, (2, 128))
    stillbit.calibrate(model, [{"input_ids": ids[:, :32], "attention_mask": torch.ones_like(ids[:, :32])}])
    program = trace(model, (ids, torch.ones_like(ids)))

    letters = np.random.default_rng(0).choice(list("abcdefghijklmnopqrstuvwxyz"), (30522 - len(SPECIAL), 7))
    pieces = [*SPECIAL, *(f"{'##' * (n % 4 == 0)}{''.join(row)}" for n, row in enumerate(letters))]
    tokenizer = Tokenizer(models.WordPiece(vocab={piece: n for n, piece in enumerate(pieces)}, unk_token="[UNK]"))
    text = reading_of(Pieces(tokenizer), 128, ("input_ids", "attention_mask"))
    for about in (About(model="bert"), About(model="bert", text=text)):
        path = tmp_path / "bert.safetensors"
        size = write(Packed(program=program, about=about), path)
        kinds = bytes_of(path)["kinds"]
        assert size == path.stat().st_size <= 15_000_000, kinds
        assert kinds["1-bit codes"] > 13_500_000, "the words and all linears but the last"
    assert read(path).program.steps == program.steps
