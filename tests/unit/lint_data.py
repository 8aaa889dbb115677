"""A small data set in which lint finds nothing, to be damaged in one way at a time."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from captioner.config import Config
from captioner.data.lint import lint_dataset
from captioner.data.lint.report import Finding, Report
from captioner.events import ignore

WORDS = ["a red dog", "a blue cat", "two birds", "the old man", "one tall girl"]


def painted(seed: int, width: int = 160, height: int = 120) -> Image.Image:
    """Smooth colours of several sizes, as rich in detail as a photograph."""
    generator = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells, weight in ((3, 1.0), (6, 0.7), (12, 0.5), (24, 0.4)):
        noise = Image.fromarray(generator.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += weight * np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC), dtype=float)
    return Image.fromarray((total / 2.6).astype(np.uint8))


def jpeg(image: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **({"quality": 90} | options))
    return stream.getvalue()


class Data:
    """Ten pictures, eight to train on and two to validate on, with two captions each, as JSON lines."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows: list[dict[str, Any]] = []
        (root / "images").mkdir(parents=True)
        for number in range(10):
            self.add(f"{number}.jpg", jpeg(painted(number)), split="val" if number > 7 else "train")

    def add(
        self, name: str, content: bytes | None, captions: Sequence[str] | None = None, split: str = "train"
    ) -> None:
        """One more picture; ``None`` for one without a file."""
        if content is not None:
            (self.root / "images" / name).write_bytes(content)
        which = len(self.rows) % len(WORDS)
        captions = [f"{WORDS[which]} runs", f"{WORDS[which]} sits on grass"] if captions is None else captions
        self.rows.append({"image": name, "caption": list(captions), "split": split})

    def config(self, **changes: dict[str, Any]) -> Config:
        """The config of the data set as it now is, with other settings in some sections."""
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows)
        (self.root / "captions.jsonl").write_text(text, encoding="utf-8")
        sections = {"dataset": {"format": "jsonl", "root": str(self.root)}, "vocab": {"min_count": 1}}
        for section, values in changes.items():
            sections[section] = {**sections.get(section, {}), **values}
        return Config.model_validate(sections)

    def lint(self, **changes: dict[str, Any]) -> Report:
        return lint_dataset(self.config(**changes), ignore)

    def only(self, **changes: dict[str, Any]) -> Finding:
        """The one finding that there is."""
        findings = self.lint(**changes).findings
        assert len(findings) == 1, findings
        return findings[0]
