"""Encoders of texts by name, and from a folder; a hub is never asked without need."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from stillbit.models import encoders

LABELS = ("no", "yes", "perhaps")


def config(name: str = "bert_pico", *, rows: int = 90, relu: bool = False) -> str:
    return encoders.answering(encoders.config_of(name, rows), 3, LABELS, relu=relu)


def folder(path: Path) -> Path:
    small = BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, num_labels=2
    )
    BertForSequenceClassification(small).save_pretrained(path)
    return path


def test_a_name_of_ours_is_a_model_for_as_many_pieces_as_there_are() -> None:
    model = encoders.build(config())
    assert model.bert.embeddings.word_embeddings.num_embeddings == 90  # type: ignore[union-attr]
    assert model.config.id2label == dict(enumerate(LABELS))
    assert model(torch.ones(2, 5, dtype=torch.long)).logits.shape == (2, 3)


@pytest.mark.parametrize("name", encoders.SIZES)
def test_every_size_is_what_its_row_says(name: str) -> None:
    layers, width, heads = encoders.SIZES[name]
    found = encoders.read_config(encoders.config_of(name))
    assert (found.num_hidden_layers, found.hidden_size, found.num_attention_heads) == (layers, width, heads)
    assert found.intermediate_size == 4 * width
    assert found.hidden_dropout_prob == (0.0 if width <= encoders.SMALL else 0.1)


def test_the_largest_ones_are_those_that_google_published() -> None:
    ours = json.loads(encoders.config_of("bert_base"))
    assert {name: ours[name] for name in ("hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size")} == {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "intermediate_size": 3072,
        "vocab_size": 30522,
    }


def test_a_number_is_an_answer_too() -> None:
    model = encoders.build(encoders.answering(encoders.config_of("bert_pico", 30), 1, None))
    assert model(torch.ones(2, 4, dtype=torch.long)).logits.shape == (2, 1)


def test_relu_stands_where_gelu_did() -> None:
    acts = [encoders.build(config(relu=relu)).bert.encoder.layer[0].intermediate for relu in (True, False)]  # type: ignore[union-attr]
    x = -torch.ones(1, 64)
    assert (acts[0](x) >= 0).all() and (acts[1](x) < 0).any()


def test_the_config_is_the_same_whichever_version_of_transformers_writes_it() -> None:
    assert "version" not in config()
    assert encoders.answering(config(), 3, LABELS) == config()


def test_a_folder_gives_its_weights_and_a_new_classifier_where_the_classes_are_others(tmp_path: Path) -> None:
    path = str(folder(tmp_path))
    theirs = AutoModelForSequenceClassification.from_pretrained(path)
    wanted = encoders.answering(encoders.config_of(path), 3, LABELS)
    model = encoders.fetch(path, wanted)
    assert model.classifier.weight.shape == (3, 16)  # type: ignore[union-attr]
    held = model.state_dict()
    for name, tensor in theirs.state_dict().items():
        assert name.startswith("classifier") or torch.equal(held[name], tensor), name


def test_what_is_written_is_what_transformers_reads(tmp_path: Path) -> None:
    said = encoders.to_keep(config())
    (tmp_path / "config.json").write_text(json.dumps(said))
    assert said["architectures"] == ["BertForSequenceClassification"]
    from transformers import AutoConfig

    assert AutoConfig.from_pretrained(tmp_path).id2label == dict(enumerate(LABELS))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("bert-pico", "there is no model 'bert-pico': did you mean bert_pico?"),
        ("/no/such/folder", "there is no folder /no/such/folder"),
    ],
)
def test_a_name_that_is_none_is_refused_before_anything_is_fetched(name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        encoders.config_of(name)


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no config\.json"):
        encoders.config_of(str(tmp_path))


def test_weights_that_would_have_to_be_unpickled_are_refused(tmp_path: Path) -> None:
    path = folder(tmp_path)
    (path / "model.safetensors").unlink()
    torch.save({}, path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="cannot read the weights"):
        encoders.fetch(str(path), config(str(path)))


def test_a_hub_that_cannot_be_reached_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoConfig

    def fails(name: str) -> None:
        raise OSError("no way\n to the hub")

    monkeypatch.setattr(AutoConfig, "from_pretrained", fails)
    with pytest.raises(ValueError, match=r"cannot find the model bert-base-uncased: .* \(no way to the hub\)"):
        encoders.config_of("bert-base-uncased")
