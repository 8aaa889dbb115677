"""Run in a process of its own, since it may crash: imports torch and torchvision, and measures; prints JSON."""

import json
import sys
import time
from typing import Any

_SIDE = 2048


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
    """Of a product of two square matrices, the best of five after one to warm up, or fewer where that takes long."""
    import torch

    matrix = torch.ones(_SIDE, _SIDE, device=device).to(dtype)
    best, begun = float("inf"), time.perf_counter()
    for _ in range(6):
        start = time.perf_counter()
        torch.mm(matrix, matrix)
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() - begun > 5:
            break
    return 2 * _SIDE**3 / best / 1e9


if __name__ == "__main__":
    sys.stdout.write(json.dumps(probe()))
