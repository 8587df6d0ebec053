"""A folder with config.json and our file: all that is needed to build a model again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

import stillbit
from stillbit.surgery.hf_folder import CONFIG, FILE
from tests.surgery import tiny
from tests.surgery.tiny_hf import EVERY, READER, batch, bert, sentences


def ready(make: Any, inputs: dict[str, torch.Tensor]) -> Any:
    model = stillbit.quantize(make().eval(), "w2a2")
    stillbit.calibrate(model, [inputs])
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stillbit.save(ready(bert, sentences()), tmp_path / "bert")
    return tmp_path / "bert"


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "vit", "dinov2"])
def test_a_folder_alone_gives_the_model_back_to_the_bit(family: str, tmp_path: Path) -> None:
    model, inputs = ready(EVERY[family], batch(family)), batch(family)
    assert stillbit.save(model, tmp_path / "folder") == tmp_path / "folder" / FILE
    loaded = stillbit.load(tmp_path / "folder")
    assert type(loaded) is type(model) and repr(loaded) == repr(model)
    assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)
    assert loaded.config.id2label == model.config.id2label
    assert sorted(p.name for p in (tmp_path / "folder").iterdir()) == [CONFIG, FILE]


def test_where_the_weights_once_came_from_does_not_matter(tmp_path: Path) -> None:
    """`from_pretrained` writes its path into the model, and the model of a config knows of none."""
    bert().save_pretrained(tmp_path / "float")
    model = ready(lambda: BertForSequenceClassification.from_pretrained(tmp_path / "float"), sentences())
    stillbit.save(model, tmp_path / "folder")
    assert torch.equal(stillbit.load(tmp_path / "folder")(**sentences()).logits, model(**sentences()).logits)


def test_transformers_reads_the_config_and_the_latent_weights(folder: Path) -> None:
    assert BertConfig.from_pretrained(folder).architectures == ["BertForSequenceClassification"]
    latent = BertForSequenceClassification.from_pretrained(folder)
    loaded: Any = stillbit.load(folder)
    assert torch.equal(latent.bert.pooler.dense.weight, loaded.bert.pooler.dense.weight)


def test_the_file_inside_can_be_named_or_used_with_a_float_model_or_written_alone(tmp_path: Path, folder: Path) -> None:
    model: Any = stillbit.load(folder)
    alone = stillbit.save(model, tmp_path / "alone.safetensors")
    with pytest.raises(ValueError, match="pass the float model it was made from"):
        stillbit.load(alone)
    others = (stillbit.load(folder / FILE), stillbit.load(alone, bert()))
    for other in (*others, stillbit.load(folder, bert())):
        assert torch.equal(other(**sentences()).logits, model(**sentences()).logits)


def test_a_folder_that_is_there_is_written_into(folder: Path) -> None:
    (folder / "vocab.txt").write_text("[PAD]\n")
    stillbit.save(ready(lambda: bert(num_hidden_layers=2), sentences()), folder)
    again: Any = stillbit.load(folder)
    assert len(again.bert.encoder.layer) == 2 and (folder / "vocab.txt").exists()


def test_weights_that_are_tied_stay_tied(tmp_path: Path) -> None:
    model = ready(lambda: BertForMaskedLM(BertConfig(**READER)), sentences())
    stillbit.save(model, tmp_path / "masked")
    loaded: Any = stillbit.load(tmp_path / "masked")
    assert loaded.cls.predictions.decoder.weight is loaded.bert.embeddings.word_embeddings.weight
    assert torch.equal(loaded(**sentences()).logits, model(**sentences()).logits)


def test_a_model_in_bfloat16_comes_back_in_bfloat16(tmp_path: Path) -> None:
    model = ready(lambda: bert().bfloat16(), sentences())
    stillbit.save(model, tmp_path / "half")
    loaded: Any = stillbit.load(tmp_path / "half")
    assert loaded.dtype == torch.bfloat16
    assert loaded.classifier.weight_quantizer.scale.dtype == torch.float32
    assert torch.equal(loaded(**sentences()).logits, model(**sentences()).logits)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "does not say which model it is of: save the folder again"),
        ("[]", "does not say which model it is of"),
        (json.dumps({"architectures": []}), "does not say which model it is of"),
        (json.dumps({"architectures": ["MyBert"]}), r"is of a MyBert, which transformers does not have: .*model=your_"),
        (json.dumps({"architectures": ["logging"]}), "is of a logging, which transformers does not have"),
    ],
)
def test_a_config_that_does_not_help_is_said_so(folder: Path, text: str, why: str) -> None:
    (folder / CONFIG).write_text(text)
    with pytest.raises(ValueError, match=why):
        stillbit.load(folder)


def test_the_config_of_another_model_is_noticed(folder: Path) -> None:
    other = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**other, "num_attention_heads": 2}))
    with pytest.raises(ValueError, match="holds another model"):
        stillbit.load(folder)


def test_a_folder_without_the_file_and_a_place_that_is_not_there_are_said_so(tmp_path: Path, folder: Path) -> None:
    model: Any = stillbit.load(folder)
    (folder / FILE).unlink()
    with pytest.raises(ValueError, match=f"there is no file .*{FILE}"):
        stillbit.load(folder)
    with pytest.raises(ValueError, match=r"there is no folder .*nowhere: make it first"):
        stillbit.save(model, tmp_path / "nowhere" / "bert")


def test_any_other_model_still_needs_a_file(tmp_path: Path) -> None:
    model = stillbit.quantize(tiny.vit(depth=1), "w4a4")
    with pytest.raises(ValueError, match="is a folder: name a file"):
        stillbit.save(model, tmp_path)
