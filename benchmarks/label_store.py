"""Stored labels: bytes and read time against FKD's pickles, writing against bare inference, and what ImageNet needs.

    python benchmarks/label_store.py                                     ResNet-50 as the teacher, one thread, 1 worker
    python benchmarks/label_store.py --teacher deit_small_patch16_224 --rounds 3

**Reading.** The same labels lie in a store and in one torch.save file an image, which holds three tensors: coordinates
as floats, flips, and two rows of five numbers a crop. With 500 crops that is the 30 kB of FKD's files (arXiv
2112.01528). A sample is four crops of one image with their labels as tensors. All files were read once before. Both
take turns, in one random order of images.

**Writing.** Bare inference is the teacher alone, in eval mode under autocast, on normalised batches that are ready in
memory and lie with channels last, on one thread. Against it: a whole store from JPEGs of 500 x 375 pixels, with
decoding, crops, top-5, checksums and files, the teacher on one thread and the crops in processes of their own.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import tyro
from loader import Settings as Jpegs
from loader import draw, hardware

from stillbit.data.look import Look
from stillbit.data.settings import DataSettings
from stillbit.data.sources import open_source
from stillbit.distill.layout import Layout, fill
from stillbit.distill.manifest import Crops, Data, Manifest
from stillbit.distill.panel import Expert, Panel
from stillbit.distill.replay import answers
from stillbit.distill.seen import Images
from stillbit.distill.settings import WriteSettings
from stillbit.distill.shards import begin, finish, write_shard
from stillbit.distill.store import Store
from stillbit.distill.write import Work, request, write_labels
from stillbit.models import names
from stillbit.surgery.macs import count

IMAGENET, CROPS = 1_281_167, 500
SUSTAINED = 300e12
"""Assumed: operations a second in bfloat16 on one GPU of the H200's class, about 30 % of what its maker promises."""
SOME = Crops(scale=(0.08, 1.0), ratio=(0.75, 4 / 3), hflip=0.5, vflip=0.0, interpolation="bicubic")
"""What the random labels say of their crops: nothing that is read here."""
TEACHERS = ("resnet50", "resnet152", "tf_efficientnet_l2.ns_jft_in1k_475")


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    teacher: str = "resnet50"
    images: int = 32
    """JPEGs that are labelled in a turn."""
    crops: int = 20
    batch: int = 32
    workers: int = 1
    precision: str = "bf16"
    rounds: int = 5
    read_images: int = 256
    read_crops: tuple[int, ...] = (200, 500)
    read_rounds: int = 11
    output: Path | None = None
    """A folder: the result goes there as JSON and Markdown."""


def main(settings: Settings) -> None:
    """Measure, print, and write."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="label_store_") as folder:
        reads = [read(settings, crops, Path(folder) / f"read{crops}") for crops in settings.read_crops]
        written = write(settings, Path(folder))
    result = {
        "date": str(date.today()),
        "hardware": hardware(),
        "settings": {k: v for k, v in asdict(settings).items() if k != "output"},
        "read": reads,
        "write": written,
        "imagenet": imagenet(written["crops_per_second_of_a_worker"]),
    }
    print(page(result))
    if settings.output is not None:
        settings.output.mkdir(parents=True, exist_ok=True)
        (settings.output / "label_store.json").write_text(json.dumps(result, indent=1) + "\n")
        (settings.output / "label_store.md").write_text(page(result))


def read(settings: Settings, crops: int, folder: Path) -> dict[str, Any]:
    """Bytes a view, and seconds a sample of four crops."""
    theirs, ours = folder / "pickles", folder / "store"
    theirs.mkdir(parents=True)
    labels(settings.read_images, crops, theirs, ours)
    store = Store(ours)

    def from_store(image: int, first: int) -> Any:
        records = store.records(image, first, 4)
        return records["box"], records["flags"], *answers(records)

    def from_pickle(image: int, first: int) -> Any:
        coords, flips, output = torch.load(theirs / f"{image}.tar", weights_only=False)
        chosen = slice(first, first + 4)
        return coords[chosen], flips[chosen], output[chosen]

    order = np.random.default_rng(1).permutation(settings.read_images).tolist()
    times: dict[str, list[float]] = {"store": [], "pickles": []}
    for turn in range(settings.read_rounds + 1):
        for name, one in (("store", from_store), ("pickles", from_pickle)):
            began = time.perf_counter()
            for image in order:
                one(image, 8 * turn)
            times[name].append((time.perf_counter() - began) / len(order))
    ratios = sorted(b / a for a, b in zip(times["store"][1:], times["pickles"][1:], strict=True))
    folders = {"store": ours, "pickles": theirs}
    size = {name: sum(path.stat().st_size for path in where.iterdir()) for name, where in folders.items()}
    views = settings.read_images * crops
    return {
        "crops": crops,
        "bytes_a_view": {name: total / views for name, total in size.items()},
        "bytes_ratio": size["store"] / size["pickles"],
        "microseconds_a_sample": {name: 1e6 * statistics.median(each[1:]) for name, each in times.items()},
        "times_faster": {"lowest": ratios[0], "median": statistics.median(ratios), "highest": ratios[-1]},
    }


def labels(images: int, crops: int, theirs: Path, ours: Path) -> None:
    """The same random labels, five of 1000 classes, as pickles and as a store."""
    layout = Layout(kind="marginal_smoothing", top_k=5, classes=1000)
    wanted = Manifest(
        layout=layout, views=crops, shard_samples=1024, crops=SOME, teachers=(), seed=0, batch_size=1,
        data=Data(kind="none", fingerprint="none", count=images, classes=()), precision="fp32", made_with={},
    )  # fmt: skip
    chance, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    records = np.zeros((images, crops), layout.dtype)
    for image in range(images):
        probabilities = (torch.randn(crops, 1000, generator=generator) * 3).softmax(-1)
        fill(records[image], probabilities, layout)
        coords = chance.random((crops, 4)).astype(np.float32) / 2
        flips = chance.random(crops) < 0.5
        records[image]["box"], records[image]["flags"] = coords * 65535, flips
        values, classes = probabilities.topk(5)
        output = torch.stack([classes.float(), values], 1)
        torch.save([torch.from_numpy(coords), torch.from_numpy(flips), output], theirs / f"{image}.tar")
    begin(ours, wanted)
    for number in range(wanted.shard_count):
        write_shard(ours, wanted, number, [records[list(wanted.samples_of(number))]])
    finish(ours, wanted, np.zeros(images, np.int64))


def write(settings: Settings, folder: Path) -> dict[str, Any]:
    """Views a second of a whole store, of the bare teacher, and of the crops alone."""
    model = timm.create_model(settings.teacher, num_classes=8).eval()
    look = Look.of(names.wants(model))
    draw(folder / "train", Jpegs(images=settings.images))
    source = open_source(DataSettings(data_dir=folder), "train")
    wanted = WriteSettings(
        output=folder / "none",
        crops=settings.crops,
        batch_size=settings.batch,
        precision=settings.precision,  # type: ignore[arg-type]
    )
    seen = Images(source, look, wanted.augment(), count=settings.crops, seed=0)
    panel = Panel([Expert(name=settings.teacher, model=model, look=look)], 8, precision=wanted.precision)
    said, views = request(seen, panel, wanted), settings.images * settings.crops
    batches = -(-views // settings.batch)
    pixels = torch.randn(settings.batch, 3, *look.size).contiguous(memory_format=torch.channels_last)

    def whole(turn: int) -> None:
        write_labels(folder / f"turn{turn}", said, seen, panel, Work(workers=settings.workers))

    def bare(turn: int) -> None:
        for _ in range(batches):
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
                model(pixels).float().softmax(-1)

    times = taking_turns({"store": whole, "bare": bare}, settings.rounds)
    began = time.perf_counter()
    for image in range(min(8, settings.images)):
        seen.views(image)
    cropping = min(8, settings.images) * settings.crops / (time.perf_counter() - began)
    shares = sorted(b / o for o, b in zip(times["store"], times["bare"], strict=True))
    return {
        "views": views,
        "views_per_second": {name: views / statistics.median(each) for name, each in times.items()},
        "share": {"lowest": shares[0], "median": statistics.median(shares), "highest": shares[-1]},
        "crops_per_second_of_a_worker": cropping,
        "seconds": times,
    }


def taking_turns(turns: dict[str, Callable[[int], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every turn but the first."""
    times: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds + 1):
        for name, turn in turns.items():
            began = time.perf_counter()
            turn(number)
            if number:
                times[name].append(time.perf_counter() - began)
    return times


def imagenet(crops_per_second: float) -> dict[str, Any]:
    """What 1.28 million images x 500 crops need: disk for certain, hours by a formula and an assumption."""
    views = IMAGENET * CROPS
    layout = Layout(kind="marginal_smoothing", top_k=5, classes=1000)
    rows = []
    for name in TEACHERS:
        with torch.device("meta"):
            operations = 2 * count(timm.create_model(name)).total
        rate = SUSTAINED / operations
        rows.append(
            {
                "teacher": name,
                "giga_macs": operations / 2e9,
                "views_per_second": rate,
                "hours": views / rate / 3600,
                "hours_on_64": views / rate / 3600 / 64,
                "cores_for_crops": rate / crops_per_second,
            }
        )
    return {"views": views, "bytes": views * layout.bytes_a_view, "sustained": SUSTAINED, "teachers": rows}


def page(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    written, large = result["write"], result["imagenet"]
    lines = [
        "# Stored labels",
        "",
        f"{result['date']}. {result['hardware']}, one thread.",
        f"Settings: `{result['settings']}`. Made by `python benchmarks/label_store.py`.",
        "",
        f"## Reading a sample of four crops, top-5 of 1000 classes, {result['settings']['read_images']} images",
        "",
        "| crops an image | bytes a view, store | pickles | ratio | us a sample, store | pickles | times faster |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["read"]:
        size, took, faster = row["bytes_a_view"], row["microseconds_a_sample"], row["times_faster"]
        lines.append(
            f"| {row['crops']} | {size['store']:.1f} | {size['pickles']:.1f} | {row['bytes_ratio']:.2f} "
            f"| {took['store']:.1f} | {took['pickles']:.0f} "
            f"| {faster['median']:.1f} [{faster['lowest']:.1f}-{faster['highest']:.1f}] |"
        )
    rate, share = written["views_per_second"], written["share"]
    lines += [
        "",
        f"## Writing, {result['settings']['teacher']} in {result['settings']['precision']}",
        "",
        "| views/s, whole store | bare inference | share | crops/s of one worker |",
        "|---|---|---|---|",
        f"| {rate['store']:.1f} | {rate['bare']:.1f} "
        f"| {share['median']:.3f} [{share['lowest']:.3f}-{share['highest']:.3f}] "
        f"| {written['crops_per_second_of_a_worker']:.0f} |",
        "",
        f"## {IMAGENET:,} images x {CROPS} crops",
        "",
        f"{large['views'] / 1e6:.1f} million views x 29 bytes = {large['bytes'] / 1e9:.1f} GB. Hours of a GPU are",
        "views x 2 x multiply-accumulates / rate, with an **assumed** sustained rate of",
        f"{large['sustained'] / 1e12:.0f} Tera-operations a second in bfloat16 on one GPU of the H200's class.",
        "None was measured. Networks of depthwise convolutions reach less. Cores are those that cut crops of 224",
        "pixels as fast as that, at the speed of this machine's.",
        "",
        "| teacher | G MACs a view | views/s | hours on one | on 64 | cores a GPU, for crops of 224 |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['teacher']} | {row['giga_macs']:.1f} | {row['views_per_second']:,.0f} | {row['hours']:.1f} "
        f"| {row['hours_on_64']:.2f} | {row['cores_for_crops']:.0f} |"
        for row in large["teachers"]
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
