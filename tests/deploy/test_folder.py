"""A folder for a model hub, filled without a network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stillbit.data.wordpiece import read_pieces, train_pieces
from stillbit.deploy.bench.rounds import Report, Row
from stillbit.deploy.folder import check_own, fill, latency_of
from stillbit.deploy.proof.outcome import Proof
from stillbit.deploy.proof.proven import FORMATS, deliver
from stillbit.deploy.texts import reading_of
from tests.cli.command import everything
from tests.deploy.proofs import ABOUT, made


def test_it_holds_what_a_hub_wants(tmp_path: Path) -> None:
    deliver(made().work(), {name: tmp_path / FORMATS[name].file for name in ("packed", "onnx")})
    written = fill(tmp_path, ABOUT, made().proof)
    names = {"config.json", "preprocessor_config.json", "proof.json", "README.md"}
    assert {path.name for path in written} == names
    assert set(everything(tmp_path)) == names | {"packed.safetensors", "model.onnx"}
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["id2label"]["4"] == "eel" and config["bits"] == "w2a2" and config["model_type"] == "stillbit"
    assert Proof.read(tmp_path / "proof.json") == made().proof
    assert "`model.onnx`" in (tmp_path / "README.md").read_text()


def test_preprocessing_is_said_in_the_words_of_hubs(tmp_path: Path) -> None:
    fill(tmp_path, ABOUT, made().proof)
    held = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert held["size"] == {"shortest_edge": 17} and held["crop_size"] == {"height": 16, "width": 16}
    assert held["image_mean"] == [0.5, 0.4, 0.3] and held["resample"] == 3 and held["rescale_factor"] == 1 / 255


def test_texts_have_a_tokenizer_and_no_preprocessor(tmp_path: Path) -> None:
    pieces = train_pieces(["the cat sat on the mat"], size=60)
    text = reading_of(pieces, 16, ("input_ids", "attention_mask"), task="sst2")
    about = replace(ABOUT, preprocess=None, text=text)
    names = [path.name for path in fill(tmp_path, about, made().proof)]
    assert names == ["config.json", "tokenizer.json", "tokenizer_config.json", "proof.json", "README.md"]
    config, said = (json.loads((tmp_path / name).read_text()) for name in ("config.json", "tokenizer_config.json"))
    assert (config["finetuning_task"], config["max_length"]) == ("sst2", 16)
    assert (said["model_max_length"], said["pad_token"]) == (16, "[PAD]")
    assert read_pieces(tmp_path).fingerprint == pieces.fingerprint
    check_own(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    with pytest.raises(ValueError, match=r"tokenizer\.json is there, and stillbit export did not write it"):
        check_own(tmp_path)


def test_a_card_that_a_person_took_over_stays(tmp_path: Path) -> None:
    fill(tmp_path, ABOUT, made().proof)
    assert tmp_path / "README.md" in fill(tmp_path, ABOUT, made().proof), "it is ours, and made anew"
    (tmp_path / "README.md").write_text("# Mine\n")
    assert tmp_path / "README.md" not in fill(tmp_path, ABOUT, made().proof)
    assert (tmp_path / "README.md").read_text() == "# Mine\n"


@pytest.mark.parametrize("text", ["{", "[]", '{"model_type": "vit"}', '{"written_by": "me"}'])
@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "proof.json"])
def test_files_of_a_persons_own_are_told_from_ours(name: str, text: str, tmp_path: Path) -> None:
    check_own(tmp_path)
    fill(tmp_path, ABOUT, made().proof)
    check_own(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"{name} is there, and stillbit export did not write it: remove it, or"):
        check_own(tmp_path)


def test_what_was_measured_stands_on_the_card(tmp_path: Path) -> None:
    spread = {"median": 7.125, "lowest": 7.0, "highest": 7.5}
    rows = [{"name": "integer", "milliseconds": {"1": spread, "32": None}}]
    held = {"hardware": "a processor", "threads": 1, "batches": [1, 32], "rows": rows}
    (tmp_path / "bench.json").write_text(json.dumps(held))
    fill(tmp_path, ABOUT, made().proof)
    text = (tmp_path / "README.md").read_text()
    assert "| engine | ms, 1 image | ms, 32 images |" in text and "| integer | 7.12 (7.00-7.50) |  |" in text
    assert "on a processor, 1 thread each." in text


def test_a_measurement_in_the_words_of_bench_is_read(tmp_path: Path) -> None:
    row = Row(name="integer", model="m", bytes=1, seconds={1: [0.002, 0.001, 0.004]})
    report = Report(hardware="h", threads=2, batches=(1,), rounds=3, rows=[row])
    (tmp_path / "bench.json").write_text(json.dumps(report.to_json()))
    assert "| integer | 2.00 (1.00-4.00) |" in latency_of(tmp_path / "bench.json")


@pytest.mark.parametrize("text", ["{", "[]", '{"batches": 3}', '{"batches": [1], "rows": [{"name": "x"}]}'])
def test_a_measurement_that_is_none_is_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(text)
    with pytest.raises(ValueError, match=r"bench\.json is not what stillbit bench --json writes: remove it"):
        latency_of(tmp_path / "bench.json")
