from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stillbit.data import fractal_cache as under_test
from stillbit.data.fractal_cache import FractalSource, is_cache, render
from stillbit.data.fractals import Fractals
from stillbit.data.settings import FractalSettings

SETTINGS = FractalSettings(classes=5, images=30, val_images=6, size=16)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(SETTINGS, tmp_path_factory.mktemp("fractals") / "new" / "folder", workers=0)


def held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_finished_folder_holds_the_images_and_a_manifest_and_nothing_else(made: Path) -> None:
    assert set(held(made)) == {"train.npy", "val.npy", "manifest.json"} and is_cache(made)
    manifest = json.loads((made / "manifest.json").read_text())
    assert manifest["settings"] == asdict(SETTINGS) and manifest["counts"] == {"train": 150, "val": 30}
    stored = np.lib.format.open_memmap(made / "train.npy", mode="r")
    assert (stored == Fractals(SETTINGS).draw("train", np.arange(150))).all()


def test_blocks_and_workers_change_nothing(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "_BLOCK", 7 * 3 * 16 * 16)
    assert held(render(SETTINGS, tmp_path / "f", workers=2)) == held(made)


def test_progress_counts_images_up_to_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "_BLOCK", 50 * 3 * 16 * 16)
    heard: list[tuple[int, int]] = []
    render(SETTINGS, tmp_path / "f", workers=0, progress=lambda done, count: heard.append((done, count)))
    assert heard == [(50, 180), (100, 180), (150, 180), (180, 180)]


def test_a_finished_folder_is_used_again(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fractals, "draw", None)
    before = {path.name: path.stat().st_mtime_ns for path in made.iterdir()}
    assert render(SETTINGS, made) == made
    assert {path.name: path.stat().st_mtime_ns for path in made.iterdir()} == before


def test_what_was_finished_is_not_drawn_again(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped at each of its blocks once, in the middle of a write."""
    monkeypatch.setattr(under_test, "_BLOCK", 40 * 3 * 16 * 16)
    drawn: list[int] = []
    draw = Fractals.draw

    def counted(self: Fractals, split: str, indices: np.ndarray, epoch: int = 0) -> np.ndarray:
        drawn.extend(indices.tolist())
        return draw(self, split, indices, epoch)  # type: ignore[arg-type]

    def stop(done: int, count: int) -> None:
        for part in out.glob("*.part"):
            part.write_bytes(part.read_bytes() + b"half a block"[: -(-len(b"half a block") // 2)])
        raise KeyboardInterrupt

    out = tmp_path / "f"
    monkeypatch.setattr(Fractals, "draw", counted)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            render(SETTINGS, out, workers=0, progress=stop)
        assert not is_cache(out)
    render(SETTINGS, out, workers=0)
    assert held(out) == held(made)
    assert drawn == [*range(150), *range(30)]


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    settings = replace(SETTINGS, images=3000)
    code = (
        "import sys; from pathlib import Path; from stillbit.data.settings import FractalSettings\n"
        "from stillbit.data import fractal_cache; fractal_cache._BLOCK = 500 * 3 * 16 * 16\n"
        f"fractal_cache.render({settings!r}, Path(sys.argv[1]), workers=1, progress=lambda *_: print('on', flush=True))"
    )
    chance = random.Random(1)
    for _ in range(6):
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a")], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.random())
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    wanted = held(render(settings, tmp_path / "b", workers=1))
    assert held(render(settings, tmp_path / "a", workers=1)) == wanted


def refused(settings: FractalSettings, out: Path) -> str:
    before = held(out) if out.is_dir() else out.read_bytes()
    with pytest.raises(ValueError) as caught:
        render(settings, out, workers=0)
    assert "\n" not in str(caught.value)
    assert (held(out) if out.is_dir() else out.read_bytes()) == before
    return str(caught.value)


def test_a_folder_of_other_fractals_is_refused_and_left_as_it_is(made: Path) -> None:
    assert "size 16 and not 32, seed 0 and not 7" in refused(replace(SETTINGS, size=32, seed=7), made)


def test_an_unfinished_folder_of_other_fractals_is_refused_too(tmp_path: Path) -> None:
    def stop(done: int, count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render(SETTINGS, tmp_path / "f", workers=0, progress=stop)
    assert "images 30 and not 31" in refused(replace(SETTINGS, images=31), tmp_path / "f")
    with pytest.raises(ValueError, match=r"was not finished: stillbit data fractals --output"):
        FractalSource(tmp_path / "f", "train")


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("all of it")
    assert "holds something else" in refused(SETTINGS, tmp_path)
    assert "holds something else" in refused(SETTINGS, tmp_path / "thesis.tex")


def test_damage_is_found_by_its_hash(tmp_path: Path) -> None:
    out = render(SETTINGS, tmp_path / "f", workers=0)
    with (out / "val.npy").open("r+b") as file:
        file.seek(200)
        file.write(b"\0\0\0\0")
    assert "val.npy is damaged or missing" in refused(SETTINGS, out)


@pytest.mark.parametrize("manifest", ["{", "[1, 2]", '{"kind": "app"}', "\x00"])
def test_the_manifest_of_another_program_makes_no_fractals(manifest: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(manifest)
    assert not is_cache(tmp_path) and "holds something else" in refused(SETTINGS, tmp_path)


def test_what_does_not_fit_on_the_disk_is_not_begun(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"GB of fractals do not fit on the disk"):
        render(replace(SETTINGS, images=10**9, size=1024), tmp_path / "f")
    assert not list(tmp_path.glob("f/*.part"))


def test_a_source_reads_what_was_drawn(made: Path) -> None:
    source = FractalSource(made, "val")
    assert len(source) == 30 and source.classes == tuple(f"fractal {k}" for k in range(5))
    image = source.image(7, epoch=4)
    assert (image.numpy() == Fractals(SETTINGS).draw("val", np.array([7]))[0]).all() and source.label(7) == 2
    image.zero_()
    assert source.image(7, 0).any(), "a copy, not the file"
    assert source.describe()["fingerprint"] == json.loads((made / "manifest.json").read_text())["sha256"]["val"]
    assert source.name(7) == f"fractal 7 of val in {made}"


def test_fresh_images_are_others_in_every_epoch_of_the_same_classes(made: Path) -> None:
    source, stored = FractalSource(made, "train", fresh=True), FractalSource(made, "train")
    images = [source.image(3, 0), source.image(3, 1), stored.image(3, 0)]
    assert len({image.numpy().tobytes() for image in images}) == 3
    assert torch.equal(source.image(3, 1), FractalSource(made, "train", fresh=True).image(3, 1))
    assert source.label(3) == stored.label(3)


def test_fractals_of_another_format_are_refused(made: Path, tmp_path: Path) -> None:
    for name, data in held(made).items():
        (tmp_path / name).write_bytes(data)
    manifest = json.loads((made / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(ValueError, match=r"format 99"):
        FractalSource(tmp_path, "train")
    assert "format 99" in refused(SETTINGS, tmp_path)
