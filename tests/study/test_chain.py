"""A job at work."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from stillbit.study import chain
from stillbit.study.chain import At, Chain, Ending, last_words
from stillbit.study.commands import Command
from tests.study.small import planned

JOB = planned()[0]
PYTHON = (sys.executable, "-S", "-E", "-c")


@pytest.fixture
def at(tmp_path: Path) -> At:
    return At(tmp_path / "runs" / "cell.log", {"SAID": "yes"}, None, PYTHON, PYTHON)


def ended(one: Chain) -> Ending:
    until = time.monotonic() + 20
    while (ending := one.poll()) is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    return ending


def say(at: At, *codes: str, **options: float) -> Ending:
    return ended(Chain(JOB, [Command((code,)) for code in codes], at, **options))


def test_commands_run_one_after_the_other_and_all_they_say_is_kept(at: At) -> None:
    ending = say(at, "print('one')", "import os; print(os.environ['SAID'])")
    assert (ending.code, ending.error, ending.unmeasured) == (0, "", {})
    assert [line for line in at.log.read_text().splitlines() if not line.startswith("$ ")] == ["one", "yes"]


def test_a_command_that_fails_ends_the_job_with_its_last_words(at: At) -> None:
    code = "import sys; print('much'); sys.exit('stillbit: too little memory')"
    assert say(at, code, "open('never', 'w')")[:2] == (1, "too little memory")


def test_a_bug_is_told_by_the_end_of_its_traceback(at: At) -> None:
    assert say(at, "1 / 0").error.endswith("ZeroDivisionError: division by zero")


def test_one_that_is_killed_says_by_what(at: At) -> None:
    ending = say(at, "import os; os.kill(os.getpid(), 9)")
    assert ending.code == -9
    assert ending.error == "killed by SIGKILL, perhaps the machine had no memory left"


def test_one_that_takes_too_long_is_stopped_and_has_failed(at: At) -> None:
    ending = say(at, "import time; time.sleep(60)", timeout=0.3)
    assert ending.code and ending.error == "stopped after 0.005 minutes" and ending.seconds < 10


def test_one_that_is_asked_to_stop_may_save_first(at: At, tmp_path: Path) -> None:
    there, saved = tmp_path / "there", tmp_path / "saved"
    save = f"lambda *_: (open({str(saved)!r}, 'w'), sys.exit(143))"
    code = f"import signal, sys, time; signal.signal(15, {save}); open({str(there)!r}, 'w'); time.sleep(60)"
    one = Chain(JOB, [Command((code,)), Command(("print('never')",))], at)
    while not there.exists():
        time.sleep(0.01)
    one.stop()
    assert ended(one)[:2] == (143, "") and saved.exists()


def test_one_that_does_not_stop_is_killed(at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "GRACE", 0.1)
    there = tmp_path / "there"
    code = f"import signal, time; signal.signal(15, signal.SIG_IGN); open({str(there)!r}, 'w'); time.sleep(60)"
    one = Chain(JOB, [Command((code,))], at)
    while not there.exists():
        time.sleep(0.01)
    one.stop()
    assert ended(one).code == -9


def look(at: At, code: str) -> Ending:
    answers = at.log.parent / "answers.json"
    whole = f"import sys; write = lambda t: open({str(answers)!r}, 'w').write(t); {code}"
    return ended(Chain(JOB, [Command(("pass",)), Command((whole,), ("cost", "latent"), answers)], at))


def test_a_look_that_gave_nothing_is_told_and_the_job_is_made(at: At) -> None:
    ending = look(at, """write('{"cost": "", "latent": "no data"}')""")
    assert (ending.code, ending.unmeasured) == (0, {"latent": "no data"})


def test_looks_of_a_process_that_died_are_told_with_its_last_words(at: At) -> None:
    ending = look(at, """write('{"cost": ""}'); sys.exit('stillbit: gone')""")
    assert (ending.code, ending.unmeasured) == (0, {"latent": "gone"})


def test_answers_of_another_time_do_not_count(at: At) -> None:
    at.log.parent.mkdir()
    (at.log.parent / "answers.json").write_text('{"cost": "", "latent": ""}')
    assert look(at, "pass").unmeasured == {"cost": "no answer", "latent": "no answer"}


def test_last_words_are_those_of_the_last_command(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("stillbit: old\n$ stillbit train\n")
    assert last_words(log, len("stillbit: old\n"), 3) == "ended with code 3 and no word"
