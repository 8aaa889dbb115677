"""Where a batch gets its pictures from: the feature store, or the files themselves when the encoder is trained."""

import math
import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torchvision.transforms.functional import resized_crop

from captioner.data.features import FeatureStore, Picture
from captioner.data.images import stack_images, try_image
from captioner.errors import DatasetError, ImageError
from captioner.parallel import in_order
from captioner.transform import ImageTransform

_CROP_BITS = 64
_KEPT_BYTES = 2**28  # All of a small set of small pictures; of others some, and memory does not grow with their number.


class Pictures(Protocol):
    """The pictures of a list of files, by their place in it."""

    def read(self, indices: Sequence[int], views: Sequence[int] | None = None) -> Tensor:
        """Features (B, P, D), float16, or pixels (B, 3, H, W), uint8.

        ``views`` has ``view_bits`` random bits for each picture, which choose what is seen of it: without, all of it.
        """

    @property
    def view_bits(self) -> int:
        """0: pictures are seen as they are. 1: or mirrored. More: parts of them, too."""

    def name(self, index: int) -> str:
        """A picture's, for people."""


class StoredPictures:
    """Features from the store."""

    def __init__(self, store: FeatureStore, files: Sequence[Path], root: Path) -> None:
        self._store = store
        self._pictures = [Picture.of(file, root) for file in files]

    def read(self, indices: Sequence[int], views: Sequence[int] | None = None) -> Tensor:
        """Features (B, P, D), float16."""
        return torch.from_numpy(self._store.read([self._pictures[index] for index in indices], views))

    @property
    def view_bits(self) -> int:
        """Whether the store was made with mirror images."""
        return int(self._store.key.flip)

    def name(self, index: int) -> str:
        """Its file's, relative to the data set."""
        return self._pictures[index].name


class PictureFiles:
    """Pixels, decoded anew for each batch but for the first pictures asked for, as many as ``_KEPT_BYTES`` hold."""

    def __init__(
        self,
        files: Sequence[Path],
        transform: ImageTransform,
        flip: bool,
        smallest_crop: float = 1,
        part_side: int | None = None,
    ) -> None:
        """``flip``: views are mirrored or not; ``smallest_crop``: and the least share of the area that they show.

        Such parts are given ``part_side`` pixels along each side, by default as many as whole pictures.
        """
        self._files = files
        self._transform = transform
        self._kept: dict[int, Tensor] = {}
        self._room = _KEPT_BYTES // (3 * transform.crop**2)
        self._flip, self._smallest_crop, self._part_side = flip, smallest_crop, part_side or transform.crop
        self.view_bits = _CROP_BITS if smallest_crop < 1 else int(flip)

    def read(self, indices: Sequence[int], views: Sequence[int] | None = None) -> Tensor:
        """Pixels (B, 3, H, W), uint8. Raises ``DatasetError`` for a picture that cannot be read."""
        images = {index: self._kept[index] for index in indices if index in self._kept}
        missing = [index for index in indices if index not in images]
        loaded = in_order(partial(try_image, transform=self._transform), (self._files[index] for index in missing))
        for index, image in zip(missing, loaded, strict=True):
            if isinstance(image, ImageError):
                raise DatasetError(f"{self._files[index]}: {image.problem}", "mend or remove that picture")
            images[index] = image
            if len(self._kept) < self._room:
                self._kept[index] = image
        chosen = [images[index] for index in indices]
        return stack_images(chosen if views is None else list(map(self._view, chosen, views)))

    def _view(self, image: Tensor, bits: int) -> Tensor:
        if self._flip and bits & 1:
            image = image.flip(-1)
        if self._smallest_crop == 1:
            return image
        return random_part(image, random.Random(bits), self._smallest_crop, self._part_side)

    def name(self, index: int) -> str:
        """Its file's."""
        return str(self._files[index])


def random_part(image: Tensor, rng: random.Random, smallest: float, side: int) -> Tensor:
    """A part of a picture (3, H, W), resized to (3, side, side).

    Its area is at least the share ``smallest``, its sides differ by at most 4 to 3: C. Szegedy et al., "Going Deeper
    with Convolutions", CVPR 2015, section 6.
    """
    height, width = image.shape[-2:]
    area, ratio = rng.uniform(smallest, 1), math.exp(rng.uniform(-1, 1) * math.log(4 / 3))
    rows = min(height, max(1, round(height * math.sqrt(area / ratio))))
    columns = min(width, max(1, round(width * math.sqrt(area * ratio))))
    top, left = rng.randint(0, height - rows), rng.randint(0, width - columns)
    part: Tensor = resized_crop(image, top, left, rows, columns, [side, side])
    return part


class SeveralPictures:
    """The same pictures, once for each model of an ensemble."""

    def __init__(self, members: Sequence[Pictures]) -> None:
        self._members = members

    def read(self, indices: Sequence[int]) -> tuple[Tensor, ...]:
        """What each member reads."""
        return tuple(member.read(indices) for member in self._members)
