"""A model card: what a stranger has to know, above it what a model hub reads."""

from __future__ import annotations

import json
from typing import Any

from stillbit.deploy.about import About
from stillbit.deploy.proof.outcome import Proof
from stillbit.deploy.proof.words import compared, explained, layered, markdown_of, totals

MARK = "<!-- written by stillbit export: without this line it stays as you leave it -->"
TITLES = {"epochs": "epochs", "seed": "seed", "run": "run"}


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
        _use(about, files),
        "## What it is",
        _facts(about),
        "## Does it compute what was trained?",
        markdown_of(compared(proof)),
        "",
        explained(proof),
        "## What every layer computes on",
        markdown_of(layered(proof.layers)),
        "",
        f"{totals(proof.layers, proof.noun)}.",
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
    lines = ["library_name: stillbit", f"pipeline_tag: {_kind(about)}", "tags:"]
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
        f"      type: {_kind(about)}",
        "    dataset:",
        f"      name: {json.dumps(str(about.facts.get('data', _data(about))))}",
        f"      type: {json.dumps(str(about.facts.get('data', _data_kind(about))))}",
        "    metrics:",
        "    - type: accuracy",
        f"      value: {about.facts['top1']:.2f}",
    ]


def _kind(about: About) -> str:
    return "image-classification" if about.text is None else "text-classification"


def _data(about: About) -> str:
    if about.text is None:
        return "its validation images"
    return about.text.task or "its validation texts"


def _data_kind(about: About) -> str:
    return "imagefolder" if about.text is None else about.text.task or "text"


def _title(about: About) -> str:
    task = about.text.task if about.text is not None else ""
    return " ".join(word for word in (about.model, task, about.bits, about.method) if word)


def _intro(about: About, proof: Proof) -> str:
    macs = max(sum(layer.macs for layer in proof.layers), 1)
    share = sum(layer.integer for layer in proof.layers) / macs
    trained = f", trained by {about.method}" if about.method else ""
    return (
        f"{about.model} for {_taken(about)}{trained}, as stillbit deploys it: "
        f"{share:.1%} of its multiplications are of integers."
    )


def _taken(about: About) -> str:
    """What it is shown."""
    if about.text is not None:
        return f"{'pairs of texts' if about.text.pairs else 'texts'} of up to {about.text.length} pieces"
    size = "x".join(map(str, about.preprocess.size)) if about.preprocess is not None else "its"
    return f"images of {size} pixels"


def _use(about: About, files: dict[str, int]) -> str:
    given = "picture.jpg"
    if about.text is not None:
        given = '"the first text" "the second"' if about.text.pairs else '"a text"'
    lines = ["With stillbit:", "", "```console", f"$ stillbit predict packed.safetensors {given}", "```"]
    if "model.onnx" in files:
        lines += ["", "`model.onnx` has standard operators only, and runs without stillbit. " + _graph(about)]
    return "\n".join(lines)


def _graph(about: About) -> str:
    """What else one needs for it."""
    if about.text is None:
        return (
            "Size, mean, deviation, crop and the names of the classes are in its metadata, and in `config.json` and "
            "`preprocessor_config.json`."
        )
    inputs = ", ".join(f"`{name}`" for name in about.text.inputs)
    said = f'padding="max_length", truncation=True, max_length={about.text.length}, return_tensors="np"'
    return (
        f"Its inputs are {inputs}, whole numbers of 64 bits, {about.text.length} for each text. Its tokenizer is here: "
        f"`AutoTokenizer.from_pretrained(FOLDER)` of transformers, called with `{said}`, makes them."
    )


def _facts(about: About) -> str:
    facts, judged = about.facts, _judged(about)
    rows: list[tuple[str, Any]] = [("model", about.model), ("method", about.method), ("bits", about.bits)]
    rows += [("task", about.text.task)] if about.text is not None else []
    rows += [("classes", len(about.classes) or "")]
    rows += [(title, f"{facts[name]:.2f} %") for name, title in judged.items() if name in facts]
    rows += [(title, facts[name]) for name, title in TITLES.items() if name in facts]
    made_with = ("stillbit", "torch", "timm", "transformers")
    rows += [("made with", ", ".join(f"{name} {facts[name]}" for name in made_with if name in facts))]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows if value != "")])


def _judged(about: About) -> dict[str, str]:
    """What a run was judged by, in percent."""
    if about.text is None:
        return {"top1": "top-1 on the validation images"}
    return {"score": "score of the task on its validation texts", "top1": "accuracy on the validation texts"}


def _bytes(size: int) -> str:
    return f"{size / 1e3:.1f} kB" if size < 1e6 else f"{size / 1e6:.2f} MB"
