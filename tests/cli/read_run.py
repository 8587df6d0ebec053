"""A run about texts, of a few seconds: binary words, and a tracker that watched."""

from __future__ import annotations

from pathlib import Path

from tests.cli.command import works

SMALL = (
    "--model bert_pico --batch-size 30 --epochs 1 --warmup-epochs 0 --calibration-images 30 --examples 120 "
    "--val-examples 24"
)


def read_run(folder: Path) -> Path:
    """One epoch of entailment at one bit."""
    words = f"--task entailment --bits w1a1 --weight sign --activation elastic --track {SMALL}"
    works(f"train lsq {words} --experiment read --output", folder)
    return folder / "read"


def number_run(folder: Path) -> Path:
    """One epoch of a task that is a number to find."""
    for name, count in (("train", 60), ("dev", 12)):
        lines = [f"{'good ' * (i % 5 + 1)}film\t{i % 5}.0" for i in range(count)]
        (folder / f"{name}.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n", encoding="utf-8")
    words = f"--task regress --columns text --val-split dev --bits w2a4 --track {SMALL} --data-dir {folder}"
    words = words.replace("--examples 120 --val-examples 24", "")
    works(f"train lsq {words} --experiment number --output", folder)
    return folder / "number"
