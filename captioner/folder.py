"""Files, folders and patterns -> pictures to caption -> rows."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from captioner.errors import ImageError, UsageError
from captioner.events import Listener, Progress
from captioner.predictor import Captioner
from captioner.text import detokenize

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}
"""What counts as a picture inside a folder; a file that is named itself is always tried."""


@dataclass(frozen=True)
class Row:
    """What ``captioner caption`` says of one picture; its fields are the output's columns."""

    file: str
    caption: str = ""
    log_prob: float | None = None
    confidence: float | None = None
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def expand_inputs(inputs: Sequence[str], recursive: bool = False) -> list[Path]:
    """Files as they are, folders as the pictures in them, sorted, and patterns such as ``photos/*.jpg``.

    What is not there is kept: it becomes a row with an error. Raises ``UsageError`` if nothing is left to caption.
    """
    files: list[Path] = []
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            inside = path.rglob("*") if recursive else path.iterdir()
            files += sorted(file for file in inside if file.suffix.lower() in SUFFIXES and not file.is_dir())
        elif not path.exists() and any(character in text for character in "*?["):
            anchor = Path(path.anchor)
            files += sorted(file for file in anchor.glob(str(path.relative_to(anchor))) if not file.is_dir())
        else:
            files.append(path)
    if not files:
        raise UsageError(
            f"no pictures in {', '.join(inputs)}", "name files or folders; --recursive also looks into sub-folders"
        )
    return files


def caption_files(
    captioner: Captioner, files: Sequence[Path], listener: Listener, full_stop: bool, number: int = 1
) -> Iterator[Row]:
    """At most ``number`` rows for each file, best first, files in order.

    One that cannot be read has one row, with an error instead of a caption.
    """
    for done, (file, result) in enumerate(zip(files, captioner.captions(files, number), strict=True), start=1):
        if isinstance(result, ImageError):
            yield Row(str(file), error=result.problem)
        else:
            for caption in result:
                yield Row(
                    str(file),
                    detokenize(caption.words, full_stop=full_stop),
                    round(caption.log_prob, 4),
                    round(caption.confidence, 4),
                )
        listener(Progress("captioning", done, len(files), "pictures"))
