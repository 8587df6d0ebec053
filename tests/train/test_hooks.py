from __future__ import annotations

import torch

from stillbit.train.hooks import Hook
from tests.train import tiny


def test_a_hook_that_overrides_nothing_does_nothing() -> None:
    plain, hooked = tiny.training(), tiny.training()
    tiny.fit(tiny.loop(), plain, tiny.loader(), 1)
    tiny.fit(tiny.loop(hooks=[Hook()]), hooked, tiny.loader(), 1)
    assert tiny.same(tiny.numbers(plain), tiny.numbers(hooked))
    hook = Hook()
    hook.load_state(hook.state())
    hook.after_step(plain, {"loss": torch.zeros(())})
    hook.close()
    assert hook.state() == {}
