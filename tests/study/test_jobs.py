"""From a study to its jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from stillbit.study.jobs import Kind, jobs
from tests.study.small import PLAIN, made, planned, settings

CELL = PLAIN["cells"][0]


def names(**changes: object) -> list[str]:
    return [job.name for job in planned(**changes) if job.kind == "runs"]


def test_every_combination_is_a_cell_seed_by_seed() -> None:
    each = [f"{method}-tiny-{bits}" for method in ("lsq", "statsq") for bits in ("w4a4", "w2a2")]
    assert names() == [f"{name}-seed{seed}" for seed in (0, 1) for name in each]


def test_short_trainings_come_before_long_ones_of_the_same_seed() -> None:
    found = names(methods={"long": "lsq --epochs 9"}, cells=[{**CELL, "methods": ["long", "lsq"], "bits": "w2a2"}])
    assert [name.partition("-")[0] for name in found] == ["lsq", "long", "lsq", "long"]


def test_blocks_are_a_union_in_which_nothing_is_twice() -> None:
    assert len(names(cells=[CELL, {**CELL, "methods": ["lsq", "pact"]}])) == 12


def test_a_switch_is_tried_with_the_methods_it_is_for() -> None:
    cell = {**CELL, "bits": "w2a2", "switches": ["plain", "x"], "seeds": 0}
    found = names(switches={"x": {"words": "--x", "for": ["lsq"]}}, cells=[cell])
    assert found == ["lsq-tiny-w2a2-seed0", "lsq+x-tiny-w2a2-seed0", "statsq-tiny-w2a2-seed0"]


def test_a_study_of_which_nothing_makes_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="there is not one cell"):
        names(switches={"x": {"words": "--x", "for": ["pact"]}}, cells=[{**CELL, "switches": ["x"]}])


def test_a_float_method_is_one_cell_whatever_the_bits() -> None:
    assert names(cells=[{**CELL, "methods": ["fp"]}], seeds=0) == ["fp-tiny-float-seed0"]


def test_the_words_of_a_cell_are_all_that_were_said_and_later_ones_count() -> None:
    job = planned(
        words="--a", methods={"lsq": "lsq --lr 2"}, switches={"x": "--lr 3"}, cells=[{**CELL, "switches": "x"}]
    )[0]
    wanted = "lsq --a --lr 50 --lr 2 --lr 3 --model tiny --bits w4a4 --seed 0"
    assert job.words == tuple(wanted.split())


def test_a_parent_comes_before_its_cells_and_is_one_for_all_if_it_says_its_seed() -> None:
    found = planned(parents={"float": "fp --seed 7"}, child="--initial-checkpoint @float")
    assert [job.key for job in found][:2] == ["parents/float-tiny", "runs/lsq-tiny-w4a4-seed0"]
    assert sum(job.kind == "parents" for job in found) == 1
    assert found[0].seed == 7 and found[0].words.count("--seed") == 1


def test_a_parent_that_does_not_say_its_seed_is_one_a_seed() -> None:
    found = planned(parents={"float": "fp"}, child="--initial-checkpoint @float")
    parents = {job.name: job.seed for job in found if job.kind == "parents"}
    assert parents == {"float-tiny-seed0": 0, "float-tiny-seed1": 1}
    cell = next(job for job in found if job.name == "lsq-tiny-w4a4-seed1")
    assert cell.needs == (("float", "parents/float-tiny-seed1"),)


def test_labels_are_one_store_for_each_teacher_that_there_is() -> None:
    found = planned(
        parents={"big": "fp --model large --seed 0"}, labels={"crops": "--teacher @big"}, child="--labels @crops"
    )
    assert [job.key for job in found][:3] == ["parents/big", "labels/crops", "runs/lsq-tiny-w4a4-seed0"]


def test_data_is_drawn_before_everything_that_looks_at_it() -> None:
    found = planned(data={"d": "--classes 4"}, words="--data-dir @d", parents={"f": "fp"}, child="--teacher @f")
    assert [job.key for job in found][:2] == ["data/d", "parents/f-tiny-seed0"]


def hashes(**changes: object) -> dict[str, str]:
    return {job.key: job.hash for job in planned(**changes)}


def test_seeds_and_words_make_another_hash() -> None:
    found = hashes()
    assert len(set(found.values())) == len(found)
    assert not set(found.values()) & set(hashes(child="--lr 51").values())


def test_a_hash_is_of_what_words_come_to_and_not_of_the_words() -> None:
    assert hashes(child="--lr 3 --lr 50") == hashes()


def test_a_word_that_says_the_default_changes_no_hash_though_one_is_0_and_the_other_0_0() -> None:
    def hashed(warmup: float) -> list[str]:
        def read(kind: Kind, words: Sequence[str]) -> dict[str, Any]:
            return {**settings(kind, words), "warmup": warmup, "moves": False}

        return [job.hash for job in jobs(made(), read)]

    assert hashed(0) == hashed(0.0) != hashed(1)


def test_a_changed_parent_changes_the_hash_of_its_cells_and_of_nothing_else() -> None:
    cells = [{**CELL, "methods": ["lsq", "free"], "bits": "w2a2"}]
    both = [
        hashes(parents={"f": f"fp --lr {rate}"}, methods={"lsq": "lsq --teacher @f", "free": "lsq"}, cells=cells)
        for rate in (1, 2)
    ]
    same = {key for key in both[0] if both[0][key] == both[1][key]}
    assert same == {"runs/free-tiny-w2a2-seed0", "runs/free-tiny-w2a2-seed1"}


def test_the_name_of_a_parent_is_not_in_the_hash() -> None:
    one, other = (hashes(parents={n: "fp"}, child=f"--initial-checkpoint @{n}") for n in ("f", "g"))
    key = "runs/lsq-tiny-w2a2-seed0"
    assert one[key] == other[key]


def test_a_mistake_in_words_names_the_cell() -> None:
    with pytest.raises(ValueError, match="statsq-tiny-w4a4-seed0: --nonsense is no option"):
        names(methods={"statsq": "statsq --nonsense"})


def test_words_are_read_once_for_all_seeds() -> None:
    from stillbit.study.jobs import jobs

    read: list[object] = []

    def counted(kind: object, words: object) -> dict[str, object]:
        read.append(words)
        return settings(kind, words)  # type: ignore[arg-type]

    assert len(jobs(made(seeds=list(range(10))), counted)) == 40
    assert len(read) == 4


def test_a_method_can_take_back_what_all_cells_are_told() -> None:
    job = planned(child="--lr 50 --track", methods={"lsq": "lsq !--track"})[0]
    assert "--track" not in job.words and not job.settings["dynamics"]["track"]["track"]
    with pytest.raises(ValueError, match="lsq-tiny-w4a4-seed0: !--track takes back"):
        planned(methods={"lsq": "lsq !--track"})
