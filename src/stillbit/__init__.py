"""stillbit turns transformers into 1-8 bit ones that keep their accuracy.

The public face: every name below is loaded when it is first used, so ``import stillbit`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stillbit.deploy.convert import convert
    from stillbit.quantizers.granularity import per_channel, per_group, per_head, per_tensor, per_token
    from stillbit.quantizers.spec import Spec
    from stillbit.surgery.calibrate import calibrate
    from stillbit.surgery.compile import compile_blocks
    from stillbit.surgery.file import load, save
    from stillbit.surgery.plan import AttentionSpec, LayerSpec, Plan, Rule
    from stillbit.surgery.resample import resample
    from stillbit.surgery.summary import summary
    from stillbit.surgery.swap import dequantize, quantize

__version__ = "0.1.0"

_HOME = {
    "AttentionSpec": "surgery.plan",
    "LayerSpec": "surgery.plan",
    "Plan": "surgery.plan",
    "Rule": "surgery.plan",
    "Spec": "quantizers.spec",
    "calibrate": "surgery.calibrate",
    "compile_blocks": "surgery.compile",
    "convert": "deploy.convert",
    "dequantize": "surgery.swap",
    "load": "surgery.file",
    "per_channel": "quantizers.granularity",
    "per_group": "quantizers.granularity",
    "per_head": "quantizers.granularity",
    "per_tensor": "quantizers.granularity",
    "per_token": "quantizers.granularity",
    "quantize": "surgery.swap",
    "resample": "surgery.resample",
    "save": "surgery.file",
    "summary": "surgery.summary",
}

__all__ = [
    "AttentionSpec",
    "LayerSpec",
    "Plan",
    "Rule",
    "Spec",
    "__version__",
    "calibrate",
    "compile_blocks",
    "convert",
    "dequantize",
    "load",
    "per_channel",
    "per_group",
    "per_head",
    "per_tensor",
    "per_token",
    "quantize",
    "resample",
    "save",
    "summary",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"stillbit has no {name!r}: it has {', '.join(sorted(_HOME))}")
    from importlib import import_module

    value = getattr(import_module(f"stillbit.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
