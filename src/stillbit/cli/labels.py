"""``stillbit labels``: stores of soft labels, and ``stillbit labels info``, what is in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from importlib import import_module
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from rich.console import Console
from rich.table import Table

from stillbit.cli.options import parse
from stillbit.data.settings import DataSettings
from stillbit.data.whole import whole

if TYPE_CHECKING:
    from PIL.Image import Image

    from stillbit.distill.about import About
    from stillbit.distill.manifest import Reading
    from stillbit.distill.store import Store

USAGE = """usage: stillbit labels COMMAND ...

  [bold]write[/]       Ask a teacher about many crops of every image, or about texts, once for all
  [bold]info[/]        Say what is in a store; draw a contact sheet
  [bold]verify[/]      Check every byte, the images or texts, and what the teacher says
  [bold]import-fkd[/]  Make a store of the label files that FKD published

For example:
  stillbit labels write --teacher resnet152 --data-dir imagenet --output labels
  stillbit labels write --teacher RUN --task mnli --data-dir glue --output labels
stillbit labels COMMAND --help lists the options."""
_ELSEWHERE = {"write": "labels_write", "verify": "labels_verify", "import-fkd": "labels_fkd"}
_COMMANDS = ("info", *_ELSEWHERE)


@dataclass(frozen=True, kw_only=True)
class LabelsInfo:
    """Say what is in a store of labels."""

    store: tyro.conf.Positional[Path]
    """The folder of the store."""
    images: int = 20_000
    """How many images to look at, spread over the store; 0 looks at all."""
    json: bool = False
    """Print one JSON object instead of a table."""
    sheet: Path | None = None
    """Draw a contact sheet to this .png: images with the boxes of their crops, and what the teacher said of each."""
    data_dir: Path | None = None
    """For the sheet: the folder with the images."""
    dataset: str = "folder"
    """For the sheet: what is there (folder, fractals, digits, wds, hfds/NAME)."""
    train_split: str = "train"
    """For the sheet: the split that has the labels."""

    def __post_init__(self) -> None:
        """Refuse what cannot be looked at or drawn."""
        if self.images < 0:
            raise ValueError(f"there are no {self.images} images to look at: --images 20000, or 0 for all")
        if self.sheet is not None and self.sheet.suffix.lower() != ".png":
            raise ValueError(f"a contact sheet is a .png, and this is {self.sheet.name}: --sheet sheet.png")
        if self.sheet is not None and self.data_dir is None and self.dataset in ("folder", "fractals", "wds"):
            raise ValueError("a contact sheet shows images: say where they are, --data-dir FOLDER (and --dataset)")


def run(words: Sequence[str]) -> int:
    """One of the commands."""
    if not words or words[0] in ("-h", "--help"):
        Console().print(USAGE, highlight=False)
        return 0 if words else 2
    if words[0] not in _COMMANDS:
        near = get_close_matches(words[0], _COMMANDS, n=1)
        meant = f"did you mean stillbit labels {near[0]}?" if near else "stillbit labels --help"
        raise ValueError(f"there is no command labels {words[0]!r}: {meant}")
    if words[0] in _ELSEWHERE:
        return int(import_module(f"stillbit.cli.{_ELSEWHERE[words[0]]}").run(words[1:]))
    return _info(parse(LabelsInfo, words[1:], prog="stillbit labels info"))


def _info(asked: LabelsInfo) -> int:
    from stillbit.distill.about import about
    from stillbit.distill.store import Store

    console, store = Console(), Store(asked.store)
    store.check()
    page = None if asked.sheet is None else _sheet(store, asked, asked.sheet)
    found = about(store, asked.images or None)
    if asked.json:
        console.print_json(data=_plain(store, found))
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold")
        for name, said in {**_made(store), **_like(store, found)}.items():
            table.add_row(name, said)
        console.print(table, highlight=False)
    if asked.sheet is not None and page is not None:
        with whole(asked.sheet) as temporary:
            page.save(temporary, format="PNG")
        Console(stderr=asked.json).print(f"drawn: {asked.sheet}", markup=False, highlight=False, soft_wrap=True)
    return 0


def _sheet(store: Store, asked: LabelsInfo, path: Path) -> Image:
    """The contact sheet; what is wrong with the images or the folder is said before anything else is."""
    from stillbit.data.sources import open_source
    from stillbit.distill.sheet import sheet

    if not store.layout.boxes:
        raise ValueError(f"a contact sheet shows images, and {store.folder} has labels of none: leave out --sheet")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} for the contact sheet: make it first")
    data = DataSettings(data_dir=asked.data_dir, dataset=asked.dataset, train_split=asked.train_split)
    return sheet(store, open_source(data, "train"))


def _made(store: Store) -> dict[str, str]:
    """What was asked for when it was written."""
    said, layout = store.manifest, store.layout
    top = f", the likeliest {layout.kept}" if layout.kind.startswith("marginal") else ""
    views = f"{len(store):,} {_what(store)} x {store.views:,} = {len(store) * store.views:,}"
    crops = {} if said.crops is None else {"crops": _crops(store)}
    if said.reading is not None:
        views, crops = f"{len(store):,} texts, one of each", {"texts": _reading(said.reading)}
    return {
        "store": str(store.folder),
        "labels": f"{layout.kind}{top} of {layout.classes:,} classes",
        "views": views,
        "size": f"{size(store.bytes)} in {len(said.shards) + 2:,} files, {layout.bytes_a_view} bytes a view",
        "teacher": " + ".join(_teacher(one.name, one.size, one.sha256) for one in said.teachers),
        "computed": f"{said.precision}, {said.batch_size} views at a time",
        "data": f"{said.data.kind}, fingerprint {said.data.fingerprint[:12]}",
        **crops,
        "made with": ", ".join(f"{name} {version}" for name, version in said.made_with.items()),
        "identity": said.identity[:12],
    }


def _like(store: Store, found: About) -> dict[str, str]:
    """What the labels say."""
    what = _what(store)
    over = f"all {what}" if found.looked_at == len(store) else f"{found.looked_at:,} {what}, spread over the store"
    right = f"the likeliest class is the true one in {100 * found.agreement:.2f} % of "
    voted = f"views, and in {100 * found.agreement_of_samples:.2f} % of {what} if their views vote"
    said = {
        "counted over": over,
        "agreement": right + (what if store.manifest.reading is not None else voted),
        "entropy": f"{found.entropy:.3f} nats ({found.entropy / log(2):.3f} bits) a label; a guess has "
        f"{log(store.layout.classes):.3f} nats",
    }
    if found.kept is not None:
        said["kept"] = f"{100 * found.kept:.2f} % of the probability is in the classes that are listed"
    if found.area is not None and found.flipped is not None:
        said["a crop"] = f"shows {100 * found.area:.1f} % of its image; {100 * found.flipped:.1f} % are flipped"
    if found.unlabelled:
        said["damaged"] = f"{found.unlabelled:,} {what} have no labels"
    return said


def _plain(store: Store, found: About) -> dict[str, Any]:
    from stillbit.distill.manifest import to_json

    said = {k: v for k, v in to_json(store.manifest).items() if k not in ("shards", "kind")}
    return {"store": str(store.folder), "identity": store.manifest.identity, "bytes": store.bytes,
            **said, "about": asdict(found)}  # fmt: skip


def _teacher(name: str, seen: tuple[int, int] | None, weights: str) -> str:
    looks = "" if seen is None else f", sees {seen[0]} x {seen[1]}"
    return name + looks + (f", weights {weights[:12]}" if weights else "")


def _what(store: Store) -> str:
    return "texts" if store.manifest.reading is not None else "images" if store.layout.boxes else "samples"


def _reading(said: Reading) -> str:
    return f"{said.task}, {said.max_length} pieces at most, tokenizer {said.tokenizer[:12]}"


def _crops(store: Store) -> str:
    crops = store.manifest.crops
    assert crops is not None
    (low, high), (narrow, wide) = crops.scale, crops.ratio
    flips = f"{100 * crops.hflip:g} % flipped" + (f", {100 * crops.vflip:g} % upside down" if crops.vflip else "")
    return (
        f"{100 * low:g} to {100 * high:g} % of the area, {narrow:.4g} to {wide:.4g} as wide as high, {flips}, "
        f"{crops.interpolation}, seed {store.manifest.seed}"
    )


def size(count: int) -> str:
    """Bytes as a person says them."""
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.2f} MB"
