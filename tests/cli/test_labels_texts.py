"""``stillbit labels`` on texts: written, looked at, verified, learned, and refused in one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stillbit.cli.labels_texts import TextOptions
from stillbit.data.text_settings import TaskSettings
from stillbit.distill.store import Store
from tests.cli.command import call, everything, mistake, refused, works
from tests.cli.test_train import shown
from tests.distill.stores import small

TASK = "--task entailment --examples 96"
RUN = f"train fp {TASK} --val-examples 24 --model bert_pico --epochs 1 --warmup-epochs 0 --batch-size 32"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher and its labels."""
    folder = tmp_path_factory.mktemp("made")
    works(f"{RUN} --experiment teacher --output", folder)
    works(f"labels write {TASK} --teacher {folder}/teacher --output {folder}/labels")
    return folder


def rows(said: str) -> dict[str, str]:
    return dict(re.findall(r"^(\S+(?: \S+)?)  +(.*?) *$", said, re.M))


def test_the_words_are_those_of_the_training() -> None:
    assert TextOptions(task="mnli", max_length=64).settings() == TaskSettings(task="mnli", max_length=64)
    assert TextOptions().settings() == TaskSettings() and TextOptions().words == ""
    own = TextOptions(task="classify", columns=("a", "b"), class_names=("no", "yes"))
    assert own.words == "--task classify --columns a b --class-names no yes"
    assert {"--task", "--columns", "--examples"} <= shown("labels write") & shown("labels verify") & shown("train fp")


def test_what_is_said_of_texts_needs_a_task() -> None:
    with pytest.raises(ValueError, match="--text-seed is about texts: say which ones, --task NAME, or leave it out"):
        TextOptions(text_seed=3)
    with pytest.raises(ValueError, match="a data set has at least one example"):
        TextOptions(task="entailment", examples=0)


def test_a_store_is_written_with_what_to_do_next_and_that_works(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    said = works(f"labels write {TASK} --teacher {made}/teacher --output {out}").splitlines()
    assert said[0] == f"{out}: 96 texts, 0.00 MB, 12 bytes a view"
    assert said[1].startswith("The teacher's first guess is the true class in ") and said[1].endswith("of the texts.")
    assert said[2] == f"stillbit train vvtq_text --labels {out} {TASK}"
    assert works(f"labels write {TASK} --teacher {made}/teacher --output {out}").startswith("It was finished already.")
    assert everything(out) == everything(made / "labels")
    assert str(made) not in (out / "manifest.json").read_text()
    more = "--model bert_pico --val-examples 24 --epochs 1 --warmup-epochs 0 --batch-size 32 --experiment run --output"
    learned = works(f"{said[2].removeprefix('stillbit ')} {more} {tmp_path}")
    assert "labels of 96 texts by fp-bert_pico-entailment-seed42" in learned


def test_a_dry_run_says_what_it_would_cost(made: Path, tmp_path: Path) -> None:
    found = rows(works(f"labels write {TASK} --teacher {made}/teacher --output {tmp_path}/store --dry-run"))
    assert "reads 128 pieces at" in found["teacher"] and found["views"] == "96: a text each, of 3 classes"
    assert "bytes a view" in found["disk"] and found["speed"].endswith("views/s here")
    assert not list(tmp_path.iterdir())


def test_info_says_how_the_texts_were_read_and_speaks_of_no_crops(made: Path) -> None:
    found = rows(works("labels info", made / "labels"))
    assert found["views"] == "96 texts, one of each" and found["texts"].startswith("entailment, 128 pieces at most")
    assert found["counted over"] == "all texts" and "crops" not in found and "a crop" not in found
    assert re.fullmatch(r"the likeliest class is the true one in [\d.]+ % of texts", found["agreement"])


def test_a_sheet_of_texts_is_refused(made: Path, tmp_path: Path) -> None:
    said = mistake(f"labels info {made}/labels --data-dir {made} --sheet {tmp_path}/a.png")
    assert "a contact sheet shows images, and" in said and "leave out --sheet" in said


def test_verify_compares_bytes_then_texts_then_answers(made: Path) -> None:
    alone = works(f"labels verify {made}/labels").splitlines()
    assert alone[0] == f"bytes: all {Store(made / 'labels').bytes:,} in 3 files are what was written"
    assert alone[1].startswith("texts: not compared; say which and where they are, --task entailment")
    known = works(f"labels verify {made}/labels {TASK}").splitlines()
    assert known[1] == "texts: the same 96, in the same order, of the same 3 classes"
    assert known[2].startswith("teacher: fp-bert_pico-entailment-seed42 was not asked again")
    asked = works(f"labels verify {made}/labels {TASK} --teacher {made}/teacher").splitlines()
    assert asked[2] == "teacher: says of 96 views in 1 batches what it said then, to the bit"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--task entailment --examples 95", "has labels for other texts: 96 and not 95"),
        ("--task paraphrase --examples 96", "has labels for the task entailment, and this is paraphrase"),
        (f"{TASK} --max-length 64", "the teacher read 128 pieces at most: leave out --max-length 64"),
        ("--data-dir .", "has labels for texts: say which, --task entailment"),
        ("--dataset digits", "has labels for texts: say which, --task entailment"),
    ],
)
def test_verify_refuses_other_texts(more: str, said: str, made: Path) -> None:
    found = call(f"labels verify {made}/labels {more}")
    assert found.code == 2 and said in found.err and found.err.count("\n") == 1


def test_verify_of_images_has_no_task(tmp_path: Path) -> None:
    found = call(f"labels verify {small(tmp_path / 'images')} --task entailment")
    assert found.code == 2 and "has labels for row and not for texts: leave out --task" in found.err


def test_another_teacher_or_tokenizer_says_something_else(made: Path, tmp_path: Path) -> None:
    works(f"{RUN} --seed 5 --experiment other --output {tmp_path}")
    works(f"{RUN} --vocabulary 150 --experiment cut --output {tmp_path}")
    verify = f"labels verify {made}/labels {TASK} --teacher {tmp_path}"
    assert "with other weights than these: give --teacher" in call(f"{verify}/other").err
    assert "of texts cut by another tokenizer" in call(f"{verify}/cut").err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--task entailmnt", "unknown task 'entailmnt': did you mean entailment?"),
        ("--task rte", "rte is read, not generated: leave out --examples"),
        ("--task paraphrase", "was trained on entailment, and this is paraphrase: give a run of --task paraphrase"),
        ("--crops 3", "--crops is about crops of images, and --task entailment is about texts: leave it out"),
        ("--columns a", "entailment knows its columns and labels: leave out --columns"),
        ("--max-length 600", "the model has 512 positions, too few for sequences of 600: --max-length 512 or less"),
        ("--teacher bert_pico", "bert_pico has random weights and nothing to teach"),
        ("--teacher nowhere/at/all", "there is no folder nowhere/at/all"),
        ("--data-dir .", "the sentences of entailment are generated, not read: leave out --data-dir"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(more: str, said: str, made: Path, tmp_path: Path) -> None:
    words = f"labels write {TASK} --teacher {made}/teacher --output {tmp_path}/store {more}"
    assert said in mistake(words) and not list(tmp_path.iterdir())


def test_words_about_texts_without_a_task_are_refused(made: Path, tmp_path: Path) -> None:
    said = refused(f"labels write --examples 96 --teacher {made}/teacher --output {tmp_path}/store")
    assert "--examples is about texts: say which ones, --task NAME" in " ".join(said.split())


def test_a_file_with_a_damaged_line_is_refused_with_its_number_or_the_line_is_left_out(
    made: Path, tmp_path: Path
) -> None:
    lines = "".join(f"the dog {n} runs\t{('no', 'yes')[n % 2]}\n" for n in range(40))
    (tmp_path / "train.tsv").write_text(f"text\tlabel\n{lines}\tno\n", encoding="utf-8")
    (tmp_path / "dev.tsv").write_text(f"text\tlabel\n{lines}", encoding="utf-8")
    own = f"--task classify --columns text --class-names no yes --data-dir {tmp_path}"
    train = "--model bert_pico --epochs 1 --warmup-epochs 0 --batch-size 16 --corrupt skip"
    works(f"train fp {own} {train} --experiment own --output {tmp_path}/runs")
    words = f"labels write {own} --teacher {tmp_path}/runs/own --output {tmp_path}/store"
    assert "train.tsv, line 42: the text is empty" in mistake(words)
    assert works(f"{words} --corrupt skip").startswith(f"{tmp_path}/store: 40 texts")
