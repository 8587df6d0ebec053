"""What an answer costs that should have been a teacher's: one number a view.

``z`` are the student's logits of C classes, p the teacher's probabilities. Logits in half precision are compared in
float32.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax

from stillbit.distill.kinds import Kind, shares_rest

Logits = Float[Tensor, "views classes"]
Costs = Float[Tensor, " views"]


def soft_cross_entropy(
    logits: Logits,
    classes: Int[Tensor, "views k"] | None,
    probabilities: Float[Tensor, "views k"],
    kind: Kind,
) -> Costs:
    """The cross-entropy with stored labels, ``-sum_c p_c log softmax(z)_c``, without writing out p.

    Of the C - k classes that a label does not list each has the share r of what is missing to 1, or nothing. With
    r(all) + (p - r)(listed) the sum has k terms and one over all classes.
    """
    logs = log_softmax(_precise(logits), -1)
    values = probabilities.to(logs.dtype)
    if classes is None:
        return -(values * logs).sum(-1)
    if kind == "marginal_renorm":
        # The sum is zero only where all that is kept is too small for 16 bits.
        values = values / values.sum(-1, keepdim=True).clamp_min(_SMALLEST)
    listed = logs.gather(-1, classes)
    others = logs.size(-1) - classes.size(-1)
    if not shares_rest(kind) or not others:
        return -(values * listed).sum(-1)
    rest = (1 - values.sum(-1, keepdim=True)).clamp_min(0) / others
    return -((values - rest) * listed).sum(-1) - rest.squeeze(-1) * logs.sum(-1)


def distillation(logits: Logits, teacher: Logits, temperature: float = 1.0) -> Costs:
    """Hinton's (arXiv 1503.02531): the cross-entropy of both answers softened by T, times T^2.

    Its gradient is that of the divergence from the teacher. It is greater by the entropy of the teacher's answer, which
    nothing here can change, and at T = 1 it is what `soft_cross_entropy` says of the same answer, stored.
    """
    wanted = (_precise(teacher) / temperature).softmax(-1)
    return -(wanted * log_softmax(_precise(logits) / temperature, -1)).sum(-1) * temperature**2


def hard_distillation(logits: Logits, teacher: Logits) -> Costs:
    """DeiT's (arXiv 2012.12877, equation 3): the teacher's likeliest class is the label."""
    return cross_entropy(_precise(logits), teacher.argmax(-1), reduction="none")


def _precise(logits: Logits) -> Logits:
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


_SMALLEST = 2.0**-24
"""The smallest number above zero of 16 bits."""
