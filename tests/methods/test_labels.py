"""Teachers that people name, and the store that comes of them."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillbit.data.settings import DataSettings
from stillbit.data.sources import open_source
from stillbit.distill.layout import dense
from stillbit.distill.seen import Images
from stillbit.distill.settings import TeacherSettings, WriteSettings
from stillbit.distill.store import Store
from stillbit.distill.write import Standing
from stillbit.methods import build
from stillbit.methods import target as targets
from stillbit.methods.labels import Asked, Outcome, estimate, open_panel, reinfer, write
from stillbit.models import names
from stillbit.train import weights
from tests.methods.conftest import Ran

DIGITS = DataSettings(dataset="digits", workers=0)
CLASSES = tuple("0123456789")


def asked(output: Path, *teachers: object, file: Path | None = None, **other: Any) -> Asked:
    settings = {"crops": 2, "batch_size": 128, "precision": "fp32", "scale": (0.8, 1.0), "hflip": 0.0} | other
    said = TeacherSettings(teacher=tuple(map(str, teachers)), teacher_weights=file)
    return Asked(teachers=said, data=DIGITS, write=WriteSettings(output=output, **settings))


def written(request: Asked) -> Outcome:
    outcome = write(request, lambda standing: None)
    assert outcome.written is not None
    return outcome


def test_a_run_is_a_teacher_and_its_labels_are_what_it_says(float_run: Ran, tmp_path: Path) -> None:
    request = asked(tmp_path / "store", float_run.folder, label_kind="full")
    outcome = written(request)
    store = Store(tmp_path / "store")
    store.check()
    (teacher,) = store.manifest.teachers
    assert teacher.name == float_run.recipe.name == "fp-vit_pico_patch4_32-seed42", "and not where it lies"
    assert teacher.size == (16, 16) and len(teacher.mean) == 1
    assert outcome.written is not None and outcome.written.mine == len(store) * 2
    target = targets.open_target(str(float_run.folder))
    look = build.look_of(target.recipe, target.model)
    seen = Images(open_source(DIGITS, "train"), look, request.write.augment(), count=2, seed=0)
    for sample in (0, 7, 1346):
        pixels = (seen.views(sample).inputs / 255 - look.mean[0]) / look.std[0]
        said = target.model(pixels).softmax(-1).detach().numpy()
        assert np.abs(dense(store.records(sample), store.layout) - said).max() < 1e-3


def test_a_quantized_run_and_its_file_are_teachers_too(low_bit_run: Ran, tmp_path: Path) -> None:
    """They say the same: the file is the run's best model."""
    for name, said in (("run", low_bit_run.folder), ("file", low_bit_run.result.model)):
        written(asked(tmp_path / name, said, label_kind="full"))
    run, file = Store(tmp_path / "run"), Store(tmp_path / "file")
    assert file.manifest.teachers[0].name == "model.safetensors"
    a, b = (dense(store.shard(0), store.layout) for store in (run, file))
    assert np.abs(a - b).max() < 2e-3


def test_of_several_teachers_the_mean_is_kept(float_run: Ran, low_bit_run: Ran, tmp_path: Path) -> None:
    both = (float_run.folder, low_bit_run.folder)
    for name, said in (("one", both[:1]), ("two", both[1:]), ("both", both)):
        written(asked(tmp_path / name, *said, label_kind="full"))
    one, two, mean = (
        dense(store.shard(0), store.layout) for store in map(Store, map(tmp_path.joinpath, ("one", "two", "both")))
    )
    assert np.abs((one + two) / 2 - mean).max() < 1e-3
    assert len(Store(tmp_path / "both").manifest.teachers) == 2


def test_a_name_with_a_file_of_weights_is_a_teacher_without_any_download(tmp_path: Path) -> None:
    model = names.create("vit_pico_patch4_32", num_classes=10)
    file = weights.save(model, tmp_path / "mine.safetensors")
    panel = open_panel(asked(tmp_path, "vit_pico_patch4_32", file=file).teachers, CLASSES, "fp32")
    assert panel.experts[0].name == "vit_pico_patch4_32"
    held = panel.experts[0].model.state_dict()
    assert all((value == held[name]).all() for name, value in model.state_dict().items())


def test_a_bare_name_asks_timm_for_its_weights_and_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: dict[str, Any] = {}

    def create(recipe: Any, **_: Any) -> Any:
        heard.update(pretrained=recipe.model.pretrained, num_classes=recipe.model.num_classes)
        return names.create("vit_pico_patch4_32", num_classes=10)

    monkeypatch.setattr(targets.build, "float_model", create)
    open_panel(asked(tmp_path, "vit_pico_patch4_32").teachers, CLASSES, "fp32")
    assert heard == {"pretrained": True, "num_classes": None}


def test_a_teacher_of_other_classes_is_refused_before_anything_is_labelled(float_run: Ran, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"tells 10 classes apart and the data has 9: take one that was trained on this"
    ):
        open_panel(asked(tmp_path, float_run.folder).teachers, CLASSES[:9], "fp32")
    file = weights.save(names.create("vit_pico_patch4_32", num_classes=9), tmp_path / "nine.safetensors")
    with pytest.raises(ValueError, match=r"nine.safetensors is of a model for other classes than the 10 of the data"):
        open_panel(asked(tmp_path, "vit_pico_patch4_32", file=file).teachers, CLASSES, "fp32")


def test_weights_for_a_run_and_for_several_teachers_are_refused(float_run: Ran, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has weights of its own: leave out --teacher-weights"):
        open_panel(asked(tmp_path, float_run.folder, file=tmp_path / "w").teachers, CLASSES, "fp32")
    with pytest.raises(ValueError, match="--teacher-weights is for one teacher, and there are several"):
        asked(tmp_path, "a", "b", file=tmp_path / "w")


def test_a_signal_stops_it_at_once_and_the_same_request_goes_on(float_run: Ran, tmp_path: Path) -> None:
    request = asked(tmp_path / "store", float_run.folder, shard_samples=100, batch_size=16)

    def tell(standing: Standing) -> None:
        if standing.done >= 400 and standing.part >= 32:
            os.kill(os.getpid(), signal.SIGTERM)

    outcome = write(request, tell)
    assert outcome.written is None and outcome.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert len(list((tmp_path / "store").glob("shard-*.npy"))) == 2
    again = written(request).written
    assert again is not None and again.mine == 2 * (len(Store(tmp_path / "store")) - 200)


def test_an_estimate_writes_nothing(float_run: Ran, tmp_path: Path) -> None:
    cost = estimate(asked(tmp_path / "store", float_run.folder))
    assert cost.rate > 10 and cost.manifest.views == 2
    assert cost.parameters == sum(
        p.numel() for p in names.create("vit_pico_patch4_32", num_classes=10, in_chans=1, img_size=16).parameters()
    )
    assert not (tmp_path / "store").exists()


def test_a_store_is_asked_again_in_the_way_it_was_written(float_run: Ran, low_bit_run: Ran, tmp_path: Path) -> None:
    source = open_source(DIGITS, "train")
    for precision in ("fp32", "bf16"):
        request = asked(tmp_path / precision, float_run.folder, precision=precision)
        written(request)
        said = reinfer(Store(tmp_path / precision), source, request.teachers, batches=3)
        assert len(said) == 3 and all(one.identical == one.views == 128 for one in said)
    with pytest.raises(ValueError, match="with other weights than these"):
        reinfer(Store(tmp_path / "bf16"), source, TeacherSettings(teacher=(str(low_bit_run.folder),)))
    with pytest.raises(ValueError, match="was written in bf16 and this is bf16, compiled"):
        reinfer(Store(tmp_path / "bf16"), source, replace(request.teachers, torchcompile=True))


@pytest.mark.slow
def test_a_compiled_teacher_says_nearly_the_same_and_its_store_says_that_it_is(float_run: Ran, tmp_path: Path) -> None:
    plain = asked(tmp_path / "plain", float_run.folder, label_kind="full")
    written(plain)
    compiled = replace(plain, teachers=replace(plain.teachers, torchcompile=True))
    with pytest.raises(ValueError, match="--precision fp32 there and fp32, compiled here"):
        write(compiled, lambda standing: None)
    compiled = replace(compiled, write=replace(compiled.write, output=tmp_path / "compiled"))
    written(compiled)
    one, other = (
        dense(Store(tmp_path / name).shard(0), Store(tmp_path / name).layout) for name in ("plain", "compiled")
    )
    assert np.abs(one - other).max() < 2e-3
    said = reinfer(Store(tmp_path / "compiled"), open_source(DIGITS, "train"), compiled.teachers)
    assert max(one.largest for one in said) < 1e-3
