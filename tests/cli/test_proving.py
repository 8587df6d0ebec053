"""What a command is asked that proves a deployed file."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from stillbit.cli.export import Export
from stillbit.cli.proving import Proving
from stillbit.cli.verify import Verify
from tests.cli.command import call


@pytest.mark.parametrize("command", ["export", "verify"])
def test_both_commands_have_all_of_it(command: str) -> None:
    said = call(f"{command} --help").out
    for name in (each.name for each in fields(Proving)):
        assert f"--{name.replace('_', '-')}" in said


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"samples": 0}, "a proof looks at one image or text at least, got 0: --samples 32"),
        ({"images": -1}, "there are no -1 images: --images 1000, or 0 to leave that out"),
        ({"tolerance": 1.0}, "a tolerance is above 0 and below 1, got 1.0: --tolerance 1e-4"),
        ({"agreement": 1.5}, "an agreement is a share, 0 to 1, got 1.5: --agreement 0.99"),
        ({"noise": True, "data_dir": Path()}, "noise is drawn, and comes from no data: leave out --data-dir"),
    ],
)
def test_what_proves_nothing_is_refused(asked: dict[str, object], sentence: str) -> None:
    for made in (lambda: Export(target=Path(), **asked), lambda: Verify(file=Path(), **asked)):
        with pytest.raises(ValueError) as error:
            made()
        assert str(error.value) == sentence
