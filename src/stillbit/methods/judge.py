"""How good a model is on the images, or texts, it was not trained on."""

from __future__ import annotations

from typing import NamedTuple

from stillbit.data.loaders import Loader, Place
from stillbit.data.sources import open_source
from stillbit.methods import build
from stillbit.methods.target import Target
from stillbit.methods.texts import damaged_of, open_exam
from stillbit.train import distributed
from stillbit.train.damage import left_out
from stillbit.train.evaluate import evaluate


class Judgement(NamedTuple):
    """The scores, and which damaged images or lines were left out of them, each with the reason."""

    scores: dict[str, float]
    left_out: dict[str, str]


def judge(target: Target, *, device: str = "auto", amp: bool = False) -> Judgement:
    """Scores on the validation images, or texts, of the target's recipe, over all processes of torchrun."""
    share = distributed.join(device)
    try:
        model = target.model.to(share.device)
        place = Place(share.rank, share.world, str(share.device))
        if target.recipe.reads:
            scores = evaluate(model, open_exam(target.recipe, place), device=share.device, amp=amp)
            return Judgement(scores, damaged_of(target.recipe))
        source = open_source(target.recipe.data, "val")
        look = build.look_of(target.recipe, target.model)
        outputs = getattr(model, "num_classes", len(source.classes))
        if outputs < len(source.classes):
            raise ValueError(
                f"the model tells {outputs} classes apart and the data has {len(source.classes)}: "
                "evaluate it on the data it was trained for"
            )
        loader = Loader(source, look, target.recipe.data, place=place)
        scores = evaluate(model, loader, device=share.device, amp=amp)
        return Judgement(scores, left_out(loader))
    finally:
        distributed.leave()
