"""Finding a checkpoint and reading what it says of itself, without torch."""

import hashlib
import json
from pathlib import Path
from typing import Any

from captioner.calibration import Calibration
from captioner.config import Config
from captioner.errors import CheckpointError
from captioner.registry import DECODERS

VERSION = 2  # 1 had lstm decoders that did not standardise features.
INDEX = "checkpoint.json"


def find_checkpoint(path: Path) -> Path:
    """The directory of ``checkpoint.json``: ``path`` itself, or the best checkpoint of a run.

    Raises ``CheckpointError`` if there is none.
    """
    for folder in (path, path / "best"):
        if (folder / INDEX).is_file():
            return folder
    if (path / "last" / INDEX).is_file():
        raise CheckpointError(
            f"{path} has no finished epoch yet", f"go on training it with --resume, or name {path / 'last'}"
        )
    if runs := sorted(path.glob(f"*/best/{INDEX}")):
        raise CheckpointError(f"{path} is no run, but holds some", f"name one of them, such as {runs[0].parents[1]}")
    what = "is an exported model" if (path / "model.json").is_file() else "holds no checkpoint"
    what = what if path.is_dir() else "is a file" if path.exists() else "is not there"
    raise CheckpointError(
        f"{path} {what}", "give a run's directory (captioner train --run DIR) or a checkpoint's, such as DIR/best"
    )


def read_index(path: Path) -> tuple[Path, dict[str, Any]]:
    """The checkpoint's directory and its ``checkpoint.json``, without loading weights. Raises ``CheckpointError``."""
    folder = find_checkpoint(path)
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        version = index["version"]
    except (OSError, ValueError, KeyError, TypeError):
        raise damaged(folder) from None
    if version != VERSION:
        raise CheckpointError(
            f"{folder} was written in checkpoint version {version}, and this captioner reads version {VERSION}",
            "install the captioner version that wrote it (checkpoint.json names it), or train again",
        )
    if any(not isinstance(index.get(part), dict) for part in _PARTS):
        raise damaged(folder)
    return folder, index


def fingerprint(path: Path) -> str:
    """SHA-256 of ``checkpoint.json``, which holds the hashes of weights and vocabulary. Raises ``CheckpointError``."""
    return hashlib.sha256((find_checkpoint(path) / INDEX).read_bytes()).hexdigest()


def check_files(folder: Path, index: dict[str, Any]) -> None:
    """Raise ``CheckpointError`` unless every file that ``read_index`` names is there."""
    if "vocabulary" not in index["files"] or not (folder / index["files"]["vocabulary"]).is_file():
        raise CheckpointError(
            f"{folder} lacks its vocabulary ({index['files'].get('vocabulary', 'vocabulary.json')})",
            "copy the whole directory: the weights mean nothing without the words they belong to",
        )
    for name in index["files"].values():
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} lacks {name}", "copy the whole directory, or use another checkpoint")


_PARTS = ("files", "vocabulary", "features", "encoder", "config", "provenance")


def read_part(folder: Path, index: dict[str, Any], part: str) -> bytes:
    """A file that ``read_index`` gives, whole. Raises ``CheckpointError`` unless its content is what was written."""
    name: str = index["files"].get(part, f"its {part}")
    try:
        data = (folder / name).read_bytes()
    except OSError:
        raise CheckpointError(f"{folder} lacks {name}", "copy the whole directory, or use another checkpoint") from None
    if hashlib.sha256(data).hexdigest()[:16] != Path(name).stem.rpartition("-")[2]:
        raise CheckpointError(f"{folder / name} is damaged", "copy it again, or use another checkpoint")
    return data


def read_config(folder: Path, index: dict[str, Any]) -> Config:
    """The settings that the model was trained with. Raises ``CheckpointError``."""
    try:
        return Config.model_validate(index["config"])
    except ValueError:
        kind = index["config"].get("decoder", {}).get("type")
        if isinstance(kind, str) and kind not in DECODERS:
            raise CheckpointError(
                f"{folder} has a decoder of type '{kind}', which is not known here",
                "register it first, as the program that trained it did (docs/contributing.md)",
            ) from None
        raise damaged(folder) from None


def calibration_in(index: dict[str, Any], folder: Path) -> Calibration | None:
    """The calibration in ``index``, of ``folder``; None where there is none. Raises ``CheckpointError``."""
    values = index["provenance"].get("calibration")
    try:
        return None if values is None else Calibration.from_json(values)
    except (TypeError, KeyError):
        raise damaged(folder) from None


def damaged(folder: Path) -> CheckpointError:
    """The error for a ``checkpoint.json`` that says something impossible."""
    return CheckpointError(f"{folder / INDEX} is damaged", "use another checkpoint, or train again")
