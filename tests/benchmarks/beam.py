"""Beam search over many pictures at once against one at a time. ``python tests/benchmarks/beam.py RUN [1000]``.

All with beam 5, in one process: the features of all pictures, in memory, searched as the folder job does, in groups
and over all threads; the same features searched picture by picture, by the same code; and what a loop over files does,
each picture read, encoded and searched by itself. The latter two have all threads for each matrix product.
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
        few = max(1, count // 10)
        searched = few / seconds(partial(one_by_one, captioner, features[:few]))
        captioned = few / seconds(partial(file_by_file, captioner, files[:few]))
        rate = len(features) / seconds(partial(together, captioner, features))
        print(
            f"at once {rate:.0f} pictures/s; one at a time {searched:.1f} from features: {rate / searched:.1f} times, "
            f"{captioned:.1f} from files: {rate / captioned:.1f} times"
        )


def together(captioner: Captioner, features: torch.Tensor) -> None:
    """As a folder's pictures are searched."""
    for _ in captioner.compute.in_order(captioner.caption_features, features.split(DECODE_AT_ONCE)):
        pass


def one_by_one(captioner: Captioner, features: torch.Tensor) -> None:
    """A search for each picture."""
    for single in features.split(1):
        captioner.caption_features(single)


def file_by_file(captioner: Captioner, files: list[Path]) -> None:
    """A call for each picture."""
    for file in files:
        captioner.caption([file])


if __name__ == "__main__":
    main()
