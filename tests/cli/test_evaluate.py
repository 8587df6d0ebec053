"""``stillbit evaluate``."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import stillbit
from tests.cli.command import PLAIN, everything, mistake, refused, works
from tests.cli.deployed_run import numbers, read_files, reading
from tests.cli.pictures import pictures, text

WORKERS = "--workers 0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quantized run whose last epoch is not its best: at the end the learning rate is far too high."""
    folder = tmp_path_factory.mktemp("runs")
    rate = "--lr 2e-3 --sched constant --batch-size 64"
    works(f"train lsq {PLAIN} {rate} --epochs 3 --bits w3a4 --experiment run --output", folder)
    return folder / "run"


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "summary.csv").read_text().splitlines()))


def scores(words: str, *more: object) -> dict[str, Any]:
    held: dict[str, Any] = json.loads(works(f"evaluate --json {WORKERS} {words}", *more))
    return held


def test_the_last_checkpoint_scores_what_the_last_row_says_to_the_bit(folder: Path) -> None:
    held, row = scores("--checkpoint last --batch-size 64", folder), rows(folder)[-1]
    assert all(held[name] == float(row[name]) for name in ("top1", "top5", "eval_loss"))


def test_a_run_scores_by_its_best_checkpoint(folder: Path) -> None:
    assert scores("", folder)["top1"] == max(float(row["top1"]) for row in rows(folder))


def test_latent_weights_are_those_that_a_float_run_would_begin_with(folder: Path, tmp_path: Path) -> None:
    found = scores("--latent", folder)
    assert found["top1"] != scores("", folder)["top1"] and found["images"] == 450
    words = f"train fp {PLAIN} --epochs 1 --lr 0 --batch-size 64 --initial-checkpoint {folder} --experiment float"
    works(f"{words} --output", tmp_path)
    assert found["top1"] == scores("", tmp_path / "float")["top1"]


def test_a_float_model_has_no_latent_weights(tmp_path: Path) -> None:
    works(f"train fp {PLAIN} --epochs 1 --experiment float --output", tmp_path)
    assert "holds a float model" in mistake(f"evaluate {tmp_path / 'float'} --latent")


def test_the_batch_size_changes_no_count(folder: Path) -> None:
    held, small = scores("", folder), scores("--batch-size 7", folder)
    assert (held["top1"], held["top5"], held["images"]) == (small["top1"], small["top5"], small["images"])
    assert held["eval_loss"] == pytest.approx(small["eval_loss"], rel=1e-5)
    assert held["images"] == 450


def test_the_file_of_a_run_scores_like_the_run(folder: Path) -> None:
    held = scores("--dataset digits", folder / "model.safetensors")
    assert held == scores("", folder)


def test_a_line_says_how_many_images_and_where_the_numbers_are_from(folder: Path) -> None:
    said = works(f"evaluate {WORKERS}", folder)
    held = scores("", folder)
    assert said.startswith(f"top1 {held['top1']:.2f} %  top5 {held['top5']:.2f} %  loss {held['eval_loss']:.4f}  ")
    assert said.endswith(f"({folder / 'best.pt'})\n") and " on 450 images " in said


def test_evaluation_in_bfloat16_is_near(folder: Path) -> None:
    assert scores("--amp", folder)["eval_loss"] == pytest.approx(scores("", folder)["eval_loss"], rel=0.05)


def test_damaged_images_are_left_out_where_asked(tmp_path: Path) -> None:
    pictures(tmp_path / "data", val=text)
    (tmp_path / "data/val/b/3.jpg").write_bytes((tmp_path / "data/train/b/3.jpg").read_bytes())
    words = f"evaluate resnet18 {WORKERS} --data-dir {tmp_path / 'data'}"
    assert "0.jpg cannot be used: it is no image; repair or remove it, or leave it out: --corrupt skip" in mistake(
        words
    )
    assert " on 1 images " in works(f"{words} --corrupt skip")


def test_nothing_is_written(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = everything(folder)
    scores("", folder)
    assert everything(folder) == files and not everything(tmp_path)


def test_a_model_by_name_is_said_to_be_random() -> None:
    said = works(f"evaluate vit_pico_patch8_64 --dataset digits {WORKERS}")
    assert "(random weights)" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("vit_pico_patch4_33 --dataset digits", "did you mean vit_pico_patch4_32"),
        (". --dataset digits", ". is no run: it has no recipe.json; give the folder that stillbit train wrote to"),
        ("no/where", "there is no run and no file no/where: give a run, a .safetensors file, or a model's name"),
        ("vit_pico_patch4_32", "name it with --data-dir FOLDER"),
        ("vit_pico_patch4_32 --dataset digit", "did you mean digits?"),
        ("vit_pico_patch4_32 --data-dir nowhere", "there is no folder nowhere"),
        ("vit_pico_patch4_32 --dataset digits --device cudo", "use auto, cpu, cuda or cuda:0"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    words: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in mistake(f"evaluate {words}")


def test_a_run_without_that_checkpoint_says_which_it_has(folder: Path, tmp_path: Path) -> None:
    for name in ("recipe.json", "last.pt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert "has no best checkpoint: it has last" in mistake("evaluate", tmp_path)
    assert "'best', 'last'" in refused("evaluate --checkpoint first", tmp_path)


def test_a_model_of_texts_without_its_run_is_asked_a_task(tmp_path: Path) -> None:
    model = stillbit.load(reading() / "model.safetensors")
    stillbit.save(model, tmp_path / "saved")
    said = mistake("evaluate", tmp_path / "saved")
    assert "saved reads texts, and does not say what they are asked: --task NAME, such as sst2" in said
    assert "has no tokenizer.json and no vocab.txt" in mistake(f"evaluate {tmp_path / 'saved'} --task entailment")
    (tmp_path / "saved/tokenizer.json").write_bytes((reading() / "tokenizer.json").read_bytes())
    held = scores("--task entailment", tmp_path / "saved")
    assert held == scores("--task entailment", reading() / "model.safetensors") and held["images"] == 2000
    assert "on 2,000 examples" in works(f"evaluate --task entailment {tmp_path / 'saved'}")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("READ --task entailment", "knows what it was trained on, entailment: leave out --task"),
        ("READ/model.safetensors", "reads texts, and does not say what they are asked: --task NAME"),
        ("READ/model.safetensors --task regress", "which columns to regress, a run knows: give the run that"),
        ("READ/model.safetensors --task paraphrase", "paraphrase has 2 labels and the model answers with 3"),
        ("vit_pico_patch4_32 --task sst2", "--task is for models of texts, and vit_pico_patch4_32 is none"),
        ("FILES --task entailment", "is deployed: stillbit verify "),
        ("READ --data-dir .", "the sentences of entailment are generated, not read: leave out --data-dir"),
        ("READ --corrupt skip", "are generated, not read: leave out --corrupt"),
        ("READ --val-split dev", "none is called 'dev': use train or validation"),
    ],
)
def test_what_cannot_be_asked_of_texts_is_one_sentence(words: str, sentence: str) -> None:
    assert sentence in mistake(f"evaluate {words.replace('READ', str(reading())).replace('FILES', str(read_files()))}")


def test_other_texts_are_read_where_they_are_named(tmp_path: Path) -> None:
    lines = ["text\tlabel", "good film\t1.0", "good good film\t2.0", "\t3.0", "good good good film\t3.0"]
    (tmp_path / "dev.tsv").write_text("\n".join(lines) + "\n")
    assert f"{tmp_path / 'dev.tsv'}, line 4: the text is empty" in mistake(
        f"evaluate {numbers()} --data-dir {tmp_path}"
    )
    held = scores(f"--data-dir {tmp_path} --corrupt skip", numbers())
    assert held["images"] == 3 and held.keys() >= {"score", "pearson", "spearman"}
    assert held["left_out"] == {f"{tmp_path / 'dev.tsv'}, line 4": "the text is empty"}


def test_without_a_target_it_says_what_one_is() -> None:
    assert "A run, a model file or folder that stillbit wrote, or timm's name of a model." in refused("evaluate")
