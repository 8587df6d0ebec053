"""Chance without hidden state: random numbers are functions of integers.

A generator remembers how often it was asked, so what it gives depends on the order of workers and ranks. A hash of
(what for, seed, epoch, index) depends on nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int, UInt64
from numpy import ndarray
from numpy.typing import ArrayLike

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def hashes(count: int, *key: ArrayLike) -> UInt64[ndarray, "*keys count"]:
    """``count`` random words a key: splitmix64 (Steele et al. 2014), started at a hash of the integers of the key.

    Keys may be arrays, which broadcast.
    """
    state = np.zeros(1, np.uint64)
    for part in key:
        state = _mix(state ^ np.asarray(part, np.int64).view(np.uint64)) + _GOLDEN
    words = _mix(state[..., None] + _GOLDEN * np.arange(1, count + 1, dtype=np.uint64))
    return words if any(np.ndim(part) for part in key) else words[0]


def uniforms(count: int, *key: ArrayLike) -> Float[ndarray, "*keys count"]:
    """``count`` numbers in [0, 1) a key, with all 53 bits a double has."""
    return (hashes(count, *key) >> np.uint64(11)) * 2.0**-53


def permutation(count: int, *key: int) -> Int[ndarray, count]:
    """The numbers below ``count`` in random order."""
    return np.argsort(hashes(count, *key), kind="stable")


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Let code that draws from global generators draw from the key; afterwards they are as if nothing had happened."""
    # torch.manual_seed would also seed the devices, whose states are not put back here.
    generator = torch.default_generator
    before = random.getstate(), np.random.get_state(), generator.get_state()
    seed = int(hashes(1, *key)[0] >> np.uint64(32))
    random.seed(seed)
    np.random.seed(seed)
    generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        generator.set_state(before[2])


def _mix(words: UInt64[ndarray, "*shape"]) -> UInt64[ndarray, "*shape"]:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: ndarray = words ^ (words >> np.uint64(31))
    return mixed
