"""Everything that watches is a hook of the loop, without a line of import between the two rooms."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mypy import api

from stillbit.dynamics.anneal import Anneal
from stillbit.dynamics.freeze import Freeze
from stillbit.dynamics.oscillation import Oscillation
from stillbit.dynamics.penalty import Penalized
from stillbit.dynamics.ramp import Ramp
from stillbit.dynamics.settings import TrackSettings
from stillbit.dynamics.transition import Transition, hold_scales, separate
from stillbit.dynamics.watch import Watch
from stillbit.train.hooks import Hook
from stillbit.train.task import Task
from tests.dynamics import small
from tests.house.source import PACKAGE, ROOT

TYPED = """
from stillbit.dynamics.anneal import Anneal
from stillbit.dynamics.freeze import Freeze
from stillbit.dynamics.oscillation import Oscillation
from stillbit.dynamics.penalty import Penalized
from stillbit.dynamics.transition import Transition
from stillbit.dynamics.watch import Watch
from stillbit.train.hooks import Hook
from stillbit.train.task import Task

def hooks(
    anneal: Anneal, freeze: Freeze, oscillation: Oscillation, transition: Transition, penalized: Penalized, any: Watch
) -> list[Hook]:
    task: Task = penalized
    return [anneal, freeze, oscillation, transition, penalized, any]
"""


def test_whoever_watches_has_the_methods_of_a_hook() -> None:
    wanted = {name for name in vars(Hook) if not name.startswith("_")}
    assert wanted >= {"before_update", "after_update", "after_step", "after_epoch", "close", "state", "load_state"}
    for kind in (Anneal, Freeze, Oscillation, Transition, Penalized):
        assert issubclass(kind, Watch) and all(callable(getattr(kind, name)) for name in wanted)
        assert isinstance(kind.name, str)


@pytest.mark.slow
def test_to_a_type_checker_whoever_watches_is_a_hook(tmp_path: Path) -> None:
    """Slow: mypy reads the package first."""
    file = tmp_path / "typed.py"
    file.write_text(TYPED)
    said, _, code = api.run(["--strict", "--config-file", str(ROOT / "pyproject.toml"), str(file)])
    ours = [line for line in said.splitlines() if line.startswith(str(file)) or "typed.py" in line]
    assert not ours, said
    file.write_text(TYPED.replace("-> list[Hook]", "-> list[int]"))
    said, _, code = api.run(["--strict", "--config-file", str(ROOT / "pyproject.toml"), str(file)])
    assert code == 1 and "typed.py" in said


def test_a_watch_that_overrides_nothing_does_nothing() -> None:
    class Idle(Watch):
        name = "idle"

    plain, watched = small.vit(), small.vit()
    hook: Hook = Idle()
    small.train(small.training(plain), 2)
    small.train(small.training(watched), 2, [hook])
    assert all(
        torch.equal(a, b) for a, b in zip(plain.state_dict().values(), watched.state_dict().values(), strict=True)
    )
    hook.load_state(hook.state())
    hook.close()


def test_no_file_of_the_room_imports_the_loop() -> None:
    text = "".join(file.read_text() for file in (PACKAGE / "dynamics").glob("*.py"))
    assert "stillbit.train" not in text and "stillbit.surgery" not in text


def test_all_of_them_stand_in_one_loop_with_a_task() -> None:
    model = small.vit()
    hold_scales(model)
    training = small.training(model)
    separate(training.optimizer, model)
    task: Task = Penalized(small.Fit(), [])
    hooks: list[Hook] = [
        Transition(model, training.optimizer, steps=4),
        Freeze(model, Ramp(steps=4, first=0.1, last=0.01)),
        Anneal(model, begin=2),
        Oscillation(model, TrackSettings(track=True)),
    ]
    small.train(training, 4, hooks, task)
    assert training.step == 4
