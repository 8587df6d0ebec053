"""Images that were left out are named once, and not forgotten."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from stillbit.train.damage import Damage
from stillbit.train.distributed import Share

ALONE = Share(0, 1, torch.device("cpu"))


def hook(folder: Path, *damaged: tuple[str, str]) -> tuple[Damage, Any]:
    loader: Any = SimpleNamespace(damaged=list(damaged))
    return Damage(folder, [loader], ALONE), loader


def test_what_was_left_out_is_named_with_the_reason(tmp_path: Path) -> None:
    damage, loader = hook(tmp_path, ("b.jpg", "truncated"))
    training: Any = SimpleNamespace(damaged=0)
    loader.damaged.append(("a.jpg", "it is empty"))
    damage.after_epoch(training)
    assert training.damaged == 2
    assert (tmp_path / "damaged.txt").read_text() == "a.jpg\tit is empty\nb.jpg\ttruncated\n"


def test_where_nothing_is_damaged_there_is_no_file(tmp_path: Path) -> None:
    damage, _ = hook(tmp_path)
    damage.after_epoch(SimpleNamespace(damaged=0))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_run_that_goes_on_still_knows_them(tmp_path: Path) -> None:
    before, _ = hook(tmp_path, ("a.jpg", "truncated"))
    after, _ = hook(tmp_path, ("b.jpg", "truncated"))
    after.load_state(before.state())
    training: Any = SimpleNamespace(damaged=0)
    after.after_epoch(training)
    assert training.damaged == 2 and (tmp_path / "damaged.txt").read_text().count("\n") == 2


def test_a_checkpoint_without_names_is_no_reason_to_stop(tmp_path: Path) -> None:
    damage, _ = hook(tmp_path)
    damage.load_state({})
    assert damage.found == {}
