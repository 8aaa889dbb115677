"""Run in a process of its own, since it may crash: imports torch and torchvision, and measures; prints JSON."""

import json
import sys
import time
from typing import Any

_SIDES = (256, 1024, 2048)
"""Of the matrices; larger ones only where the smaller are soon multiplied."""
_PATIENCE = 0.2
"""Seconds."""


def probe() -> dict[str, Any]:
    """Matrix rates in GFLOP/s, and what torch knows of GPUs."""
    import torch
    import torchvision  # noqa: F401 - that it can be imported is what is asked

    gpu = torch.cuda.is_available()
    return {
        "gpu": torch.cuda.get_device_name() if gpu else None,
        "cuda": torch.version.cuda,
        "rates": {kind: _rate(getattr(torch, kind), "cpu") for kind in ("float32", "bfloat16")},
        "gpu_rates": {kind: _rate(getattr(torch, kind), "cuda") for kind in ("float32", "bfloat16")} if gpu else {},
    }


def _rate(dtype: Any, device: str) -> float:
    """Of products of square matrices, the best: a processor that must imitate a type takes a minute for a large one."""
    import torch

    best, begun = 0.0, time.perf_counter()
    for side in _SIDES:
        matrix = torch.ones(side, side, device=device).to(dtype)
        for _ in range(6):
            start = time.perf_counter()
            torch.mm(matrix, matrix)
            if device == "cuda":
                torch.cuda.synchronize()
            best = max(best, 2 * side**3 / (time.perf_counter() - start) / 1e9)
        if time.perf_counter() - begun > _PATIENCE:
            break
    return best


if __name__ == "__main__":
    sys.stdout.write(json.dumps(probe()))
