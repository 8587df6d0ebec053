"""What the package itself saved, and what is asked of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stillbit.data import text_datasets
from stillbit.data.text_datasets import from_disk, from_hub, saved_split
from stillbit.data.text_tasks import find_task, own_task

datasets = pytest.importorskip("datasets")
pytestmark = pytest.mark.filterwarnings("ignore")  # those of that package and of what it imports
RTE = find_task("rte")
ROWS = {"sentence1": ["A dog.", "B"], "sentence2": ["C", "D"], "idx": [0, 1]}


def table(labels: list[Any], names: list[str] | None = None, **columns: list[Any]) -> Any:
    made = datasets.Dataset.from_dict({**ROWS, **columns, "label": labels})
    return made if names is None else made.cast_column("label", datasets.ClassLabel(names=names))


def saved(folder: Path, made: Any) -> Path:
    made.save_to_disk(str(folder))
    return folder


def test_what_the_package_saved_is_read_with_one_folder_a_split(tmp_path: Path) -> None:
    both = datasets.DatasetDict(train=table([0, 1], list(RTE.labels)), validation=table([1, 1], list(RTE.labels)))
    saved(tmp_path / "rte", both)
    for root in (tmp_path, tmp_path / "rte"):
        folder = saved_split(RTE, root, "validation")
        assert folder is not None and from_disk(RTE, folder).targets.tolist() == [1, 1]
    assert saved_split(RTE, tmp_path, "test") is None
    with pytest.raises(ValueError, match=r"is one split: give the folder above it, --data-dir .*rte"):
        saved_split(RTE, tmp_path / "rte" / "train", "train")


def test_rows_keep_their_texts_and_numbers(tmp_path: Path) -> None:
    texts = from_disk(RTE, saved(tmp_path / "x", table([0, 1], list(RTE.labels))))
    assert texts.first == ("A dog.", "B") and texts.second == ("C", "D")
    assert texts.name(1) == f"{tmp_path / 'x'}, row 1"


def test_classes_are_told_by_their_names_where_they_are_counted_in_another_order(tmp_path: Path) -> None:
    turned = table([0, 1], list(RTE.labels)[::-1])
    assert from_disk(RTE, saved(tmp_path / "x", turned)).targets.tolist() == [1, 0]


def test_similarities_are_read_too(tmp_path: Path) -> None:
    assert from_disk(find_task("stsb"), saved(tmp_path / "x", table([3.5, 1.0]))).targets.tolist() == [3.5, 1.0]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: table([-1, -1]), "keeps its labels secret"),
        (lambda: table([0, 2], ["a", "b", "c"]), "has the labels a, b, c and rte entailment, not_entailment"),
        (lambda: table([0, 7]), "row 1: the label '7' is none of"),
        (lambda: table([0, 1], sentence2=["x", None]), "row 1: the sentence2 is empty"),
        (lambda: table([0, 1]).remove_columns("sentence2"), "has the columns sentence1, idx, label and not"),
    ],
)
def test_what_does_not_fit_the_task_is_said_in_one_line(made: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        from_disk(RTE, saved(tmp_path / "x", made()))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_text_can_be_left_out(tmp_path: Path) -> None:
    texts = from_disk(RTE, saved(tmp_path / "x", table([0, 1], sentence2=[None, "D"])), corrupt="skip")
    assert texts.first == ("B",) and texts.numbers.tolist() == [1]


def test_the_hub_is_asked_for_what_was_named_and_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []

    def load(*what: Any, **how: Any) -> Any:
        asked.append((what, how))
        return table([0, 1], list(RTE.labels))

    monkeypatch.setattr(datasets, "load_dataset", load)
    texts = from_hub(RTE, "nyu-mll/glue", "validation", tmp_path)
    assert asked == [(("nyu-mll/glue", "rte"), {"split": "validation", "cache_dir": str(tmp_path)})]
    assert texts.origin == "hfds/nyu-mll/glue, rte, validation"
    own = own_task(("sentence1",), "label", ("no", "yes"))
    assert from_hub(own, "somebody/set", "train", None).origin == "hfds/somebody/set, train"
    assert asked[1] == (("somebody/set", None), {"split": "train", "cache_dir": None})


def test_what_cannot_be_fetched_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(ValueError, match="cannot open hfds/nyu-mll/glue, rte, train: no network"):
        from_hub(RTE, "nyu-mll/glue", "train", None)


def test_without_the_package_the_way_to_get_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(text_datasets, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs Hugging Face's package: pip install datasets"):
        from_hub(RTE, "nyu-mll/glue", "train", None)
    with pytest.raises(ValueError, match="pip install datasets"):
        from_disk(RTE, tmp_path)
