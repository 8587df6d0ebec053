"""What an export shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from stillbit.cli.export import Export
from stillbit.cli.export_show import float_bytes, line_of, shown
from stillbit.deploy.proof.outcome import Proof
from tests.deploy.proofs import made

ASKED = Export(target=Path("run"))


def test_a_line_compares_with_the_float_model() -> None:
    said = line_of(Path("a.safetensors"), 88_400, 1_000_000)
    assert said == "written: a.safetensors (88.4 kB, 11.3 times smaller than in float)"
    assert line_of(Path("a.onnx"), 2000, 1000).endswith("(2 kB, 2.0 times larger than in float)")


def test_the_float_model_has_no_scales() -> None:
    assert float_bytes(nn.Linear(4, 8)) == 4 * 40
    plain = sum(v.numel() for k, v in made().model.state_dict().items() if "_quantizer." not in k)
    assert float_bytes(made().model) == 4 * plain


def test_lines_stand_behind_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    shown(ASKED, made().proof, ["written: [a].b"])
    out = capsys.readouterr().out
    assert out.startswith("engine ") and out.endswith("written: [a].b\n") and "patch_embed" not in out


def test_json_goes_alone_to_stdout(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shown(replace(ASKED, json=True), made().proof, ["written: a"])
    said = capsys.readouterr()
    (tmp_path / "proof.json").write_text(said.out)
    assert Proof.read(tmp_path / "proof.json") == made().proof and said.err == "written: a\n"


def test_where_codes_differ_stands_above_the_layers_and_is_cut_at_twenty(capsys: Any) -> None:
    held = made().proof.comparisons[0]
    layers = tuple(replace(held.layers[0], name=f"layer{n}", differ=1, ties=1) for n in range(25))
    proof = replace(made().proof, comparisons=(replace(held, layers=layers),))
    shown(replace(ASKED, layers=True), proof, [])
    out = capsys.readouterr().out
    assert "layer19" in out and "layer20" not in out and "... and 5 more rows: --json has all" in out
    assert out.index("layer19") < out.index("patch_embed.proj")
