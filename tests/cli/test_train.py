"""``stillbit train``: what it offers, and what it says to a person who asked for what cannot be."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch

from stillbit.cli.train import asked
from stillbit.methods import RECIPES, described
from stillbit.methods.recipe import Recipe
from stillbit.methods.recipe_file import to_dict
from tests.cli.command import PLAIN, call, everything, mistake, refused, works
from tests.cli.pictures import deep, heic, pictures, split, text

FLAGS = """
--aa --activation --activation-granularity --amp --anneal-epochs --anneal-range --batch-size --bin-reg --bin-reg-bits
--bin-reg-form --bit-budget --bit-budget-strength --bit-freeze --bits --bucket --calibration-images --channels-last
--checkpoint-keep --checkpoint-steps --class-names --clip-grad --color-jitter --columns --corrupt --crop-pct --crops
--cutmix --dampen --dampen-form --data-dir --dataset --device --distillation --drop-path --dry-run --embedding-bits
--ends --epochs --examples --experiment --features --freeze --freeze-momentum --freeze-start --freeze-threshold
--freeze-threshold-start --fresh --fsdp --grad-accum-steps --gradscale --granularity --help --hflip --hidden --img-size
--in-chans --initial-checkpoint --interpolation --kure --kure-target --label-column --labels --log-interval --lr
--max-length --merge-qk --min-lr --mixup --mixup-prob --mixup-switch-prob --model --model-ema --model-ema-decay
--momentum --moves --no-aug --num-classes --opt --opt-betas --opt-eps --output --pad-multiple --patience --penalty-start
--pretrained --ratio --reach --rectify --relations --relu --reprob --resume --scale --scale-lr --sched --seed
--smoothing --ste --task --taught --teacher --teacher-share --temperature --text-seed --through --through-epochs
--through-lr --tokenizer --too-long --torchcompile --track --track-every --track-momentum --track-samples
--track-threshold --track-window --train-interpolation --train-split --transition-gain --transition-momentum
--transition-rate --val-examples --val-split --vflip --vocabulary --warmup-epochs --warmup-lr --weight --weight-decay
--weights-last --workers
"""
"""People have these in their scripts: to rename one is to break them."""

Run = tuple[Path, dict[str, bytes]]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command is called: what it leaves there, the tests see."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of one epoch, and its files as it left them."""
    folder = tmp_path_factory.mktemp("runs")
    works(f"train fp {PLAIN} --epochs 1 --experiment run --output", folder)
    return folder / "run", everything(folder / "run")


@pytest.fixture
def run(finished: Run) -> Iterator[Path]:
    """The finished run, which no mistake may touch."""
    folder, files = finished
    yield folder
    assert everything(folder) == files


def settings(kind: Any) -> Iterator[str]:
    """The names of all values in a dataclass and in those inside of it."""
    for name, hint in get_type_hints(kind).items():
        inner = next((k for k in (hint, *get_args(hint)) if isinstance(k, type) and is_dataclass(k)), None)
        if inner is None:
            yield name
        else:
            yield from settings(inner)


def shown(command: str) -> set[str]:
    """The flags in a help: what stands at the left of a box."""
    return set(re.findall(r"^. (?:-h, )?(--[a-z][a-z-]+)", works(f"{command} --help"), re.M))


def _flat(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


def test_the_flags_are_those_that_people_have_in_their_scripts() -> None:
    assert sorted(shown("train lsq")) == FLAGS.split()


def test_help_lists_every_field_of_every_setting() -> None:
    names = [name for name in settings(Recipe) if name not in ("method", "taught_by", "config")]
    wanted = {f"--{name.replace('_', '-')}" for name in names}
    assert len(wanted) == len(names), "two settings share a flag"
    assert wanted | {"--dry-run", "--help"} == shown("train lsq")


def test_a_float_method_has_no_flags_of_quantizers() -> None:
    quant = next(k for k in get_args(get_type_hints(Recipe)["quant"]) if is_dataclass(k))
    assert set(FLAGS.split()) - shown("train fp") == {f"--{f.name.replace('_', '-')}" for f in fields(quant)}


@pytest.mark.parametrize("method", RECIPES)
def test_help_says_what_a_method_is_and_how_to_start_many_processes(method: str) -> None:
    said = works(f"train {method} --help")
    assert said.startswith(f"usage: stillbit train {method} ")
    assert described()[method] in said and "torchrun --nproc-per-node" in said
    assert f"--lr FLOAT Learning rate. (default: {RECIPES[method]().optim.lr})" in _flat(said)


def test_without_a_method_all_are_listed() -> None:
    said = call("train")
    assert said.code == 2 and said.out == works("train --help")
    assert all(f"  {name} " in said.out and what in said.out for name, what in described().items())


def test_help_for_a_recipe_shows_its_own_values(run: Path) -> None:
    said = _flat(works("train --recipe", run, "--help"))
    assert "--img-size {None}|INT Side of the images; the model's own if not given. (default: 8)" in said


def test_a_run_leaves_what_is_needed_to_understand_and_repeat_it(finished: Run) -> None:
    assert set(finished[1]) == {
        *("recipe.json", "environment.json", "metrics.jsonl", "summary.csv"),
        *("best.pt", "last.pt", "model.safetensors", "result.json"),
    }


def test_a_dry_run_says_what_a_run_would_cost_and_writes_nothing(empty_folder: Path) -> None:
    said = works(f"train lsq {PLAIN} --epochs 30 --dry-run")
    rows = dict(re.findall(r"^(\w[\w ]*?)  +(.*?) *$", said, re.M))
    assert rows.keys() >= {"run", "data", "device", "parameters", "steps", "a step", "time", "disk", "memory"}
    assert rows["steps"].startswith("300: 30 epochs of 10")
    assert not everything(empty_folder)


def test_one_command_trains_every_width_and_says_so_as_it_goes(empty_folder: Path) -> None:
    said = works(f"train lsq {PLAIN} --epochs 1 --batch-size 600 --bits w4a4 --through w32a32 w8a8 --experiment run")
    assert "1 of 3: w32a32, in output/run/through/1-w32a32" in said and "3 of 3: w4a4, in output/run" in said
    assert "taught by" not in said, "a start is not a teacher: --teacher before"
    through = dict(re.findall(r"^(\w[\w ]*?)  +(.*?) *$", works("info output/run"), re.M))["through"]
    assert re.fullmatch(r"w32a32 [\d.]+ %, then w8a8 [\d.]+ %, then w4a4", through)


READ = "--model bert_pico --epochs 1 --warmup-epochs 0 --batch-size 48 --vocabulary 200"
TEXTS = f"{READ} --examples 96 --val-examples 24"


def test_one_command_trains_every_task_and_ends_with_one_table(empty_folder: Path) -> None:
    said = works(f"train fp --task generated {TEXTS} --experiment run")
    for task in ("entailment", "acceptability", "paraphrase"):
        assert re.search(rf"^{task} +[\d.]+ ", said, re.M)
        assert (empty_folder / "output/run" / task / "result.json").is_file()
    assert "of the three generated tasks" in said and (empty_folder / "output/run/glue.json").is_file()
    assert "exists and is not empty: go on with --resume auto" in mistake(
        f"train fp --task generated {TEXTS} --experiment run"
    )


def test_tasks_that_nothing_is_there_for_are_one_sentence(empty_folder: Path) -> None:
    said = call(f"train fp --task all {READ}")
    assert said.code == 2 and said.err.count("\n") == 1 and not everything(empty_folder)
    assert "not one of the 9 tasks could be trained: the texts of cola lie in a folder" in said.err


def test_a_task_that_fails_is_said_at_the_end_and_in_the_exit_code(empty_folder: Path) -> None:
    glue = empty_folder / "glue" / "RTE"
    glue.mkdir(parents=True)
    rows = [f"{n}\tA cat {n} sleeps.\tIt sleeps {n}.\t{'not_' * (n % 2)}entailment" for n in range(64)]
    for name in ("train", "dev"):
        (glue / f"{name}.tsv").write_text("\n".join(["index\tsentence1\tsentence2\tlabel", *rows]) + "\n")
    said = call(f"train fp --task all {READ} --data-dir glue --experiment run")
    assert said.code == 1
    assert re.search(r"^rte +[\d.]+ ", said.out, re.M) and re.search(r"^cola +failed ", said.out, re.M)
    held = json.loads((empty_folder / "output/run/glue.json").read_text())
    assert list(held["tasks"]) == ["rte"] and len(held["failed"]) == 8 and held["averages"] == {}


def test_a_task_of_glue_has_its_numbers_and_a_recipe_file_its_own(empty_folder: Path) -> None:
    recipe = asked(["bit", "--task", "mnli", "--model", "bert_base"]).recipe
    assert (recipe.schedule.epochs, recipe.data.batch_size, recipe.text.max_length) == (6, 16, 128)
    assert recipe.quant and recipe.quant.through_lr == (2e-5, 2e-4)
    recipe = asked(
        ["bit", "--task", "mnli", "--lr", "1", "--batch-size", "4", "--through", "w1a2", "--teacher", "before"]
    ).recipe
    assert recipe.optim.lr == 1 and recipe.data.batch_size == 4 and recipe.quant and recipe.quant.through_lr == ()
    (empty_folder / "recipe.json").write_text(json.dumps(to_dict(replace(recipe, method="bit"))))
    assert asked(["--recipe", "recipe.json", "--task", "rte"]).recipe.schedule.epochs == recipe.schedule.epochs


# What is wrong with the words.


def test_a_method_misspelt_is_told_the_near_one() -> None:
    assert "did you mean lsq? there are fp, lsq, lsq_plus, statsq" in mistake("train lsqq")


def test_options_before_the_method_are_told_that_it_comes_first() -> None:
    assert mistake("train --lr 1 fp").startswith("stillbit: the method comes first, one of fp, ")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("--batch-sise 3", "--batch-size INT"),
        ("--epoch 3", "--epochs INT"),
        ("--epochs three", "--epochs INT"),
        ("--sched cosin", "'cosine', 'constant', 'tanh'"),
        ("--corrupt ignore", "'fatal', 'skip'"),
        ("--epochs 4", "--warmup-epochs 5 does not fit into 4 epochs"),
        ("--lr nan", "--lr is at least 0, got nan"),
        ("--seed -1", "--seed is a number from 0 to 4294967295, got -1"),
        ("--grad-accum-steps 0", "--grad-accum-steps is at least 1, got 0"),
        ("--smoothing 2", "--smoothing is a share between 0 and 1, got 2"),
        ("--batch-size 0", "--batch-size 128"),
        ("--workers -1", "--workers 0 loads in the training process"),
        ("--no-aug --hflip 0.1", "leave out one or the other"),
        ("--experiment ..", "--experiment is the name of a folder inside --output, got '..'"),
        ("--model-ema-decay 1", "--model-ema-decay is between 0 and 1, got 1.0"),
        ("--clip-grad 0", "it is above 0, got 0.0"),
    ],
)
def test_a_value_or_an_option_that_cannot_be_is_named_with_what_can(words: str, meant: str, empty_folder: Path) -> None:
    assert meant in refused(f"train fp --dataset digits {words}")
    assert not everything(empty_folder)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("fp --dataset digit", "did you mean digits? use one of folder, fractals, digits, wds, hfds/NAME"),
        ("fp --dataset folder", "name it with --data-dir FOLDER"),
        ("fp --data-dir nowhere", "there is no folder nowhere: name the one with the images, --data-dir FOLDER"),
        ("fp --dataset digits --data-dir .", "leave out --data-dir"),
        ("fp --dataset digits --fresh", "leave out --fresh"),
        (f"fp {PLAIN} --model deit_tinny_patch16_224", "did you mean deit_tiny_patch16_224 or"),
        (f"fp {PLAIN} --opt adamv", "timm has no optimizer 'adamv'; near it: adam, "),
        (f"fp {PLAIN} --batch-size 2000", "is larger than the data, 1347 images: --batch-size 1347 or less"),
        (f"fp {PLAIN} --num-classes 3", "--num-classes 3 is too few: the data has 10 classes"),
        (f"fp {PLAIN} --model resnet18 --drop-path 0.1 --img-size 30 --model sret_tiny", "give a multiple of 32"),
        (f"fp {PLAIN} --in-chans 2", "images have 1 or 3 channels, and the model wants 2: give it in_chans=3"),
        ("fp --dataset digits --aa foo", "begin with one of rand, augmix, original"),
        (f"fp {PLAIN} --fsdp", "there is one: start several with torchrun"),
        (f"fp {PLAIN} --device cudo", "use auto, cpu, cuda or cuda:0"),
        (f"fp {PLAIN} --resume nowhere", "--resume nowhere: there is no checkpoint nowhere; give a run or its last.pt"),
        (f"fp {PLAIN} --initial-checkpoint no.pth", "no.pth: give a run, a .safetensors or a .pth file"),
        (f"lsq {PLAIN} --bits w4a", "--bits w4a: say how many bits weights and activations have, as in --bits w4a4"),
        (f"lsq {PLAIN} --bits w9a4", "from 1 to 8, or 32 for float, got 9"),
        (f"lsq {PLAIN} --ends 9", "from 1 to 8, or 32 for float, got 9"),
        (f"lsq {PLAIN} --weight lsk", "unknown quantizer 'lsk': use one of lsq, lsq+, statsq"),
        (f"lsq {PLAIN} --activation statsq", "for activations use one of lsq, lsq+"),
        (f"lsq {PLAIN} --reach bits", "the quantizer 'lsq' has no option 'reach': it takes start, gradscale"),
        ("--recipe nowhere.json", "there is no recipe nowhere.json (No such file or directory)"),
        ("--recipe", "stillbit train --recipe RUN/recipe.json"),
        ("lsq --recipe a.json", "--recipe names its own method: leave out 'lsq'"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_nothing_is_written(words: str, sentence: str, empty_folder: Path) -> None:
    assert sentence in mistake(f"train {words}")
    assert not everything(empty_folder)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_one_sentence(empty_folder: Path) -> None:
    assert "--device cuda: torch sees no GPU here; use --device cpu" in mistake(f"train fp {PLAIN} --device cuda")
    assert not everything(empty_folder)


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        ('{"method": "fp", "optim": {"lrr": 1}}', "a recipe has no optim.lrr: did you mean optim.lr?"),
        ('{"method": "fp", "optim": {"lr": "1"}}', "optim.lr cannot be '1'"),
        ('{"method": "fp", "optim": {"lr": -1}}', "--lr is at least 0, got -1"),
        ('{"method": "fp", "optim": 1}', "optim cannot be 1"),
        ('{"optim": {"lr": 1}}', "'method'"),
        ('{"method": "fp",', "give the recipe.json of a run"),
        ("[]", "give the recipe.json of a run"),
        ("", "give the recipe.json of a run"),
    ],
)
def test_a_recipe_that_is_broken_is_one_sentence_with_its_file(held: str, sentence: str, empty_folder: Path) -> None:
    (empty_folder / "broken.json").write_text(held)
    said = mistake("train --recipe broken.json")
    assert "broken.json" in said and sentence in said
    assert everything(empty_folder) == {"broken.json": held.encode()}


def test_a_checkpoint_is_no_recipe(run: Path) -> None:
    assert "last.pt is no recipe" in mistake("train --recipe", run / "last.pt")


# What is wrong with the images.


def on_pictures(folder: Path, more: str = "") -> str:
    return f"train fp --img-size 8 --workers 0 --epochs 1 --warmup-epochs 0 --batch-size 4 {more} --data-dir {folder}"


def test_a_data_set_without_its_splits_is_told_what_is_there(empty_folder: Path) -> None:
    data = split(empty_folder / "data", "train")
    assert "there is no folder validation in data, but train: " in mistake(on_pictures(Path("data")))
    assert "data/train is one split: give the folder above it, --data-dir data" in mistake(
        on_pictures(Path("data/train"))
    )
    assert not (empty_folder / "output").exists() and data.is_dir()


def test_an_empty_class_is_named(empty_folder: Path) -> None:
    (pictures(empty_folder / "data") / "train" / "c").mkdir()
    assert "the class folder data/train/c holds nothing: remove it, or give it" in mistake(on_pictures(Path("data")))
    assert not (empty_folder / "output").exists()


def test_a_class_of_files_that_nobody_here_reads_is_named_with_what_they_are(empty_folder: Path) -> None:
    pictures(empty_folder / "data", heic)
    assert "data/train/a holds only .heic: remove it, or give it images (.jpg" in mistake(on_pictures(Path("data")))
    assert not (empty_folder / "output").exists()


def test_classes_that_differ_between_the_splits_are_named(empty_folder: Path) -> None:
    pictures(empty_folder / "data", val_classes="ac")
    assert "validation lacks b and adds c; give both the same classes" in mistake(on_pictures(Path("data")))
    assert not (empty_folder / "output").exists()


@pytest.mark.parametrize(
    ("write", "reason"), [(text, "0.jpg cannot be used: it is no image"), (deep, "(mode I;16), convert it to 8 bits")]
)
def test_an_image_that_cannot_be_used_is_named_with_the_reason(write: Any, reason: str, empty_folder: Path) -> None:
    pictures(empty_folder / "data", write)
    said = mistake(on_pictures(Path("data")))
    assert "data/train/a/0" in said or "data/train/b/" in said or "data/train/a/" in said
    assert reason.removeprefix("0.jpg ") in said and "--corrupt skip" in said


def test_where_every_image_is_damaged_there_is_nothing_to_skip_to(empty_folder: Path) -> None:
    pictures(empty_folder / "data", text)
    assert "every image of a batch is damaged" in mistake(on_pictures(Path("data"), "--corrupt skip"))
    pictures(empty_folder / "other", val=text)
    assert "not one image could be evaluated" in mistake(
        on_pictures(Path("other"), "--corrupt skip --experiment other")
    )


# What is wrong with the place, or with what is there already.


def test_a_run_that_is_there_is_never_begun_anew(run: Path) -> None:
    said = mistake(f"train fp {PLAIN} --epochs 1 --experiment run --output", run.parent)
    assert "exists and is not empty: go on with --resume auto, or choose another --experiment" in said
    assert "exists and is not empty" in mistake("train --recipe", run)


def test_a_folder_of_something_else_is_left_alone(empty_folder: Path) -> None:
    (empty_folder / "output" / "mine").mkdir(parents=True)
    (empty_folder / "output" / "mine" / "thesis.tex").write_text("all of it")
    for more in ("", "--resume auto"):
        assert "choose another --experiment" in mistake(f"train fp {PLAIN} --epochs 1 --experiment mine {more}")
    assert everything(empty_folder) == {"output/mine/thesis.tex": b"all of it"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("fp --lr 0.5", "of another recipe (--lr 0.001 there and 0.5 here): give the same options"),
        ("fp --seed 1 --smoothing 0.1", "(--smoothing 0.0 there and 0.1 here; --seed 42 there and 1 here)"),
        ("fp --batch-size 64", "was trained with 128 images a step, and this would be 64: change --batch-size so that"),
        ("fp --epochs 2", "(--epochs 1 there and 2 here)"),
    ],
)
def test_a_run_does_not_go_on_with_another_recipe(words: str, sentence: str, run: Path) -> None:
    method, _, more = words.partition(" ")
    said = mistake(f"train {method} {PLAIN} --epochs 1 --experiment run --resume auto {more} --output", run.parent)
    assert sentence in said


@pytest.mark.parametrize("held", [b"", b"not a checkpoint", b"PK\x03\x04 half of one"])
def test_a_damaged_checkpoint_is_one_sentence_and_stays_as_it_is(held: bytes, empty_folder: Path) -> None:
    (empty_folder / "last.pt").write_bytes(held)
    said = mistake(f"train fp {PLAIN} --epochs 1 --resume last.pt")
    assert "last.pt is damaged or no checkpoint of a run" in said and "use another one" in said
    assert everything(empty_folder) == {"last.pt": held}


def test_weights_of_another_model_are_one_sentence(run: Path, empty_folder: Path) -> None:
    said = mistake(f"train lsq {PLAIN} --epochs 1 --model vit_nano_patch4_32 --initial-checkpoint", run)
    assert "holds another model: pos_embed is (1, 4, 64) there and (1, 4, 96) here" in said
    assert not everything(empty_folder)


def test_a_place_where_nobody_can_write_is_one_sentence(empty_folder: Path) -> None:
    (empty_folder / "file").write_text("in the way")
    said = mistake(f"train fp {PLAIN} --epochs 1 --output file")
    assert "file/fp-vit_pico_patch4_32-seed42 cannot be written to (Not a directory): choose another --output" in said
    assert "run is a file: choose another --experiment" in mistake(
        f"train fp {PLAIN} --epochs 1 --output . --experiment run", *_file(empty_folder / "run")
    )


def _file(path: Path) -> tuple[str, ...]:
    path.write_text("in the way")
    return ()


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to the superuser")
def test_a_folder_that_is_read_only_is_one_sentence(empty_folder: Path) -> None:
    (empty_folder / "output").mkdir(mode=0o500)
    assert "cannot be written to (Permission denied)" in mistake(f"train fp {PLAIN} --epochs 1")


def test_options_change_a_recipe_from_a_file(run: Path, empty_folder: Path) -> None:
    works(f"train --recipe={run / 'recipe.json'} --experiment again --seed 7 --output", empty_folder)
    held = json.loads((empty_folder / "again" / "recipe.json").read_text())
    was = json.loads((run / "recipe.json").read_text())
    assert held["machine"].pop("seed") == 7 and was["machine"].pop("seed") == 42
    held.pop("output"), was.pop("output")
    assert held == was
