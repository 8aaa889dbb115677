"""A folder of attention: each photo's strip as a PNG file, and one page of all photos that needs nothing else."""

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from captioner.caption import Caption
from captioner.data.cloud import is_cloud
from captioner.data.images import load_thumbnail, stack_images
from captioner.errors import ImageError, UsageError
from captioner.events import Listener, Note, Warned
from captioner.files import atomic_write
from captioner.folder.failures import fails_alone
from captioner.folder.review import told
from captioner.pages.confidence import meaning
from captioner.pages.html import check_pages, small_source, write_page
from captioner.pages.overlays import overlays, strip
from captioner.predictor import Captioner

ENTRIES = 500
"""Photos on the page, the first ones: it has some 55 kB for each. Every photo has its strip."""
_SIDE = 320
"""Longest side of a thumbnail, in pixels."""
_OVERLAY = 96
"""Side of a word's overlay on the page."""


class AttentionGallery:
    """Watches a job's captions, and draws where each picture's best one looks."""

    def __init__(self, captioner: Captioner, folder: Path, files: Sequence[str], listener: Listener) -> None:
        """Write into ``folder``. Raises ``UsageError`` where the model has no attention, or the pictures are in there.

        A list of more than one of ``files`` gets the page, too.
        """
        captioner.attention(Image.new("RGB", (8, 8)), [])  # Refused before anything is done.
        if any(map(is_cloud, files)):
            raise UsageError("--attention draws files, and some of these are addresses", "copy them here first")
        places = list(map(os.path.abspath, files))
        inside = os.path.join(os.path.abspath(folder), "")  # noqa: PTH100,PTH118 - a million names stay strings
        if any(place.startswith(inside) for place in places):
            raise UsageError(f"pictures in {folder} are to be captioned", "choose another folder for --attention")
        self._captioner = captioner
        self._folder = folder
        self._listener = listener
        self._root = os.path.commonpath([os.path.dirname(place) for place in places])  # noqa: PTH120
        self._several = len(files) > 1
        self._entries: list[dict[str, Any]] = []
        self._count = 0
        if self._several:
            check_pages("--attention of several pictures")

    def add(self, file: str, captions: Sequence[Caption]) -> None:
        """Draw the strip of one picture. Raises ``ImageError`` where it cannot be written, ``StorageError`` if full."""
        caption = captions[0]
        name = os.path.relpath(file, self._root) + ".png"
        entry = None
        try:
            images = self._captioner.read(Path(file))
            if isinstance(images, ImageError):
                raise images
            features = self._captioner.encode(tuple(stack_images([image]) for image in images))
            (maps,) = self._captioner.attend_features(features, [caption.words])
            picture = strip(images[0], caption.words, maps)
            if self._several and self._count < ENTRIES:
                entry = self._entry(name, caption, Path(file), overlays(images[0], maps))
        except ImageError as error:  # It has changed since it was captioned.
            self._listener(Warned(f"{file}: {error.problem}"))
            return
        with fails_alone(), atomic_write(self._folder / name) as stream:
            picture.save(stream, "PNG")
        if entry is not None:
            self._entries.append(entry)
        self._count += 1

    def finish(self) -> None:
        """Write the page. Raises ``StorageError``."""
        if not self._entries:
            return
        page = self._folder / "index.html"
        write_page(
            page,
            "attention_gallery.html.j2",
            entries=self._entries,
            count=self._count,
            means=meaning(self._captioner.calibration, self._captioner.doubt),
            doubt=self._captioner.doubt,
        )
        self._listener(Note(f"where {self._count:,} captions look is in {page}"))

    def _entry(self, name: str, caption: Caption, file: Path, looks: Sequence[Image.Image]) -> dict[str, Any]:
        """What the page shows of a photo; ``looks`` are its words' overlays."""
        return {
            "name": name.removesuffix(".png").encode("utf-8", "backslashreplace").decode(),
            "link": quote(os.fsencode(name)),
            "text": caption.text,
            "confidence": round(caption.confidence, 4),
            "sure": told(caption.confidence, self._captioner.doubt),
            "thumbnail": base64.b64encode(load_thumbnail(file, _SIDE)).decode(),
            "words": [(word, small_source(look, _OVERLAY)) for word, look in zip(caption.words, looks, strict=True)],
        }
