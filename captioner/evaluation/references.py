"""The captions by people that others are scored against, and what identifies them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from captioner.text import tokenize

ImageId = int | str


@dataclass(frozen=True)
class References:
    """The references of some images. Scores against other references are not comparable."""

    name: str
    """Where they come from, for people: a file, and the split if it has several."""
    texts: Mapping[ImageId, Sequence[str]]
    """As written, for each image."""

    @cached_property
    def words(self) -> dict[ImageId, list[list[str]]]:
        """As :func:`captioner.text.tokenize` splits them."""
        return {image_id: [tokenize(text) for text in texts] for image_id, texts in self.texts.items()}

    @cached_property
    def sha256(self) -> str:
        """Fingerprint: the same for the same captions of the same images, in whatever order and file.

        Of the JSON ``[[image, [caption, ...]], ...]`` without blanks, in ASCII, images ordered by their own JSON and
        captions, stripped of blanks around them, by their text.
        """
        entries = [
            (json.dumps(image_id), [image_id, sorted(text.strip() for text in texts)])
            for image_id, texts in self.texts.items()
        ]
        canonical = json.dumps([entry for _, entry in sorted(entries)], separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """What is stored with scores."""
        captions = sum(len(texts) for texts in self.texts.values())
        return {"name": self.name, "images": len(self.texts), "captions": captions, "sha256": self.sha256}
