"""Beam search over many pictures at once against one at a time. ``python tests/benchmarks/beam.py RUN [1000]``.

Both search the same features in memory with beam 5: all pictures as the folder job does, in groups and over all
threads; and picture by picture, by the same code in the same process, with all threads for each matrix product.
"""

import sys
from functools import partial
from pathlib import Path

import torch
from machine import pictures, seconds

from captioner.data.images import load_image, stack_images
from captioner.loading import load_captioner
from captioner.parallel import chunked
from captioner.predictor import DECODE_AT_ONCE, Captioner


def main() -> None:
    """Print three rounds of both rates and their ratio."""
    run, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    files, kind = pictures(count)
    captioner = load_captioner([run], ["sampling.method=beam", "sampling.beam_size=5"])
    images = (load_image(file, captioner.encoder.transform) for file in files)
    features = torch.cat([captioner.encode(stack_images(part)) for part in chunked(images, 8)])
    print(f"{len(files):,} {kind}; beam 5, {captioner.compute.precision}, {torch.get_num_threads()} threads")
    for _ in range(3):
        single = features[: max(1, count // 10)]
        one = len(single) / seconds(partial(one_by_one, captioner, single))
        all_at_once = len(features) / seconds(partial(together, captioner, features))
        print(f"at once {all_at_once:.0f} pictures/s, one at a time {one:.1f}: {all_at_once / one:.1f} times")


def together(captioner: Captioner, features: torch.Tensor) -> None:
    """As a folder's pictures are searched."""
    for _ in captioner.compute.in_order(captioner.caption_features, features.split(DECODE_AT_ONCE)):
        pass


def one_by_one(captioner: Captioner, features: torch.Tensor) -> None:
    """A search for each picture."""
    for single in features.split(1):
        captioner.caption_features(single)


if __name__ == "__main__":
    main()
