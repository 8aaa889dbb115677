"""Preprocessing against the encoder alone; and its memory. ``python tests/benchmarks/preprocess.py [7000]``."""

import resource
import tempfile
from pathlib import Path

from machine import Alone, Rates, argument, mobilenet, pictures, seconds

from captioner.compute import Compute
from captioner.config import FeaturesConfig
from captioner.events import ignore
from captioner.preprocess import fill_store, open_store


def main() -> None:
    """Print both rates, their ratio, and the peak memory after a quarter of the pictures and after all."""
    files, kind = pictures(argument(7000))
    compute = Compute.choose()
    encoder = mobilenet()
    alone = Alone(encoder, files, compute)
    print(f"{len(files):,} {kind}; MobileNetV2, {compute.precision}, {compute.device}")
    peaks, rates, times, quarter = [], [alone.rates()], [], len(files) // 4
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(FeaturesConfig(path=f"{folder}/features"), encoder)
        for part in range(4):
            some = files[part * quarter : (part + 1) * quarter]
            times.append(seconds(lambda: fill_store(store, encoder, some, files[0].parent, compute, ignore)))
            rates.append(alone.rates())
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            print(f"  part {part + 1}: {rates[-2].mean(rates[-1]).compare(quarter / times[-1])}")
        mean = Rates(*(sum(getattr(rate, name) for rate in rates) / len(rates) for name in ("plain", "fused")))
        print(f"all: {mean.compare(4 * quarter / sum(times))}")
        print(f"peak memory {peaks[0]:.0f} MB after a quarter, {peaks[-1]:.0f} MB after all")
        again = seconds(lambda: fill_store(store, encoder, files[: 4 * quarter], files[0].parent, compute, ignore))
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) / 1e9
        print(f"a second run: {again:.2f} s; the store takes {size:.2f} GB")


if __name__ == "__main__":
    main()
