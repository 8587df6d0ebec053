"""What every test shares: one thread a worker, the same seed, and Hypothesis without a clock."""

from __future__ import annotations

import os
import random

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers already share the cores; threads inside them would only wait for each other. Set before torch
    # loads, so that the processes a test starts inherit it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

import hypothesis
import numpy as np
import pytest
import torch

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)

# The first call of anything in torch is slow, so a deadline would measure the order of the tests.
hypothesis.settings.register_profile("stillbit", deadline=None, max_examples=50)
hypothesis.settings.register_profile(
    "ci", hypothesis.settings.get_profile("stillbit"), derandomize=True, database=None, print_blob=True
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "stillbit")


@pytest.fixture(autouse=True)
def seed() -> int:
    """Start every test from the same random state, whatever ran before it."""
    value = 0
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)
    return value
