"""A model card: what a stranger has to know, above it what a model hub reads."""

from __future__ import annotations

import json
from typing import Any

from stillbit.deploy.about import About
from stillbit.deploy.proof.outcome import Proof
from stillbit.deploy.proof.words import compared, explained, layered, markdown_of, totals

MARK = "<!-- written by stillbit export: without this line it stays as you leave it -->"
TITLES = {"top1": "top-1 on the validation images", "epochs": "epochs", "seed": "seed", "run": "run"}


def card(about: About, proof: Proof, files: dict[str, int], latency: str = "") -> str:
    """The text of README.md; ``files`` are names and bytes, ``latency`` a table where somebody measured it."""
    sections = [
        "---",
        *_front(about),
        "---",
        MARK,
        f"# {_title(about)}",
        _intro(about, proof),
        "## What is here",
        *(f"- `{name}`: {_bytes(size)}" for name, size in files.items()),
        "",
        "## How to run it",
        _use(files),
        "## What it is",
        _facts(about),
        "## Does it compute what was trained?",
        markdown_of(compared(proof)),
        "",
        explained(proof),
        "## What every layer computes on",
        markdown_of(layered(proof.layers)),
        "",
        f"{totals(proof.layers)}.",
        *(["## How fast it is", latency] if latency else []),
    ]
    return _spaced(sections)


def _spaced(sections: list[str]) -> str:
    """Headings with an empty line on both sides, and a front matter without."""
    lines: list[str] = []
    for section in sections:
        if section.startswith("#"):
            lines += ["", section, ""]
        else:
            lines.append(section)
    text = "\n".join(lines)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.rstrip() + "\n"


def _front(about: About) -> list[str]:
    """What a hub reads, as YAML; a word in JSON's quotes is a word in YAML too."""
    tags = ["stillbit", "quantization", *([about.bits] if about.bits else [])]
    lines = ["library_name: stillbit", "pipeline_tag: image-classification", "tags:"]
    lines += [f"- {json.dumps(tag)}" for tag in tags]
    if "top1" not in about.facts:
        return lines
    return [
        *lines,
        "metrics:",
        "- accuracy",
        "model-index:",
        f"- name: {json.dumps(_title(about))}",
        "  results:",
        "  - task:",
        "      type: image-classification",
        "    dataset:",
        f"      name: {json.dumps(str(about.facts.get('data', 'its validation images')))}",
        f"      type: {json.dumps(str(about.facts.get('data', 'imagefolder')))}",
        "    metrics:",
        "    - type: accuracy",
        f"      value: {about.facts['top1']:.2f}",
    ]


def _title(about: About) -> str:
    return " ".join(word for word in (about.model, about.bits, about.method) if word)


def _intro(about: About, proof: Proof) -> str:
    macs = max(sum(layer.macs for layer in proof.layers), 1)
    share = sum(layer.integer for layer in proof.layers) / macs
    trained = f", trained by {about.method}" if about.method else ""
    return (
        f"{about.model} for images of {_size(about)} pixels{trained}, as stillbit deploys it: "
        f"{share:.1%} of its multiplications are of integers."
    )


def _size(about: About) -> str:
    return "x".join(map(str, about.preprocess.size)) if about.preprocess is not None else "its"


def _use(files: dict[str, int]) -> str:
    lines = ["With stillbit:", "", "```console", "$ stillbit predict packed.safetensors picture.jpg", "```"]
    if "model.onnx" in files:
        lines += [
            "",
            "`model.onnx` has standard operators only, and runs without stillbit. Size, mean, deviation, crop and the "
            "names of the classes are in its metadata, and in `config.json` and `preprocessor_config.json`.",
        ]
    return "\n".join(lines)


def _facts(about: About) -> str:
    rows: list[tuple[str, Any]] = [("model", about.model), ("method", about.method), ("bits", about.bits)]
    rows += [("classes", len(about.classes) or "")]
    rows += [(title, about.facts[name]) for name, title in TITLES.items() if name in about.facts]
    made = ", ".join(f"{name} {about.facts[name]}" for name in ("stillbit", "torch", "timm") if name in about.facts)
    rows += [("made with", made)]
    shown = ((name, f"{value:.2f} %" if name == TITLES["top1"] else str(value)) for name, value in rows if value != "")
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in shown)])


def _bytes(size: int) -> str:
    return f"{size / 1e3:.1f} kB" if size < 1e6 else f"{size / 1e6:.2f} MB"
