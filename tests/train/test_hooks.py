from __future__ import annotations

from typing import Any, ClassVar

import torch

from stillbit.train.hooks import Hook
from stillbit.train.state import Training
from stillbit.train.task import Losses
from tests.train import tiny


class Idle(Hook):
    name = "idle"


class Stranger:
    """Has the methods of a hook, and has never heard of it."""

    name: ClassVar[str] = "stranger"

    def __init__(self) -> None:
        self.calls: list[str] = []

    def before_update(self, training: Any) -> None:
        self.calls.append("before update")

    def after_update(self, training: Any) -> None:
        self.calls.append("after update")

    def after_step(self, training: Training, losses: Losses) -> None:
        self.calls.append("step")

    def after_epoch(self, training: Training) -> None:
        self.calls.append("epoch")

    def close(self) -> None: ...

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: dict[str, Any]) -> None: ...


def test_a_hook_that_overrides_nothing_does_nothing() -> None:
    plain, hooked = tiny.training(), tiny.training()
    tiny.fit(tiny.loop(), plain, tiny.loader(), 1)
    tiny.fit(tiny.loop(hooks=[Idle()]), hooked, tiny.loader(), 1)
    assert tiny.same(tiny.numbers(plain), tiny.numbers(hooked))
    hook = Idle()
    hook.load_state(hook.state())
    hook.after_step(plain, {"loss": torch.zeros(())})
    hook.close()
    assert hook.state() == {}


def test_whatever_has_the_methods_of_a_hook_is_one() -> None:
    stranger = Stranger()
    hook: Hook = stranger
    tiny.fit(tiny.loop(hooks=[hook]), tiny.training(), tiny.loader(8), 1)
    assert stranger.calls == ["before update", "after update", "step"] * 2 + ["epoch"]
