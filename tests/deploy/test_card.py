"""A model card that a hub can read, and a person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import yaml

from stillbit.deploy.about import Reading
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


def test_a_model_of_texts_says_what_it_reads() -> None:
    text = Reading(length=24, inputs=("input_ids", "attention_mask"), task="mrpc", pairs=True)
    about = replace(ABOUT, preprocess=None, text=text, facts={"score": 80.25, "top1": 79.5, "transformers": "5.1"})
    said = card(about, replace(made().proof, noun="texts"), FILES)
    held = front(said)
    assert held["pipeline_tag"] == "text-classification" == held["model-index"][0]["results"][0]["task"]["type"]
    assert held["model-index"][0]["results"][0]["dataset"] == {"name": "mrpc", "type": "mrpc"}
    for part in (
        "for pairs of texts of up to 24 pieces",
        '$ stillbit predict packed.safetensors "the first text" "the second"',
        "`input_ids`, `attention_mask`",
        "max_length=24",
        "| task | mrpc |",
        "| score of the task on its validation texts | 80.25 % |",
        "MACs a text",
    ):
        assert part in said
    assert "picture" not in said and "image" not in said.replace("images of a test", "")
    assert '"a text"' in card(replace(about, text=replace(text, pairs=False)), made().proof, FILES)
