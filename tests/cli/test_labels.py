"""`stillbit labels` and `stillbit labels info`: what is in a store, as a table, as JSON, and as a picture."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stillbit.data.digits import Digits
from stillbit.distill.about import about
from stillbit.distill.layout import UNLABELLED, Layout
from stillbit.distill.matches import data_of, labels_of
from stillbit.distill.store import Store
from tests.cli.command import call, mistake, refused, works
from tests.distill.stores import manifest, random_records, small, store


def of_digits(path: Path, kind: str = "marginal_smoothing") -> Path:
    """Labels of the 450 digits that are kept for validation, under their own name."""
    source = Digits("val")
    layout = Layout(kind=kind, top_k=5, classes=10)  # type: ignore[arg-type]
    wanted = manifest(layout, len(source), 4, shard_samples=100, data=data_of(source))
    return store(path, wanted, random_records(layout, len(source), 4), labels_of(source))


def rows(said: str) -> dict[str, str]:
    return dict(re.findall(r"^(\S+(?: \S+)?)  +(.*?) *$", said, re.M))


def test_labels_alone_lists_its_commands() -> None:
    said = works("labels --help")
    assert said.startswith("usage: stillbit labels COMMAND")
    assert all(name in said for name in ("write", "info", "verify", "import-fkd"))
    assert call("labels").code == 2 and call("labels").out == said


def test_a_command_that_does_not_exist_is_told_the_near_one() -> None:
    assert "there is no command labels 'inof': did you mean stillbit labels info?" in mistake("labels inof x")
    assert "stillbit labels --help" in mistake("labels zzz")


@pytest.mark.parametrize("command", ["write", "info", "verify", "import-fkd"])
def test_every_command_has_a_help(command: str) -> None:
    assert works(f"labels {command} --help").startswith(f"usage: stillbit labels {command}")


def test_a_store_says_what_it_is_and_what_its_labels_are_like(tmp_path: Path) -> None:
    folder = of_digits(tmp_path / "store")
    held, opened = rows(works("labels info", folder)), Store(folder)
    found = about(opened)
    assert held["store"].startswith(str(folder)[:20])
    assert held["labels"] == "marginal_smoothing, the likeliest 5 of 10 classes"
    assert held["views"] == "450 images x 4 = 1,800"
    assert held["size"] == "0.06 MB in 7 files, 29 bytes a view"
    assert held["teacher"] == "vit_pico_patch4_32, sees 16 x 16, weights 000000000000"
    assert held["computed"] == "fp32, 2 views at a time" and held["data"].startswith("digits, fingerprint ")
    assert held["crops"].startswith("8 to 100 % of the area, 0.75 to 1.333 as wide as high, 50 % flipped, bicubic")
    assert held["counted over"] == "all images" and held["identity"] == opened.manifest.identity[:12]
    assert f"in {100 * found.agreement:.2f} % of views" in held["agreement"]
    assert held["entropy"].startswith(f"{found.entropy:.3f} nats") and "a guess has 2.303 nats" in held["entropy"]
    assert found.kept is not None and held["kept"].startswith(f"{100 * found.kept:.2f} %")
    assert "damaged" not in held


def test_some_images_are_enough_and_zero_means_all(tmp_path: Path) -> None:
    folder = of_digits(tmp_path / "store", "hard")
    held = rows(works("labels info --images 9", folder))
    assert held["counted over"] == "9 images, spread over the store" and "kept" not in held
    assert rows(works("labels info --images 0", folder))["counted over"] == "all images"


def test_labels_of_text_have_no_crops(tmp_path: Path) -> None:
    held = rows(works("labels info", small(tmp_path, Layout(kind="full", top_k=1, classes=3, boxes=False))))
    assert "crops" not in held and "a crop" not in held
    assert held["views"] == "7 samples x 4 = 28" and "of samples if their views vote" in held["agreement"]


def test_images_without_labels_are_counted(tmp_path: Path) -> None:
    layout = Layout(kind="smoothing", top_k=1, classes=3)
    records = random_records(layout, 5, 2)
    records[3] = np.zeros((), layout.dtype)
    records["flags"][3] = UNLABELLED
    folder = store(tmp_path, manifest(layout, 5, 2), records, np.zeros(5))
    assert rows(works("labels info", folder))["damaged"] == "1 images have no labels"


def test_json_is_the_manifest_and_what_was_counted(tmp_path: Path) -> None:
    folder = of_digits(tmp_path / "store")
    held = json.loads(works("labels info --json", folder))
    opened = Store(folder)
    assert held["identity"] == opened.manifest.identity and held["bytes"] == opened.bytes
    assert held["views"] == 4 and held["layout"]["kind"] == "marginal_smoothing" and held["bytes_a_view"] == 29
    assert held["about"]["agreement"] == pytest.approx(about(opened).agreement)
    assert held["about"]["looked_at"] == 450 and "shards" not in held


def test_a_sheet_is_drawn_where_it_was_asked_for(tmp_path: Path) -> None:
    digits = Digits("train")
    layout = Layout(kind="marginal_smoothing", top_k=5, classes=10)
    wanted = manifest(layout, len(digits), 3, shard_samples=500, data=data_of(digits))
    folder = store(tmp_path / "store", wanted, random_records(layout, len(digits), 3), labels_of(digits))
    said = works("labels info --dataset digits --sheet", tmp_path / "sheet.png", folder)
    assert f"drawn: {tmp_path / 'sheet.png'}" in said
    with Image.open(tmp_path / "sheet.png") as page:
        assert page.format == "PNG" and page.width > 500 and page.height > 500
    before = (tmp_path / "sheet.png").read_bytes()
    assert "has labels for other images" in mistake_of_a_table(
        "labels info --dataset digits --sheet", tmp_path / "sheet.png", of_digits(tmp_path / "other")
    )
    assert (tmp_path / "sheet.png").read_bytes() == before


def mistake_of_a_table(words: str, *more: object) -> str:
    """The table comes first, and what cannot be drawn after it."""
    said = call(words, *more)
    assert said.code == 2 and said.err.startswith("stillbit: ") and said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--images -1", "there are no -1 images to look at: --images 20000, or 0 for all"),
        ("--sheet a.jpg --dataset digits", "a contact sheet is a .png, and this is a.jpg"),
        ("--sheet a.png", "a contact sheet shows images: say where they are, --data-dir FOLDER"),
    ],
)
def test_what_cannot_be_asked_is_refused(words: str, sentence: str) -> None:
    assert sentence in re.sub(r"[\s│]+", " ", refused(f"labels info store {words}"))


def test_what_is_no_store_is_one_sentence(tmp_path: Path) -> None:
    assert "is no store of labels" in mistake("labels info", tmp_path)
    assert "is no store of labels" in mistake("labels info", tmp_path / "gone")
