"""What the benchmarks share: the machine's matrix rate, the encoder's own rate, and pictures to work on."""

import copy
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from captioner.compute import Compute
from captioner.data.images import load_image, stack_images
from captioner.data.shapes.dataset import generate_shapes
from captioner.model.encoder import Encoder
from captioner.preprocess import encode_pixels


def matrix_rate(dtype: torch.dtype) -> float:
    """Floating-point operations a second of a 2048 x 2048 x 2048 matrix product, the best of twenty."""
    matrix = torch.randn(2048, 2048).to(dtype)
    return 2 * 2048**3 / min(seconds(lambda: torch.mm(matrix, matrix)) for _ in range(20))


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def pictures(count: int) -> tuple[list[Path], str]:
    """Photographs where CAPTIONER_REAL_DATA names some, else generated shapes; and what they are."""
    real = os.environ.get("CAPTIONER_REAL_DATA")
    if real:
        return sorted((Path(real) / "flickr8k/Images").glob("*.jpg"))[:count], "photographs of Flickr8k"
    root = Path(tempfile.gettempdir()) / f"captioner-benchmark-shapes-{count}"
    generate_shapes(root, images=count)
    return sorted(root.rglob("*.png"))[:count], "generated shapes; set CAPTIONER_REAL_DATA for photographs"


def sampling(beam: int) -> list[str]:
    """Settings of a beam search; of greedy decoding for a beam of one."""
    return ["sampling.method=beam", f"sampling.beam_size={beam}"] if beam > 1 else ["sampling.method=greedy"]


def mobilenet() -> Encoder:
    """MobileNetV2, with the real weights where they are at hand: its rate does not depend on them."""
    real = os.environ.get("CAPTIONER_REAL_DATA")
    weights = str(Path(real) / "encoders/mobilenet_v2-imagenet.pth") if real else "none"
    return Encoder.from_settings("mobilenet_v2", weights=weights, grid=None, fine_tune=False, image_size=None)


class Alone:
    """The encoder without anything around it: the same batch and precision, pixels already in memory."""

    def __init__(self, encoder: Encoder, files: list[Path], compute: Compute) -> None:
        self.plain = copy.deepcopy(encoder).to(compute.device, compute.dtype)
        self.fused = encoder.for_inference(compute.device, compute.dtype)
        self.pixels = stack_images([load_image(file, encoder.transform) for file in files[: compute.pictures_at_once]])
        self.compute = compute

    def rates(self) -> "Rates":
        """Pictures a second: as torchvision has the network, and fused, as captioner runs it."""
        return Rates(self._rate(self.plain), self._rate(self.fused))

    def _rate(self, encoder: Encoder) -> float:
        encode_pixels(encoder, self.pixels, self.compute)
        batches = 400 // len(self.pixels)
        taken = seconds(lambda: [encode_pixels(encoder, self.pixels, self.compute) for _ in range(batches)])
        return batches * len(self.pixels) / taken


@dataclass(frozen=True)
class Rates:
    """Pictures a second of the encoder alone."""

    plain: float
    fused: float

    def mean(self, other: "Rates") -> "Rates":
        """Of a measurement before and one after."""
        return Rates((self.plain + other.plain) / 2, (self.fused + other.fused) / 2)

    def compare(self, rate: float) -> str:
        """A rate beside these, for people."""
        return (
            f"{rate:.0f} pictures/s: {rate / self.plain:.2f} of the encoder alone ({self.plain:.0f}), "
            f"{rate / self.fused:.2f} of it fused ({self.fused:.0f})"
        )


def argument(default: int) -> int:
    """The first word of the command line as a number."""
    return int(sys.argv[1]) if len(sys.argv) > 1 else default
