"""What a run writes down as it goes: metrics.jsonl, summary.csv, and TensorBoard events where that is installed."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, final

import torch

from stillbit.data.feed import Feed
from stillbit.train import distributed
from stillbit.train.distributed import Share
from stillbit.train.files import write_text
from stillbit.train.hooks import Hook
from stillbit.train.progress import Progress
from stillbit.train.state import Training
from stillbit.train.task import Losses

Row = dict[str, Any]


@dataclass
class Means:
    """Sums of named numbers, and over how many steps."""

    sums: dict[str, float] = field(default_factory=dict)
    steps: int = 0

    def add(self, sums: dict[str, float], steps: int) -> None:
        """Count some more steps."""
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in sums.items()}
        self.steps += steps

    def take(self) -> dict[str, float]:
        """The means; counting begins anew."""
        means = {name: value / self.steps for name, value in self.sums.items()}
        self.sums, self.steps = {}, 0
        return means


@final
class Log(Hook):
    """A line every so many steps and after every epoch. A run that resumes takes back what it is about to do again."""

    name: ClassVar[str] = "log"

    def __init__(self, folder: Path, loader: Feed, share: Share, interval: int, progress: Progress) -> None:
        """``folder`` is the run's; ``interval`` the number of steps between two lines."""
        self.folder, self.loader, self.share, self.interval, self.progress = folder, loader, share, interval, progress
        self.rows: list[Row] = []
        self.written = 0
        self.waiting: list[Losses] = []
        self.line, self.epoch = Means(), Means()
        self.began = time.perf_counter()
        self.since = self.began
        self.steps = 0
        self.board: Any = None

    @property
    def metrics(self) -> Path:
        """One JSON object a line."""
        return self.folder / "metrics.jsonl"

    def after_step(self, training: Training, losses: Losses) -> None:
        """Keep the losses on the device; read them where a line is due."""
        self.waiting.append(losses)
        self.steps += 1
        self.progress.tick(training)
        if training.step % self.interval == 0:
            self._gather()
            self._speak(training, self.line.take())

    def after_epoch(self, training: Training) -> None:
        """The losses' means over the epoch, and the evaluation."""
        self._gather()
        means = {f"train_{k}": v for k, v in self.epoch.take().items()}
        row = {
            "epoch": training.epoch,
            "step": training.step,
            **means,
            **{k: v for k, v in training.scores.items() if k != "images"},
            "lr": _rate(training),
            "damaged": training.damaged,
        }
        self.rows.append({k: v for k, v in row.items() if k != "damaged" or v})
        self._put({"kind": "epoch", **row})
        if self.share.leads:
            write_text(self.folder / "summary.csv", _table(self.rows))
        self.progress.epoch(training, row)
        self.since, self.steps = time.perf_counter(), 0

    def _gather(self) -> None:
        """Read the losses off the device, means over all processes; a loss that is no number ends the run."""
        if not self.waiting:
            return
        names = list(self.waiting[0])
        held = torch.stack([torch.stack([losses[n].double() for n in names]) for losses in self.waiting]).sum(0)
        sums = dict(zip(names, (distributed.total(held) / self.share.world).tolist(), strict=True))
        for name, value in sums.items():
            if not math.isfinite(value):
                raise ValueError(
                    f"{name} became {value}, and nothing was saved since: "
                    "begin anew with a lower --lr, --clip-grad 1, or a longer warm-up"
                )
        for means in (self.line, self.epoch):
            means.add(sums, len(self.waiting))
        self.waiting = []

    def _speak(self, training: Training, means: dict[str, float]) -> None:
        now = time.perf_counter()
        rate = self.steps * self.loader.samples / len(self.loader) / max(now - self.since, 1e-9)
        self.since, self.steps = now, 0
        row = {
            "epoch": training.epoch,
            "step": training.step,
            **means,
            "lr": _rate(training),
            "images_per_second": rate,
        }
        self._put({"kind": "step", **row})
        self.progress.step(training, means, rate)

    def _put(self, row: Row) -> None:
        if not self.share.leads:
            return
        line = json.dumps({**row, "seconds": self.seconds}) + "\n"
        with self.metrics.open("a", encoding="utf-8") as file:
            file.truncate(self.written)  # a killed run wrote more, which has just happened again
            file.write(line)
        self.written = self.metrics.stat().st_size
        self._draw(row)

    def _draw(self, row: Row) -> None:
        """TensorBoard, if it is there: nothing to install for who does not want it."""
        if self.board is None:
            self.board = False
            if find_spec("tensorboard"):
                from torch.utils.tensorboard import SummaryWriter

                self.board = SummaryWriter(str(self.folder / "tensorboard"), purge_step=row["step"])
        if self.board:
            for key, value in row.items():
                if key not in ("kind", "epoch", "step"):
                    self.board.add_scalar(f"{row['kind']}/{key}", value, row["step"])

    def close(self) -> None:
        """Flush what TensorBoard holds back."""
        if self.board:
            self.board.close()

    @property
    def seconds(self) -> float:
        """Time in training so far, over all parts of a run that was resumed."""
        return time.perf_counter() - self.began

    def state(self) -> dict[str, Any]:
        """The means so far, the table, and how much of the file is true at this point; all processes take part."""
        self._gather()
        return {
            "rows": [dict(row) for row in self.rows],
            "line": asdict(self.line),
            "epoch": asdict(self.epoch),
            "written": self.written,
            "seconds": self.seconds,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on behind what was true at the checkpoint. Nothing is written yet: the folder may be another's."""
        if not state:
            return
        self.rows, self.line, self.epoch = state["rows"], Means(**state["line"]), Means(**state["epoch"])
        self.written = min(state["written"], self.metrics.stat().st_size if self.metrics.is_file() else 0)
        self.began = time.perf_counter() - state["seconds"]


def _rate(training: Training) -> float:
    return float(training.optimizer.param_groups[0]["lr"])


def _table(rows: list[Row]) -> str:
    """CSV with a column for every key that any row has."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
