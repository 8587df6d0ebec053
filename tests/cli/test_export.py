"""``stillbit export``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from stillbit.deploy.engine import open_engine
from stillbit.deploy.proof import proven
from stillbit.deploy.proof.outcome import Proof
from tests.cli.command import call, everything, mistake, refused, works
from tests.cli.deployed_run import FEW, exported, floating, run


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The run, to write into."""
    shutil.copytree(run(), tmp_path / "run")
    return tmp_path / "run"


def test_a_run_gets_a_packed_file_and_its_proof_in_its_folder_deploy(copied: Path) -> None:
    said = works(f"export {FEW}", copied)
    assert set(everything(copied / "deploy")) == {"packed.safetensors", "packed.proof.json"}
    assert f"written: {copied / 'deploy/packed.safetensors'} (" in said and "times smaller than in float)" in said
    assert [line.split("  ")[0] for line in said.splitlines()[1:4]] == ["training, fp32", "integer, exact", "integer"]
    assert "On 4 validation images of digits" in said and "MACs an image: 100.0% of codes by codes" in said


def test_the_file_knows_its_model_its_classes_and_its_accuracy() -> None:
    about = open_engine(exported() / "packed.safetensors").about
    assert (about.model, about.method, about.bits) == ("vit_pico_patch4_32", "lsq", "w2a2")
    assert about.classes == tuple("0123456789")
    assert about.preprocess is not None and about.preprocess.size == (8, 8) and len(about.preprocess.mean) == 1
    assert about.facts["top1"] == json.loads((run() / "result.json").read_text())["top1"]
    assert str(run().parent) not in json.dumps(about.to_json()), "where it lay is nobody's business"


def test_the_proof_counts_what_was_asked(copied: Path) -> None:
    said = call(f"export --json {FEW}", copied)
    assert said.code == 0 and said.err.count("written: ") == 2
    held = json.loads(said.out)["proof"]
    assert held["images"] == 4 and [c["images"] for c in held["comparisons"]] == [4, 4, 20]
    assert [c["judged"] for c in held["comparisons"]] == [20, 4, 20]
    assert Proof.read(copied / "deploy/packed.proof.json").failure() is None


def test_a_file_of_stillbit_save_is_exported_beside_it(copied: Path) -> None:
    works(f"export --dataset digits {FEW}", copied / "model.safetensors")
    about = open_engine(copied / "model-deploy/packed.safetensors").about
    assert about.model == "vit_pico_patch4_32" and not about.method


def test_a_file_may_be_named_or_a_folder(tmp_path: Path) -> None:
    works(f"export --noise --samples 2 --images 0 -o {tmp_path / 'a/tiny.safetensors'}", run())
    works(f"export --noise --samples 2 --images 0 --format vectors --out {tmp_path / 'b'}", run())
    assert set(everything(tmp_path)) == {
        "a/tiny.safetensors",
        "a/tiny.proof.json",
        "b/vectors.safetensors",
        "b/vectors.proof.json",
    }


@pytest.mark.slow
def test_all_is_every_format_that_can_be_written_here(tmp_path: Path) -> None:
    said = works(f"export --format all {FEW} -o {tmp_path}", run())
    graphs = {"model.onnx", "model-compact.onnx", "model.xml", "model.bin"}
    assert set(everything(tmp_path)) == {"packed.safetensors", "proof.json"} | graphs
    assert said.count("written: ") == 5 and "OpenVINO" in said and "left out" not in said


def test_what_cannot_be_written_here_is_left_out_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proven, "find_spec", lambda name: None)
    said = works(f"export --format all {FEW} -o {tmp_path}", run())
    assert set(everything(tmp_path)) == {"packed.safetensors", "packed.proof.json"}
    assert 'left out: openvino, it needs onnx and openvino: pip install "stillbit[openvino]"' in said
    assert said.count("left out: ") == 3
    said = mistake("export --format onnx", run())
    assert 'onnx cannot be written here, it needs onnx and onnxruntime: pip install "stillbit[onnx]"' in said


def test_a_folder_is_ready_for_a_hub() -> None:
    files = {"config.json", "preprocessor_config.json", "README.md", "proof.json", "packed.safetensors", "model.onnx"}
    assert set(everything(exported())) == files
    text = (exported() / "README.md").read_text()
    assert "# vit_pico_patch4_32 w2a2 lsq" in text and "| onnxruntime |" in text


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "proof.json"])
def test_a_file_of_a_persons_own_is_never_replaced(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text('{"model_type": "mine"}')
    said = mistake(f"export --format folder {FEW} -o {tmp_path}", run())
    assert f"{name} is there, and stillbit export did not write it: remove it, or choose another --output" in said
    assert everything(tmp_path) == {name: b'{"model_type": "mine"}'}


def test_a_folder_is_exported_again_and_a_card_of_a_persons_own_stays(tmp_path: Path) -> None:
    assert "README.md" in works(f"export --format folder {FEW} -o {tmp_path}", run())
    (tmp_path / "README.md").write_text("# Mine")
    said = works(f"export --format folder {FEW} -o {tmp_path}", run())
    assert "README.md is your own, and stays as it is" in " ".join(said.split())
    assert (tmp_path / "README.md").read_text() == "# Mine"


def test_layers_are_shown_where_asked(tmp_path: Path) -> None:
    said = works(f"export --noise --samples 2 --images 0 --layers -o {tmp_path}", run())
    assert "note: " not in said, "noise proves it, and the classes are those of its data"
    assert "blocks.{0-3}.mlp.fc2    integer      w2 a2u" in said


def test_a_float_run_is_exported_as_float(tmp_path: Path) -> None:
    said = works(f"export {FEW} -o {tmp_path}", floating())
    assert "100.0% of floats" in said and "it is a float model: nothing in these files is an integer" in said


def test_a_run_that_has_not_ended_is_exported_and_said_so(copied: Path) -> None:
    (copied / "result.json").unlink()
    assert "this run has not ended: its best checkpoint so far was taken" in works(f"export {FEW}", copied)
    said = works(f"export {FEW} --checkpoint last", copied)
    assert "this run has not ended: its last checkpoint so far was taken" in said
    assert "top1" not in open_engine(copied / "deploy/packed.safetensors").about.facts


def test_above_the_tolerance_it_fails_and_the_old_file_survives(copied: Path) -> None:
    works(f"export {FEW}", copied)
    before = everything(copied)
    said = mistake(f"export {FEW} --tolerance 1e-30", copied)
    assert said.startswith("stillbit: nothing was written: the logits of training are off by ")
    assert everything(copied) == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("no/where", "there is no run and no file no/where: give a run, or a file of stillbit.save"),
        ("vit_pico_patch4_32", "there is no run and no file vit_pico_patch4_32"),
        ("RUN --samples 0", "a proof looks at one image or text at least, got 0: --samples 32"),
        ("RUN --images -1", "there are no -1 images: --images 1000, or 0 to leave that out"),
        ("RUN --tolerance 0", "a tolerance is above 0 and below 1, got 0.0: --tolerance 1e-4"),
        ("RUN --agreement 99", "an agreement is a share, 0 to 1, got 99.0: --agreement 0.99"),
        ("RUN --noise --dataset digits", "noise is drawn, and comes from no data: leave out --dataset"),
        ("RUN --dataset folder --data-dir nowhere", "there is no folder nowhere: name the one with the images"),
        ("RUN/model.safetensors", "name it with --data-dir FOLDER, or prove it on noise, --noise"),
        ("RUN/recipe.json", "recipe.json is truncated or no safetensors file"),
        ("RUN/best.pt", "is a checkpoint: name its run"),
        ("RUN/nothing", "there is no run and no file"),
        ("RUN -o RUN/model.safetensors", "is there, and stillbit export did not write it: choose another --output"),
        ("RUN --format onnx -o x.safetensors", "onnx files end in .onnx, and this is x.safetensors: --output x.onnx"),
        ("RUN --format all -o RUN/recipe.json", "is a file, and all goes into a folder: --output FOLDER"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    words: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = everything(run())
    assert sentence in mistake(f"export {words.replace('RUN', str(run()))}")
    assert everything(run()) == before and not everything(tmp_path)


def test_a_folder_that_is_no_run_and_a_run_without_a_checkpoint_are_told_apart(tmp_path: Path) -> None:
    assert "is no run: it has no recipe.json" in mistake("export", tmp_path)
    shutil.copy(run() / "recipe.json", tmp_path)
    assert "has no best checkpoint: it stopped before its first one" in mistake("export", tmp_path)


def test_a_deployed_file_is_not_exported_again() -> None:
    assert "is deployed already: give the run it came from" in mistake("export", exported() / "packed.safetensors")


def test_a_place_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    words = f"export --noise --samples 2 --images 0 -o {tmp_path / 'file' / 'a.safetensors'}"
    assert "file" in mistake(words, run())


def test_an_activation_without_a_start_value_is_refused(tmp_path: Path) -> None:
    import timm

    import stillbit

    stillbit.save(stillbit.quantize(timm.create_model("vit_pico_patch4_32"), "w4a4"), tmp_path / "raw.safetensors")
    assert "has activations without start values: stillbit.calibrate" in mistake("export", tmp_path / "raw.safetensors")


def test_a_format_that_is_none_is_told_which_there_are() -> None:
    assert "'onnx-compact'" in refused("export --format tflite", run())


def test_classes_that_nobody_knows_are_said_to_be_numbers(tmp_path: Path) -> None:
    said = works(f"export --noise --samples 2 --images 0 -o {tmp_path}", run() / "model.safetensors")
    assert "note: nobody here knows the names of its classes, so the file says numbers" in said
    assert open_engine(tmp_path / "packed.safetensors").about.classes == ()
