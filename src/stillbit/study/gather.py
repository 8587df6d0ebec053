"""What came out of a job, from the folder of its run and from what was measured, as a row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from statistics import fmean, median
from typing import Any, Literal

from stillbit.analysis.logged import Logged, finite, logged
from stillbit.study.commands import record
from stillbit.study.folder import Folder
from stillbit.study.jobs import Job, Kind
from stillbit.study.rows import Row
from stillbit.study.standing import Standing

ROWS: dict[Kind, Literal["cell", "parent", "labels"]] = {"runs": "cell", "parents": "parent", "labels": "labels"}
HASH = 12
"""Letters of a hash that a table shows."""


def gather(jobs: Sequence[Job], folder: Folder) -> list[Row]:
    """A row a run and a store of labels, the cells first."""
    rows = [row(job, folder.standing(job), folder) for job in jobs if job.kind in ROWS]
    return sorted(rows, key=lambda one: list(ROWS.values()).index(one.kind))


def row(job: Job, standing: Standing, folder: Folder) -> Row:
    """Of one job; a run that has not ended has only what stands still: no numbers."""
    axes = {"model": job.model, "method": job.method, "switch": job.switch, "bits": job.bits, "seed": job.seed}
    unmeasured = [f"{what}: {why}" for what, why in standing.unmeasured.items()]
    errors = [standing.error, *unmeasured] if standing.error else unmeasured
    said: dict[str, Any] = {**axes, "error": " | ".join(errors)}
    if job.kind == "labels":
        said |= {"method": job.name, "seconds": standing.seconds or None}
    elif standing.status == "done":
        said |= _outcome(job, folder)
    return Row(kind=ROWS[job.kind], name=job.name, status=standing.status, recipe=job.hash[:HASH], **said)


def _outcome(job: Job, folder: Folder) -> dict[str, Any]:
    """The numbers of a run that has ended."""
    run = folder.of(job.key)
    result, log = _json(run / "result.json"), logged(run)
    last = log.epochs[-1] if log.epochs else {}
    quant = job.settings["quant"]
    by_judge = _json(record(job, folder, "last")) if quant is not None and quant["weights_last"] else None
    return {
        "top1": (by_judge or {}).get("top1") if by_judge is not None else last.get("ema_top1", last.get("top1")),
        "best": result.get("top1"),
        "best_epoch": result.get("epoch"),
        "epochs": last.get("epoch"),
        "steps": last.get("step"),
        "weight_bytes": result.get("weight_bytes"),
        "seconds": result.get("seconds"),
        "steps_per_second": _pace(log, job.settings),
        "environment": environment(run / "environment.json"),
        **measured(job, folder),
    }


def measured(job: Job, folder: Folder) -> dict[str, float | None]:
    """What the records beside a run say; nothing of what nobody measured."""
    held = {what: _json(record(job, folder, what)) for what in ("cost", "variation", "oscillation", "error", "latent")}
    cost, variation, oscillation, error = (
        held[what].get("record") or {} for what in ("cost", "variation", "oscillation", "error")
    )
    found: dict[str, float | None] = {"latent": held["latent"].get("top1")}
    if "bitops" in cost:
        found["gbitops"] = cost["bitops"] / 1e9
    modules = next((one for one in variation.get("weights", ()) if one["over"] == "modules"), None)
    if modules is not None:
        found |= {"sdam": modules["deviation"], "sdam_relative": modules["relative"]}
    if oscillation.get("tracked"):
        found["oscillation"] = 100 * oscillation["tracked"]["oscillating"]
    if latents := oscillation.get("latents"):
        found["undecided"] = 100 * fmean([one["undecided"] for one in latents], [one["weights"] for one in latents])
    relative = [one["relative"] for one in error.get("weights", ()) if one["relative"] is not None]
    if relative:
        found["weight_error"] = 100 * fmean(relative)
    return found


def _pace(log: Logged, settings: dict[str, Any]) -> float | None:
    """Steps a second between two lines of the log."""
    rates = [row["images_per_second"] for row in log.steps if finite(row.get("images_per_second"))]
    images = settings["data"]["batch_size"] * settings["machine"]["grad_accum_steps"]
    return median(rates) / images if rates else None


def environment(path: Path) -> str:
    """A hash of versions, hardware and commit: rows with the same one were made in the same surroundings."""
    held = _json(path)
    if not held:
        return ""
    hardware = dict(held.get("hardware", {}))
    hardware["device"] = str(hardware.get("device")).partition(":")[0]  # the second GPU is as good as the first
    said = {"versions": held.get("versions"), "hardware": hardware, "git": held.get("git")}
    return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:HASH]


def _json(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise ValueError(f"{path} is damaged: remove it, and the next stillbit study makes it again") from None
    return held if isinstance(held, dict) else {}
