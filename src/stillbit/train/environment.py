"""Where and with what a run was made: versions, hardware, git, seed."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from stillbit.train.distributed import Share

PACKAGES = ("stillbit", "torch", "torchvision", "timm", "transformers", "numpy", "safetensors", "pillow")


def environment(share: Share, seed: int) -> dict[str, Any]:
    """Plain data, for JSON."""
    return {
        "versions": {"python": platform.python_version(), **{name: version_of(name) for name in PACKAGES}},
        "hardware": {
            "platform": platform.platform(),
            "processor": processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "threads": torch.get_num_threads(),
            "device": str(share.device),
            "gpu": torch.cuda.get_device_name(share.device) if share.device.type == "cuda" else None,
            "processes": share.world,
        },
        "git": _git(Path.cwd()),
        "command": sys.argv,
        "seed": seed,
    }


def version_of(package: str) -> str | None:
    """What is installed of it, if anything is."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """Its name; empty where nobody says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def _git(folder: Path) -> dict[str, Any] | None:
    """Commit of the repository the command was given in, and whether anything in it was changed."""

    def ask(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "changed": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None
