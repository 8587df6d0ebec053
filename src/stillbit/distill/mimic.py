"""Feature mimicking: what enters the student's classifier shall point where the teacher's does."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn

from stillbit.data.batch import Batch
from stillbit.distill.features import mimicry
from stillbit.distill.tasks import FromTeacher, Losses


@final
class Mimics:
    """A task with a teacher, and beside its losses the distance between features, the classifiers' inputs."""

    def __init__(self, task: FromTeacher, student: nn.Module, strength: float) -> None:
        """``student`` comes bare; both models know their classifier, as timm's do."""
        self.task, self.strength = task, strength
        self.features: dict[str, Tensor] = {}
        found = {"student": _classifier(student), "teacher": _classifier(task.teacher)}
        widths = {who: layer.in_features for who, layer in found.items()}
        if widths["student"] != widths["teacher"]:
            raise ValueError(
                f"the teacher's features have {widths['teacher']} numbers and the student's {widths['student']}: take "
                "a teacher of the student's width, such as --teacher self"
            )
        for who, layer in found.items():
            layer.register_forward_pre_hook(self._keep(who))

    def prepare(self, batch: Batch) -> Batch:
        """As the task inside does."""
        return self.task.prepare(batch)

    def __call__(self, model: nn.Module, batch: Batch) -> Losses:
        """The losses of the task inside, and the distance of the features."""
        self.features.clear()
        losses = self.task(model, batch)
        mine, other = self.features.pop("student"), self.features.pop("teacher")
        return losses | {"features": self.strength * mimicry(mine, other)}

    def _keep(self, who: str) -> Any:
        def keep(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self.features[who] = inputs[0]

        return keep


def _classifier(model: nn.Module) -> Any:
    found = getattr(model, "get_classifier", lambda: getattr(model, "classifier", None))()
    found = getattr(found, "out_proj", found)  # transformers' classifiers of two layers end in this one
    found = found[0] if isinstance(found, tuple) else found  # two heads see one class token each; the first counts
    if not isinstance(found, nn.Linear):
        raise ValueError(
            f"{type(model).__name__} does not say which of its layers is the classifier, so its features are not "
            "known: leave out --features"
        )
    return found
