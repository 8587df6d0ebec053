"""What a person says of the texts that labels are of."""

from __future__ import annotations

from dataclasses import dataclass, fields

from stillbit.data.text_settings import TaskSettings


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """Texts in place of images; the words are those of the training."""

    task: str = ""
    """Label texts: a task of GLUE, a generated one (entailment, acceptability, paraphrase), or classify: your own."""
    columns: tuple[str, ...] = ()
    """Your own task: the column of its text, or the columns of its two."""
    label_column: str = "label"
    """Your own task: the column of the label."""
    class_names: tuple[str, ...] = ()
    """Your own task: the names of the classes, in the order of their numbers."""
    examples: int = TaskSettings.examples
    """Generated tasks: examples to train on, as many as the training will have."""
    text_seed: int = 0
    """Generated tasks: another seed draws other examples."""
    max_length: int | None = None
    """Pieces of a sequence that the teacher reads at most; as it was trained if left out."""

    def __post_init__(self) -> None:
        """Refuse what would be ignored."""
        if self.task:
            self.settings()
            return
        for each in fields(self):
            if getattr(self, each.name) != each.default:
                flag = f"--{each.name.replace('_', '-')}"
                raise ValueError(f"{flag} is about texts: say which ones, --task NAME, or leave it out")

    def settings(self) -> TaskSettings:
        """The same in the words of the room that reads texts."""
        return TaskSettings(**{each.name: getattr(self, each.name) for each in fields(self)})

    @property
    def words(self) -> str:
        """What a person says to a training on the same texts."""
        changed = [each for each in fields(self) if getattr(self, each.name) != each.default]
        return " ".join(f"--{each.name.replace('_', '-')} {_value(getattr(self, each.name))}" for each in changed)


def _value(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
