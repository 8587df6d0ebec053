"""A model card that a hub can read, and a person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import yaml

from stillbit.deploy.card import MARK, card
from tests.deploy.proofs import ABOUT, made

FILES = {"packed.safetensors": 88_400, "model.onnx": 1_250_000}


def front(text: str) -> dict[str, Any]:
    _, head, _ = text.split("---\n", 2)
    held: dict[str, Any] = yaml.safe_load(head)
    return held


def test_what_a_hub_reads_is_yaml() -> None:
    held = front(card(ABOUT, made().proof, FILES))
    assert held["library_name"] == "stillbit" and held["pipeline_tag"] == "image-classification"
    assert held["tags"] == ["stillbit", "quantization", "w2a2"]
    (entry,) = held["model-index"]
    assert entry["name"] == "vit_of_tests w2a2 vvtq"
    assert entry["results"][0]["metrics"] == [{"type": "accuracy", "value": 81.5}]
    assert {"type", "name"} == set(entry["results"][0]["dataset"])


def test_without_an_accuracy_none_is_claimed() -> None:
    held = front(card(replace(ABOUT, facts={}), made().proof, FILES))
    assert "model-index" not in held and "metrics" not in held


def test_names_with_colons_and_quotes_stay_yaml() -> None:
    name = 'hf-hub:some/model "x" # y'
    held = front(card(replace(ABOUT, model=name), made().proof, FILES))
    assert held["model-index"][0]["name"] == f"{name} w2a2 vvtq"


def test_the_hubs_own_reader_takes_it() -> None:
    from huggingface_hub import ModelCard

    read = ModelCard(card(ABOUT, made().proof, FILES))
    assert read.data.library_name == "stillbit"
    assert read.data.eval_results[0].metric_value == 81.5
    assert read.text.lstrip().startswith(MARK)


def test_a_person_reads_accuracy_bits_parity_layers_and_how_to_run_it() -> None:
    text = card(ABOUT, made().proof, FILES, latency="| engine | ms |\n| --- | ---: |\n| integer | 7.1 |")
    for part in ("81.50 %", "| bits | w2a2 |", "| integer, exact |", "| patch_embed.proj | integer |"):
        assert part in text
    assert "$ stillbit predict packed.safetensors picture.jpg" in text
    assert "- `model.onnx`: 1.25 MB" in text and "## How fast it is" in text and "| integer | 7.1 |" in text
    assert "How fast" not in card(ABOUT, made().proof, FILES)
    assert "without stillbit" not in card(ABOUT, made().proof, {"packed.safetensors": 1})
