"""The jobs of a study, done by a worker that takes no time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stillbit.study import perform
from stillbit.study.folder import Folder
from stillbit.study.gather import gather
from stillbit.study.jobs import Job, jobs
from stillbit.study.pace import Budget
from stillbit.study.settings import Study
from tests.house.source import ROOT
from tests.study.small import PLAIN, done, made, settings

CELL = {**PLAIN["cells"][0], "bits": "w2a2"}


@pytest.fixture(autouse=True)
def awake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perform, "NAP", 0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "study")


def statuses(of: Study, folder: Folder) -> dict[str, str]:
    return {job.name: folder.standing(job).status for job in jobs(of, settings)}


def counts(folder: Folder) -> dict[str, list[str]]:
    """How often each run was begun, and how."""
    return {path.parent.name: path.read_text().split() for path in folder.path.glob("runs/*/count")}


def job(of: Study, name: str) -> Job:
    return next(one for one in jobs(of, settings) if one.name == name)


def test_all_cells_are_done_in_their_order(folder: Folder) -> None:
    study = made()
    outcome, told = done(study, folder)
    assert set(statuses(study, folder).values()) == {"done"}
    assert [name for event, name in told if event == "begins"] == list(statuses(study, folder))
    assert not (outcome.signal or outcome.left or outcome.blocked)


def test_what_is_done_is_not_done_again(folder: Folder) -> None:
    done(made(), folder)
    _, told = done(made(), folder)
    assert not told
    assert all(times == ["begun"] for times in counts(folder).values())


def test_a_changed_recipe_is_done_again_and_others_are_not(folder: Folder) -> None:
    done(made(cells=[CELL]), folder)
    changed = made(cells=[CELL], methods={"lsq": "lsq --lr 60"})
    _, told = done(changed, folder)
    assert [name for event, name in told if event == "done"] == ["lsq-tiny-w2a2-seed0", "lsq-tiny-w2a2-seed1"]
    assert len(list((folder.path / "aside" / "runs").iterdir())) == 2


def test_cells_of_two_devices_run_at_the_same_time(folder: Folder) -> None:
    _, told = done(made(cells=[CELL]), folder, devices=("cpu", "cpu"))
    assert [event for event, _ in told[:2]] == ["begins", "begins"]
    assert len(told) == 8


def test_a_cell_that_fails_harms_no_other_and_is_reported(folder: Folder) -> None:
    study = made(cells=[CELL], methods={"lsq": "lsq --boom"})
    done(study, folder)
    assert list(statuses(study, folder).values()) == ["failed", "done", "failed", "done"]
    assert folder.standing(job(study, "lsq-tiny-w2a2-seed0")).error == "it went wrong (boom)"
    failed = [row for row in gather(jobs(study, settings), folder) if row.status == "failed"]
    assert [row.error for row in failed] == ["it went wrong (boom)"] * 2


def test_a_cell_that_is_killed_harms_no_other(folder: Folder) -> None:
    study = made(cells=[CELL], methods={"lsq": "lsq --die"}, seeds=0)
    done(study, folder)
    assert list(statuses(study, folder).values()) == ["failed", "done"]
    assert "SIGKILL" in folder.standing(job(study, "lsq-tiny-w2a2-seed0")).error


def test_what_failed_is_done_again_only_when_that_is_said(folder: Folder) -> None:
    study = made(cells=[CELL], methods={"lsq": "lsq --boom"}, seeds=0)
    done(study, folder)
    assert not done(study, folder)[1]
    assert [name for _, name in done(study, folder, retry=True)[1]] == ["lsq-tiny-w2a2-seed0"] * 2


def test_cells_of_a_parent_that_failed_are_not_begun(folder: Folder) -> None:
    study = made(
        parents={"bad": "fp --boom --lr 1", "good": "fp --lr 1"},
        child="--lr 1",
        methods={"lsq": "lsq --teacher @bad", "statsq": "statsq --teacher @good"},
        cells=[CELL],
        seeds=0,
    )
    outcome, _ = done(study, folder)
    assert [one.name for one in outcome.blocked] == ["lsq-tiny-w2a2-seed0"]
    assert statuses(study, folder)["statsq-tiny-w2a2-seed0"] == "done"


def test_a_cell_that_takes_too_long_has_failed(folder: Folder) -> None:
    study = made(cells=[CELL], methods={"lsq": "lsq --slow"}, seeds=0, timeout=0.01)
    done(study, folder)
    assert statuses(study, folder) == {"lsq-tiny-w2a2-seed0": "failed", "statsq-tiny-w2a2-seed0": "done"}
    assert folder.standing(job(study, "lsq-tiny-w2a2-seed0")).error == "stopped after 0.01 minutes"


def test_a_budget_that_is_used_up_begins_nothing(folder: Folder) -> None:
    outcome, told = done(made(), folder, budget=Budget(1.0, None, Budget().began - 61))
    assert not told and len(outcome.left) == 8


def test_a_budget_begins_no_cell_that_would_not_be_done_in_it(folder: Folder) -> None:
    study = made(cells=[CELL])
    done(study, folder, budget=Budget(0.03))
    whole = statuses(study, folder)
    assert next(iter(whole.values())) == "done", "nothing was known of the first"
    longer = made(cells=[{**CELL, "methods": ["lsq", "statsq", "long"]}], methods={"long": "lsq --epochs 100000"})
    outcome, _ = done(longer, folder, budget=Budget(1.0))
    assert [one.name for one in outcome.left] == ["long-tiny-w2a2-seed0", "long-tiny-w2a2-seed1"]


def test_when_it_is_time_to_stop_what_runs_is_saved_and_goes_on_another_time(folder: Folder) -> None:
    study = made(cells=[CELL], methods={"lsq": "lsq --slow"}, seeds=0)
    outcome, told = done(study, folder, budget=Budget(None, 0.02))
    assert ("stopped", "lsq-tiny-w2a2-seed0") in told and not outcome.signal
    _, told = done(study, folder)
    assert ("goes on", "lsq-tiny-w2a2-seed0") in told
    assert set(statuses(study, folder).values()) == {"done"}
    assert counts(folder)["lsq-tiny-w2a2-seed0"] == ["begun", "resumed"]


def test_ctrl_c_saves_what_runs_and_ends(folder: Folder) -> None:
    study = made(cells=[CELL], methods={"lsq": "lsq --slow"}, seeds=0)

    def interrupt() -> None:
        while not list(folder.path.glob("runs/*/sleeps")):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    outcome, told = done(study, folder)
    assert outcome.signal == signal.SIGINT
    assert told[-1] == ("stopped", "lsq-tiny-w2a2-seed0")
    assert statuses(study, folder)["statsq-tiny-w2a2-seed0"] == "waiting"


KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.study.small import PLAIN, done, made
from stillbit.study.folder import Folder
study = made(cells=[{{**PLAIN["cells"][0], "bits": "w2a2"}}], methods={{"lsq": "lsq --slow"}}, seeds=0)
done(study, Folder(Path({folder!r})))
"""


def test_a_study_that_is_killed_takes_its_cells_with_it_and_goes_on(folder: Folder) -> None:
    study = made(cells=[CELL], methods={"lsq": "lsq --slow"}, seeds=0)
    code = KILLED.format(root=str(ROOT), folder=str(folder.path))
    process = subprocess.Popen([sys.executable, "-c", code])
    while not list(folder.path.glob("runs/*/sleeps")):
        time.sleep(0.02)
        assert process.poll() is None
    process.kill()
    process.wait()
    assert statuses(study, folder)["lsq-tiny-w2a2-seed0"] == "begun"
    done(study, folder)  # its lock is free as soon as the cell has saved
    assert set(statuses(study, folder).values()) == {"done"}
    assert counts(folder)["lsq-tiny-w2a2-seed0"] == ["begun", "resumed"]


def test_what_is_to_be_measured_later_is_measured_without_training_again(folder: Folder) -> None:
    done(made(cells=[CELL]), folder)
    more = made(cells=[CELL], measure=["cost", "latent", "variation"])
    _, told = done(more, folder)
    assert [event for event, _ in told].count("done") == 4
    assert all(times == ["begun"] for times in counts(folder).values())
    held = folder.standing(job(more, "lsq-tiny-w2a2-seed0"))
    assert held.status == "done" and held.unmeasured == {"variation": "nothing varies"}
    assert not done(more, folder)[1], "what could not be measured is not tried each time"
    assert done(more, folder, retry=True)[1]


def test_processes_on_one_cpu_share_its_cores(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    from stillbit.study.perform import Crew
    from tests.study.small import work

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    crew = Crew(work(made(), devices=("cpu", "cpu")), folder, 0, lambda *_: None)
    assert crew._environment("cpu") == {"OMP_NUM_THREADS": "4"} and crew._environment("cuda:0") == {}
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert crew._environment("cpu") == {}
