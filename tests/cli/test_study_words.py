"""What the words of a study come to."""

from __future__ import annotations

import pytest

from stillbit.cli.study_words import settings


def test_words_of_a_training_are_a_whole_recipe() -> None:
    found = settings("runs", ["vvtq", "--labels", "@crops", "--bits", "w2a2", "--lr", "1", "--lr", "2"])
    assert (found["method"], found["optim"]["lr"], found["distill"]["labels"]) == ("vvtq", 2.0, "@crops")
    assert found["dynamics"]["penalty"]["bin_reg"] == 0.1


def test_words_of_data_and_labels_are_read_too() -> None:
    assert settings("data", ["--classes", "4"])["fractals"]["classes"] == 4
    found = settings("labels", ["--teacher", "@big", "--data-dir", "@d", "--crops", "8"])
    assert found["teachers"]["teacher"] == ("@big",) and found["write"]["crops"] == 8


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("lsq --bin-regg 0", "Unrecognized options: --bin-regg, 0"),
        ("lsq --lr fast", "Error parsing --lr: could not convert string to float: 'fast'"),
        ("lsq --lr", "Missing value for argument '--lr'. Expected 1 values."),
        ("lsq --epochs 0", "--epochs is at least 1"),
        ("ofq --epochs 5 --warmup-epochs 0", "--anneal-epochs 30 are the last of --epochs 5"),
        ("lsqq", "did you mean lsq?"),
    ],
)
def test_a_mistake_is_a_sentence_and_nothing_is_printed(
    words: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError) as error:
        settings("parents", words.split())
    assert sentence in str(error.value) and "\n" not in str(error.value) and "│" not in str(error.value)
    assert capsys.readouterr() == ("", "")
