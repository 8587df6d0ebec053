"""Which roles and heads suffer from few bits, over several float models: VVTQ's Table 1 and Figure 2, as claims.

    python benchmarks/study/sensitivity.py output/float-0 output/float-1 output/float-2 --output benchmarks/results

Runs are float ones, of other seeds or data. Of each, at each width: all has few bits and one role stays float, all of
them trained for as many steps from the same start (Table 1); and one head at a time has few bits, the rest 8, untrained
(Figure 2). Records stay in --work, where a stopped benchmark goes on.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import tyro

from stillbit.study.paired import above, sample

CLAIMS = {
    "a parameter of attention gains more than one of the FFN": ("MHSA", "FFN"),
    "value gains more than query": ("value", "query"),
    "value gains more than key": ("value", "key"),
}
"""Table 1: who gains more accuracy a parameter when it stays float."""


@dataclass(frozen=True)
class Settings:
    """What to ask, and of whom."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Float runs of `stillbit train fp`, at least three."""
    bits: tuple[str, ...] = ("w3a3", "w2a2")
    head_bits: tuple[str, ...] = ("w4a4", "w3a3", "w2a2")
    steps: int = 150
    """Of training, for each role."""
    batch_size: int = 128
    lr: float = 1e-3
    images: int = 2000
    work: Path = Path("output/sensitivity")
    output: Path | None = None
    """A folder: the result goes there as CSV and Markdown."""


def main(settings: Settings) -> None:
    """Ask everything, print the verdicts."""
    rows: list[dict[str, Any]] = []
    for run in settings.runs:
        for bits in settings.bits:
            rows += table(run, bits, "keep", ask(settings, run, bits, *trained(settings)))
        for bits in settings.head_bits:
            rows += table(run, bits, "lower", ask(settings, run, bits, "--by", "head"))
    said = verdicts(settings, rows)
    print(said)
    if settings.output is not None:
        (settings.output / "study_sensitivity.csv").write_text(tidy(rows))
        (settings.output / "study_sensitivity.md").write_text(said)


def trained(settings: Settings) -> tuple[object, ...]:
    """The words of Table 1's question."""
    how = ("--train", settings.steps, "--batch-size", settings.batch_size, "--lr", settings.lr)
    return ("--keep", "--by", "role", *how)


def ask(settings: Settings, run: Path, bits: str, *words: object) -> dict[str, Any]:
    """The record, unless it is there already."""
    question = "keep" if "--keep" in words else "lower"
    record = settings.work / f"{run.name}-{bits}-{question}.json"
    if not record.is_file():
        about = ("--bits", bits, "--images", settings.images, "--output", record)
        said = [str(word) for word in ("analyze", "sensitivity", run, *words, *about)]
        print("stillbit", *said, flush=True)
        subprocess.run([sys.executable, "-m", "stillbit.cli", *said], check=True, stdout=subprocess.DEVNULL)
    return dict(json.loads(record.read_text())["record"])


def table(run: Path, bits: str, question: str, record: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a group, with what it gained or lost."""
    base, reference = record["base"], record["reference"]
    return [
        {
            "run": run.name,
            "bits": bits,
            "question": question,
            "group": group["name"],
            "share": group["share"],
            "float": 100 * reference["top1"],
            "base": 100 * base["top1"],
            "top1": 100 * group["scores"]["top1"],
            "kl_base": base["kl"],
            "kl": group["scores"]["kl"],
        }
        for group in record["groups"]
    ]


def tidy(rows: list[dict[str, Any]]) -> str:
    """All of them as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    return out.getvalue()


def gain(rows: list[dict[str, Any]], run: str, bits: str, role: str) -> float:
    """Points of top-1 that a float role brings, for each percent of the parameters that it has."""
    (row,) = (r for r in rows if (r["run"], r["bits"], r["question"], r["group"]) == (run, bits, "keep", role))
    return float((row["top1"] - row["base"]) / (100 * row["share"]))


def verdicts(settings: Settings, rows: list[dict[str, Any]]) -> str:
    """The claims, with their numbers."""
    runs = [run.name for run in settings.runs]
    lines = ["| claim | bits | verdict | difference ± 95 % | each model |", "|---|---|---|---:|---|"]
    for bits in settings.bits:
        for claim, (one, other) in CLAIMS.items():
            apart = [gain(rows, run, bits, one) - gain(rows, run, bits, other) for run in runs]
            lines.append(line(claim, bits, apart))
    for bits in settings.head_bits:
        apart = [ends(rows, run, bits) for run in runs]
        lines.append(line("heads of the first and the last block diverge more than those between", bits, apart))
    about = (
        f"Gains are points of top-1 for each percent of the model's parameters: {settings.steps} steps of AdamW at "
        f"{settings.lr:g}, {settings.batch_size} images each. Divergences are in nats, without training; the mean over "
        f"the heads of a block is compared. {settings.images} validation images, {len(runs)} float models, differences "
        "within each; a claim held where the interval of Student's t is above zero."
    )
    return "\n".join([*lines, "", roles(settings, rows), "", about, ""])


def line(claim: str, bits: str, apart: list[float]) -> str:
    """A row of the verdicts."""
    found = sample(apart)
    assert found is not None
    half = "" if found.half is None else f" ± {found.half:.2g}"
    each = " ".join(f"{one:+.2g}" for one in apart)
    return f"| {claim} | {bits} | **{above(apart)}** | {found.mean:+.2g}{half} | {each} |"


def ends(rows: list[dict[str, Any]], run: str, bits: str) -> float:
    """How much more the heads of the outer blocks diverge than those of the blocks between."""
    heads = [r for r in rows if (r["run"], r["bits"], r["question"]) == (run, bits, "lower")]
    blocks: dict[str, list[float]] = {}
    for row in heads:
        blocks.setdefault(row["group"].partition(" ")[0], []).append(row["kl"] - row["kl_base"])
    means = [fmean(held) for held in blocks.values()]
    assert len(means) > 2, "a model of two blocks has nothing between its ends"
    return fmean([means[0], means[-1]]) - fmean(means[1:-1])


def roles(settings: Settings, rows: list[dict[str, Any]]) -> str:
    """What every role brings, as Table 1 has it."""
    kept = [r for r in rows if r["question"] == "keep"]
    lines = [
        f"| stays float | parameters | {' | '.join(settings.bits)} |",
        f"|---|---:|{'---:|' * len(settings.bits)}",
    ]
    nothing = [mean(kept, bits, None, "base") for bits in settings.bits]
    lines.append(f"| nothing | | {' | '.join(nothing)} |")
    for role in dict.fromkeys(r["group"] for r in kept):
        share = fmean(r["share"] for r in kept if r["group"] == role)
        cells = " | ".join(mean(kept, bits, role, "top1") for bits in settings.bits)
        lines.append(f"| {role} | {100 * share:.1f} % | {cells} |")
    return "\n".join(lines)


def mean(rows: list[dict[str, Any]], bits: str, role: str | None, what: str) -> str:
    """Over the models."""
    held = {r["run"]: r[what] for r in rows if r["bits"] == bits and role in (None, r["group"])}
    return f"{fmean(held.values()):.2f} %"


if __name__ == "__main__":
    main(tyro.cli(Settings))
