"""The mathematics of quantization: grids, granularities, the snap, and what methods disagree about. Only torch."""

from stillbit.quantizers.base import Quantizer
from stillbit.quantizers.binary import Elastic, Sign
from stillbit.quantizers.dorefa import DoReFaActivation, DoReFaWeight
from stillbit.quantizers.gradscale import by_count, by_magnitude
from stillbit.quantizers.granularity import (
    Granularity,
    per_channel,
    per_group,
    per_head,
    per_tensor,
    per_token,
)
from stillbit.quantizers.grid import Grid
from stillbit.quantizers.learned_bits import LearnedBits
from stillbit.quantizers.lsq import LSQ, LSQPlus
from stillbit.quantizers.minmax import MinMax
from stillbit.quantizers.moved import Moved
from stillbit.quantizers.pact import PACT
from stillbit.quantizers.snap import Latent, snap
from stillbit.quantizers.spec import METHODS, Method, Spec, build, register
from stillbit.quantizers.statsq import StatsQ

__all__ = [
    "LSQ",
    "METHODS",
    "PACT",
    "DoReFaActivation",
    "DoReFaWeight",
    "Elastic",
    "Granularity",
    "Grid",
    "LSQPlus",
    "Latent",
    "LearnedBits",
    "Method",
    "MinMax",
    "Moved",
    "Quantizer",
    "Sign",
    "Spec",
    "StatsQ",
    "build",
    "by_count",
    "by_magnitude",
    "per_channel",
    "per_group",
    "per_head",
    "per_tensor",
    "per_token",
    "register",
    "snap",
]
