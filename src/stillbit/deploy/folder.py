"""A folder that a model hub takes as it is: the files, what they are, and a card. Nothing is sent anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stillbit.data.whole import whole
from stillbit.deploy.about import About, Reading
from stillbit.deploy.card import MARK, card
from stillbit.deploy.proof.outcome import Proof
from stillbit.deploy.proof.words import Sheet, markdown_of
from stillbit.deploy.texts import pieces_of

RESAMPLE = {"nearest": 0, "bilinear": 2, "bicubic": 3}
"""Pillow's numbers of its filters, which is how preprocessors on hubs name them."""


TOKENIZER = "tokenizer.json"
OURS = "written_by"
"""The key by which a later export knows a settings file for its own."""
KNOWN = {
    "config.json": OURS,
    "preprocessor_config.json": OURS,
    "tokenizer_config.json": OURS,
    "proof.json": "proof",
}
"""What a file of each name has inside if an export wrote it."""


def check_own(folder: Path) -> None:
    """Refuse a folder with files of a person's own where ours would go: asked before anything is computed."""
    own = [folder / name for name, key in KNOWN.items() if (folder / name).exists() and not _has(folder / name, key)]
    if not _has(folder / "tokenizer_config.json", OURS):  # a tokenizer has no place to say whose it is
        own += [path for path in (folder / TOKENIZER,) if path.exists()]
    for path in own:
        raise ValueError(
            f"{path} is there, and stillbit export did not write it: remove it, or choose another --output"
        )


def _has(path: Path, key: str) -> bool:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(held, dict) and (key != OURS or held.get(key) == "stillbit export") and key in held


def fill(folder: Path, about: About, proof: Proof) -> list[Path]:
    """Write what belongs beside the files of ``folder``; what was written. A card that a person took over stays."""
    written = [_json(folder / "config.json", _config(about))]
    if about.preprocess is not None:
        written.append(_json(folder / "preprocessor_config.json", _preprocessor(about)))
    if about.text is not None:
        written += _tokenizer(folder, about.text)
    proof.write(folder / "proof.json")
    written.append(folder / "proof.json")
    readme = folder / "README.md"
    if not readme.is_file() or MARK in readme.read_text(encoding="utf-8", errors="replace"):
        names = ("packed.safetensors", "model.onnx")
        files = {name: (folder / name).stat().st_size for name in names if (folder / name).is_file()}
        _write(readme, card(about, proof, files, latency_of(folder / "bench.json", proof.noun)))
        written.append(readme)
    return written


def latency_of(path: Path, noun: str = "images") -> str:
    """What ``stillbit bench --json`` measured, as a table; nothing where nobody did."""
    if not path.is_file():
        return ""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        batches = [str(batch) for batch in held["batches"]]
        rows = tuple((row["name"], *(_spread(row["milliseconds"][batch]) for batch in batches)) for row in held["rows"])
        where = f"{held['hardware']}, {held['threads']} thread{'s' * (held['threads'] != 1)} each"
    except (ValueError, LookupError, TypeError):
        raise ValueError(f"{path} is not what stillbit bench --json writes: remove it, or measure again") from None
    noun = held.get("noun", "image")
    head = ("engine", *(f"ms, {batch} {noun}{'s' * (batch != '1')}" for batch in batches))
    return f"{markdown_of(Sheet(head, rows))}\n\nMedian (lowest-highest), on {where}."


def _spread(held: dict[str, float] | None) -> str:
    return "" if held is None else f"{held['median']:.2f} ({held['lowest']:.2f}-{held['highest']:.2f})"


def _config(about: About) -> dict[str, Any]:
    """What the model is; the keys that hubs know by their names."""
    said: dict[str, Any] = {
        OURS: "stillbit export",
        "model_type": "stillbit",
        "architecture": about.model,
        "method": about.method,
        "bits": about.bits,
        **_task(about),
        "num_classes": len(about.classes) or None,
        "id2label": {str(number): name for number, name in enumerate(about.classes)},
        "facts": about.facts,
    }
    return {name: value for name, value in said.items() if value not in (None, "", {})}


def _task(about: About) -> dict[str, Any]:
    """What it is asked of texts, and how long these may be."""
    if about.text is None:
        return {}
    return {"finetuning_task": about.text.task, "max_length": about.text.length}


def _tokenizer(folder: Path, reading: Reading) -> list[Path]:
    """The tokenizer as transformers reads it; one that is too large for the file lies here already."""
    written = []
    if reading.tokenizer:
        written.append(_json(folder / TOKENIZER, json.loads(reading.tokenizer)))
    pieces = pieces_of(reading, folder)
    said = {
        OURS: "stillbit export",
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": reading.length,
        "model_input_names": list(reading.inputs),
        "pad_token": pieces.tokenizer.id_to_token(reading.pad),
    }
    return [*written, _json(folder / "tokenizer_config.json", said)]


def _preprocessor(about: About) -> dict[str, Any]:
    """How a picture becomes the input: resized until the crop is ``crop_pct`` of a side, and cut."""
    wanted = about.preprocess
    assert wanted is not None, "asked only where it is known"
    high, wide = wanted.size
    return {
        OURS: "stillbit export",
        "do_resize": True,
        "size": {"shortest_edge": int(min(high, wide) / wanted.crop_pct)},
        "resample": RESAMPLE[wanted.interpolation],
        "do_center_crop": True,
        "crop_size": {"height": high, "width": wide},
        "crop_pct": wanted.crop_pct,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(wanted.mean),
        "image_std": list(wanted.std),
    }


def _json(path: Path, data: dict[str, Any]) -> Path:
    _write(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    return path


def _write(path: Path, text: str) -> None:
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
