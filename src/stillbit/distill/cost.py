"""What writing labels would cost, measured on the first of them. Nothing is written."""

from __future__ import annotations

import time

from stillbit.distill.labeller import Labeller

BATCHES = 12
SECONDS = 20.0


def rate(labeller: Labeller) -> float:
    """Views a second, loading included, once it is under way; the first batch does not count if there are others."""
    views, began = 0, time.perf_counter()
    for number, chunk in enumerate(labeller.shard(0)):
        now = time.perf_counter()
        if number == 0:
            first, since = chunk.size, now
            continue
        views += chunk.size
        if number >= BATCHES or now - since > SECONDS:
            break
    return views / (now - since) if views else first / (now - began)
