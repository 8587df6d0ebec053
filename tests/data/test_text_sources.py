from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stillbit.data import text_sources
from stillbit.data.text_settings import TextSettings
from stillbit.data.text_sources import open_texts, splits_of, task_of


def tsv(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def test_one_root_holds_all_tasks_of_glue(tmp_path: Path) -> None:
    tsv(tmp_path / "CoLA", "dev.tsv", "x\t1\t\tA dog runs.\n")
    tsv(tmp_path / "SST-2", "dev.tsv", "sentence\tlabel\nbad\t0\n")
    for task, text in (("cola", "A dog runs."), ("sst2", "bad")):
        assert open_texts(TextSettings(task=task, data_dir=tmp_path), "validation").first == (text,)


def test_a_table_of_ones_own_is_read_by_the_names_of_its_columns(tmp_path: Path) -> None:
    tsv(tmp_path, "train.tsv", "id\tquestion\treply\tfits\n7\tWho?\tHe.\tyes\n")
    own: dict[str, Any] = {"data_dir": tmp_path, "columns": ("question", "reply"), "label_column": "fits"}
    texts = open_texts(TextSettings(task="classify", class_names=("no", "yes"), **own), "train")
    assert texts.first == ("Who?",) and texts.second == ("He.",) and texts.targets.tolist() == [1]
    with pytest.raises(ValueError, match="line 2: the label 'yes' is no number"):
        open_texts(TextSettings(task="regress", **own), "train")


def test_generated_tasks_need_no_folder() -> None:
    settings = TextSettings(task="paraphrase", examples=12, val_examples=8, text_seed=3)
    assert [len(open_texts(settings, split)) for split in ("train", "validation")] == [12, 8]


def test_splits_are_the_tasks_own_unless_one_is_named() -> None:
    assert splits_of(TextSettings(task="mnli")) == ("validation_matched", "validation_mismatched")
    assert splits_of(TextSettings(task="rte")) == ("validation",)
    assert splits_of(TextSettings(task="mnli", val_split="test_matched")) == ("test_matched",)


def test_the_hub_is_asked_only_if_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(text_sources, "from_hub", lambda task, *more: asked.append((task.name, *more)))
    open_texts(TextSettings(task="rte", dataset="hfds/nyu-mll/glue", data_dir=tmp_path), "validation")
    assert asked == [("rte", "nyu-mll/glue", "validation", tmp_path, "fatal")]
    with pytest.raises(ValueError, match=r"there is no train\.tsv"):
        open_texts(TextSettings(task="rte", data_dir=tmp_path), "train")
    assert len(asked) == 1


@pytest.mark.filterwarnings("ignore")  # those of the package and of what it imports
def test_what_the_package_saved_is_recognised(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_dict({"sentence": ["good"], "label": [1]})
    made.save_to_disk(str(tmp_path / "sst2" / "train"))
    assert open_texts(TextSettings(task="sst2", data_dir=tmp_path), "train").first == ("good",)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"task": "rte"},
            "name it with --data-dir FOLDER, or fetch GLUE from Hugging Face with --dataset hfds/nyu-mll/glue",
        ),
        ({"task": "rte", "dataset": "glue"}, "unknown dataset 'glue': use folder or hfds/NAME"),
        ({"task": "rte", "columns": ("a",)}, "rte knows its columns and labels: leave out --columns"),
        ({"task": "rte", "text_seed": 1}, "rte is read, not generated: leave out --text-seed"),
        ({"task": "classify"}, "to classify texts of your own, name their column"),
        ({"task": "classify", "columns": ("a",)}, "a task has two labels or more, each once, got none"),
        ({"task": "regress", "columns": ("a",), "class_names": ("x", "y")}, "has no labels: leave out --class-names"),
        ({"task": "entailment", "dataset": "hfds/x"}, "are generated, not read: leave out --dataset"),
        ({"task": "entailment", "corrupt": "skip"}, "are generated, not read: leave out --corrupt"),
        ({"task": "nli"}, "unknown task 'nli': did you mean"),
    ],
)
def test_what_has_no_meaning_or_no_effect_is_refused(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        open_texts(TextSettings(**asked), "train")
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_generated_tasks_have_two_splits() -> None:
    with pytest.raises(ValueError, match=r"has its own two splits, and none is called 'test'"):
        open_texts(TextSettings(task="entailment"), "test")


def test_a_task_is_known_before_anything_is_read() -> None:
    assert task_of(TextSettings(task="mnli")).outputs == 3
