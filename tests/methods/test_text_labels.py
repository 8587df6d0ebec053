"""Stored labels of texts: teachers that people name, and the store that comes of them."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stillbit.data.loaders import Place
from stillbit.data.settings import DataSettings
from stillbit.data.text_settings import TaskSettings
from stillbit.distill.layout import dense
from stillbit.distill.settings import TeacherSettings, WriteSettings
from stillbit.distill.store import Store
from stillbit.distill.write import Standing
from stillbit.methods.labels import Asked, estimate, reinfer_texts, write
from stillbit.methods.target import open_target
from stillbit.methods.text_labels import open_labelled, open_read
from stillbit.methods.texts import loader_of
from tests.methods import readers, small

TEXT = TaskSettings(task="entailment", examples=96)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result, _ = small.run(readers.recipe("fp", tmp_path_factory.mktemp("teacher")))
    return result.folder


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another teacher, which reads shorter sequences."""
    made = readers.recipe("fp", tmp_path_factory.mktemp("other"), machine={"seed": 7}, text={"max_length": 16})
    return small.run(made)[0].folder


def asked(output: Path, *teachers: object, text: TaskSettings = TEXT, **settings: Any) -> Asked:
    wanted = {"batch_size": 16, "precision": "fp32", "label_kind": "full", "shard_samples": 40} | settings
    said = TeacherSettings(teacher=tuple(map(str, teachers)))
    return Asked(teachers=said, data=DataSettings(), write=WriteSettings(output=output, **wanted), text=text)


def labels(request: Asked) -> Store:
    outcome = write(request, lambda standing: None)
    assert outcome.written is not None
    return Store(request.write.output)


def test_the_labels_of_a_run_are_what_its_model_says_of_its_training_texts(run: Path, tmp_path: Path) -> None:
    store = labels(asked(tmp_path / "store", run))
    store.check()
    said = store.manifest
    assert said.reading is not None and (said.reading.task, said.reading.max_length) == ("entailment", 32)
    assert said.views == 1 and said.data.classes == ("entailment", "neutral", "contradiction")
    assert said.teachers[0].name == "fp-bert_pico-entailment-seed42" and said.teachers[0].size is None
    target = open_target(str(run))
    texts = open_labelled(DataSettings(), TEXT)
    for batch in loader_of(target.recipe, texts, Place()).epoch(0):
        with torch.no_grad():
            wanted = target.model(*batch.inputs).logits.softmax(-1).numpy()
        held = np.concatenate([dense(store.records(int(n)), store.layout) for n in batch.indices])
        assert np.abs(held - wanted).max() < 1e-3
    assert store.targets().tolist() == texts.targets.tolist()


def test_of_several_teachers_the_mean_is_kept_and_all_read_as_far(run: Path, other: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"read sequences of 16 and 32 pieces: say which, --max-length 16"):
        labels(asked(tmp_path / "both", run, other))
    text = replace(TEXT, max_length=24)
    one, two, both = (
        labels(asked(tmp_path / name, *who, text=text))
        for name, who in (("one", [run]), ("two", [other]), ("both", [run, other]))
    )
    assert both.manifest.reading is not None and both.manifest.reading.max_length == 24
    a, b, mean = (dense(store.shard(0), store.layout) for store in (one, two, both))
    assert np.abs((a + b) / 2 - mean).max() < 1e-3 and np.abs(a - b).max() > 1e-3


@pytest.mark.parametrize(
    "said",
    [{"crops": 3}, {"scale": (0.5, 1.0)}, {"hflip": 0.0}, {"vflip": 0.5}, {"seed": 1}, {"interpolation": "nearest"}],
)
def test_what_is_said_of_crops_is_refused(said: dict[str, Any], run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"--{next(iter(said))} is about crops of images, and --task entailment is"):
        labels(asked(tmp_path / "store", run, **said))


def test_weights_in_a_file_are_refused(run: Path, tmp_path: Path) -> None:
    request = asked(tmp_path / "store", run)
    request = replace(request, teachers=replace(request.teachers, teacher_weights=tmp_path / "w"))
    with pytest.raises(ValueError, match="--teacher-weights is for a model of timm's: name a run"):
        labels(request)


def test_a_task_of_numbers_is_refused_before_a_teacher_is_opened(tmp_path: Path) -> None:
    (tmp_path / "STS-B").mkdir()
    (tmp_path / "STS-B" / "train.tsv").write_text("sentence1\tsentence2\tscore\na dog\ta cat\t2.5\n", encoding="utf-8")
    request = asked(tmp_path / "store", "nobody", text=TaskSettings(task="stsb"))
    with pytest.raises(ValueError, match="stsb has a number for each example and no classes"):
        labels(replace(request, data=DataSettings(data_dir=tmp_path)))


def test_an_estimate_writes_nothing(run: Path, tmp_path: Path) -> None:
    cost = estimate(asked(tmp_path / "store", run))
    assert cost.rate > 10 and cost.manifest.views == 1 and cost.manifest.count == 96
    assert not (tmp_path / "store").exists()


def test_a_signal_stops_it_and_the_same_request_goes_on_to_the_same_bytes(run: Path, tmp_path: Path) -> None:
    request = asked(tmp_path / "store", run, shard_samples=8, batch_size=4)

    def tell(standing: Standing) -> None:
        if standing.done >= 16:
            os.kill(os.getpid(), signal.SIGTERM)

    outcome = write(request, tell)
    assert outcome.written is None and outcome.signal == signal.SIGTERM
    whole = labels(replace(request, write=replace(request.write, output=tmp_path / "whole")))
    assert labels(request).manifest.identity == whole.manifest.identity


def test_a_store_is_asked_again_in_the_way_it_was_written(run: Path, other: Path, tmp_path: Path) -> None:
    texts = open_labelled(DataSettings(), TEXT)
    for precision in ("fp32", "bf16"):
        request = asked(tmp_path / precision, run, precision=precision)
        said = reinfer_texts(labels(request), texts, request.teachers, batches=3)
        assert len(said) == 3 and all(one.identical == one.views for one in said)
    with pytest.raises(ValueError, match="with other weights than these"):
        reinfer_texts(Store(tmp_path / "bf16"), texts, TeacherSettings(teacher=(str(other),)))


def test_as_many_pieces_as_the_teacher_has_positions_and_no_more(run: Path) -> None:
    texts = open_labelled(DataSettings(), TEXT)
    said = TeacherSettings(teacher=(str(run),))
    assert open_read(texts, 512, said, "fp32").reading.max_length == 512
    with pytest.raises(ValueError, match=r"has 512 positions, too few for sequences of 600: --max-length 512"):
        open_read(texts, 600, said, "fp32")
