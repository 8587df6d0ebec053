"""``stillbit analyze KIND`` of runs about texts: every kind works, or says in a sentence why it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillbit.analysis.attention import Attention
from stillbit.analysis.cost import Cost
from stillbit.analysis.curves import Curves
from stillbit.analysis.error import Errors
from stillbit.analysis.landscape import Landscape
from stillbit.analysis.oscillation import Oscillations
from stillbit.analysis.record import Record, read
from stillbit.analysis.sensitivity import Sensitivity
from stillbit.analysis.variation import Variation
from tests.cli.command import mistake, works
from tests.cli.read_run import number_run, read_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return read_run(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def number(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return number_run(tmp_path_factory.mktemp("numbers"))


KINDS: dict[str, tuple[type[Record], str]] = {
    "variation --images 6": (Variation, "Activations over 6 texts, without their padding."),
    "oscillation": (Oscillations, "Oscillation by role and head"),
    "landscape --points 3 --images 12": (Landscape, "on 12 texts."),
    "attention --images 6 --bits w8a8": (Attention, "means over 6 texts, without their padding."),
    "cost": (Cost, "One text of 128 tokens"),
    "curves": (Curves, "best score"),
    "error --images 6": (Errors, "on 6 texts, without their padding."),
    "sensitivity --images 12 --by role": (Sensitivity, "12 texts, 12 to calibrate"),
}


@pytest.mark.parametrize("words", KINDS)
def test_every_kind_is_kept_in_the_run_and_speaks_of_texts(run: Path, words: str) -> None:
    kind, told = KINDS[words]
    said = works(f"analyze {words}", run)
    assert told in said and " images" not in said
    assert read(kind, run / "analysis" / f"{kind.kind}.json").subject == "read"


def test_attention_is_shown_over_the_words_of_the_runs_own_tokenizer(run: Path, tmp_path: Path) -> None:
    works("analyze attention --images 6 --keep 2 --output", tmp_path / "a.json", "--figures", tmp_path / "f", run)
    held = read(Attention, tmp_path / "a.json")
    assert [seen.name for seen in held.models] == ["float", "read"] and len(held.sentences) == 2
    for sentence in held.sentences:
        assert sentence.tokens[0] == "[CLS]" and sentence.tokens.count("[SEP]") == 2 and "[PAD]" not in sentence.tokens
    assert {path.name for path in (tmp_path / "f").glob("attention-heads-*")} == {
        f"attention-heads-text-{number}-{name}.svg" for number in (0, 1) for name in ("float", "read")
    }


def test_classes_come_as_often_as_each_other(run: Path, tmp_path: Path) -> None:
    works("analyze attention --images 6 --keep 6 --output", tmp_path / "a.json", run)
    targets = [sentence.target for sentence in read(Attention, tmp_path / "a.json").sentences]
    assert sorted(targets) == [0, 0, 1, 1, 2, 2]


def test_groups_can_be_trained_on_the_texts(run: Path, tmp_path: Path) -> None:
    words = "analyze sensitivity --images 12 --by head --train 1 --batch-size 8 --output"
    works(words, tmp_path / "s.json", run)
    assert read(Sensitivity, tmp_path / "s.json").steps == 1


def test_a_cost_is_of_the_length_that_is_asked_for(run: Path, tmp_path: Path) -> None:
    works("analyze cost --length 384 --output", tmp_path / "c.json", run)
    assert read(Cost, tmp_path / "c.json").image == "384 tokens"
    assert "does not fit the 512 positions this model knows: 1 to 512" in mistake("analyze cost --length 1000", run)
    assert "a text of 0 tokens" in mistake("analyze cost --length 0", run)
    assert "--length is about texts, and vit_pico" in mistake("analyze cost --length 8 vit_pico_patch4_32")


@pytest.mark.parametrize("kind", ["landscape", "attention", "error", "sensitivity"])
def test_a_file_alone_does_not_say_which_texts(run: Path, kind: str) -> None:
    said = mistake(f"analyze {kind}", run / "model.safetensors")
    assert "reads texts, and a model alone does not say which" in said and "give the run it came from" in said


def test_a_file_alone_still_has_weights_and_a_cost(run: Path) -> None:
    file = run / "model.safetensors"
    assert "Activations were not measured" in works("analyze variation", file)
    assert "One text of 128 tokens" in works("analyze cost", file)
    assert "Where the latent weights lie" in works("analyze oscillation --latents-only", file)


@pytest.mark.parametrize("kind", ["variation --images 4", "oscillation", "attention --images 4", "cost", "curves"])
def test_what_needs_no_classes_works_on_numbers_to_find(number: Path, kind: str) -> None:
    assert works(f"analyze {kind}", number)


@pytest.mark.parametrize("kind", ["landscape", "error", "sensitivity"])
def test_what_needs_classes_says_so_of_numbers_to_find(number: Path, kind: str) -> None:
    said = mistake(f"analyze {kind} --images 4", number)
    assert "needs two classes or more" in said or "needs a model that tells classes apart" in said
