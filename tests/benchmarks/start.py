"""From the command to the first caption, against what torch itself takes. ``python tests/benchmarks/start.py RUN``.

RUN is a run over MobileNetV2. The other side imports torch and torchvision, builds the same network and runs it once.
Each is a process of its own; the files are in the system's cache after the first, uncounted, round.
"""

import statistics
import subprocess
import sys
from functools import partial

from machine import pictures, seconds

_BARE = """
import torch, torchvision
network = torchvision.models.mobilenet_v2().eval()
with torch.inference_mode():
    network(torch.zeros(1, 3, 224, 224))
"""


def main() -> None:
    """Print the medians of seven rounds, taken in turns, and their ratio."""
    files, _ = pictures(1)
    commands = {
        "first caption": ["-m", "captioner", "caption", str(files[0]), "--model", sys.argv[1], "--quiet"],
        "torch, torchvision and one forward pass": ["-c", _BARE],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(8):
        for name, command in commands.items():
            work = partial(subprocess.run, [sys.executable, *command], check=True, capture_output=True)
            taken = seconds(work)
            if number:
                times[name].append(taken)
    ours, bare = (statistics.median(taken) for taken in times.values())
    for name, taken in times.items():
        print(f"{name}: {statistics.median(taken):.2f} s ({min(taken):.2f} to {max(taken):.2f})")
    print(f"ratio of the medians: {ours / bare:.2f}")


if __name__ == "__main__":
    main()
