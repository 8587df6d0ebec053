"""What a model of texts is judged by, as GLUE judges (Wang et al. 2019, arXiv 1804.07461), in percent.

Every score is finite. Where mathematics leaves one undefined, it is 0: a correlation in which one side is constant, an
F1 without a positive among answers and targets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from stillbit.data.batch import PADDING
from stillbit.data.text_tasks import GLUE, TextTask

Numbers = Float[ndarray, "n"] | Int[ndarray, "n"]


def answers(task: TextTask, logits: Float[ndarray, "n outputs"]) -> Numbers:
    """What a model says: the class it finds likeliest, or its number."""
    chosen: ndarray = logits[:, 0] if task.labels is None else logits.argmax(1)
    return chosen


def scores(task: TextTask, said: Numbers, targets: Numbers) -> dict[str, float]:
    """The metrics of a task, by name. Examples whose target is padding count for nothing."""
    if len(said) != len(targets):
        raise ValueError(f"{len(said)} answers do not belong to {len(targets)} targets: give one answer a target")
    counted = targets != PADDING
    if not counted.any():
        raise ValueError("there is no example to judge by: give a split that has some")
    return {name: 100 * _METRICS[name](said[counted], targets[counted]) for name in task.metrics}


def task_score(metrics: Mapping[str, float]) -> float:
    """One number for a task: the mean of its metrics, and for mnli of its two splits."""
    return sum(metrics.values()) / len(metrics)


def glue_average(found: Mapping[str, Mapping[str, float]], *, wnli: bool = True, accuracy_alone: bool = False) -> float:
    """The macro-average of GLUE: every task counts the same, mnli once.

    Papers on binary BERTs leave out WNLI, and judge MRPC and QQP by ``accuracy_alone``, without F1.
    """
    wanted = [task.name for task in GLUE if wnli or task.name != "wnli"]
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    if missing or extra:
        said = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has {', '.join(extra)} too"] * bool(extra)
        hint = "; wnli=False leaves out WNLI" if missing == ["wnli"] else ""
        raise ValueError(f"GLUE's average is over {len(wanted)} tasks, and this {' and '.join(said)}{hint}")
    kept = {name: dict(found[name]) for name in wanted}
    if accuracy_alone:
        for name in ("mrpc", "qqp"):
            kept[name].pop("f1", None)
    return sum(task_score(metrics) for metrics in kept.values()) / len(kept)


def _accuracy(said: Numbers, targets: Numbers) -> float:
    return float(np.mean(said == targets))


def _f1(said: Numbers, targets: Numbers) -> float:
    """Of the class 1: the pairs that do mean the same."""
    from sklearn.metrics import f1_score

    return float(f1_score(targets, said, zero_division=0.0))


def _matthews(said: Numbers, targets: Numbers) -> float:
    from sklearn.metrics import matthews_corrcoef

    if _constant(said) or _constant(targets):
        return 0.0
    return float(matthews_corrcoef(targets, said))


def _pearson(said: Numbers, targets: Numbers) -> float:
    from scipy.stats import pearsonr

    return 0.0 if _constant(said) or _constant(targets) else float(pearsonr(said, targets).statistic)


def _spearman(said: Numbers, targets: Numbers) -> float:
    from scipy.stats import spearmanr

    return 0.0 if _constant(said) or _constant(targets) else float(spearmanr(said, targets).statistic)


def _constant(numbers: Numbers) -> bool:
    """Numbers among which there is nothing to relate to: all alike, or one that is not finite."""
    return not bool(np.isfinite(numbers).all()) or float(np.ptp(numbers)) <= 1e-12 * float(np.abs(numbers).max())


_METRICS: dict[str, Callable[[Numbers, Numbers], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "matthews": _matthews,
    "pearson": _pearson,
    "spearman": _spearman,
}


def need_packages(task: TextTask) -> None:
    """Refuse before a training what could not be judged after it."""
    needed = {"f1": "sklearn", "matthews": "sklearn", "pearson": "scipy", "spearman": "scipy"}
    missing = sorted({needed[name] for name in task.metrics if name in needed and find_spec(needed[name]) is None})
    if missing:
        names = " ".join("scikit-learn" if name == "sklearn" else name for name in missing)
        raise ValueError(f"{task.name} is judged by {', '.join(task.metrics)}: pip install {names}")
