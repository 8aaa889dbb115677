"""Where a batch gets its pictures from: the feature store, or the files themselves when the encoder is trained."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from captioner.data.features import FeatureStore, Picture
from captioner.data.images import stack_images, try_image
from captioner.errors import DatasetError, ImageError
from captioner.parallel import in_order
from captioner.transform import ImageTransform

_KEPT_BYTES = 2**28  # All of a small set of small pictures; of others some, and memory does not grow with their number.


class Pictures(Protocol):
    """The pictures of a list of files, by their place in it."""

    def read(self, indices: Sequence[int], mirrored: Sequence[int] | None = None) -> Tensor:
        """Features (B, P, D), float16, or pixels (B, 3, H, W), uint8; where ``mirrored`` is 1, the mirror image's."""

    @property
    def has_mirrored(self) -> bool:
        """Whether mirror images can be asked for."""

    def name(self, index: int) -> str:
        """A picture's, for people."""


class StoredPictures:
    """Features from the store."""

    def __init__(self, store: FeatureStore, files: Sequence[Path], root: Path) -> None:
        self._store = store
        self._pictures = [Picture.of(file, root) for file in files]

    def read(self, indices: Sequence[int], mirrored: Sequence[int] | None = None) -> Tensor:
        """Features (B, P, D), float16."""
        return torch.from_numpy(self._store.read([self._pictures[index] for index in indices], mirrored))

    @property
    def has_mirrored(self) -> bool:
        """Whether the store was made with them."""
        return self._store.key.flip

    def name(self, index: int) -> str:
        """Its file's, relative to the data set."""
        return self._pictures[index].name


class PictureFiles:
    """Pixels, decoded anew for each batch but for the first pictures asked for, as many as ``_KEPT_BYTES`` hold."""

    def __init__(self, files: Sequence[Path], transform: ImageTransform, flip: bool) -> None:
        self._files = files
        self._transform = transform
        self._kept: dict[int, Tensor] = {}
        self._room = _KEPT_BYTES // (3 * transform.crop**2)
        self.has_mirrored = flip

    def read(self, indices: Sequence[int], mirrored: Sequence[int] | None = None) -> Tensor:
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
        views = mirrored or [0] * len(indices)
        return stack_images(
            [images[index].flip(-1) if view else images[index] for index, view in zip(indices, views, strict=True)]
        )

    def name(self, index: int) -> str:
        """Its file's."""
        return str(self._files[index])


class SeveralPictures:
    """The same pictures, once for each model of an ensemble."""

    def __init__(self, members: Sequence[Pictures]) -> None:
        self._members = members

    def read(self, indices: Sequence[int]) -> tuple[Tensor, ...]:
        """What each member reads."""
        return tuple(member.read(indices) for member in self._members)
