"""Waiting for data, memory and cost against a data set's size. ``python tests/benchmarks/training_data.py 7000 118000``

For each size a store of random features is written, five captions a picture, and batches are learned from for a while:
captions a second, the share of time in which no batch was there, and memory. Memory that the process owns is counted
without the pages of the store that the system has at hand, which it takes back when it needs them.
"""

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from captioner.compute import Compute
from captioner.config import Config, DatasetConfig, DecoderConfig
from captioner.data.batches import Batches
from captioner.data.features import FeatureStore, Picture, StoreKey
from captioner.model.build import CaptionModel, build_decoder
from captioner.model.encoder import Encoder
from captioner.training.objectives import CrossEntropy
from captioner.training.optimisation import Optimisation

WORDS = 10_000
BATCHES = 30
CASES = {"small, 49 x 64": (49, 64, 128), "as for Flickr8k, 49 x 1280": (49, 1280, 512)}
"""Positions, feature size, and size of the decoder's state."""


class Stored:
    """Pictures of a store, without files."""

    view_bits = 0

    def __init__(self, store: FeatureStore, pictures: Sequence[Picture]) -> None:
        self.store = store
        self.pictures = pictures

    def read(self, indices: Sequence[int], mirrored: Sequence[int] | None = None) -> Tensor:
        return torch.from_numpy(self.store.read([self.pictures[index] for index in indices], mirrored))

    def name(self, index: int) -> str:
        return self.pictures[index].name


def own_memory() -> float:
    """Of this process, in MB, without what is mapped from files (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def make_store(folder: Path, count: int, positions: int, size: int) -> Stored:
    store = FeatureStore(folder, StoreKey({}, "0" * 12, positions, size, False))
    pictures = [Picture(f"{number:08d}.jpg", number, number) for number in range(count)]
    block = np.random.default_rng(1).random((store.shard_size, 1, positions, size), np.float32).astype(np.float16)
    for start in range(0, count, store.shard_size):
        shard = pictures[start : start + store.shard_size]
        store.append(shard, [block[: len(shard)]])
    return Stored(store, pictures)


def make_captions(count: int) -> list[list[list[int]]]:
    """Five a picture, of 8 to 13 words, which share the numbers' objects, as a vocabulary's do."""
    rng, numbers = random.Random(1), list(range(4, WORDS))
    return [[rng.choices(numbers, k=rng.randint(8, 13)) for _ in range(5)] for _ in range(count)]


def measure(count: int, name: str) -> None:
    positions, size, hidden = CASES[name]
    compute = Compute.choose()
    begun = own_memory()
    with tempfile.TemporaryDirectory() as folder:
        pictures = make_store(Path(folder), count, positions, size)
        batches = Batches(make_captions(count), pictures, batch_size=64, seed=1)
        index = own_memory()
        decoder = DecoderConfig(hidden_size=hidden, embedding_size=hidden, attention_size=hidden)
        encoder = Encoder.from_settings("mobilenet_v2", weights="none", grid=None, fine_tune=False, image_size=None)
        model = CaptionModel(encoder, build_decoder(decoder, size, WORDS)).to(compute.device).train()
        config = Config(dataset=DatasetConfig(format="shapes", root=""), decoder=decoder)
        optimisation = Optimisation(model, CrossEntropy(model, config, compute, 1000), config, 1000)
        waited = worked = 0.0
        captions, peak = 0, 0.0
        stream = batches.epoch(1)
        next(stream)  # Its plan is made once an epoch.
        for _ in range(BATCHES):
            start = time.perf_counter()
            batch = next(stream)
            between = time.perf_counter()
            captions += optimisation.step(batch).captions
            waited, worked = waited + between - start, worked + time.perf_counter() - between
            peak = max(peak, own_memory())
        stream.close()
    total = waited + worked
    print(
        f"{name}, {count:>7,} pictures: {captions / total:6.0f} captions/s, waiting {waited / total:.2%}, "
        f"{index - begun:4.0f} MB for captions and index, {peak - index:4.0f} MB while training",
        flush=True,
    )


def main() -> None:
    """Each case of each size in a process of its own, so that nothing is left over from the one before."""
    if sys.argv[1] == "--case":
        measure(int(sys.argv[2]), sys.argv[3])
        return
    for name in CASES:
        for count in sys.argv[1:]:
            subprocess.run([sys.executable, __file__, "--case", count, name], check=True)


if __name__ == "__main__":
    main()
