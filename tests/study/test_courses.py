"""How the trainings of a study went."""

from __future__ import annotations

import json
import re
from pathlib import Path

from stillbit.study.courses import curves
from stillbit.study.rows import Row
from tests.study.small import row


def logs(folder: Path, rows: list[Row]) -> None:
    for one in rows:
        (folder / one.name).mkdir(parents=True)
        said = [
            {"kind": "epoch", "epoch": epoch, "step": 4 * epoch, "top1": 50.0 + 10 * epoch + one.seed, "lr": 0.1}
            for epoch in (1, 2, 3)
        ]
        (folder / one.name / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in said))


def test_a_line_is_the_mean_of_the_seeds_and_its_band_reaches_all_of_them(tmp_path: Path) -> None:
    held = [row(title, bits, seed) for title in ("lsq", "vvtq") for bits in ("w4a4", "w2a2") for seed in (0, 2)]
    logs(tmp_path, held)
    found = curves(held, tmp_path)
    assert found is not None and [option.name for option in found.options] == ["w4a4: top1", "w2a2: top1"]
    svg = found.options[0].svg
    assert svg.count("<polygon") == svg.count("<polyline") == 2 and 'data-name="vvtq"' in svg
    area = re.findall(r'<polygon points="([^"]*)"', svg)[0]
    line = re.findall(r'<polyline points="([^"]*)"', svg)[0]
    heights = [[float(pair.split(",")[1]) for pair in said.split()] for said in (area, line)]
    top, bottom = heights[0][0], heights[0][-1]
    assert abs((top + bottom) / 2 - heights[1][0]) < 0.1 and bottom > top


def test_runs_without_a_log_are_left_out(tmp_path: Path) -> None:
    held = [row(seed=0), row(seed=1), row(seed=2, status="failed")]
    assert curves(held, tmp_path) is None
    logs(tmp_path, [held[0], held[2]])
    found = curves(held, tmp_path)
    assert found is not None and found.options[0].svg.count("<polyline") == 1


def test_where_there_are_too_many_to_tell_apart_the_methods_as_they_are_are_drawn(tmp_path: Path) -> None:
    held = [row(title) for title in ("lsq", *(f"lsq+switch{number}" for number in range(8)))]
    logs(tmp_path, held)
    found = curves(held, tmp_path)
    assert found is not None and found.options[0].svg.count("<polyline") == 1 and "left out" in found.caption
    few = curves(held[:8], tmp_path)
    assert few is not None and few.options[0].svg.count("<polyline") == 8 and "left out" not in few.caption
