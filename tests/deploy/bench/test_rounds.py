"""Engines take turns; what is measured is what comes out, also when it was stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stillbit.deploy.about import About, Reading
from stillbit.deploy.bench import rounds as module
from stillbit.deploy.bench.rounds import Asked, bench, facts_of, hardware, size_of
from stillbit.deploy.bench.worker import Ready, Turn
from stillbit.deploy.file.packed import Packed, write
from stillbit.deploy.tracing.trace import trace
from tests.deploy import programs, small

Answer = Callable[[str, Any], Any]


class Pipe:
    """A process that is none: says what ``answer`` says, and what was asked of it is kept in ``asked``."""

    def __init__(self, name: str, answer: Answer, asked: list[Any]) -> None:
        self.name, self.answer, self.asked = name, answer, asked
        self.word: Any = None

    def send(self, word: Any) -> None:
        self.word = word
        self.asked.append((self.name, word))

    def recv(self) -> Any:
        return self.answer(self.name, self.word)


def quick(name: str, word: Any) -> Any:
    """Everything is as fast as its name is long; torch fp32 takes a second."""
    if word is None:
        return Ready(libraries=100)
    return Turn(seconds=1.0 if name.startswith("torch fp32") else len(name) / 1000, peak=100 + word)


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], list[Any]]:
    def pretend(answer: Answer) -> list[Any]:
        asked: list[Any] = []

        @contextmanager
        def started(work: Any, contender: Any) -> Iterator[Pipe]:
            yield Pipe(contender.name, answer, asked)

        monkeypatch.setattr(module, "started", started)
        monkeypatch.setattr(module, "find_spec", lambda name: None)
        return asked

    return pretend


def file(folder: Path, model: str = "vit_pico_patch4_32", name: str = "model") -> Path:
    path = folder / f"{name}.safetensors"
    write(Packed(program=programs.linear(), about=About(model=model)), path)
    return path


def test_engines_take_turns_at_every_batch(tmp_path: Path, pretended: Any) -> None:
    asked = pretended(quick)
    told: list[str] = []
    path = file(tmp_path)
    report = bench(Asked(files=(path,), batches=(1, 4), rounds=2), told.append)
    names = ["integer, model.safetensors", "torch fp32, vit_pico_patch4_32", "torch bf16, vit_pico_patch4_32"]
    assert asked == [(name, batch) for _ in range(2) for batch in (1, 4) for name in names]
    assert [row.name for row in report.rows] == names
    assert report.rows[0].bytes == path.stat().st_size and report.rows[1].bytes is None
    assert report.rows[0].peak == 104 and report.rows[0].libraries == 100
    assert len(told) == len(asked) + len(names) and not report.stopped


def test_ratios_are_to_the_float_model_of_the_same_name(tmp_path: Path, pretended: Any) -> None:
    pretended(quick)
    files = file(tmp_path), file(tmp_path, "vit_nano_patch4_32", "other")
    report = bench(Asked(files=files, batches=(1,), rounds=3, compiled=True))
    assert len(report.rows) == 12
    for row in report.rows:
        ratio = report.ratio(row, 1)
        spread = row.spread(1)
        assert ratio is not None and spread is not None
        assert ratio.median == pytest.approx(row.seconds[1][0]) and spread.median == pytest.approx(1e3 * ratio.median)
    data = json.loads(json.dumps(report.to_json()))
    assert data["rows"][0]["milliseconds"]["1"]["median"] == pytest.approx(26.0)
    assert data["rows"][0]["to_torch_fp32"]["1"]["highest"] == pytest.approx(0.026)


def test_an_interruption_keeps_what_is_measured(tmp_path: Path, pretended: Any) -> None:
    count = iter(range(100))

    def answer(name: str, word: Any) -> Any:
        if word is not None and next(count) == 4:
            raise KeyboardInterrupt
        return quick(name, word)

    pretended(answer)
    report = bench(Asked(files=(file(tmp_path),), batches=(1,), rounds=9))
    assert report.stopped and [len(row.seconds[1]) for row in report.rows] == [2, 1, 1]
    assert report.ratio(report.rows[0], 1) is not None


def test_who_ends_or_cannot_begin_is_left_out_with_the_reason(tmp_path: Path, pretended: Any) -> None:
    def answer(name: str, word: Any) -> Any:
        if "bf16" in name and word is None:
            return "ImportError: no bfloat16 here"
        return "its process ended" if "fp32" in name and word == 64 else quick(name, word)

    pretended(answer)
    report = bench(Asked(files=(file(tmp_path),), batches=(1, 64), rounds=3))
    assert [len(row.seconds.get(64, [])) for row in report.rows] == [3, 0]
    assert report.notes == [
        "torch bf16, vit_pico_patch4_32 does not run: ImportError: no bfloat16 here",
        "torch fp32, vit_pico_patch4_32 ended at a batch of 64: its process ended",
    ]


def test_a_file_that_does_not_run_is_a_mistake(tmp_path: Path, pretended: Any) -> None:
    pretended(lambda name, word: "RuntimeError: bad")
    with pytest.raises(ValueError, match=r"model\.safetensors does not run: RuntimeError: bad"):
        bench(Asked(files=(file(tmp_path),)))


def test_a_file_that_names_no_model_is_measured_alone(tmp_path: Path, pretended: Any) -> None:
    pretended(quick)
    report = bench(Asked(files=(file(tmp_path, model=""),), rounds=1))
    assert len(report.rows) == 1 and report.ratio(report.rows[0], 1) is None
    assert "does not say what timm calls it" in report.notes[0]
    alone = bench(Asked(files=(file(tmp_path),), rounds=1, alone=True))
    assert len(alone.rows) == 1 and not alone.notes


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (Asked(files=()), "there is no file to measure"),
        (Asked(files=(Path("a"),), rounds=0), "rounds is 0, and it is at least one"),
        (Asked(files=(Path("a"),), threads=0), "threads is 0"),
        (Asked(files=(Path("a"),), batches=(4, 0)), "a batch is of one image or more"),
        (Asked(files=(Path("nothing.onnx"),)), "there is no file nothing.onnx"),
    ],
)
def test_what_measures_nothing_is_refused(asked: Asked, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        bench(asked)


def test_a_file_says_of_what_it_is(tmp_path: Path) -> None:
    said = facts_of(file(tmp_path))
    assert (said.model, said.inputs, said.classes) == ("vit_pico_patch4_32", programs.linear().inputs, 3)
    assert not said.is_text and said.label == said.model


def test_a_file_of_texts_says_its_length_and_what_its_float_model_is_built_by(tmp_path: Path) -> None:
    text = Reading(length=6, inputs=("ids", "mask"), config='{"model_type": "bert"}')
    write(Packed(program=programs.reading(), about=About(model="bert", text=text)), tmp_path / "r.safetensors")
    said = facts_of(tmp_path / "r.safetensors", "other")
    assert said.label == "bert of 6 tokens" and said.config == text.config and said.wanted.limits == {"ids": 10}
    write(Packed(program=programs.reading(), about=About(model="bert")), tmp_path / "r.safetensors")
    assert facts_of(tmp_path / "r.safetensors", "other").config == "other"


def test_files_of_two_lengths_have_their_own_yardsticks(tmp_path: Path, pretended: Any) -> None:
    pretended(quick)
    text = Reading(length=6, inputs=("ids", "mask"), config="{}")
    write(Packed(program=programs.reading(), about=About(model="bert", text=text)), tmp_path / "a.safetensors")
    write(Packed(program=programs.reading(), about=About(model="bert")), tmp_path / "b.safetensors")
    report = bench(Asked(files=(tmp_path / "a.safetensors", tmp_path / "b.safetensors"), batches=(1,), rounds=1))
    assert [row.model for row in report.rows] == ["bert of 6 tokens"] * 4 and report.noun == "text"
    assert report.ratio(report.rows[0], 1).median == pytest.approx(len(report.rows[0].name) / 1000)
    (note,) = report.notes
    assert note == "no float model beside bert of 6 tokens: its file has no config of transformers, --config FILE"


def test_weights_beside_a_graph_count(tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_bytes(b"abc")
    (tmp_path / "model.bin").write_bytes(b"1234567")
    assert size_of(tmp_path / "model.xml") == 10 and size_of(tmp_path / "model.bin") == 7


def test_the_machine_is_named() -> None:
    assert "torch" in hardware() and "Python 3." in hardware() and "\n" not in hardware()


@pytest.mark.slow  # five processes, each of which imports its engine
def test_a_real_file_beside_its_real_float_models(tmp_path: Path) -> None:
    x = small.images(2, 32)
    program = trace(small.trained(small.vit(img_size=32), "lsq", "w4a4", x), x)
    path = tmp_path / "model.safetensors"
    write(Packed(program=program, about=About(model="vit_pico_patch4_32")), path)
    report = bench(Asked(files=(path,), batches=(1, 2), rounds=1))
    kinds = {row.name.partition(",")[0] for row in report.rows}
    assert {"integer", "torch fp32", "torch bf16"} <= kinds and not report.notes
    for row in report.rows:
        spread, other = row.spread(1), row.spread(2)
        assert spread is not None and other is not None and 0 < spread.median < 1000
        assert row.peak > row.libraries > 10e6
