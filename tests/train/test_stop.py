"""Asked to stop, a run stops where it is safe; asked twice, at once."""

from __future__ import annotations

import os
import signal

import pytest

from stillbit.train import stop as under_test
from stillbit.train.stop import Stop, Stopped


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_remembered_and_nothing_is_interrupted(kind: signal.Signals) -> None:
    before = signal.getsignal(kind)
    with Stop().listening() as stop:
        assert not stop.asked
        os.kill(os.getpid(), kind)
        assert stop.asked and stop.signal == kind
    assert signal.getsignal(kind) is before


def test_the_echo_of_a_ctrl_c_is_not_a_second_one() -> None:
    """A terminal sends it to all processes, and torchrun passes it on."""
    with Stop().listening() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == signal.SIGINT


def test_a_second_ctrl_c_acts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "ECHO", 0.0)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Stop().listening():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_sigterm_waits_for_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "ECHO", 0.0)
    with Stop().listening() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == signal.SIGTERM


def test_stopped_says_by_what() -> None:
    assert Stopped(15).signal == 15
