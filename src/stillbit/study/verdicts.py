"""The claims of a study with their verdicts, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from stillbit.study.claims import claims
from stillbit.study.judge import Compared, Judged, judge
from stillbit.study.paired import LEAST, Sample
from stillbit.study.rows import METRICS, Row

RULE = (
    "The rule: of every seed that both sides have, their difference in the direction of the claim; its mean, and the "
    "interval that holds the mean with 95 % (Student's t, with one degree of freedom less than seeds). *Held*: the "
    "whole interval is above zero. *Not held*: all of it is below. *Within noise*: zero is inside. Of a list, the "
    f"weakest link counts. Fewer than {LEAST} seeds are not judged. For `=`: *held* if the interval is within the "
    "margin, *not held* if it is beyond. Where there is no difference at all, one claim in forty is called held by "
    "chance, and nothing corrects for many claims."
)


def verdicts(said: dict[str, str], rows: Sequence[Row]) -> list[tuple[str, list[Judged]]]:
    """Every claim with where it was judged."""
    return [(claim.name, judge(claim, rows)) for claim in claims(said, rows)]


def page(name: str, said: dict[str, str], rows: Sequence[Row]) -> str:
    """Claims in the order of the file."""
    lines = [f"# {name}: what was claimed\n"]
    held = verdicts(said, rows)
    every = [one.verdict for _, judged in held for one in judged]
    counts = ", ".join(
        f"{every.count(v)} {v}" for v in ("held", "not held", "within noise", "too few seeds") if v in every
    )
    lines.append(f"{len(every)} judgements of {len(held)} claims: {counts or 'none'}.\n")
    lines += ["| claim | where | verdict | difference | 95 % | seeds |", "|---|---|---|---:|---:|---:|"]
    for one_name, judged in held:
        text = said[one_name].replace("|", "\\|")
        lines.append(f"| **{one_name}** | | | `{text}` | | |")
        lines += [line for one in judged for line in _lines(one)]
        if not judged:
            lines.append("| | | no cells of all its terms | | | |")
    return "\n".join([*lines, "", RULE, ""])


def _lines(judged: Judged) -> list[str]:
    """A line; for a list one more for each pair."""
    where = " ".join(part for part in (judged.bits, judged.model) if part)
    digits = METRICS[judged.claim.metric].digits + 1  # differences are smaller than what differs
    if len(judged.compared) == 1:
        return [f"| | {where} | {judged.verdict} | {_numbers(judged.compared[0].difference, digits)} |"]
    pairs = [
        f"| {_pair(one, judged)} | {where} | {one.verdict} | {_numbers(one.difference, digits)} |"
        for one in judged.compared
    ]
    return [f"| all of it | {where} | {judged.verdict} | | | |", *pairs]


def _pair(one: Compared, judged: Judged) -> str:
    return f"{one.left} {judged.claim.relation} {one.right}"


def _numbers(found: Sample | None, digits: int) -> str:
    if found is None:
        return " | | 0"
    half = found.half
    interval = "" if half is None else f"{found.mean - half:+.{digits}f} to {found.mean + half:+.{digits}f}"
    return f"{found.mean:+.{digits}f} | {interval} | {found.seeds}"
