"""Names that a config may use, and that programs may add to: of decoders and of data formats."""

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

DECODERS = ["lstm", "attention", "transformer"]
"""What ``decoder.type`` may be; ``model.build.register_decoder`` adds to it."""
FORMATS = ["coco", "csv", "flickr", "folder", "jsonl", "karpathy", "shapes"]
"""What ``dataset.format`` may be; ``data.formats.register_format`` adds to it."""


def one_of(known: list[str]) -> AfterValidator:
    """A type for settings: as ``Literal``, with the same message, for names that may become more."""

    def check(name: str) -> str:
        if name not in known:
            *first, last = map(repr, known)
            expected = f"{', '.join(first)} or {last}"
            raise PydanticCustomError("literal_error", "Input should be {expected}", {"expected": expected})
        return name

    return AfterValidator(check)
