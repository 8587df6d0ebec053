"""Torch's names and a program's; what each of them means is tested beside where it is written."""

from __future__ import annotations

import torch

from stillbit.deploy.tracing.translate import IDENTITY, TRANSLATIONS, moves

aten = torch.ops.aten


def test_moves_are_told_from_the_rest() -> None:
    assert moves(aten.permute.default) and moves(aten.clone.default)
    assert not moves(aten.add.Tensor) and not moves(aten.pad.default) and not moves(aten.index.Tensor)


def test_what_gives_back_what_it_got_needs_no_translation() -> None:
    assert not IDENTITY & TRANSLATIONS.keys()
