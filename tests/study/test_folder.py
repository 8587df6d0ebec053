"""The folder of a study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stillbit.study.commands import record
from stillbit.study.folder import Folder
from stillbit.study.jobs import Job
from stillbit.study.standing import Standing
from tests.study.small import planned


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "study")


def trained(job: Job, folder: Folder, text: str) -> None:
    folder.ready(job)
    folder.of(job.key).mkdir(parents=True)
    (folder.of(job.key) / "result.json").write_text(text)
    folder.log(job.key).write_text(f"log of {text}")
    record(job, folder, "latent").write_text(f"latent of {text}")
    folder.keep(job, Standing(hash=job.hash, status="done"))


def test_a_job_that_nobody_began_waits(folder: Folder) -> None:
    job = planned()[0]
    assert folder.standing(job) == Standing(hash=job.hash)


def test_a_job_of_another_recipe_goes_aside_and_nothing_is_lost(folder: Folder) -> None:
    old = planned()[0]
    new = replace(old, hash="f" * 64)
    trained(old, folder, "old")
    folder.ready(new)
    assert folder.standing(new).status == "waiting" and not folder.of(new.key).exists()
    assert not record(new, folder, "latent").exists()
    aside = folder.path / "aside" / f"{old.key}-{old.hash[:12]}"
    assert (aside / "result.json").read_text() == "old"


def test_a_recipe_that_comes_back_finds_what_was_made_of_it(folder: Folder) -> None:
    old = planned()[0]
    new = replace(old, hash="f" * 64)
    trained(old, folder, "old")
    trained(new, folder, "new")
    folder.ready(old)
    assert folder.standing(old).status == "done"
    assert (folder.of(old.key) / "result.json").read_text() == "old"
    assert folder.log(old.key).read_text() == "log of old"
    assert record(old, folder, "latent").read_text() == "latent of old", "what a judge said of the other is not of this"
    folder.ready(new)
    assert (folder.of(new.key) / "result.json").read_text() == "new"


def test_a_job_of_the_same_recipe_stays_where_it_is(folder: Folder) -> None:
    job = planned()[0]
    trained(job, folder, "same")
    folder.ready(job)
    assert folder.standing(job).status == "done" and not (folder.path / "aside").exists()


def test_a_run_that_somebody_removed_is_not_done(folder: Folder) -> None:
    job = planned()[0]
    trained(job, folder, "gone")
    (folder.of(job.key) / "result.json").unlink()
    folder.of(job.key).rmdir()
    assert folder.standing(job).status == "waiting"


def test_what_was_begun_when_all_was_killed_is_stopped(folder: Folder) -> None:
    job = planned()[0]
    folder.keep(job, Standing(hash=job.hash, status="begun", seconds=3.0))
    assert folder.settle(job) == folder.standing(job) == Standing(hash=job.hash, status="stopped", seconds=3.0)


def test_two_studies_do_not_work_in_one_folder(folder: Folder) -> None:
    with folder.alone(), pytest.raises(ValueError, match="another study works in"), folder.alone(patience=0.0):
        pass
    with folder.alone(patience=0.0):
        pass


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot be written to"), Folder(tmp_path / "file" / "study").alone():
        pass
