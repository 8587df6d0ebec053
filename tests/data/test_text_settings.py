from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from stillbit.data.text_settings import TextSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"examples": 0},
        {"val_examples": 0},
        {"max_length": 7},
        {"pad_multiple": 0},
        {"bucket": -1},
    ],
)
def test_numbers_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        TextSettings(**wrong)


def test_the_words_of_a_command_line_need_no_numbers_package() -> None:
    asked = "import sys, stillbit.data.text_settings; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", asked]).returncode == 0
