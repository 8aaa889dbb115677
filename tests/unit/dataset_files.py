"""Small data sets on disk, and what ``load_dataset`` says of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from captioner.config import DatasetConfig
from captioner.data.annotations import Dataset, load_dataset
from captioner.errors import DatasetError


def write(root: Path, files: dict[str, Any]) -> None:
    """Write text, bytes, or anything else as JSON, under the paths that are the keys of ``files``."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def pictures(*names: str) -> dict[str, bytes]:
    """Empty files: loading captions never opens a picture."""
    return dict.fromkeys(names, b"")


def load(root: Path, format_name: str, **keys: Any) -> Dataset:
    return load_dataset(DatasetConfig.model_validate({"format": format_name, "root": str(root), **keys}))


def refusal(root: Path, format_name: str, **keys: Any) -> tuple[str, str]:
    """Problem and remedy of the error, with the temporary folder written as ROOT."""
    with pytest.raises(DatasetError) as caught:
        load(root, format_name, **keys)
    return caught.value.problem.replace(str(root), "ROOT"), caught.value.remedy.replace(str(root), "ROOT")
