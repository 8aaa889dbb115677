"""The model at work for the server: bytes -> a picture that is ready, and batches of those -> captions."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from captioner.checkpoint.description import Section, describe
from captioner.config import SamplingConfig
from captioner.data.decoding import open_image, orientation
from captioner.data.images import stack_images
from captioner.errors import ImageError, UsageError
from captioner.folder.job import number_of
from captioner.loading import load_captioner
from captioner.parallel import chunked
from captioner.predictor import Caption, Captioner

_FORMATS = {"AVIF", "BMP", "GIF", "HEIF", "JPEG", "MPO", "PNG", "TIFF", "WEBP"}
"""What strangers may send: Pillow's other readers are rarely used, and rarely looked at."""


@dataclass(frozen=True)
class Region:
    """The part of a picture that the model sees, in fractions of its width and height."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Picture:
    """Decoded, at the size of the encoder."""

    images: tuple[Tensor, ...]
    """As each of an ensemble's encoders wants it."""
    number: int
    """By which random draws differ: of its content."""
    seen: Region


@dataclass(frozen=True)
class Task:
    """What a batch is made of."""

    picture: Picture
    sampling: SamplingConfig
    captions: int
    attention: bool

    @property
    def search(self) -> tuple[str, int]:
        """Tasks that have this in common are searched together."""
        return self.sampling.model_dump_json(), self.captions


@dataclass(frozen=True)
class Answer:
    """Captions, best first, and for each, where asked for, where the model looked: (T, rows, columns)."""

    captions: Sequence[Caption]
    attention: Sequence[Tensor] | None


class Engine:
    """A loaded model, warmed up."""

    def __init__(self, captioner: Captioner, description: dict[str, Section]) -> None:
        """``description`` is the first model's, as ``describe`` gives it."""
        self.captioner, self.description = captioner, description
        self.fingerprint = captioner.fingerprint
        images = captioner.read(np.zeros((64, 64, 3), np.uint8))
        assert not isinstance(images, ImageError)
        black = Task(Picture(images, 0, Region(0, 0, 1, 1)), captioner.sampling, 1, attention=True)
        self.attends = True
        """Whether the decoder looks at parts of a picture."""
        try:
            self.answer([black] * captioner.compute.pictures_at_once)
        except UsageError:
            self.attends = False

    @classmethod
    def load(cls, paths: Sequence[Path], overrides: Sequence[str], share: int) -> "Engine":
        """With one of ``share`` parts of the machine's threads. Raises as ``load_captioner`` does."""
        torch.set_num_threads(max(1, torch.get_num_threads() // share))
        return cls(load_captioner(paths, overrides), describe(paths[0]))

    def read(self, data: bytes, pixels: int) -> Picture | ImageError:
        """Decode a picture of at most ``pixels``. It is looked at before it is decoded."""
        try:
            with open_image(data) as image:
                width, height = image.size
                if image.format not in _FORMATS:
                    raise ImageError(f"is {image.format}, which is not accepted here")
                if width * height > pixels:
                    raise ImageError(f"has {width * height / 1e6:,.4g} megapixels; the limit is {pixels / 1e6:,g}")
                # Pillow gives a TIFF's size as it is after turning, and turns it when it is decoded.
                turned = orientation(image) >= 5 and image.format != "TIFF"
            images = self.captioner.read(data)
        except ImageError as error:
            return error
        if isinstance(images, ImageError):
            return images
        number = number_of(hashlib.sha256(data).digest())
        return Picture(images, number, self._seen(*((height, width) if turned else (width, height))))

    def answer(self, tasks: Sequence[Task]) -> list[Answer]:
        """Encode all pictures together, then caption together those whose options agree."""
        parts = chunked([task.picture.images for task in tasks], self.captioner.compute.pictures_at_once)
        features = torch.cat(
            [self.captioner.encode(tuple(map(stack_images, zip(*part, strict=True)))) for part in parts]
        )
        searches: dict[tuple[str, int], list[int]] = {}
        for place, task in enumerate(tasks):
            searches.setdefault(task.search, []).append(place)
        captions: dict[int, list[Caption]] = {}
        for places in searches.values():
            first = tasks[places[0]]
            found = self.captioner.caption_features(
                features[places],
                first.sampling,
                numbers=[tasks[place].picture.number for place in places],
                captions=first.captions,
            )
            captions.update(zip(places, found, strict=True))
        return [self._answer(task, captions[place], features[place]) for place, task in enumerate(tasks)]

    def _answer(self, task: Task, captions: Sequence[Caption], features: Tensor) -> Answer:
        if not task.attention:
            return Answer(captions, None)
        words = [caption.words for caption in captions]
        return Answer(captions, self.captioner.attend_features(features.expand(len(words), *features.shape), words))

    def _seen(self, width: int, height: int) -> Region:
        transform = self.captioner.encoder.transform
        shorter = transform.crop / transform.resize
        seen = (min(1.0, shorter * min(width, height) / width), min(1.0, shorter * min(width, height) / height))
        return Region((1 - seen[0]) / 2, (1 - seen[1]) / 2, *seen)
